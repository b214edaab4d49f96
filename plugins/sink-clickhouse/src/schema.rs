//! The store's versions: what was done to the database so far, and what is still to do.
//!
//! Migrations only ever grow in number. ClickHouse has no transactions over several
//! statements, so each statement can be run again, and the note that a migration ran is
//! written last: two gateways that migrate at once do the same twice. A database of a later
//! version than this plugin knows is refused untouched.
//!
//! Retention is a setting, not a version: what each table was told last stands in its comment,
//! and is told again only where the settings say something else, because the server then goes
//! through all parts of the table.

use std::fmt;

use crate::answer;
use crate::failure::Failure;
use crate::server::{Server, Transport};
use crate::statement::Statement;

/// In order: version 1 first.
const MIGRATIONS: [&str; 1] = [include_str!("schema.sql")];

const CREATE_NOTES: &str = "CREATE TABLE IF NOT EXISTS torana_migration (
    version UInt32,
    applied DateTime64(3, 'UTC') DEFAULT now64(3)
) ENGINE = MergeTree ORDER BY version";

/// Tables whose rows expire, and their columns that hold what clients and models said. Not
/// `snapshot`: a configuration is as old as its last change, and in use all the same.
const EXPIRING: [(&str, &[&str]); 5] = [
    ("inference", &["request", "response", "words"]),
    ("model_inference", &["raw_request", "raw_response"]),
    ("feedback", &[]),
    ("decision", &[]),
    ("plugin_event", &[]),
];

/// After how many days something is deleted; absent: never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Retention {
    pub(crate) inference_days: Option<u32>,
    pub(crate) content_days: Option<u32>,
}

/// Why a database cannot be the store.
#[derive(Debug, PartialEq)]
pub(crate) enum MigrationError {
    Server(Failure),
    /// Made by a plugin that is newer than this one.
    Newer {
        found: u64,
        known: u64,
    },
}

impl fmt::Display for MigrationError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(failure) => failure.fmt(formatter),
            Self::Newer { found, known } => write!(
                formatter,
                "it has version {found}, but this plugin knows versions up to {known}: use a \
                 newer plugin or another database"
            ),
        }
    }
}

impl std::error::Error for MigrationError {}

impl From<Failure> for MigrationError {
    fn from(failure: Failure) -> Self {
        Self::Server(failure)
    }
}

/// Makes the database if it is missing, and brings it to the newest version.
pub(crate) fn migrate<T: Transport>(
    server: &mut Server<T>,
    retention: Retention,
) -> Result<(), MigrationError> {
    let found = version(server)?;
    let known = MIGRATIONS.len() as u64;
    match found {
        Some(found) if found > known => return Err(MigrationError::Newer { found, known }),
        Some(_) => {}
        None => {
            create_database(server)?;
            run(server, CREATE_NOTES)?;
        }
    }
    for (version, migration) in (1..).zip(MIGRATIONS) {
        if version > found.unwrap_or(0) {
            for statement in statements(migration) {
                run(server, statement)?;
            }
            run(server, &format!("INSERT INTO torana_migration (version) VALUES ({version})"))?;
        }
    }
    for (table, content) in EXPIRING {
        retain(server, table, content, retention)?;
    }
    Ok(())
}

/// Absent: there are no notes yet, or no database. Asks without needing either.
fn version<T: Transport>(server: &mut Server<T>) -> Result<Option<u64>, Failure> {
    let mut notes = Statement::default();
    let database = server.database().to_owned();
    let name = notes.text(&database);
    let sql = format!(
        "SELECT count() FROM system.tables WHERE database = {name} AND name = 'torana_migration'"
    );
    let notes = server.ask_outside(notes.with(sql))?;
    if answer::single(&notes)?.unsigned()? == 0 {
        return Ok(None);
    }
    let newest = Statement::default().with("SELECT max(version) FROM torana_migration");
    Ok(Some(answer::single(&server.ask(newest)?)?.unsigned()?))
}

/// Only where it is missing: the user may not be allowed to.
fn create_database<T: Transport>(server: &mut Server<T>) -> Result<(), Failure> {
    let database = server.database().to_owned();
    let mut there = Statement::default();
    let name = there.text(&database);
    let sql = format!("SELECT count() FROM system.databases WHERE name = {name}");
    let there = server.ask_outside(there.with(sql))?;
    if answer::single(&there)?.unsigned()? == 0 {
        let mut create = Statement::default();
        let name = create.identifier(&database);
        let sql = format!("CREATE DATABASE IF NOT EXISTS {name}");
        server.ask_outside(create.with(sql))?;
    }
    Ok(())
}

/// Tells a table how long to keep what, unless it knows.
fn retain<T: Transport>(
    server: &mut Server<T>,
    table: &str,
    content: &[&str],
    wanted: Retention,
) -> Result<(), Failure> {
    let mut comment = Statement::default();
    let database = server.database().to_owned();
    let name = comment.text(&database);
    let sql =
        format!("SELECT comment FROM system.tables WHERE database = {name} AND name = '{table}'");
    let comment = server.ask(comment.with(sql))?;
    let told = Retention::told(answer::single(&comment)?.text()?);
    if told == wanted {
        return Ok(());
    }
    if told.inference_days != wanted.inference_days {
        run(server, &format!("ALTER TABLE {table} {}", expiry(wanted.inference_days)))?;
    }
    if told.content_days != wanted.content_days {
        for column in content {
            let expiry = expiry_of(column, wanted.content_days);
            run(server, &format!("ALTER TABLE {table} {expiry}"))?;
        }
    }
    run(server, &format!("ALTER TABLE {table} MODIFY COMMENT '{}'", wanted.comment()))
}

impl Retention {
    /// For the comment of a table.
    fn comment(self) -> String {
        let days = |days: Option<u32>| days.map_or("unlimited".to_owned(), |it| it.to_string());
        let (inference, content) = (days(self.inference_days), days(self.content_days));
        format!("inference_days = {inference}, content_days = {content}")
    }

    /// What a comment says; a table without one was told nothing.
    fn told(comment: &str) -> Self {
        let days = |key: &str| {
            let (_, rest) = comment.split_once(key)?;
            rest.strip_prefix(" = ")?.split(',').next()?.parse().ok()
        };
        Self { inference_days: days("inference_days"), content_days: days("content_days") }
    }
}

fn expiry(days: Option<u32>) -> String {
    match days {
        Some(days) => format!("MODIFY TTL {}", end(days)),
        None => "REMOVE TTL".to_owned(),
    }
}

fn expiry_of(column: &str, days: Option<u32>) -> String {
    match days {
        Some(days) => format!("MODIFY COLUMN {column} TTL {}", end(days)),
        None => format!("MODIFY COLUMN {column} REMOVE TTL"),
    }
}

/// When a row's days are over. A `DateTime` has 32 bits, and a sum of it and an interval wraps:
/// rows would expire in the past.
fn end(days: u32) -> String {
    format!(
        "toDateTime(least(intDiv(time_unix_ms, 1000) + toUInt64({days}) * 86400, 4294967295), 'UTC')"
    )
}

fn run<T: Transport>(server: &mut Server<T>, statement: &str) -> Result<(), Failure> {
    server.ask(Statement::default().with(statement)).map(|_| ())
}

/// Cuts where a line ends with a semicolon.
fn statements(migration: &str) -> impl Iterator<Item = &str> {
    let is_statement = |piece: &&str| {
        let mut lines = piece.lines().map(str::trim);
        lines.any(|line| !line.is_empty() && !line.starts_with("--"))
    };
    migration.split(";\n").map(str::trim).filter(is_statement)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_says_again_what_was_wanted() {
        for (inference_days, content_days) in
            [(None, None), (Some(30), None), (None, Some(7)), (Some(365), Some(1))]
        {
            let wanted = Retention { inference_days, content_days };
            assert_eq!(Retention::told(&wanted.comment()), wanted);
        }
        assert_eq!(Retention::told(""), Retention::default());
        assert_eq!(Retention::told("mine, do not touch"), Retention::default());
    }
}
