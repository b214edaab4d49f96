//! A store's versions: what was done to the database so far, and what is still to do.
//!
//! Migrations only ever grow in number; each runs once, in one transaction with the note
//! that it ran. A database of a later version than the plugin knows is refused untouched.

use std::fmt;

use torana_plugin_sdk::host::sql::{Error, Statement, Value};

use crate::engine::Engine;

/// The table of notes.
pub const NOTES: &str = "torana_migration";

/// How a store comes about.
#[derive(Debug, Clone)]
pub struct Schema {
    /// Makes the table of notes, with the column `version`, where it is missing.
    pub notes: Vec<String>,
    /// Notes that the version at the first place is done.
    pub note: String,
    /// Begins each transaction, so that two instances do not migrate at once; may be empty.
    pub lock: Vec<String>,
    /// Version 1 first. A statement ends where a line ends with a semicolon.
    pub versions: Vec<String>,
}

/// Why a database cannot be the store.
#[derive(Debug, PartialEq)]
pub enum MigrationError {
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
                 newer plugin or another database"
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
///
/// # Errors
///
/// A database that is newer, or does not do it.
pub fn migrate(engine: &mut impl Engine, schema: &Schema) -> Result<(), MigrationError> {
    let found = match version(engine) {
        // Most likely there are no notes yet.
        Err(Error::Statement(_)) => {
            engine.execute(&plain(schema.lock.iter().chain(&schema.notes)))?;
            version(engine)?
        }
        found => found?,
    };
    let known = i64::try_from(schema.versions.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(MigrationError::Newer { found, known });
    }
    for (version, migration) in (1..).zip(&schema.versions) {
        if version > found {
            let mut statements = plain(&schema.lock);
            statements.extend(plain(pieces(migration)));
            statements.push(Statement::new(&*schema.note, vec![Value::Integer(version)]));
            if let Err(error) = engine.execute(&statements)
                // Otherwise it was another instance of this plugin, and it was faster.
                && self::version(engine)? < version
            {
                return Err(error.into());
            }
        }
    }
    Ok(())
}

/// 0 for a new database.
fn version(engine: &mut impl Engine) -> Result<i64, Error> {
    let newest = format!("SELECT max(version) FROM {}", engine.table(NOTES));
    let rows = engine.query(&Statement::new(newest, vec![]))?;
    Ok(match rows.rows.first().and_then(|row| row.first()) {
        Some(Value::Integer(version)) => *version,
        _ => 0,
    })
}

/// The words of an error of the database, for people.
pub fn words(error: &Error) -> String {
    match error {
        Error::Busy => "another process holds the database".to_owned(),
        Error::Storage(words) | Error::Constraint(words) | Error::Statement(words) => words.clone(),
        Error::TooLarge => "more than may be read or written at once".to_owned(),
    }
}

fn plain(statements: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<Statement> {
    statements.into_iter().map(|sql| Statement::new(sql.as_ref(), vec![])).collect()
}

/// Cuts where a line ends with a semicolon.
fn pieces(migration: &str) -> impl Iterator<Item = &str> {
    let is_statement = |piece: &&str| {
        let mut lines = piece.lines().map(str::trim);
        lines.any(|line| !line.is_empty() && !line.starts_with("--"))
    };
    migration.split(";\n").map(str::trim).filter(is_statement)
}
