//! Sink: an embedded SQLite database, which can be asked.
//!
//! The tables and what their columns mean stand in `schema.sql`. A row that is already there
//! by its id is left as it is, so that repeated delivery changes nothing. A batch is one
//! transaction; if the database refuses it, rows are taken one at a time to find those that
//! it can never take. Needs the grant `sql`; the file's settings, such as its write-ahead
//! log, are the host's.

use serde::Deserialize;
use torana_plugin_sdk::SettingsError;
use torana_plugin_sdk::host::sql::{Database, Own};
use torana_plugin_sdk::sink::{
    FeedbackRequest, FeedbackRow, Outcome, Page, PageRequest, QueryError, QueryableSink, Row,
    RowFilter, Sink, Table, UsageReport, UsageRequest,
};

mod cursor;
mod read;
mod record;
mod schema;
mod write;

/// The sink's `settings` table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The database file; the host opens it.
    path: String,
}

struct Store<D> {
    database: D,
}

impl<D: Database> Store<D> {
    fn over(mut database: D, settings: &Settings) -> Result<Self, SettingsError> {
        match schema::migrate(&mut database) {
            Ok(()) => Ok(Self { database }),
            Err(error) => {
                let message = format!("cannot use {:?} as a store: {error}", settings.path);
                Err(SettingsError::at("/path", message))
            }
        }
    }
}

impl Sink for Store<Own> {
    type Settings = Settings;

    fn open(settings: Settings) -> Result<Self, SettingsError> {
        Self::over(Own, &settings)
    }

    fn write(&mut self, batch: &[Row]) -> Outcome {
        write::batch(&mut self.database, batch)
    }
}

impl QueryableSink for Store<Own> {
    fn list_rows(
        &mut self,
        table: Table,
        filter: &RowFilter,
        page: &PageRequest,
    ) -> Result<Page, QueryError> {
        match table {
            Table::Inference => read::list_inferences(&mut self.database, filter, page),
            other => Err(QueryError::Unsupported(format!("{other:?}"))),
        }
    }

    fn usage(&mut self, _: &UsageRequest) -> Result<UsageReport, QueryError> {
        Err(QueryError::Unsupported("usage".to_owned()))
    }

    fn feedback_statistics(&mut self, _: &FeedbackRequest) -> Result<Vec<FeedbackRow>, QueryError> {
        Err(QueryError::Unsupported("feedback".to_owned()))
    }

    fn get_inference(&mut self, id: &str) -> Result<Option<Vec<u8>>, QueryError> {
        read::get_inference(&mut self.database, id)
    }
}

torana_plugin_sdk::export_queryable_sink!(Store<Own>);

#[cfg(test)]
mod tests;
