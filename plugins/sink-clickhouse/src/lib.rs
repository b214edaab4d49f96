//! Sink: ClickHouse over its HTTP interface, which can be asked.
//!
//! The tables and what their columns mean stand in `schema.sql`. A row is acknowledged once
//! the server has written it to its disk. A repeated row is the same row again: the tables
//! drop it when they merge, and every answer drops it while it reads (`read.rs`), so that it
//! counts once. A server that is down or full is asked again later; a row that it can never
//! take is found and rejected with its words (`write.rs`).
//!
//! Needs the grants `http`, for the origin of `url`, and `clock`, for deadlines. The password
//! is not a setting: the host sends it as a header.

use serde::Deserialize;
use torana_plugin_sdk::sink::{
    FeedbackRequest, FeedbackRow, Outcome, Page, PageRequest, QueryError, QueryableSink, Row,
    RowFilter, Sink, Table, UsageReport, UsageRequest,
};
use torana_plugin_sdk::{SettingsError, log};

use crate::schema::{MigrationError, Retention};
use crate::server::{Own, Server, Transport};
use crate::write::Writer;

mod answer;
mod condition;
mod content;
mod failure;
mod feedback;
mod read;
mod record;
mod schema;
mod server;
mod statement;
mod usage;
mod write;

const MIB: usize = 1 << 20;

/// Of one insert. A host lets a plugin hand over 8 MiB at once (`limits.result_mib`).
const REQUEST_MIB: usize = 7;

/// Longer than any law asks for.
const MOST_DAYS: u32 = 36_525;

/// The sink's `settings` table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The server's HTTP interface, such as `http://localhost:8123`.
    url: String,
    /// Created if it is missing.
    #[serde(default = "default_database")]
    database: String,
    #[serde(default = "default_user")]
    user: String,
    /// Rows of every kind are deleted after so many days; absent: never.
    inference_days: Option<u32>,
    /// Requests and responses are blanked after so many days; absent: never.
    content_days: Option<u32>,
    /// The largest insert, in MiB: a larger row cannot be taken.
    #[serde(default = "default_request_mib")]
    request_mib: usize,
}

fn default_database() -> String {
    "torana".to_owned()
}

fn default_user() -> String {
    "default".to_owned()
}

fn default_request_mib() -> usize {
    REQUEST_MIB
}

struct Store<T> {
    server: Server<T>,
    retention: Retention,
    /// The tables are there, in the version that this plugin knows.
    prepared: bool,
    writer: Writer,
}

impl<T: Transport> Store<T> {
    /// A server that does not answer is no reason to refuse: rows wait in the journal.
    fn over(transport: T, settings: &Settings) -> Result<Self, SettingsError> {
        check(settings)?;
        let server = Server::new(transport, &settings.url, &settings.database, &settings.user);
        let retention = Retention {
            inference_days: settings.inference_days,
            content_days: settings.content_days,
        };
        let writer = Writer::new(settings.request_mib.saturating_mul(MIB));
        let mut store = Self { server, retention, prepared: false, writer };
        store.server.begin();
        match store.prepare() {
            Ok(()) => Ok(store),
            Err(MigrationError::Server(failure)) => {
                log::warn!("the store cannot be used yet: {failure}");
                Ok(store)
            }
            Err(newer) => Err(SettingsError::at("/database", newer.to_string())),
        }
    }

    fn prepare(&mut self) -> Result<(), MigrationError> {
        if !self.prepared {
            schema::migrate(&mut self.server, self.retention)?;
            self.prepared = true;
        }
        Ok(())
    }

    fn take(&mut self, batch: &[Row]) -> Outcome {
        self.server.begin();
        if let Err(error) = self.prepare() {
            return self.writer.put_off(&self.server, &error);
        }
        let outcome = self.writer.take(&mut self.server, batch);
        // Somebody may have dropped the database; it is made again.
        self.prepared = !matches!(outcome, Outcome::Retry(_));
        outcome
    }

    fn ask<R>(
        &mut self,
        question: impl FnOnce(&mut Server<T>) -> Result<R, QueryError>,
    ) -> Result<R, QueryError> {
        self.server.begin();
        self.prepare().map_err(|error| QueryError::Unavailable(error.to_string()))?;
        question(&mut self.server)
    }
}

fn check(settings: &Settings) -> Result<(), SettingsError> {
    let is_http = ["http://", "https://"].iter().any(|scheme| settings.url.starts_with(scheme));
    if !is_http || settings.url.contains(['?', '#']) {
        let message = format!(
            "found {:?}; expected the URL of ClickHouse's HTTP interface, such as \
             \"http://localhost:8123\"",
            settings.url
        );
        return Err(SettingsError::at("/url", message));
    }
    for (key, days) in
        [("/inference_days", settings.inference_days), ("/content_days", settings.content_days)]
    {
        if days.is_some_and(|days| !(1..=MOST_DAYS).contains(&days)) {
            let message = format!("expected 1 to {MOST_DAYS} days; leave it out to keep all");
            return Err(SettingsError::at(key, message));
        }
    }
    if !(1..=64).contains(&settings.request_mib) {
        let message = format!("found {}; expected 1 to 64", settings.request_mib);
        return Err(SettingsError::at("/request_mib", message));
    }
    Ok(())
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
        self.ask(|server| read::list_rows(server, table, filter, page))
    }

    fn get_inference(&mut self, id: &str) -> Result<Option<Vec<u8>>, QueryError> {
        self.ask(|server| read::get_inference(server, id))
    }

    fn usage(&mut self, request: &UsageRequest) -> Result<UsageReport, QueryError> {
        self.ask(|server| usage::report(server, request))
    }

    fn feedback_statistics(
        &mut self,
        request: &FeedbackRequest,
    ) -> Result<Vec<FeedbackRow>, QueryError> {
        self.ask(|server| feedback::statistics(server, request))
    }
}

torana_plugin_sdk::export_queryable_sink!(Store<Own>);

#[cfg(test)]
mod tests;
