//! Arrivals: when requests come, and how long they and their answers are.
//!
//! Three origins: a trace file (`trace`), records such as those of a journal
//! (`from_records`), or a generator with a seed (`Generator`). However they come, they are in
//! the order of their time, the first near 0, and never more than `MAX_ARRIVALS`.

pub mod trace;

use std::time::Duration;

use crate::scenario::LogNormal;
use crate::scenario::draws::Draws;

/// A run holds its arrivals in memory: a million is 40 MB, and minutes of simulation.
pub const MAX_ARRIVALS: usize = 1_000_000;

/// Longest prompt and answer that a generator draws. No model takes more; a draw far out in
/// the tail of a log-normal would hold an endpoint for hours.
const MAX_TOKENS: f64 = 1_000_000.0;

/// What draws are for.
const TIMES: u64 = 0x0061_7272;
const LENGTHS: u64 = 0x006c_656e;
const SESSIONS: u64 = 0x0073_6573;

/// One request of the simulated clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Since the start of the run. A scenario's arrivals are in this order.
    pub at: Duration,
    pub input_tokens: u64,
    /// At least 1.
    pub output_tokens: u64,
    /// Same number, same conversation; 0: none.
    pub session: u64,
}

/// A request as it was recorded. Records need no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Since any fixed instant, such as 1970.
    pub at: Duration,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// 0: none.
    pub session: u64,
}

/// Arrivals as recorded: the first at 0, time running `speed` times as fast. Records beyond
/// the bound are left out, the latest first.
pub fn from_records(mut records: Vec<Record>, speed: f64) -> Vec<Arrival> {
    records.sort_by_key(|record| record.at);
    records.truncate(MAX_ARRIVALS);
    let start = records.first().map(|record| record.at).unwrap_or_default();
    let speed = if speed.is_finite() && speed > 0.0 { speed } else { 1.0 };
    let arrival = |record: Record| Arrival {
        at: seconds((record.at - start).as_secs_f64() / speed),
        input_tokens: record.input_tokens,
        output_tokens: record.output_tokens.max(1),
        session: record.session,
    };
    records.into_iter().map(arrival).collect()
}

/// Requests that come independently of each other (a Poisson process).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Generator {
    pub rate_per_s: f64,
    pub duration: Duration,
    pub input_tokens: LogNormal,
    pub output_tokens: LogNormal,
    /// Conversations that requests belong to, by chance; 0: none.
    pub sessions: usize,
    pub bursts: Option<Bursts>,
}

/// Times of more requests, at fixed distances.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bursts {
    /// From the start of one to the start of the next. The first starts at 0.
    pub every: Duration,
    pub length: Duration,
    /// So many times the rate.
    pub factor: f64,
}

impl Generator {
    /// How many arrivals to expect.
    pub fn expected(&self) -> f64 {
        let busy = self.bursts.map_or(0.0, |bursts| {
            let part = bursts.length.as_secs_f64() / bursts.every.as_secs_f64();
            part.min(1.0) * (bursts.factor - 1.0)
        });
        self.rate_per_s * self.duration.as_secs_f64() * (1.0 + busy)
    }

    /// The same seed, the same arrivals. Lengths of the n-th request do not depend on the
    /// rate.
    pub fn arrivals(&self, seed: u64) -> Vec<Arrival> {
        let mut times = Draws::new(seed, TIMES);
        let mut lengths = Draws::new(seed, LENGTHS);
        let mut sessions = Draws::new(seed, SESSIONS);
        let highest = self.bursts.map_or(1.0, |bursts| bursts.factor.max(1.0));
        let end = self.duration.as_secs_f64();
        let mut arrivals = Vec::new();
        let mut at = times.wait(self.rate_per_s * highest);
        while at < end && arrivals.len() < MAX_ARRIVALS {
            // Thinning (Lewis and Shedler, 1979): drawn at the highest rate, kept by the
            // share that the rate of the moment is of it.
            if times.uniform() * highest < self.factor(at) {
                arrivals.push(Arrival {
                    at: seconds(at),
                    input_tokens: tokens(self.input_tokens, &mut lengths),
                    output_tokens: tokens(self.output_tokens, &mut lengths),
                    session: if self.sessions == 0 {
                        0
                    } else {
                        sessions.below(self.sessions) as u64 + 1
                    },
                });
            }
            at += times.wait(self.rate_per_s * highest);
        }
        arrivals
    }

    fn factor(&self, at: f64) -> f64 {
        let Some(bursts) = self.bursts else { return 1.0 };
        if at % bursts.every.as_secs_f64() < bursts.length.as_secs_f64() {
            bursts.factor
        } else {
            1.0
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within 1 and a million"
)]
fn tokens(of: LogNormal, draws: &mut Draws) -> u64 {
    of.value(draws.normal()).round().clamp(1.0, MAX_TOKENS) as u64
}

/// A time of a run; one that no duration holds is the longest there is.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests;
