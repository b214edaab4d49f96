//! What went wrong at an endpoint, and when: from its attempts, in windows of 30 s.
//!
//! A window with too few attempts is taken as healthy, unless all of those few failed right
//! after a window that was bad: a breaker lets few through. Neighbouring windows of one kind
//! are one fault. Faults of errors, hangs and refusals then begin and end where the first and
//! the last of them were. What is shorter than half a window is not seen, nor what fewer than
//! three attempts met.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use super::capacity::Capacity;
use super::endpoint::Seen;
use super::ledger::End;
use super::survival::{self, Time};
use super::{Notice, Span};
use crate::fault::{Fault, FaultKind};

const WINDOW_MS: u64 = 30_000;
/// Attempts that make a window telling.
const LEAST: usize = 3;
/// Share of failures from which on it is a fault.
const FAILING: f64 = 0.5;
/// So many times the median of all is slow.
const SLOW: f64 = 3.0;

/// Kinds that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Failing,
    Hanging,
    /// It took fewer requests than it takes.
    Limited,
    Slow,
}

/// Attempts of one endpoint by window.
pub(super) struct Windows {
    /// By the number of the window: the first is 0 where the first request came, those of
    /// other models' requests before it are negative.
    windows: BTreeMap<i64, Window>,
    /// What ran when a request was refused too early, by position; 0 elsewhere.
    early: BTreeMap<usize, u32>,
    span: Span,
}

#[derive(Default)]
struct Window {
    attempts: Range<usize>,
    telling: usize,
    failed: usize,
    timed_out: usize,
    limited: usize,
}

/// Neighbouring windows of one kind.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    pub(super) start_unix_ms: u64,
    pub(super) end_unix_ms: u64,
    kind: Kind,
    attempts: Range<usize>,
    /// What ran when requests were refused.
    room: u32,
}

/// Attempts in the order of their start.
pub(super) fn windows(seen: &[Seen], capacity: &Capacity, span: Span) -> Windows {
    let early: BTreeMap<usize, u32> = capacity.early.iter().copied().collect();
    let mut windows: BTreeMap<i64, Window> = BTreeMap::new();
    for (position, seen) in seen.iter().enumerate() {
        let window = windows.entry(number(seen.attempt.started_unix_ms, span)).or_default();
        if window.attempts.is_empty() {
            window.attempts.start = position;
        }
        window.attempts.end = position + 1;
        window.telling += usize::from(seen.tells());
        window.failed += usize::from(seen.failed());
        window.timed_out += usize::from(seen.attempt.end == End::TimedOut);
        window.limited += usize::from(early.contains_key(&position));
    }
    Windows { windows, early, span }
}

impl Windows {
    /// In order, apart from each other. `median` is that of all times to first token.
    pub(super) fn stretches(&self, seen: &[Seen], median: f64) -> Vec<Stretch> {
        let mut joined: Vec<(i64, Kind, Range<usize>)> = Vec::new();
        for (&number, window) in &self.windows {
            let last = joined.last_mut().filter(|last| last.0.saturating_add(1) == number);
            let kind = match (window.kind(seen, median), &last) {
                (None, Some(last)) if window.goes_on(last.1) => Some(last.1),
                (kind, _) => kind,
            };
            match (kind, last) {
                (Some(kind), Some(last)) if last.1 == kind => {
                    last.0 = number;
                    last.2.end = window.attempts.end;
                }
                (Some(kind), _) => joined.push((number, kind, window.attempts.clone())),
                (None, _) => {}
            }
        }
        let mut stretches: Vec<Stretch> = joined
            .into_iter()
            .filter_map(|(_, kind, attempts)| self.stretch(seen, kind, attempts))
            .collect();
        extend(&mut stretches, seen);
        stretches
    }

    /// `None`: there was no window in which it was not asked.
    pub(super) fn unwatched(&self, endpoint: &str) -> Option<Notice> {
        let length = u64::try_from(self.span.length.as_millis()).unwrap_or(u64::MAX);
        let of = length / WINDOW_MS + 1;
        let within = 0..i64::try_from(of).unwrap_or(i64::MAX);
        let watched = self.windows.range(within).filter(|(_, window)| window.telling >= LEAST);
        let windows = of.saturating_sub(watched.count() as u64);
        let window_s = WINDOW_MS / 1_000;
        (windows > 0).then(|| Notice::Unwatched {
            endpoint: endpoint.to_owned(),
            windows,
            of,
            window_s,
        })
    }

    /// From the first attempt that shows it to the last; slowness shows in the whole.
    fn stretch(&self, seen: &[Seen], kind: Kind, attempts: Range<usize>) -> Option<Stretch> {
        let shows = |position: &usize| match kind {
            Kind::Failing | Kind::Hanging => seen.get(*position).is_some_and(Seen::failed),
            Kind::Limited => self.early.contains_key(position),
            Kind::Slow => true,
        };
        let first = attempts.clone().find(shows)?;
        let last = attempts.rev().find(shows)?;
        let at = |position: usize| Some(seen.get(position)?.attempt.started_unix_ms);
        let mut room: Vec<u32> =
            self.early.range(first..=last).map(|(_, running)| *running).collect();
        room.sort_unstable();
        let (mut start_unix_ms, mut end_unix_ms) = (at(first)?, at(last)?.saturating_add(1));
        if kind == Kind::Slow {
            start_unix_ms = start(number(start_unix_ms, self.span), self.span);
            end_unix_ms = start(number(end_unix_ms - 1, self.span) + 1, self.span);
        }
        let room = room.get(room.len() / 2).copied().unwrap_or_default();
        Some(Stretch { start_unix_ms, end_unix_ms, kind, attempts: first..last + 1, room })
    }
}

/// Failures go on into the windows beside, where most attempts were before or after the
/// fault: a breaker lets few through while it lasts. Stretches stay apart.
fn extend(stretches: &mut [Stretch], seen: &[Seen]) {
    let mut after = 0;
    for position in 0..stretches.len() {
        let before = stretches.get(position + 1).map_or(seen.len(), |next| next.attempts.start);
        let Some(stretch) = stretches.get_mut(position) else { return };
        if matches!(stretch.kind, Kind::Failing | Kind::Hanging) {
            let earlier = (after..stretch.attempts.start).rev();
            if let Some((first, at)) = last_failure(earlier, seen, stretch.start_unix_ms) {
                stretch.attempts.start = first;
                stretch.start_unix_ms = at;
            }
            let later = stretch.attempts.end..before;
            if let Some((last, at)) = last_failure(later, seen, stretch.end_unix_ms) {
                stretch.attempts.end = last + 1;
                stretch.end_unix_ms = at.saturating_add(1);
            }
        }
        after = stretch.attempts.end;
    }
}

/// The last of the failures that follow each other without an answer or a long silence
/// between: its position and start.
fn last_failure(
    positions: impl Iterator<Item = usize>,
    seen: &[Seen],
    mut at: u64,
) -> Option<(usize, u64)> {
    let mut last = None;
    for (position, seen) in positions.filter_map(|position| Some((position, seen.get(position)?))) {
        if !seen.tells() {
            continue;
        }
        let started = seen.attempt.started_unix_ms;
        if !seen.failed() || started.abs_diff(at) > WINDOW_MS {
            break;
        }
        at = started;
        last = Some((position, started));
    }
    last
}

impl Window {
    fn kind(&self, seen: &[Seen], median: f64) -> Option<Kind> {
        if self.telling >= LEAST && share(self.failed, self.telling) >= FAILING {
            let hanging = self.timed_out * 2 > self.failed;
            return Some(if hanging { Kind::Hanging } else { Kind::Failing });
        }
        if self.limited >= LEAST {
            return Some(Kind::Limited);
        }
        let mut times = first_tokens(seen, &self.attempts);
        let slow = times.iter().filter(|time| time.ended).count() >= LEAST
            && survival::median(&mut times).is_some_and(|here| here >= SLOW * median);
        slow.then_some(Kind::Slow)
    }

    /// The few attempts that there were failed as well.
    fn goes_on(&self, kind: Kind) -> bool {
        let failing = matches!(kind, Kind::Failing | Kind::Hanging);
        failing && (1..LEAST).contains(&self.telling) && self.failed == self.telling
    }
}

/// Of endpoint 0, in virtual time. `median` is that of times to first token in health,
/// `concurrency` what it takes in health. A hang is as long as somebody waited for it, at
/// least.
pub(super) fn faults(
    stretches: &[Stretch],
    seen: &[Seen],
    median: f64,
    concurrency: u32,
    span: Span,
) -> Vec<Fault> {
    let since = |unix_ms: u64| Duration::from_millis(unix_ms.saturating_sub(span.start_unix_ms));
    let fault = |stretch: &Stretch| {
        let within = || seen.get(stretch.attempts.clone()).unwrap_or_default().iter();
        let telling = within().filter(|seen| seen.tells()).count();
        let failed = within().filter(|seen| seen.failed()).count();
        let hangs = within().filter(|seen| seen.attempt.end == End::TimedOut);
        let longest = hangs.map(|seen| seen.attempt.total_ms).fold(1.0, f64::max);
        let slow = survival::median(&mut first_tokens(seen, &stretch.attempts)).unwrap_or(median);
        let (kind, intensity) = match stretch.kind {
            Kind::Failing => (FaultKind::Error, share(failed, telling)),
            Kind::Hanging => (FaultKind::Hang { seconds: longest / 1e3 }, share(failed, telling)),
            Kind::Slow => (FaultKind::Slow { factor: (slow / median).max(1.0) }, 1.0),
            Kind::Limited => {
                // Between two counts: the world rounds down.
                let share = (f64::from(stretch.room) + 0.5) / f64::from(concurrency.max(1));
                (FaultKind::RateLimit { share: share.min(1.0) }, 1.0)
            }
        };
        let (start, end) = (since(stretch.start_unix_ms), since(stretch.end_unix_ms));
        Fault { start, end, endpoint: 0, kind, intensity }
    };
    let faults = stretches.iter().map(fault);
    faults.filter(|fault| fault.start < fault.end && fault.start <= span.length).collect()
}

fn first_tokens(seen: &[Seen], attempts: &Range<usize>) -> Vec<Time> {
    let seen = seen.get(attempts.clone()).unwrap_or_default();
    seen.iter().filter_map(|seen| seen.first_token).collect()
}

/// Times are before the year 10000: they fit.
fn number(unix_ms: u64, span: Span) -> i64 {
    let signed = |unix_ms| i64::try_from(unix_ms).unwrap_or(i64::MAX);
    (signed(unix_ms) - signed(span.start_unix_ms)).div_euclid(signed(WINDOW_MS))
}

/// The start of a window; no earlier than 1970.
fn start(number: i64, span: Span) -> u64 {
    let since = number.saturating_mul(WINDOW_MS.cast_signed());
    span.start_unix_ms.saturating_add_signed(since)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}
