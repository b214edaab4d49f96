//! `torana:host/sql`: one SQLite file that belongs to one plugin.
//!
//! SQLite works on blocking threads: one list of statements and, beside it on a connection of
//! its own, one query at a time, so that a long question does not hold up the writing. A query
//! that nobody waits for any more is interrupted. The plugin can neither reach another file
//! (`ATTACH`, `VACUUM INTO`) nor change how this one is kept (`PRAGMA`): the host sets
//! write-ahead logging and `synchronous = FULL`: what a transaction wrote is on the disk when it
//! ends, and the journal may forget it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::{Value as SqliteValue, ValueRef};
use rusqlite::{Connection, ErrorCode, InterruptHandle};

use super::GuestState;
use crate::plugin::bindings::host::torana::host::sql::{Error, Host, Rows, Statement, Value};

/// How long to wait for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Values that one query may give: bounds the host's memory, the result size the guest's.
const MAX_VALUES: usize = 100_000;

/// Bytes of text and blobs that one query may give: a quarter of what a plugin has by default.
const MAX_BYTES: usize = 16 << 20;
/// Statements kept prepared on each connection: a sink has a handful of its own, and questions
/// of many shapes.
const PREPARED: usize = 64;

/// A plugin's database, opened once.
pub(crate) struct Database {
    writing: Mutex<Connection>,
    reading: Mutex<Connection>,
    interrupt: Arc<InterruptHandle>,
}

/// The file cannot be the plugin's database.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("{0} is a directory, not a file; name a file, such as {example}", example = .0.join("torana.db").display())]
    Directory(PathBuf),
    #[error(
        "{0} is no SQLite database, or its beginning is damaged; name another file, or move this one away"
    )]
    Foreign(PathBuf, #[source] rusqlite::Error),
    #[error(
        "{0} cannot be written; let the user of this process write it and its directory, or name another file"
    )]
    ReadOnly(PathBuf),
    #[error(
        "the database {0} cannot be opened; let the user of this process write there, or name another file"
    )]
    Other(PathBuf, #[source] rusqlite::Error),
}

impl Database {
    /// Creates the file and its directory where there are none.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        if path.is_dir() {
            return Err(OpenError::Directory(path.to_owned()));
        }
        let understand = |error: rusqlite::Error| match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                OpenError::Foreign(path.to_owned(), error)
            }
            Some(ErrorCode::ReadOnly) => OpenError::ReadOnly(path.to_owned()),
            _ => OpenError::Other(path.to_owned(), error),
        };
        let writing = Self::connect(path).map_err(understand)?;
        // SQLite opens a file that it may only read without a word.
        if writing.is_readonly("main").map_err(understand)? {
            return Err(OpenError::ReadOnly(path.to_owned()));
        }
        writing.authorizer(Some(authorize)).map_err(understand)?;
        let reading = Self::connect(path).map_err(understand)?;
        reading.pragma_update(None, "query_only", true).map_err(understand)?;
        reading.authorizer(Some(authorize)).map_err(understand)?;
        let interrupt = Arc::new(reading.get_interrupt_handle());
        Ok(Self { writing: Mutex::new(writing), reading: Mutex::new(reading), interrupt })
    }

    fn connect(path: &Path) -> Result<Connection, rusqlite::Error> {
        if let Some(directory) = path.parent() {
            // A failure shows when SQLite opens the file, with SQLite's words for it.
            drop(std::fs::create_dir_all(directory));
        }
        // SQLite would create it readable for everybody. A failure shows right below.
        drop(super::file::private().append(true).open(path));
        let connection = Connection::open(path)?;
        connection.set_prepared_statement_cache_capacity(PREPARED);
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        Ok(connection)
    }

    fn execute(&self, statements: &[Statement]) -> Result<Vec<u64>, Error> {
        let mut connection = lock(&self.writing);
        let transaction = connection.transaction().map_err(understand)?;
        let mut changed = Vec::with_capacity(statements.len());
        for statement in statements {
            let mut prepared = transaction.prepare_cached(&statement.sql).map_err(understand)?;
            let parameters = statement.parameters.iter().map(to_sqlite);
            let rows =
                prepared.execute(rusqlite::params_from_iter(parameters)).map_err(understand)?;
            changed.push(rows as u64);
        }
        transaction.commit().map_err(understand)?;
        Ok(changed)
    }

    fn query(&self, statement: &Statement) -> Result<Rows, Error> {
        let connection = lock(&self.reading);
        let mut prepared = connection.prepare_cached(&statement.sql).map_err(understand)?;
        if !prepared.readonly() {
            return Err(Error::Statement("query only reads; use execute".into()));
        }
        let columns: Vec<String> = prepared.column_names().into_iter().map(str::to_owned).collect();
        let parameters = statement.parameters.iter().map(to_sqlite);
        let mut cursor =
            prepared.query(rusqlite::params_from_iter(parameters)).map_err(understand)?;
        let mut rows = Vec::new();
        let mut bytes = 0_usize;
        while let Some(row) = cursor.next().map_err(understand)? {
            if (rows.len() + 1).saturating_mul(columns.len()) > MAX_VALUES {
                return Err(Error::TooLarge);
            }
            let mut values = Vec::with_capacity(columns.len());
            for column in 0..columns.len() {
                let value = row.get_ref(column).map_err(understand)?;
                bytes = bytes.saturating_add(length(value));
                if bytes > MAX_BYTES {
                    return Err(Error::TooLarge);
                }
                values.push(from_sqlite(value));
            }
            rows.push(values);
        }
        Ok(Rows { columns, rows })
    }
}

fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

fn authorize(context: AuthContext<'_>) -> Authorization {
    match context.action {
        // The full-text index asks for it before each use; it tells a number and sets nothing.
        AuthAction::Pragma { pragma_name: "data_version", pragma_value: None } => {
            Authorization::Allow
        }
        AuthAction::Attach { .. } | AuthAction::Detach { .. } | AuthAction::Pragma { .. } => {
            Authorization::Deny
        }
        _ => Authorization::Allow,
    }
}

impl Host for GuestState {
    async fn execute(&mut self, statements: Vec<Statement>) -> Result<Vec<u64>, Error> {
        blocking(self.capabilities.sql.clone(), move |database| database.execute(&statements)).await
    }

    async fn query(&mut self, statement: Statement) -> Result<Rows, Error> {
        let interrupt = self.capabilities.sql.as_ref().map(|database| database.interrupt.clone());
        let mut awaited = Awaited(interrupt);
        let rows =
            blocking(self.capabilities.sql.clone(), move |database| database.query(&statement))
                .await;
        awaited.0 = None;
        rows
    }
}

/// Interrupts the query when the call that waits for it is given up.
struct Awaited(Option<Arc<InterruptHandle>>);

impl Drop for Awaited {
    fn drop(&mut self) {
        if let Some(interrupt) = &self.0 {
            interrupt.interrupt();
        }
    }
}

async fn blocking<R: Send + 'static>(
    database: Option<Arc<Database>>,
    work: impl FnOnce(&Database) -> Result<R, Error> + Send + 'static,
) -> Result<R, Error> {
    let Some(database) = database else {
        return Err(Error::Storage(
            "this plugin has no database: its settings name no `path`".into(),
        ));
    };
    tokio::task::spawn_blocking(move || work(&database))
        .await
        .unwrap_or_else(|error| Err(Error::Storage(error.to_string())))
}

fn length(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 0,
    }
}

fn to_sqlite(value: &Value) -> SqliteValue {
    match value {
        Value::Null => SqliteValue::Null,
        Value::Integer(integer) => SqliteValue::Integer(*integer),
        Value::Real(real) => SqliteValue::Real(*real),
        Value::Text(text) => SqliteValue::Text(text.clone()),
        Value::Blob(blob) => SqliteValue::Blob(blob.clone()),
    }
}

fn from_sqlite(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) => Value::Integer(integer),
        ValueRef::Real(real) => Value::Real(real),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(blob) => Value::Blob(blob.to_vec()),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape map_err wants")]
fn understand(error: rusqlite::Error) -> Error {
    let message = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::Busy,
        Some(ErrorCode::ConstraintViolation) => Error::Constraint(message),
        Some(ErrorCode::DiskFull) => {
            Error::Storage(format!("{message}; make room, or keep rows for fewer days"))
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            Error::Storage(format!("{message}; let the user of this process write the file"))
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Error::Storage(format!(
            "{message}; the file is damaged: stop the gateway and restore a copy, or save what \
             can be read with `sqlite3 FILE .recover`"
        )),
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => Error::Storage(message),
        Some(ErrorCode::TooBig) => Error::TooLarge,
        _ => Error::Statement(message),
    }
}

#[cfg(test)]
mod tests;
