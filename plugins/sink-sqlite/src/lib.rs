//! Sink: an embedded SQLite database, which can be asked.
//!
//! The tables and what their columns mean stand in `schema-2.sql`. A row that is already
//! there by its id is left as it is, so that repeated delivery changes nothing. A batch is
//! one transaction; if the database refuses it, halves of it are taken to find the rows
//! that it can never take. Needs the grant `sql` and no other: time is the database's. The
//! file's settings, such as its write-ahead log, are the host's.

use serde::Deserialize;
use torana_plugin_sdk::SettingsError;
use torana_plugin_sdk::host::sql::{Database, Own};
use torana_plugin_sdk::sink::{
    FeedbackRequest, FeedbackRow, Outcome, Page, PageRequest, QueryError, QueryableSink, Row,
    RowFilter, Sink, Table, UsageReport, UsageRequest,
};

use torana_sql_store::complaints::Complaints;
use torana_sql_store::retention::{Days, Retention};
use torana_sql_store::{feedback, list, schema, usage, write};

use crate::engine::Sqlite;

mod engine;
mod tables;

/// The sink's `settings` table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The database file; the host opens it.
    path: String,
    /// Rows of every kind that are older are deleted. Absent: none is.
    #[serde(default)]
    inference_days: Option<i64>,
    /// Requests, responses and raw bodies that are older are taken out of their rows, which
    /// stay. Absent: they stay as long as the row.
    #[serde(default)]
    content_days: Option<i64>,
    /// Keep words, to find inferences by: three quarters of what writing costs.
    #[serde(default = "yes")]
    text_index: bool,
}

fn yes() -> bool {
    true
}

struct Store<D> {
    database: Sqlite<D>,
    retention: Retention,
    complaints: Complaints,
}

impl<D: Database> Store<D> {
    fn over(database: D, settings: &Settings) -> Result<Self, SettingsError> {
        let days = Days::of(settings.inference_days, settings.content_days)?;
        let mut database = Sqlite { database, has_text_index: settings.text_index };
        match schema::migrate(&mut database, &tables::schema()) {
            Ok(()) => Ok(Self {
                database,
                retention: Retention::new(days),
                complaints: Complaints::default(),
            }),
            Err(error) => {
                let message = format!("cannot use {:?} as a store: {error}", settings.path);
                Err(SettingsError::at("/path", message))
            }
        }
    }

    fn take(&mut self, batch: &[Row]) -> Outcome {
        let outcome = write::batch(&mut self.database, batch, &mut self.complaints);
        if !matches!(outcome, Outcome::Retry(_)) {
            self.retention.after(&mut self.database, batch);
        }
        outcome
    }
}

impl Sink for Store<Own> {
    type Settings = Settings;

    fn open(settings: Settings) -> Result<Self, SettingsError> {
        Self::over(Own, &settings)
    }

    fn write(&mut self, batch: &[Row]) -> Outcome {
        self.take(batch)
    }
}

impl QueryableSink for Store<Own> {
    fn list_rows(
        &mut self,
        table: Table,
        filter: &RowFilter,
        page: &PageRequest,
    ) -> Result<Page, QueryError> {
        list::rows(&mut self.database, table, filter, page)
    }

    fn get_inference(&mut self, id: &str) -> Result<Option<Vec<u8>>, QueryError> {
        list::inference(&mut self.database, id)
    }

    fn usage(&mut self, request: &UsageRequest) -> Result<UsageReport, QueryError> {
        usage::report(&mut self.database, request)
    }

    fn feedback_statistics(
        &mut self,
        request: &FeedbackRequest,
    ) -> Result<Vec<FeedbackRow>, QueryError> {
        feedback::statistics(&mut self.database, request)
    }
}

torana_plugin_sdk::export_queryable_sink!(Store<Own>);

#[cfg(test)]
mod tests;
