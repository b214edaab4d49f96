//! `torana:host/sql`: one SQLite file that belongs to one plugin.
//!
//! SQLite works on blocking threads, one statement list at a time. The plugin can neither
//! reach another file (`ATTACH`, `VACUUM INTO`) nor change how this one is kept (`PRAGMA`):
//! the host sets write-ahead logging and `synchronous = NORMAL`, which loses nothing when
//! the process dies, and the journal replays what a power failure takes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::{Value as SqliteValue, ValueRef};
use rusqlite::{Connection, ErrorCode};

use super::GuestState;
use crate::plugin::bindings::host::torana::host::sql::{Error, Host, Rows, Statement, Value};

/// How long to wait for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Values that one query may give: bounds the host's memory, the result size the guest's.
const MAX_VALUES: usize = 100_000;

/// A plugin's database, opened once.
#[derive(Debug)]
pub(crate) struct Database {
    connection: Mutex<Connection>,
}

/// The file could not be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot open the database {path}; let this user write there, or name another file in `path`"
)]
pub(crate) struct OpenError {
    path: PathBuf,
    source: rusqlite::Error,
}

impl Database {
    /// Creates the file and its directory where there are none.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        Self::connect(path).map_err(|source| OpenError { path: path.to_owned(), source })
    }

    fn connect(path: &Path) -> Result<Self, rusqlite::Error> {
        if let Some(directory) = path.parent() {
            // A failure shows when SQLite opens the file, with SQLite's words for it.
            drop(std::fs::create_dir_all(directory));
        }
        // SQLite would create it readable for everybody. A failure shows right below.
        drop(super::file::private().append(true).open(path));
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.authorizer(Some(authorize))?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    fn execute(&self, statements: &[Statement]) -> Result<Vec<u64>, Error> {
        let mut connection = self.lock();
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
        let connection = self.lock();
        let mut prepared = connection.prepare_cached(&statement.sql).map_err(understand)?;
        if !prepared.readonly() {
            return Err(Error::Statement("query only reads; use execute".into()));
        }
        let columns: Vec<String> = prepared.column_names().into_iter().map(str::to_owned).collect();
        let parameters = statement.parameters.iter().map(to_sqlite);
        let mut cursor =
            prepared.query(rusqlite::params_from_iter(parameters)).map_err(understand)?;
        let mut rows = Vec::new();
        while let Some(row) = cursor.next().map_err(understand)? {
            if (rows.len() + 1).saturating_mul(columns.len()) > MAX_VALUES {
                return Err(Error::TooLarge);
            }
            let mut values = Vec::with_capacity(columns.len());
            for column in 0..columns.len() {
                values.push(from_sqlite(row.get_ref(column).map_err(understand)?));
            }
            rows.push(values);
        }
        Ok(Rows { columns, rows })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn authorize(context: AuthContext<'_>) -> Authorization {
    match context.action {
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
        blocking(self.capabilities.sql.clone(), move |database| database.query(&statement)).await
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
        Some(
            ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::ReadOnly
            | ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase,
        ) => Error::Storage(message),
        Some(ErrorCode::TooBig) => Error::TooLarge,
        _ => Error::Statement(message),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn statement(sql: &str, parameters: Vec<Value>) -> Statement {
        Statement { sql: sql.into(), parameters }
    }

    fn database() -> (tempfile::TempDir, Database) {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("new/plugin.db")).unwrap();
        (directory, database)
    }

    #[test]
    fn statements_are_all_done_or_none() {
        let (_directory, database) = database();
        database.execute(&[statement("CREATE TABLE t (a INTEGER PRIMARY KEY)", vec![])]).unwrap();
        let insert = |value| statement("INSERT INTO t VALUES (?1)", vec![Value::Integer(value)]);
        assert!(matches!(database.execute(&[insert(1), insert(1)]), Err(Error::Constraint(_))));
        let rows = database.query(&statement("SELECT count(*) FROM t", vec![])).unwrap();
        assert!(matches!(rows.rows.first().unwrap().first(), Some(Value::Integer(0))));
    }

    #[test]
    fn another_file_is_out_of_reach() {
        let (directory, database) = database();
        let elsewhere = directory.path().join("elsewhere.db");
        for sql in [
            format!("ATTACH '{}' AS other", elsewhere.display()),
            format!("VACUUM INTO '{}'", elsewhere.display()),
            "PRAGMA journal_mode = DELETE".to_owned(),
        ] {
            assert!(database.execute(&[statement(&sql, vec![])]).is_err(), "{sql}");
            assert!(database.query(&statement(&sql, vec![])).is_err(), "{sql}");
        }
        assert!(!elsewhere.exists());
    }

    #[test]
    fn a_query_cannot_write() {
        let (_directory, database) = database();
        assert!(database.query(&statement("CREATE TABLE t (a)", vec![])).is_err());
    }
}
