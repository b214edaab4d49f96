//! Takes a plugin that keeps being killed out of service.
//!
//! Three kills within ten seconds close the door: killing alone is not containment, because
//! every kill still costs its budget on a worker that others wait for. The door opens for
//! one probe after a back-off of one second, doubled for each probe that fails up to a
//! minute, and for good after a probe that succeeds or a reload.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Kills within [`WINDOW`] that close the door.
const KILLS: usize = 3;
const WINDOW: Duration = Duration::from_secs(10);
const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);

/// The door to one plugin.
#[derive(Debug, Default)]
pub struct Quarantine {
    /// Read on every call; the mutex is only taken when something went wrong.
    closed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    kills: Vec<Instant>,
    reopens: Option<Instant>,
    back_off: Option<Duration>,
}

impl Quarantine {
    /// Whether a call may go in now. In quarantine, one call is let in per back-off.
    pub(super) fn admits(&self, now: Instant) -> bool {
        if !self.closed.load(Ordering::Acquire) {
            return true;
        }
        let mut state = self.lock();
        match state.reopens {
            Some(reopens) if now < reopens => false,
            _ => {
                state.reopens = Some(now + state.back_off.unwrap_or(FIRST_BACK_OFF));
                true
            }
        }
    }

    /// Whether the plugin is out of service.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// A call was killed. True if this closed the door.
    pub(super) fn killed(&self, now: Instant) -> bool {
        let mut state = self.lock();
        if self.is_closed() {
            let longer = state.back_off.unwrap_or(FIRST_BACK_OFF).saturating_mul(2);
            state.back_off = Some(longer.min(LONGEST_BACK_OFF));
            state.reopens = state.back_off.map(|back_off| now + back_off);
            return false;
        }
        state.kills.retain(|kill| now.duration_since(*kill) < WINDOW);
        state.kills.push(now);
        if state.kills.len() < KILLS {
            return false;
        }
        state.back_off = Some(FIRST_BACK_OFF);
        state.reopens = Some(now + FIRST_BACK_OFF);
        self.closed.store(true, Ordering::Release);
        true
    }

    /// A call ended well. True if this opened the door.
    pub(super) fn succeeded(&self) -> bool {
        self.is_closed() && self.reset()
    }

    /// Opens the door: a reload, or a probe that went well. True if it was closed.
    pub fn reset(&self) -> bool {
        *self.lock() = State::default();
        self.closed.swap(false, Ordering::AcqRel)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_kills_in_ten_seconds_close_the_door() {
        let quarantine = Quarantine::default();
        let start = Instant::now();
        assert!(!quarantine.killed(start));
        assert!(!quarantine.killed(start + Duration::from_secs(4)));
        assert!(quarantine.killed(start + Duration::from_secs(9)));
        assert!(!quarantine.admits(start + Duration::from_secs(9)));
    }

    #[test]
    fn kills_further_apart_do_not() {
        let quarantine = Quarantine::default();
        let start = Instant::now();
        for kill in 0..10 {
            assert!(!quarantine.killed(start + Duration::from_secs(6 * kill)));
        }
        assert!(!quarantine.is_closed());
    }

    #[test]
    fn one_probe_is_let_in_per_back_off_which_doubles() {
        let quarantine = Quarantine::default();
        let start = Instant::now();
        for _ in 0..3 {
            quarantine.killed(start);
        }
        let first = start + Duration::from_secs(1);
        assert!(quarantine.admits(first));
        assert!(!quarantine.admits(first), "only one call probes");
        quarantine.killed(first);
        assert!(!quarantine.admits(first + Duration::from_millis(1_999)));
        assert!(quarantine.admits(first + Duration::from_secs(2)));
        assert!(quarantine.succeeded());
        assert!(quarantine.admits(first));
    }

    #[test]
    fn a_reload_opens_the_door() {
        let quarantine = Quarantine::default();
        for _ in 0..3 {
            quarantine.killed(Instant::now());
        }
        assert!(quarantine.reset());
        assert!(quarantine.admits(Instant::now()));
    }
}
