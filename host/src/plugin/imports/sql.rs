//! `torana:host/sql`: one database that belongs to one plugin.
//!
//! An SQLite file, the `path` of its settings, or the PostgreSQL database that the operator
//! names as `database` of the sink. The plugin knows which dialect it speaks; how to get
//! into a server it never learns. A question goes over a connection of its own, so that a
//! long one does not hold up the writing, and is bounded in values and bytes.

mod postgres;
mod sqlite;

use std::sync::Arc;

use super::GuestState;
use crate::plugin::bindings::host::torana::host::sql::{Error, Host, Rows, Statement, Value};

pub(crate) use postgres::Postgres;
pub(crate) use sqlite::Sqlite;

/// Values that one query may give: bounds the host's memory, the result size the guest's.
const MAX_VALUES: usize = 100_000;
/// Bytes of text and blobs that one query may give: a quarter of what a plugin has by default.
const MAX_BYTES: usize = 16 << 20;

/// A plugin's database.
#[derive(Clone)]
pub(crate) enum Database {
    Sqlite(Arc<Sqlite>),
    Postgres(Arc<Postgres>),
}

impl Database {
    /// The same for another instance of the plugin.
    pub(crate) fn another(&self) -> Self {
        match self {
            Self::Sqlite(file) => Self::Sqlite(file.clone()),
            Self::Postgres(server) => Self::Postgres(Arc::new(server.another())),
        }
    }
}

impl Host for GuestState {
    async fn execute(&mut self, statements: Vec<Statement>) -> Result<Vec<u64>, Error> {
        match self.capabilities.sql.clone() {
            Some(Database::Sqlite(database)) => database.execute(statements).await,
            Some(Database::Postgres(database)) => {
                database.execute(&statements, self.call_ends).await
            }
            None => Err(none()),
        }
    }

    async fn query(&mut self, statement: Statement) -> Result<Rows, Error> {
        match self.capabilities.sql.clone() {
            Some(Database::Sqlite(database)) => database.query(statement).await,
            Some(Database::Postgres(database)) => database.query(&statement, self.call_ends).await,
            None => Err(none()),
        }
    }
}

fn none() -> Error {
    Error::Storage(
        "this plugin has no database: its settings name no `path` and its sink no `database`"
            .into(),
    )
}

/// The rows of a query, as far as they are within its bounds.
struct Taken {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
    bytes: usize,
}

impl Taken {
    fn new(columns: Vec<String>) -> Self {
        Self { columns, rows: Vec::new(), bytes: 0 }
    }

    /// Makes room for another row.
    fn row(&mut self) -> Result<(), Error> {
        if (self.rows.len() + 1).saturating_mul(self.columns.len()) > MAX_VALUES {
            return Err(Error::TooLarge);
        }
        self.rows.push(Vec::with_capacity(self.columns.len()));
        Ok(())
    }

    /// Adds a value of so many bytes to the row.
    fn value(&mut self, bytes: usize, value: impl FnOnce() -> Value) -> Result<(), Error> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > MAX_BYTES {
            return Err(Error::TooLarge);
        }
        if let Some(row) = self.rows.last_mut() {
            row.push(value());
        }
        Ok(())
    }

    fn rows(self) -> Rows {
        Rows { columns: self.columns, rows: self.rows }
    }
}
