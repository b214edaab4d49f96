//! `torana:host/log`: a plugin's lines in the gateway's log, at a bounded rate.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::GuestState;
use crate::plugin::bindings::host::torana::host::log::{Host, Level};

/// Lines a second for each plugin: a chatty one must not fill the operator's disk.
const LINES_A_SECOND: u32 = 100;
/// Longest line; the rest is cut.
const MAX_LINE_BYTES: usize = 8 * 1024;

/// Counts lines in the running second.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    window: Mutex<Option<(Instant, u32)>>,
}

impl Rate {
    fn admits(&self, now: Instant) -> bool {
        let mut window = self.window.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (since, lines) = window.get_or_insert((now, 0));
        if now.duration_since(*since) >= Duration::from_secs(1) {
            *since = now;
            *lines = 0;
        }
        *lines += 1;
        *lines <= LINES_A_SECOND
    }
}

/// Bytes written to stderr, cut into lines.
#[derive(Debug, Default)]
pub(crate) struct Lines(Vec<u8>);

impl GuestState {
    pub(super) fn log(&self, level: Level, message: &str) {
        if !self.capabilities.log.admits(Instant::now()) {
            self.accounting.log_dropped();
            return;
        }
        let message = cut(message);
        let plugin = &*self.plugin;
        match level {
            Level::Trace => tracing::trace!(target: "plugin", plugin, "{message}"),
            Level::Debug => tracing::debug!(target: "plugin", plugin, "{message}"),
            Level::Info => tracing::info!(target: "plugin", plugin, "{message}"),
            Level::Warn => tracing::warn!(target: "plugin", plugin, "{message}"),
            Level::Error => tracing::error!(target: "plugin", plugin, "{message}"),
        }
    }

    /// What a guest prints goes to the log, a line at a time.
    pub(super) fn print(&mut self, bytes: &[u8]) {
        let mut pending = std::mem::take(&mut self.stderr.0);
        for &byte in bytes {
            if byte == b'\n' || pending.len() >= MAX_LINE_BYTES {
                self.log(Level::Warn, &String::from_utf8_lossy(&pending));
                pending.clear();
            }
            if byte != b'\n' {
                pending.push(byte);
            }
        }
        self.stderr.0 = pending;
    }
}

impl Host for GuestState {
    fn write(&mut self, level: Level, message: String) {
        self.log(level, &message);
    }
}

fn cut(message: &str) -> &str {
    let mut end = message.len().min(MAX_LINE_BYTES);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.get(..end).unwrap_or(message)
}
