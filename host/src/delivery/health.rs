//! How one sink is doing: its metrics, its last error, and since when.
//!
//! An error is logged when it is the first after a success or says something new, and so is
//! the success that ends it: a store that is down all night leaves a few lines.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::metrics::SinkFigures;

/// Of an error that is shown: a line on a screen.
const WORDS_CHARACTERS: usize = 500;

/// How one sink is doing.
pub(super) struct Health {
    sink: String,
    pub(super) figures: SinkFigures,
    state: Mutex<State>,
}

struct State {
    failing: bool,
    since_unix_ms: u64,
    last_error: Option<LastError>,
}

/// What went wrong last; kept after it was over.
#[derive(Debug, Clone, Serialize)]
pub struct LastError {
    pub message: String,
    pub time_unix_ms: u64,
}

/// One sink in `/status`.
#[derive(Debug, Clone, Serialize)]
pub struct SinkStatus {
    pub name: String,
    pub plugin: String,
    /// `up`, or `failing`: the last try went wrong and will be repeated.
    pub state: &'static str,
    /// Of the state.
    pub since_unix_ms: u64,
    pub last_error: Option<LastError>,
    pub lag_rows: u64,
    pub lag_bytes: u64,
    pub lost_rows: u64,
    pub delivered_rows: u64,
    pub skipped_rows: u64,
    pub rejected_rows: u64,
    pub dead_letter_bytes: i64,
}

impl Health {
    pub(super) fn new(sink: &str, figures: SinkFigures) -> Self {
        figures.up.set(1);
        let state = State { failing: false, since_unix_ms: now_unix_ms(), last_error: None };
        Self { sink: sink.to_owned(), figures, state: Mutex::new(state) }
    }

    /// `words` have no secret in them and no prompt.
    pub(super) fn failing(&self, words: &str) {
        let message: String = words.chars().take(WORDS_CHARACTERS).collect();
        self.figures.up.set(0);
        let mut state = self.lock();
        let now = now_unix_ms();
        let known =
            state.failing && state.last_error.as_ref().is_some_and(|last| last.message == message);
        if !state.failing {
            state.failing = true;
            state.since_unix_ms = now;
        }
        if !known {
            tracing::warn!(
                sink = self.sink,
                error = message,
                "the sink takes no rows now; they are kept and offered again"
            );
        }
        state.last_error = Some(LastError { message, time_unix_ms: now });
    }

    pub(super) fn well(&self) {
        self.figures.up.set(1);
        let mut state = self.lock();
        if state.failing {
            let now = now_unix_ms();
            let lasted = Duration::from_millis(now.saturating_sub(state.since_unix_ms));
            tracing::info!(sink = self.sink, ?lasted, "the sink takes rows again");
            state.failing = false;
            state.since_unix_ms = now;
        }
    }

    /// Without what the journal knows.
    pub(super) fn status(&self, plugin: &str) -> SinkStatus {
        let state = self.lock();
        SinkStatus {
            name: self.sink.clone(),
            plugin: plugin.to_owned(),
            state: if state.failing { "failing" } else { "up" },
            since_unix_ms: state.since_unix_ms,
            last_error: state.last_error.clone(),
            lag_rows: 0,
            lag_bytes: 0,
            lost_rows: 0,
            delivered_rows: self.figures.delivered.get(),
            skipped_rows: self.figures.skipped.get(),
            rejected_rows: self.figures.rejected.get(),
            dead_letter_bytes: self.figures.dead_letter_bytes.get(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now_unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
