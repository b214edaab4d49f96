//! What is older than it shall be: rows go, or their content goes and the rest stays.
//!
//! A step follows a write and is bounded, so that no write waits for a large deletion; the
//! next write takes the next step until nothing is left, and then a minute passes. A step
//! takes more rows than a write brings: it catches up at any load.
//!
//! Age counts from the database's clock or from the newest row, whichever is earlier:
//! a clock that jumps ahead deletes nothing before rows of that time come in, and one row of
//! the far future deletes nothing at all. A clock that goes back makes everything younger.

use torana_plugin_sdk::host::sql::{Database, Error, Statement, Value};
use torana_plugin_sdk::sink::Row;
use torana_plugin_sdk::{SettingsError, log};

use crate::schema;

/// Rows of one step; a batch has at most 500.
const STEP_ROWS: u64 = 1_000;
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
pub(crate) struct Days {
    inference_days: Option<i64>,
    content_days: Option<i64>,
}

impl Days {
    /// # Errors
    ///
    /// A figure that is no number of days.
    pub(crate) fn of(
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
#[derive(Debug, Default)]
pub(crate) struct Retention {
    days: Days,
    /// Time of the rows after which nothing was left to do.
    idle_since_unix_ms: Option<u64>,
}

impl Retention {
    pub(crate) fn new(days: Days) -> Self {
        Self { days, idle_since_unix_ms: None }
    }

    /// One step, if it is time. What fails is done by a later one.
    pub(crate) fn after(&mut self, database: &mut impl Database, batch: &[Row]) {
        if self.days == Days::default() {
            return;
        }
        let Some(time) = batch.iter().map(|row| row.time_unix_ms).max() else { return };
        if self.idle_since_unix_ms.is_some_and(|idle| idle.abs_diff(time) < PAUSE_MS) {
            return;
        }
        match self.step(database) {
            Ok(is_done) => self.idle_since_unix_ms = is_done.then_some(time),
            Err(error) => {
                log::warn!("old rows could not be removed: {}", schema::words(&error));
                self.idle_since_unix_ms = Some(time);
            }
        }
    }

    /// Whether nothing is left to do.
    fn step(&self, database: &mut impl Database) -> Result<bool, Error> {
        let Some(now) = now(database)? else { return Ok(true) };
        let before = |days: i64| now.saturating_sub(days.saturating_mul(DAY_MS));
        let mut left = STEP_ROWS;
        if let Some(days) = self.days.inference_days {
            for table in TABLES {
                left = left.saturating_sub(delete(database, table, before(days), left)?);
            }
        }
        if left == 0 {
            return Ok(false);
        }
        let mut left = STEP_CONTENTS.min(left);
        if let Some(days) = self.days.content_days {
            for table in ["inference", "model_inference"] {
                left = left.saturating_sub(empty(database, table, before(days), left)?);
            }
        }
        Ok(left > 0)
    }
}

/// None: nothing that ages is there yet.
fn now(database: &mut impl Database) -> Result<Option<i64>, Error> {
    let newest = TABLES.map(|table| format!("SELECT max(time_unix_ms) AS newest FROM {table}"));
    let sql = format!(
        "SELECT min(CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER), max(newest)) FROM ({})",
        newest.join(" UNION ALL ")
    );
    let rows = database.query(&Statement::new(sql, vec![]))?.rows;
    Ok(match rows.first().and_then(|row| row.first()) {
        Some(Value::Integer(now)) => Some(*now),
        _ => None,
    })
}

/// Tags and words go with their inference, by the schema's triggers.
fn delete(database: &mut impl Database, table: &str, before: i64, most: u64) -> Result<u64, Error> {
    let sql = format!(
        "DELETE FROM {table} WHERE number IN (
            SELECT number FROM {table} WHERE time_unix_ms < ?1 ORDER BY time_unix_ms, id LIMIT ?2)"
    );
    changed(database, Statement::new(sql, vec![before.into(), most.into()]))
}

/// Takes the content out of the oldest rows that still have some. JSON that SQLite cannot
/// read (it is nested beyond 1,000 levels) goes altogether, rather than stay for ever.
fn empty(database: &mut impl Database, table: &str, before: i64, most: u64) -> Result<u64, Error> {
    let (content, marked) = match table {
        "inference" => (["request", "response"], ", '$.content', 'metadata'"),
        _ => (["raw_request", "raw_response"], ""),
    };
    let [first, second] = content;
    let emptied = format!("json_replace(json, '$.{first}', NULL, '$.{second}', NULL)");
    let emptied = if marked.is_empty() { emptied } else { format!("json_set({emptied}{marked})") };
    let sql = format!(
        "UPDATE {table} SET content = 'metadata', json = iif(json_valid(json), {emptied},
            json_object('id', id, 'time_unix_ms', time_unix_ms, 'content', 'metadata'))
        WHERE number IN (
            SELECT number FROM {table} WHERE content = 'full' AND time_unix_ms < ?1
            ORDER BY time_unix_ms LIMIT ?2)"
    );
    changed(database, Statement::new(sql, vec![before.into(), most.into()]))
}

fn changed(database: &mut impl Database, statement: Statement) -> Result<u64, Error> {
    Ok(database.execute(&[statement])?.first().copied().unwrap_or(0))
}
