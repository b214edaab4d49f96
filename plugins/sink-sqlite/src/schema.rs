//! The store's versions: what was done to the database so far, and what is still to do.
//!
//! Migrations only ever grow in number; each runs once, in one transaction with the note
//! that it ran. A database of a later version than this plugin knows is refused untouched.

use std::fmt;

use torana_plugin_sdk::host::sql::{Database, Error, Statement, Value};

/// In order: version 1 first.
const MIGRATIONS: [&str; 2] = [include_str!("schema.sql"), include_str!("schema-2.sql")];

const CREATE_NOTES: &str = "CREATE TABLE IF NOT EXISTS torana_migration (
    version INTEGER PRIMARY KEY,
    applied_unix_ms INTEGER NOT NULL
) STRICT";

/// The time is the database's: a clock of its own would be another grant.
const NOTE: &str = "INSERT INTO torana_migration (version, applied_unix_ms)
    VALUES (?1, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))";

/// Why a database cannot be the store.
#[derive(Debug, PartialEq)]
pub(crate) enum MigrationError {
    Database(Error),
    /// Made by a plugin that is newer than this one.
    Newer {
        found: i64,
        known: i64,
    },
}

impl fmt::Display for MigrationError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => formatter.write_str(&words(error)),
            Self::Newer { found, known } => write!(
                formatter,
                "it has version {found}, but this plugin knows versions up to {known}: use a \
                 newer plugin or another file"
            ),
        }
    }
}

impl std::error::Error for MigrationError {}

impl From<Error> for MigrationError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

/// Brings the database to the newest version.
pub(crate) fn migrate(database: &mut impl Database) -> Result<(), MigrationError> {
    database.execute(&[Statement::new(CREATE_NOTES, vec![])])?;
    let found = version(database)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(MigrationError::Newer { found, known });
    }
    for (version, migration) in (1..).zip(MIGRATIONS) {
        if version > found {
            let mut statements = statements(migration);
            statements.push(Statement::new(NOTE, vec![Value::Integer(version)]));
            if let Err(error) = database.execute(&statements)
                // Otherwise it was another instance of this plugin, and it was faster.
                && self::version(database)? < version
            {
                return Err(error.into());
            }
        }
    }
    Ok(())
}

/// 0 for a new database.
fn version(database: &mut impl Database) -> Result<i64, Error> {
    let newest = "SELECT max(version) FROM torana_migration";
    let rows = database.query(&Statement::new(newest, vec![]))?;
    Ok(match rows.rows.first().and_then(|row| row.first()) {
        Some(Value::Integer(version)) => *version,
        _ => 0,
    })
}

/// The words of an error of the database, for people.
pub(crate) fn words(error: &Error) -> String {
    match error {
        Error::Busy => "another process holds the database".to_owned(),
        Error::Storage(words) | Error::Constraint(words) | Error::Statement(words) => words.clone(),
        Error::TooLarge => "more than may be read or written at once".to_owned(),
    }
}

/// Cuts where a line ends with a semicolon.
fn statements(migration: &str) -> Vec<Statement> {
    let pieces = migration.split(";\n").map(str::trim);
    let is_statement = |piece: &&str| {
        let mut lines = piece.lines().map(str::trim);
        lines.any(|line| !line.is_empty() && !line.starts_with("--"))
    };
    let statement = |piece| Statement::new(piece, vec![]);
    pieces.filter(is_statement).map(statement).collect()
}
