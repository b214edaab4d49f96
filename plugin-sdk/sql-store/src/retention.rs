//! What is older than it shall be: rows go, or their content goes and the rest stays.
//!
//! A step follows a write and is bounded, so that no write waits for a large deletion; the
//! next write takes the next step until nothing is left, and then a minute passes. A step
//! takes more rows than a write brings: it catches up at any load.
//!
//! Age counts from the database's clock or from the newest row, whichever is earlier:
//! a clock that jumps ahead deletes nothing before rows of that time come in, and one row of
//! the far future deletes nothing at all. A clock that goes back makes everything younger.

use torana_plugin_sdk::host::sql::{Error, Statement, Value};
use torana_plugin_sdk::sink::Row;
use torana_plugin_sdk::{SettingsError, log};

use crate::engine::Engine;
use crate::{list, members, record, schema};

/// Rows of one step; a batch has at most 500. A database that is too slow for a step gets
/// smaller ones.
const STEP_ROWS: u64 = 1_000;
const SMALLEST_STEP_ROWS: u64 = 16;
/// Content to rewrite in one step is more work than rows to delete.
const STEP_CONTENTS: u64 = 500;
const PAUSE_MS: u64 = 60_000;
const DAY_MS: i64 = 86_400_000;
/// Longer than any law asks for; keeps the product in range.
const MAX_DAYS: i64 = 36_525;

/// Not `snapshot`: a configuration is as old as its last change, and in use all the same.
const TABLES: [&str; 5] = ["inference", "model_inference", "feedback", "decision", "plugin_event"];

/// `settings.inference_days` and `settings.content_days`; absent: for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Days {
    inference_days: Option<i64>,
    content_days: Option<i64>,
}

impl Days {
    /// # Errors
    ///
    /// A figure that is no number of days.
    pub fn of(
        inference_days: Option<i64>,
        content_days: Option<i64>,
    ) -> Result<Self, SettingsError> {
        for (name, days) in [("/inference_days", inference_days), ("/content_days", content_days)] {
            if days.is_some_and(|days| !(1..=MAX_DAYS).contains(&days)) {
                let message =
                    format!("expected 1 to {MAX_DAYS} days; leave it out to keep rows for ever");
                return Err(SettingsError::at(name, message));
            }
        }
        Ok(Self { inference_days, content_days })
    }
}

/// What is to be kept, and when it was last seen to.
#[derive(Debug)]
pub struct Retention {
    days: Days,
    step_rows: u64,
    /// Time of the rows after which nothing was left to do.
    idle_since_unix_ms: Option<u64>,
}

impl Retention {
    pub fn new(days: Days) -> Self {
        Self { days, step_rows: STEP_ROWS, idle_since_unix_ms: None }
    }

    /// One step, if it is time. What fails is done by a later one.
    pub fn after(&mut self, engine: &mut impl Engine, batch: &[Row]) {
        if self.days == Days::default() {
            return;
        }
        let Some(time) = batch.iter().map(|row| row.time_unix_ms).max() else { return };
        if self.idle_since_unix_ms.is_some_and(|idle| idle.abs_diff(time) < PAUSE_MS) {
            return;
        }
        match self.step(engine) {
            Ok(is_done) => {
                self.step_rows = (self.step_rows * 2).min(STEP_ROWS);
                self.idle_since_unix_ms = is_done.then_some(time);
            }
            Err(error) => {
                self.step_rows = (self.step_rows / 2).max(SMALLEST_STEP_ROWS);
                log::warn!("old rows could not be removed: {}", schema::words(&error));
                self.idle_since_unix_ms = Some(time);
            }
        }
    }

    /// Whether nothing is left to do.
    fn step(&self, engine: &mut impl Engine) -> Result<bool, Error> {
        let Some(now) = now(engine)? else { return Ok(true) };
        let before = |days: i64| now.saturating_sub(days.saturating_mul(DAY_MS));
        let mut left = self.step_rows;
        if let Some(days) = self.days.inference_days {
            for table in TABLES {
                left = left.saturating_sub(delete(engine, table, before(days), left)?);
            }
        }
        if left == 0 {
            return Ok(false);
        }
        let mut left = STEP_CONTENTS.min(left);
        if let Some(days) = self.days.content_days {
            for table in ["inference", "model_inference"] {
                left = left.saturating_sub(empty(engine, table, before(days), left)?);
            }
        }
        Ok(left > 0)
    }
}

/// None: nothing that ages is there yet.
fn now<E: Engine>(engine: &mut E) -> Result<Option<i64>, Error> {
    let newest = |table| format!("SELECT max(time_unix_ms) AS newest FROM {}", engine.table(table));
    let sql = format!(
        "SELECT {}, max(newest) FROM ({}) AS tables",
        E::NOW_UNIX_MS,
        TABLES.map(newest).join(" UNION ALL ")
    );
    let rows = engine.query(&Statement::new(sql, vec![]))?.rows;
    Ok(match rows.first().map(Vec::as_slice) {
        Some([Value::Integer(now), Value::Integer(newest)]) => Some(*now.min(newest)),
        _ => None,
    })
}

/// Tags and words go with their inference.
fn delete(engine: &mut impl Engine, table: &str, before: i64, most: u64) -> Result<u64, Error> {
    let (first, second) = (engine.place(1), engine.place(2));
    let table = engine.table(table);
    let sql = format!(
        "DELETE FROM {table} WHERE number IN (
            SELECT number FROM {table} WHERE time_unix_ms < {first}
            ORDER BY time_unix_ms, id LIMIT {second})"
    );
    let changed = engine.execute(&[Statement::new(sql, vec![before.into(), most.into()])])?;
    Ok(changed.first().copied().unwrap_or(0))
}

/// Takes the content out of the oldest rows that still have some: as much of it as the host
/// hands over at once. Says of how many rows; `most` where there may be more.
fn empty<E: Engine>(engine: &mut E, table: &str, before: i64, most: u64) -> Result<u64, Error> {
    let (first, second) = (engine.place(1), engine.place(2));
    let sql = format!(
        "SELECT {} FROM {} WHERE content = 'full' AND time_unix_ms < {first}
        ORDER BY time_unix_ms LIMIT {second}",
        list::KEY,
        engine.table(table),
    );
    let mut keys = list::keys(engine, &Statement::new(sql, vec![before.into(), most.into()]))?;
    let found = keys.len();
    keys.truncate(list::fitting(&keys));
    let (marks, words): (&[_], _) = match table {
        "inference" => (&[record::WITHOUT_CONTENT], E::FORGET_WORDS),
        _ => (&[], ""),
    };
    let sql = format!(
        "UPDATE {} SET content = 'metadata', json = {second}{words} WHERE number = {first}",
        engine.table(table)
    );
    let statement = |(number, json): (i64, String)| {
        // What cannot be read goes altogether, rather than stay for ever.
        let emptied = members::changed(&json, &record::CONTENT, marks)
            .unwrap_or_else(|_| "{\"content\":\"metadata\"}".to_owned());
        Statement::new(&*sql, vec![number.into(), emptied.into()])
    };
    let documents = list::documents(engine, table, &keys)?;
    let statements: Vec<_> = documents.into_iter().map(statement).collect();
    engine.execute(&statements)?;
    Ok(if keys.len() < found { most } else { found as u64 })
}
