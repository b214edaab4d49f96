//! `torana:host/log`: a plugin's lines in the gateway's log, at a bounded rate.
//!
//! Providers and sinks hold prompts, answers and rows while they work, and what they write
//! then may quote them. Of a bundled plugin only what it says on purpose is logged: that was
//! read before it was bundled. Of any other, nothing but that something was withheld. Panics
//! quote what the code stumbled over: they are logged by their place. An operator who is at
//! work on a plugin lifts this with `log_content`.

use std::borrow::Cow;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::GuestState;
use crate::plugin::bindings::host::torana::host::log::{Host, Level};

/// Lines a second for each plugin: a chatty one must not fill the operator's disk.
const LINES_A_SECOND: u32 = 100;
/// Longest line; the rest is cut.
const MAX_LINE_BYTES: usize = 8 * 1024;

/// Whose lines are logged as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Whatever it writes, by the operator's word.
    All,
    /// What it says on purpose.
    Purpose,
    /// Nothing that it writes while it holds content.
    None,
}

/// How a line came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Through the import.
    Purpose,
    /// Printed, mostly by a panic.
    Stderr,
}

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
    /// It works on what nobody else is to see. Its memory may hold it for good.
    pub(in crate::plugin) fn holds_content(&mut self) {
        self.holds_content = true;
    }

    fn log(&self, level: Level, way: Way, message: &str) {
        if !self.capabilities.log.admits(Instant::now()) {
            self.accounting.log_dropped();
            return;
        }
        let trust = if self.holds_content { self.trust } else { Trust::All };
        let message = shown(cut(message), way, trust);
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
                self.log(Level::Warn, Way::Stderr, &String::from_utf8_lossy(&pending));
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
        self.log(level, Way::Purpose, &message);
    }
}

/// A line as it may be logged.
fn shown(line: &str, way: Way, trust: Trust) -> Cow<'_, str> {
    if trust == Trust::All {
        return line.into();
    }
    if let Some(place) = panic_place(line) {
        return format!("panicked at {place}; its message is withheld").into();
    }
    if trust == Trust::Purpose && way == Way::Purpose {
        return line.into();
    }
    let bytes = line.len();
    format!("a line of {bytes} bytes is withheld: it may quote a call; log_content shows it").into()
}

/// `FILE:LINE:COLUMN` of a Rust panic.
fn panic_place(line: &str) -> Option<&str> {
    const WORDS: &str = "panicked at ";
    let (_, rest) = line.split_once(WORDS)?;
    let place = rest.split_whitespace().next()?.trim_end_matches(':');
    let mut parts = place.rsplit(':');
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit());
    let numbered = parts.next().is_some_and(is_number) && parts.next().is_some_and(is_number);
    let is_path = |it: char| it.is_ascii_alphanumeric() || "/\\._-:".contains(it);
    let is_file = parts.next().is_some_and(|file| file.ends_with(".rs"));
    (numbered && is_file && place.chars().all(is_path)).then_some(place)
}

fn cut(message: &str) -> &str {
    let mut end = message.len().min(MAX_LINE_BYTES);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.get(..end).unwrap_or(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_quote_a_call_is_shown() {
        let said = "the store is busy";
        let panic = "thread '<unnamed>' panicked at plugins/x/src/lib.rs:12:5:";
        let with_words = "panicked at src/lib.rs:1:2: byte index 3 is inside 'é' of `my prompt`";
        for way in [Way::Purpose, Way::Stderr] {
            assert_eq!(shown(said, way, Trust::All), said);
            assert_eq!(shown(with_words, way, Trust::All), with_words);
            assert!(shown(said, way, Trust::None).contains("17 bytes is withheld"));
            for trust in [Trust::Purpose, Trust::None] {
                let place = "panicked at plugins/x/src/lib.rs:12:5; its message is withheld";
                assert_eq!(shown(panic, way, trust), place);
                assert!(!shown(with_words, way, trust).contains("prompt"));
            }
        }
        assert_eq!(shown(said, Way::Purpose, Trust::Purpose), said);
        assert!(shown(said, Way::Stderr, Trust::Purpose).contains("withheld"));
    }

    #[test]
    fn words_that_pretend_to_be_a_place_are_none() {
        for line in
            ["panicked at my secret", "panicked at secret:1:2", "panicked at", "at a.rs:1:2"]
        {
            assert_eq!(panic_place(line), None, "{line}");
        }
    }
}
