//! How one endpoint behaves, from its attempts.
//!
//! Time to first token and errors are those outside of the faults that the same attempts tell
//! of. What prompt caches saved is put back on: the simulated world takes it off again.

use super::capacity::{Capacity, capacity};
use super::faults::{self, Stretch};
use super::ledger::{Attempt, End};
use super::survival::{self, Time};
use super::{Notice, Span};
use crate::fault::Fault;
use crate::scenario::LogNormal;

/// Fewer attempts than that say little of a median, and nothing of an error rate.
const FEW: usize = 20;
/// A few tokens come at once: their time is the network's.
const LEAST_OUTPUT: u64 = 8;
const LEAST_STREAM_MS: f64 = 1.0;
/// Long answers have to be so many times as long as short ones to tell a speed.
const LEAST_CONTRAST: f64 = 1.5;
/// What large models do.
const ASSUMED_TOKENS_PER_S: u32 = 50;
/// Bounds of what is believed: outside of them a clock or a counter is wrong.
const SPEEDS: (f64, f64) = (0.1, 100_000.0);
/// Share of the time to first token that a prompt read wholly from the cache saves: the
/// world's (`world`), so that an estimate is what a scenario means.
const PREFILL_SHARE: f64 = 0.5;

/// What is told of an endpoint.
#[derive(Debug)]
pub(super) struct Estimate {
    pub(super) ttft_ms: LogNormal,
    pub(super) tokens_per_s: f64,
    pub(super) error_rate: f64,
    pub(super) concurrency: u32,
    /// Of endpoint 0.
    pub(super) faults: Vec<Fault>,
}

/// An attempt, and the time to its first token where it tells one.
pub(super) struct Seen {
    pub(super) attempt: Attempt,
    pub(super) first_token: Option<Time>,
}

impl Seen {
    /// It says whether the endpoint works.
    pub(super) fn tells(&self) -> bool {
        matches!(self.attempt.end, End::Answered | End::Failed | End::TimedOut)
    }

    /// Its time to first token was measured, or is that of an answer short enough.
    fn is_precise(&self, most_output: u64) -> bool {
        let whole = self.attempt.end == End::Answered && self.attempt.ttft_ms.is_none();
        !whole || self.attempt.output <= most_output
    }

    pub(super) fn failed(&self) -> bool {
        matches!(self.attempt.end, End::Failed | End::TimedOut)
    }
}

/// Attempts of one endpoint in the order of their start; `None` if it never answered.
pub(super) fn estimate(
    name: &str,
    attempts: &[Attempt],
    span: Span,
    notices: &mut Vec<Notice>,
) -> Option<Estimate> {
    let endpoint = || name.to_owned();
    let (tokens_per_s, measured) = speed(attempts);
    let seen: Vec<Seen> = attempts
        .iter()
        .map(|attempt| Seen { attempt: *attempt, first_token: first_token(attempt, tokens_per_s) })
        .collect();
    let all = survival::median(&mut times(seen.iter()))?;
    let capacity = capacity(attempts);
    let windows = faults::windows(&seen, &capacity, span);
    let stretches = windows.stretches(&seen, all);
    let healthy = || seen.iter().filter(|seen| !within(&stretches, &seen.attempt));
    let most_output = believed_output(attempts);
    let precise = healthy().filter(|seen| seen.is_precise(most_output));
    let ttft_ms = survival::log_normal(&mut times(precise))
        .or_else(|| survival::log_normal(&mut times(healthy())))
        .or_else(|| survival::log_normal(&mut times(seen.iter())))?;

    match measured {
        Measured::Streams => {}
        Measured::WholeAnswers => {
            notices.push(Notice::SpeedFromWholeAnswers { endpoint: endpoint() });
        }
        Measured::Nothing => notices.push(Notice::SpeedAssumed {
            endpoint: endpoint(),
            tokens_per_s: ASSUMED_TOKENS_PER_S,
        }),
    }
    let telling = seen.iter().filter(|seen| seen.tells()).count();
    if telling < FEW {
        notices.push(Notice::FewSamples { endpoint: endpoint(), attempts: telling });
    }
    let Capacity { seen: most, taken, known, .. } = capacity;
    if !known {
        notices.push(Notice::CapacityAssumed { endpoint: endpoint(), seen: most, taken });
    }
    notices.extend(windows.unwatched(name));
    Some(Estimate {
        ttft_ms,
        tokens_per_s,
        error_rate: failures(healthy()),
        concurrency: taken.max(1),
        faults: faults::faults(&stretches, &seen, ttft_ms.median, taken, span),
    })
}

fn within(stretches: &[Stretch], attempt: &Attempt) -> bool {
    let next = stretches.partition_point(|one| one.start_unix_ms <= attempt.started_unix_ms);
    let before = next.checked_sub(1).and_then(|position| stretches.get(position));
    before.is_some_and(|stretch| attempt.started_unix_ms < stretch.end_unix_ms)
}

fn times<'a>(seen: impl Iterator<Item = &'a Seen>) -> Vec<Time> {
    seen.filter_map(|seen| seen.first_token).collect()
}

/// Share of those that say whether it works; 0 of none.
fn failures<'a>(seen: impl Iterator<Item = &'a Seen>) -> f64 {
    let (mut telling, mut failed) = (0u32, 0u32);
    for seen in seen.filter(|seen| seen.tells()) {
        telling += 1;
        failed += u32::from(seen.failed());
    }
    f64::from(failed) / f64::from(telling.max(1))
}

fn first_token(attempt: &Attempt, tokens_per_s: f64) -> Option<Time> {
    let time = |ms: f64, ended| {
        let ms = ms / (1.0 - PREFILL_SHARE * attempt.cached);
        Some(Time { ms: ms.max(survival::SHORTEST_MS), ended })
    };
    match (attempt.end, attempt.ttft_ms) {
        (End::Answered, Some(ttft)) => time(ttft, true),
        (End::Answered, None) => {
            time(attempt.total_ms - float(attempt.output) / tokens_per_s * 1e3, true)
        }
        (End::Lost, _) => time(attempt.total_ms, false),
        (End::Failed | End::TimedOut | End::Refused | End::Untold, _) => None,
    }
}

/// What a speed rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measured {
    Streams,
    WholeAnswers,
    Nothing,
}

/// Output tokens a second after the first.
fn speed(attempts: &[Attempt]) -> (f64, Measured) {
    let answered = || attempts.iter().filter(|attempt| attempt.end == End::Answered);
    let streams = answered().filter_map(|attempt| {
        let ms = attempt.total_ms - attempt.ttft_ms?;
        let tells = attempt.output >= LEAST_OUTPUT && ms >= LEAST_STREAM_MS;
        tells.then(|| float(attempt.output) / ms * 1e3)
    });
    let believed = |speed: &f64| (SPEEDS.0..=SPEEDS.1).contains(speed);
    if let Some(speed) = middle(streams.collect()).filter(believed) {
        return (speed, Measured::Streams);
    }
    let whole = answered().filter(|attempt| attempt.ttft_ms.is_none());
    match slope(whole.map(|attempt| (float(attempt.output), attempt.total_ms)).collect())
        .filter(believed)
    {
        Some(speed) => (speed, Measured::WholeAnswers),
        None => (f64::from(ASSUMED_TOKENS_PER_S), Measured::Nothing),
    }
}

/// Tokens a second by how much longer long answers took. Each of the shorter half is compared
/// with one of the longer (a sample of the pairs of Theil and Sen): a median of differences is
/// not moved by how times to first token are spread.
fn slope(mut answers: Vec<(f64, f64)>) -> Option<f64> {
    answers.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
    let (short, long) = answers.split_at(answers.len() / 2);
    let pairs = short
        .iter()
        .zip(long)
        .filter(|(short, long)| long.0 >= short.0 * LEAST_CONTRAST && long.0 > short.0);
    let ms_a_token: Vec<f64> =
        pairs.map(|(short, long)| (long.1 - short.1) / (long.0 - short.0)).collect();
    if ms_a_token.len() < FEW / 2 {
        return None;
    }
    middle(ms_a_token).map(|ms| 1e3 / ms)
}

/// The most output of an answer whose time to first token is believed. Streams measure it,
/// where there are enough (0: only they count); of a whole answer the speed is taken out, and
/// the shorter it is the less does the speed's spread matter: the shortest tenth tells.
fn believed_output(attempts: &[Attempt]) -> u64 {
    let answered = || attempts.iter().filter(|attempt| attempt.end == End::Answered);
    if answered().filter(|attempt| attempt.ttft_ms.is_some()).count() >= FEW {
        return 0;
    }
    let mut outputs: Vec<u64> = answered().map(|attempt| attempt.output).collect();
    outputs.sort_unstable();
    let rank = (outputs.len() / 10).max(FEW).min(outputs.len());
    rank.checked_sub(1).and_then(|last| outputs.get(last)).copied().unwrap_or_default()
}

/// The upper median.
fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
fn float(tokens: u64) -> f64 {
    tokens as f64
}
