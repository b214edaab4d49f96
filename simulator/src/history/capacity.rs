//! How many requests at once an endpoint takes, from attempts that overlap.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::ledger::{Attempt, End};

/// A policy may send more than the recorded one did.
const ROOM: u32 = 2;
const LEAST: u32 = 8;
/// A refusal at this share of the most that was ever seen at once is for being full.
const FULL: f64 = 0.75;

/// What attempts tell of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Capacity {
    /// The most that ran at once.
    pub(super) seen: u32,
    pub(super) taken: u32,
    /// It was refused when full: `taken` is `seen`.
    pub(super) known: bool,
    /// For each refusal below that, the attempt's position and what ran then: the endpoint
    /// took less for a while, or counts something else.
    pub(super) early: Vec<(usize, u32)>,
}

/// Attempts of one endpoint in the order of their start. What is refused takes no room.
pub(super) fn capacity(attempts: &[Attempt]) -> Capacity {
    let mut running: BinaryHeap<Reverse<u64>> = BinaryHeap::new();
    let mut refusals = Vec::new();
    let mut seen = 0;
    for (position, attempt) in attempts.iter().enumerate() {
        while running.peek().is_some_and(|Reverse(end)| *end <= attempt.started_unix_ms) {
            running.pop();
        }
        if attempt.end == End::Refused {
            refusals.push((position, count(running.len())));
        } else {
            running.push(Reverse(attempt.started_unix_ms.saturating_add(attempt.lasted_ms())));
            seen = seen.max(count(running.len()));
        }
    }
    let full = f64::from(seen) * FULL;
    let refused = refusals.len();
    refusals.retain(|(_, running)| f64::from(*running) < full);
    let known = refusals.len() < refused;
    let taken = if known { seen } else { seen.saturating_mul(ROOM).max(LEAST) };
    Capacity { seen, taken, known, early: refusals }
}

fn count(running: usize) -> u32 {
    u32::try_from(running).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(started_unix_ms: u64, total_ms: f64, end: End) -> Attempt {
        Attempt { started_unix_ms, total_ms, end, ..Attempt::default() }
    }

    #[test]
    fn without_refusals_there_is_twice_the_room_that_was_used() {
        let attempts: Vec<Attempt> =
            (0..20).map(|at| attempt(at * 10, 95.0, End::Answered)).collect();
        let found = capacity(&attempts);
        assert_eq!((found.seen, found.taken, found.known), (10, 20, false));
        assert_eq!(capacity(&[]).taken, 8);
    }

    #[test]
    fn a_refusal_while_full_tells_the_capacity_and_one_before_does_not() {
        let mut attempts = vec![attempt(0, 100.0, End::Answered); 6];
        attempts.push(attempt(50, 30.0, End::Refused));
        attempts.push(attempt(200, 30.0, End::Refused));
        let found = capacity(&attempts);
        assert_eq!((found.seen, found.taken, found.known), (6, 6, true));
        assert_eq!(found.early, [(7, 0)]);
    }
}
