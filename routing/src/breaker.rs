//! Keeps requests away from an endpoint that is down.
//!
//! Three failures in a row open the breaker, or a failure while the fast error rate is above
//! 40 %. After a back-off of two seconds it is half-open: one request is let through as a
//! probe. A success closes it; a failed probe doubles the back-off, up to eight seconds, so
//! that an endpoint is back within ten seconds of its recovery. The back-off runs from the
//! start of the probe: one that hangs keeps the next away no longer than one that fails.
//!
//! One atomic word holds the whole state, so each change is a single compare-and-swap. An open
//! breaker forbids nothing by itself: should nothing else be left, its endpoint may be tried.
//! Requests from before the last change say nothing about the endpoint of now and are ignored;
//! so are successes of requests that began before the first failure of a row did: an endpoint
//! that goes down still answers what it had taken on.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::policy::Breaker;

/// One failure says little, and each one more is another harmed request.
const FAILURES: u8 = 3;
/// Above it more requests are harmed than a fallback should have to mend.
const ERROR_RATE: f64 = 0.4;
/// Calls within the fast average (about 5 s) before its error rate says anything.
const ENOUGH_CALLS: f64 = 10.0;
const FIRST_BACK_OFF_MS: u64 = 2_000;
/// Two doublings: 8 s, for re-admission within 10 s.
const LONGEST_LEVEL: u8 = 3;

/// In which state of the breaker a request started: what its result may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ticket {
    /// It was closed.
    Ordinary,
    /// It was half-open, and this request is its probe.
    Probe,
    /// It was open, and the request went all the same.
    Forced,
}

/// A failure, and what the figures say after it.
#[derive(Debug, Clone, Copy)]
pub struct Failed {
    pub ticket: Ticket,
    pub started_ms: u64,
    pub now_ms: u64,
    /// Over about 5 seconds, and the calls it rests on.
    pub error_rate: f64,
    pub calls: f64,
}

/// The breaker of one endpoint. Times are milliseconds since any fixed moment.
#[derive(Debug, Default)]
pub struct CircuitBreaker {
    word: AtomicU64,
    /// When the first failure of the row began, while there is one. Written just before the
    /// word tells of it: who comes in between sees no row, and so nothing to end.
    row_since_ms: AtomicU64,
}

impl CircuitBreaker {
    pub fn state(&self, now_ms: u64) -> Breaker {
        self.load().face(now_ms)
    }

    /// A request wants to go to the endpoint: nothing while it is open, or while another one
    /// is its probe.
    pub fn admit(&self, now_ms: u64) -> Option<Ticket> {
        match self.state(now_ms) {
            Breaker::Closed => Some(Ticket::Ordinary),
            Breaker::Open => None,
            Breaker::HalfOpen => self
                .change(|state| {
                    let half_open = state.face(now_ms) == Breaker::HalfOpen;
                    half_open.then_some(State { since_ms: now_ms, ..state })
                })
                .then_some(Ticket::Probe),
        }
    }

    /// A request goes to the endpoint, whatever the state.
    pub fn start(&self, now_ms: u64) -> Ticket {
        self.admit(now_ms).unwrap_or(Ticket::Forced)
    }

    /// The endpoint did its work. Once for each request.
    pub fn succeeded(&self, ticket: Ticket, started_ms: u64, now_ms: u64) {
        self.change(|state| match (state.level, ticket) {
            (0, _) if state.failures == 0 => None,
            (0, _) if started_ms < self.row_since_ms.load(Ordering::Acquire) => None,
            (0, _) => Some(State { failures: 0, ..state }),
            (_, Ticket::Ordinary) => None,
            (_, Ticket::Probe | Ticket::Forced) => Some(State::closed(now_ms)),
        });
    }

    /// The endpoint answered, though not with its work: it refused this request.
    pub fn alive(&self, ticket: Ticket, now_ms: u64) {
        self.change(|state| {
            let tried = state.level > 0 && ticket != Ticket::Ordinary;
            tried.then(|| State::closed(now_ms))
        });
    }

    pub fn failed(&self, failed: &Failed) {
        self.change(|state| {
            if failed.started_ms < state.since_ms {
                return None;
            }
            match (state.level, failed.ticket) {
                (0, _) => {
                    if state.failures == 0 {
                        self.row_since_ms.store(failed.started_ms, Ordering::Release);
                    }
                    Some(state.after_failure(failed))
                }
                (level, Ticket::Probe) => {
                    Some(State { level: level.saturating_add(1).min(LONGEST_LEVEL), ..state })
                }
                (_, Ticket::Ordinary | Ticket::Forced) => None,
            }
        });
    }

    fn load(&self) -> State {
        State::unpack(self.word.load(Ordering::Acquire))
    }

    /// Whether the change was made; `change` may be asked more than once.
    fn change(&self, change: impl Fn(State) -> Option<State>) -> bool {
        self.word
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
                change(State::unpack(word)).map(State::pack)
            })
            .is_ok()
    }
}

/// The word: 48 bits of time (8,900 years), 8 of level, 8 of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    /// When it closed; when it opened or its last probe started.
    since_ms: u64,
    /// 0: closed; else the back-off is `FIRST_BACK_OFF_MS << (level - 1)`.
    level: u8,
    /// In a row, while closed.
    failures: u8,
}

impl State {
    fn closed(now_ms: u64) -> Self {
        Self { since_ms: now_ms, level: 0, failures: 0 }
    }

    fn after_failure(self, failed: &Failed) -> Self {
        let failures = self.failures.saturating_add(1);
        let too_many = failed.calls >= ENOUGH_CALLS && failed.error_rate > ERROR_RATE;
        if failures >= FAILURES || too_many {
            Self { since_ms: failed.now_ms, level: 1, failures: 0 }
        } else {
            Self { failures, ..self }
        }
    }

    fn face(self, now_ms: u64) -> Breaker {
        let Some(doublings) = self.level.checked_sub(1) else { return Breaker::Closed };
        let back_off = FIRST_BACK_OFF_MS << doublings.min(LONGEST_LEVEL);
        if now_ms < self.since_ms.saturating_add(back_off) {
            Breaker::Open
        } else {
            Breaker::HalfOpen
        }
    }

    fn pack(self) -> u64 {
        self.since_ms << 16 | u64::from(self.level) << 8 | u64::from(self.failures)
    }

    fn unpack(word: u64) -> Self {
        let [failures, level, ..] = word.to_le_bytes();
        Self { since_ms: word >> 16, level, failures }
    }
}

#[cfg(test)]
mod tests;
