//! What sinks keep, read beside the gateway: the tables of sink-sqlite, the lines of
//! sink-jsonl. The tables are those of `docs/data-model.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, Row};
use serde_json::Value;

use crate::witness::Answered;

/// A gateway under load holds the file for one transaction at a time.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);

/// Tables with the rows of calls.
const TABLES: [&str; 2] = ["inference", "model_inference"];

/// The database of sink-sqlite.
pub struct Store {
    connection: Connection,
}

impl Store {
    /// The file must be there.
    pub fn open(path: &Path) -> Self {
        assert!(path.exists(), "no store at {}", path.display());
        let connection = Connection::open(path).expect("a database");
        connection.busy_timeout(BUSY_TIMEOUT).expect("a timeout can be set");
        Self { connection }
    }

    /// Keeps everybody else from writing.
    pub fn hold(&self) {
        self.run("BEGIN EXCLUSIVE");
    }

    /// Ends [`Store::hold`].
    pub fn release(&self) {
        self.run("COMMIT");
    }

    pub fn run(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Ids of the inferences, in the order in which they were written.
    pub fn inferences(&self) -> Vec<String> {
        self.query("SELECT id FROM inference ORDER BY rowid", |row| row.get(0))
    }

    /// Ids of inferences and attempts. Each must be there once.
    pub fn ids(&self) -> BTreeSet<String> {
        let ids: Vec<String> = TABLES
            .map(|table| self.query(&format!("SELECT id FROM {table}"), |row| row.get(0)))
            .concat();
        let distinct: BTreeSet<String> = ids.iter().cloned().collect();
        assert_eq!(distinct.len(), ids.len(), "an id is there twice");
        distinct
    }

    pub fn count(&self, table: &str) -> u32 {
        self.query(&format!("SELECT count(*) FROM {table}"), |row| row.get(0))[0]
    }

    /// Of these calls, those that are not here with all their attempts.
    pub fn missing<'a>(&self, answered: &'a [Answered]) -> Vec<&'a Answered> {
        let inferences: BTreeSet<String> = self.inferences().into_iter().collect();
        let attempts: BTreeMap<String, u32> = self
            .query(
                "SELECT inference_id, count(*) FROM model_inference GROUP BY inference_id",
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .into_iter()
            .collect();
        let is_here = |call: &&Answered| {
            let found = attempts.get(&call.id).copied().unwrap_or_default();
            inferences.contains(&call.id) && found == call.attempts
        };
        answered.iter().filter(|call| !is_here(call)).collect()
    }

    fn query<T>(&self, sql: &str, each: impl Fn(&Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
        let found = self.connection.prepare(sql).and_then(|mut statement| {
            let rows = statement.query_map([], |row| each(row))?;
            rows.collect::<Result<Vec<T>, _>>()
        });
        found.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

/// Ids of inferences and attempts in a file of sink-jsonl, one for each line: repeated where
/// a row was delivered twice.
pub fn line_ids(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("a file of lines");
    let id = |line: &str| {
        let line: Value = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("a line that is no JSON ({error}): {line}"));
        let kind = line["kind"].as_str()?;
        TABLES.contains(&kind).then(|| line["id"].as_str().expect("an id").to_owned())
    };
    text.lines().filter_map(id).collect()
}
