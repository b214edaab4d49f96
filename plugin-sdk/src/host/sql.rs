//! The plugin's own database. Grant: `sql = true`.
//!
//! An SQLite file, the `path` of the plugin's settings (`ATTACH` and extensions are refused), or
//! the PostgreSQL database that the operator names for the sink.
//! Write against [`Database`] and hand in [`Own`]: a test hands in one of its own.

pub use crate::bindings::host::sql::{Error, Rows, Statement, Value};

/// A database.
pub trait Database {
    /// Runs all statements in one transaction: all or none. Gives rows changed by each.
    ///
    /// # Errors
    ///
    /// Why nothing was done.
    fn execute(&mut self, statements: &[Statement]) -> Result<Vec<u64>, Error>;

    /// Runs one reading statement. At most 100,000 values.
    ///
    /// # Errors
    ///
    /// Why there are no rows; [`Error::TooLarge`] when there are too many.
    fn query(&mut self, statement: &Statement) -> Result<Rows, Error>;
}

/// The database that the host keeps for this plugin.
#[derive(Debug, Clone, Copy, Default)]
pub struct Own;

#[cfg(target_arch = "wasm32")]
impl Database for Own {
    fn execute(&mut self, statements: &[Statement]) -> Result<Vec<u64>, Error> {
        crate::bindings::host::sql::execute(statements)
    }

    fn query(&mut self, statement: &Statement) -> Result<Rows, Error> {
        crate::bindings::host::sql::query(statement)
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Database for Own {
    fn execute(&mut self, _: &[Statement]) -> Result<Vec<u64>, Error> {
        Err(Error::Storage("there is no host".into()))
    }

    fn query(&mut self, _: &Statement) -> Result<Rows, Error> {
        Err(Error::Storage("there is no host".into()))
    }
}

impl Statement {
    /// A statement and what is bound to its `?1`, `?2`, … (SQLite) or `$1`, `$2`, … (PostgreSQL).
    pub fn new(sql: impl Into<String>, parameters: Vec<Value>) -> Self {
        Self { sql: sql.into(), parameters }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

/// Integers of databases are signed: what does not fit becomes the largest.
impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
