//! One SQLite file.
//!
//! SQLite works on blocking threads: one list of statements and, beside it on a connection of
//! its own, one query at a time. A query that nobody waits for any more is interrupted. The
//! plugin can neither reach another file (`ATTACH`, `VACUUM INTO`) nor change how this one is
//! kept (`PRAGMA`): the host sets write-ahead logging and `synchronous = FULL`: what a
//! transaction wrote is on the disk when it ends, and the journal may forget it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::{Value as SqliteValue, ValueRef};
use rusqlite::{Connection, ErrorCode, InterruptHandle};

use super::super::file;
use super::{Error, Rows, Statement, Taken, Value};

/// How long to wait for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Statements kept prepared on each connection: a sink has a handful of its own, and questions
/// of many shapes.
const PREPARED: usize = 64;

/// A plugin's database, opened once.
pub(crate) struct Sqlite {
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

impl Sqlite {
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
        drop(file::private().append(true).open(path));
        let connection = Connection::open(path)?;
        connection.set_prepared_statement_cache_capacity(PREPARED);
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        Ok(connection)
    }

    pub(super) async fn execute(
        self: Arc<Self>,
        statements: Vec<Statement>,
    ) -> Result<Vec<u64>, Error> {
        self.blocking(move |database| database.execute_now(&statements)).await
    }

    pub(super) async fn query(self: Arc<Self>, statement: Statement) -> Result<Rows, Error> {
        let mut awaited = Awaited(Some(self.interrupt.clone()));
        let rows = self.blocking(move |database| database.query_now(&statement)).await;
        awaited.0 = None;
        rows
    }

    async fn blocking<R: Send + 'static>(
        self: Arc<Self>,
        work: impl FnOnce(&Self) -> Result<R, Error> + Send + 'static,
    ) -> Result<R, Error> {
        tokio::task::spawn_blocking(move || work(&self))
            .await
            .unwrap_or_else(|error| Err(Error::Storage(error.to_string())))
    }

    fn execute_now(&self, statements: &[Statement]) -> Result<Vec<u64>, Error> {
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

    fn query_now(&self, statement: &Statement) -> Result<Rows, Error> {
        let connection = lock(&self.reading);
        let mut prepared = connection.prepare_cached(&statement.sql).map_err(understand)?;
        if !prepared.readonly() {
            return Err(Error::Statement("query only reads; use execute".into()));
        }
        let columns: Vec<String> = prepared.column_names().into_iter().map(str::to_owned).collect();
        let width = columns.len();
        let mut taken = Taken::new(columns);
        let parameters = statement.parameters.iter().map(to_sqlite);
        let mut cursor =
            prepared.query(rusqlite::params_from_iter(parameters)).map_err(understand)?;
        while let Some(row) = cursor.next().map_err(understand)? {
            taken.row()?;
            for column in 0..width {
                let value = row.get_ref(column).map_err(understand)?;
                taken.value(length(value), || from_sqlite(value))?;
            }
        }
        Ok(taken.rows())
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

/// Interrupts the query when the call that waits for it is given up.
struct Awaited(Option<Arc<InterruptHandle>>);

impl Drop for Awaited {
    fn drop(&mut self) {
        if let Some(interrupt) = &self.0 {
            interrupt.interrupt();
        }
    }
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
