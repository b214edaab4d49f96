//! What each plugin costs: calls, time, kills, memory.
//!
//! Lock-free counters that outlive a swap, keyed by plugin name: a new version goes on
//! counting where the old one stopped.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Why calls are ended: the words of `CallFailure`.
const CAUSES: [&str; 6] = ["cpu", "timeout", "memory", "stack", "result_size", "trap"];

/// Counters of one plugin. Times leave out what a call waits for, so wall clock stands for
/// CPU.
#[derive(Debug, Default)]
pub struct Accounting {
    calls: AtomicU64,
    busy_ns: AtomicU64,
    /// In the order of [`CAUSES`].
    kills: [AtomicU64; CAUSES.len()],
    memory_peak: AtomicU64,
    instances: AtomicU64,
    log_dropped: AtomicU64,
}

/// One reading of [`Accounting`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Account {
    pub calls: u64,
    pub busy_us: u64,
    /// Calls ended by a trap or a bound.
    pub kills: u64,
    /// Largest linear memory of any instance.
    pub memory_peak_bytes: u64,
    /// Instances made.
    pub instances: u64,
    /// Log lines beyond the rate.
    pub log_lines_dropped: u64,
}

impl Accounting {
    pub fn read(&self) -> Account {
        Account {
            calls: self.calls.load(Relaxed),
            busy_us: self.busy_ns.load(Relaxed) / 1_000,
            kills: self.kills.iter().map(|kills| kills.load(Relaxed)).sum(),
            memory_peak_bytes: self.memory_peak.load(Relaxed),
            instances: self.instances.load(Relaxed),
            log_lines_dropped: self.log_dropped.load(Relaxed),
        }
    }

    pub(super) fn call(&self, busy: Duration, memory: usize) {
        self.calls.fetch_add(1, Relaxed);
        self.busy_ns.fetch_add(u64::try_from(busy.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        self.memory_peak.fetch_max(memory as u64, Relaxed);
    }

    /// Calls ended, by cause.
    pub fn kills(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CAUSES.into_iter().zip(&self.kills).map(|(cause, kills)| (cause, kills.load(Relaxed)))
    }

    pub(super) fn kill(&self, cause: &str) {
        let place = CAUSES.iter().position(|known| *known == cause);
        if let Some(kills) = place.and_then(|place| self.kills.get(place)) {
            kills.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn instance(&self) {
        self.instances.fetch_add(1, Relaxed);
    }

    pub(super) fn log_dropped(&self) {
        self.log_dropped.fetch_add(1, Relaxed);
    }
}
