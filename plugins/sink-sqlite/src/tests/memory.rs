//! A real SQLite database in memory, used as the host uses a file.

use rusqlite::types::{ToSqlOutput, Value as Stored};
use rusqlite::{Connection, ErrorCode, ToSql};
use torana_plugin_sdk::host::sql::{Database, Error, Rows, Statement, Value};

/// What the host gives at most.
const MAX_VALUES: usize = 100_000;

/// As the host does it, with failures to order.
pub(super) struct Memory {
    pub(super) connection: Connection,
    pub(super) failures: Vec<Error>,
}

impl Memory {
    pub(super) fn over(connection: Connection) -> Self {
        Self { connection, failures: vec![] }
    }
}

struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(match self.0 {
            Value::Null => Stored::Null,
            Value::Integer(it) => Stored::Integer(*it),
            Value::Real(it) => Stored::Real(*it),
            Value::Text(it) => Stored::Text(it.clone()),
            Value::Blob(it) => Stored::Blob(it.clone()),
        }))
    }
}

fn host_error(error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => Error::Constraint(error.to_string()),
        _ => Error::Statement(error.to_string()),
    }
}

impl Database for Memory {
    fn execute(&mut self, statements: &[Statement]) -> Result<Vec<u64>, Error> {
        if let Some(error) = self.failures.pop() {
            return Err(error);
        }
        let transaction = self.connection.transaction().map_err(host_error)?;
        let mut changed = Vec::new();
        for Statement { sql, parameters } in statements {
            let bound = rusqlite::params_from_iter(parameters.iter().map(Bound));
            let mut prepared = transaction.prepare_cached(sql).map_err(host_error)?;
            changed.push(prepared.execute(bound).map_err(host_error)? as u64);
        }
        transaction.commit().map_err(host_error)?;
        Ok(changed)
    }

    fn query(&mut self, statement: &Statement) -> Result<Rows, Error> {
        let mut prepared = self.connection.prepare_cached(&statement.sql).map_err(host_error)?;
        let width = prepared.column_count();
        let bound = rusqlite::params_from_iter(statement.parameters.iter().map(Bound));
        let read = |row: &rusqlite::Row<'_>| {
            (0..width)
                .map(|column| {
                    Ok(match row.get(column)? {
                        Stored::Null => Value::Null,
                        Stored::Integer(it) => Value::Integer(it),
                        Stored::Real(it) => Value::Real(it),
                        Stored::Text(it) => Value::Text(it),
                        Stored::Blob(it) => Value::Blob(it),
                    })
                })
                .collect()
        };
        let rows: Vec<Vec<Value>> =
            prepared.query_map(bound, read).map_err(host_error)?.map(Result::unwrap).collect();
        if rows.len() * width > MAX_VALUES {
            return Err(Error::TooLarge);
        }
        Ok(Rows { columns: vec![], rows })
    }
}
