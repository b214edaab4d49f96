//! Sink: a PostgreSQL database, which can be asked.
//!
//! The tables and what their columns mean stand in `schema.sql`. A row that is already there by
//! its id is left as it is, so that repeated delivery changes nothing. A batch is one
//! transaction; if the server refuses it, halves of it are taken to find the rows that it can
//! never take. A server that is down, full or closed to us is asked again later, and costs no
//! row. Needs the grant `sql` and no other. Which database it is, and as whom, the host knows:
//! `database` of the sink, which no plugin sees.

use serde::Deserialize;
use torana_plugin_sdk::SettingsError;
use torana_plugin_sdk::host::sql::{Database, Error, Own, Statement, Value};
use torana_plugin_sdk::sink::{
    FeedbackRequest, FeedbackRow, Outcome, Page, PageRequest, QueryError, QueryableSink, Row,
    RowFilter, Sink, Table, UsageReport, UsageRequest,
};
use torana_sql_store::complaints::Complaints;
use torana_sql_store::retention::{Days, Retention};
use torana_sql_store::schema::MigrationError;
use torana_sql_store::{feedback, list, schema, usage, write};

use crate::engine::Postgres;
use crate::tables::Name;

mod engine;
mod tables;

/// The sink's `settings` table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Of the database; created if it is missing.
    #[serde(default = "default_schema")]
    schema: String,
    /// Rows of every kind that are older are deleted. Absent: none is.
    #[serde(default)]
    inference_days: Option<i64>,
    /// Requests, responses and raw bodies that are older are taken out of their rows, which
    /// stay. Absent: they stay as long as the row.
    #[serde(default)]
    content_days: Option<i64>,
    /// Keep words, to find inferences by.
    #[serde(default = "yes")]
    text_index: bool,
}

fn yes() -> bool {
    true
}

fn default_schema() -> String {
    "torana".to_owned()
}

struct Store<D> {
    database: Postgres<D>,
    retention: Retention,
    complaints: Complaints,
    /// The tables are there, in the version that this plugin knows.
    is_ready: bool,
}

impl<D: Database> Store<D> {
    /// A server that does not answer is no reason to refuse: rows wait in the journal.
    fn over(database: D, settings: &Settings) -> Result<Self, SettingsError> {
        let days = Days::of(settings.inference_days, settings.content_days)?;
        let schema = Name::of(&settings.schema)?;
        let mut store = Self {
            database: Postgres { database, schema, has_text_index: settings.text_index },
            retention: Retention::new(days),
            complaints: Complaints::default(),
            is_ready: false,
        };
        match store.prepare() {
            Ok(()) => Ok(store),
            Err(error @ MigrationError::Database(_)) => {
                store.complaints.failed(&error.to_string());
                Ok(store)
            }
            Err(newer @ MigrationError::Newer { .. }) => {
                let message = format!("cannot use {:?} as a store: {newer}", settings.schema);
                Err(SettingsError::at("/schema", message))
            }
        }
    }

    fn prepare(&mut self) -> Result<(), MigrationError> {
        if self.is_ready {
            return Ok(());
        }
        if !self.has_schema()? {
            let create = self.database.schema.create();
            self.database.execute(&[Statement::new(create, vec![])])?;
        }
        let schema = self.database.schema.schema();
        schema::migrate(&mut self.database, &schema)?;
        self.is_ready = true;
        Ok(())
    }

    fn has_schema(&mut self) -> Result<bool, Error> {
        let sql = format!(
            "SELECT to_regnamespace('{}') IS NOT NULL, getdatabaseencoding()",
            self.database.schema.quoted()
        );
        let rows = self.database.query(&Statement::new(sql, vec![]))?.rows;
        match rows.first().map(Vec::as_slice) {
            Some([Value::Integer(is_there), Value::Text(encoding)]) if encoding == "UTF8" => {
                Ok(*is_there != 0)
            }
            Some([_, Value::Text(encoding)]) => Err(Error::Statement(format!(
                "the database keeps text as {encoding}, which has no room for what people write; \
                 create one with ENCODING 'UTF8'"
            ))),
            _ => Err(Error::Statement("the server is no PostgreSQL".to_owned())),
        }
    }

    fn take(&mut self, batch: &[Row]) -> Outcome {
        if let Err(error) = self.prepare() {
            self.complaints.failed(&error.to_string());
            return Outcome::Retry(write::RETRY_MS);
        }
        let outcome = write::batch(&mut self.database, batch, &mut self.complaints);
        if matches!(outcome, Outcome::Retry(_)) {
            // Somebody may have dropped the tables; they are made again.
            self.is_ready = false;
        } else {
            self.retention.after(&mut self.database, batch);
        }
        outcome
    }

    fn ask<R>(
        &mut self,
        question: impl FnOnce(&mut Postgres<D>) -> Result<R, QueryError>,
    ) -> Result<R, QueryError> {
        self.prepare().map_err(|error| QueryError::Unavailable(error.to_string()))?;
        let answer = question(&mut self.database);
        self.is_ready = !matches!(answer, Err(QueryError::Unavailable(_)));
        answer
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
        self.ask(|database| list::rows(database, table, filter, page))
    }

    fn get_inference(&mut self, id: &str) -> Result<Option<Vec<u8>>, QueryError> {
        self.ask(|database| list::inference(database, id))
    }

    fn usage(&mut self, request: &UsageRequest) -> Result<UsageReport, QueryError> {
        self.ask(|database| usage::report(database, request))
    }

    fn feedback_statistics(
        &mut self,
        request: &FeedbackRequest,
    ) -> Result<Vec<FeedbackRow>, QueryError> {
        self.ask(|database| feedback::statistics(database, request))
    }
}

torana_plugin_sdk::export_queryable_sink!(Store<Own>);

#[cfg(test)]
mod tests;
