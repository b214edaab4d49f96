//! Live figures of one endpoint: what a policy decides on.
//!
//! Updated and read on the path of requests by any number of threads, so there are no locks:
//! atomics only. Each figure is exact in itself; a reading in the midst of an update may hold
//! some figures from before it and some from after. Nothing here reads a clock. An endpoint
//! takes 6 KiB, and 64 KiB at most once it had traffic for half an hour.
//!
//! What counts how: faults of the endpoint (server, overloaded, timeout, malformed response,
//! authentication, permission, not found) are its error rate and open its breaker; rate limits
//! count apart, and teach its cap; the client's own errors count for nothing, except that they
//! prove a tried endpoint alive. A model that is not found is the endpoint's fault, for the
//! operator wrote its name down or the deployment is gone; unless clients name the models
//! themselves ([`Statistics::of_any_model`]). A streamed call has worked once its first token
//! came; should it break off later, that is a failure besides.
//!
//! Time to first token is known exactly from streamed answers only. A request that waited in
//! vain (a timeout, the loser of a hedge) says that it is at least as long as the wait, a
//! whole answer that it is at most its total; such a bound is a sample where it contradicts
//! the average. While nothing was streamed yet, totals stand in for it, and tokens over
//! the total for throughput.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use torana_wire::error::CallErrorKind;

use crate::breaker::{CircuitBreaker, Ticket};
use crate::cap::{BackOff, Cap};
use crate::policy::Breaker;

mod average;
mod day;
mod in_flight;
mod outstanding;
mod recent;
mod window;

use average::Average;
use day::Day;
use outstanding::Outstanding;
use recent::Recent;
use window::{Count, Figure, Slices};

pub use in_flight::InFlight;
use in_flight::token_count;

/// Calls below which an uptime says more about chance than about the endpoint.
const ENOUGH_FOR_UPTIME: u64 = 10;

/// How one attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Ending {
    /// Absent: it worked.
    pub error: Option<CallErrorKind>,
    /// How long the endpoint asked to be left alone.
    pub retry_after: Option<Duration>,
    pub output_tokens: u64,
    pub cost_usd: f64,
}

/// The span that percentiles are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    FiveMinutes,
    ThirtyMinutes,
}

/// Percentiles of one figure; all 0 where nothing was observed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Percentiles {
    pub count: u64,
    pub p1: f64,
    pub p10: f64,
    pub p25: f64,
    pub p50: f64,
    pub p75: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
}

/// What was observed within a window.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Summary {
    pub ttft_ms: Percentiles,
    pub total_ms: Percentiles,
    /// Output tokens a second after the first.
    pub throughput: Percentiles,
    pub succeeded: u64,
    /// The endpoint's fault; rate limits apart.
    pub failed: u64,
    pub rate_limited: u64,
    pub cost_usd: f64,
}

/// One reading: plain numbers, cheap to take on the path of a request.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Reading {
    pub samples: u64,
    pub in_flight: u32,
    pub learned_cap: u32,
    pub oldest_outstanding: Duration,
    pub back_off: Duration,
    pub breaker: Breaker,
    pub ttft_fast_ms: f64,
    pub ttft_slow_ms: f64,
    pub ttft_p50_ms: f64,
    pub ttft_p90_ms: f64,
    pub ttft_p95_ms: f64,
    pub ttft_p99_ms: f64,
    pub total_fast_ms: f64,
    pub total_slow_ms: f64,
    pub throughput: f64,
    /// Tokens of an answer, averaged over about 60 seconds.
    pub output_tokens: f64,
    pub error_rate_fast: f64,
    pub error_rate: f64,
    pub rate_limited_rate: f64,
    pub timeout_rate: f64,
    pub tool_call_error_rate: f64,
    /// Answers with tool calls so far: 0, and their error rate says nothing.
    pub tool_calls: u64,
    /// Of the tokens that its prompt cache was thought to hold, the share it did; absent before
    /// anything was expected of it.
    pub cache_hits: Option<f64>,
}

/// Figures of one endpoint.
#[derive(Debug)]
pub struct Statistics {
    base: Instant,
    clients_name_models: bool,
    samples: AtomicU64,
    in_flight: AtomicU32,
    outstanding: Outstanding,
    ttft: Average,
    total: Average,
    throughput: Average,
    output_tokens: Average,
    errors: Average,
    rate_limited: Average,
    timeouts: Average,
    tool_call_errors: Average,
    tool_calls: AtomicU64,
    cache_hits: Average,
    slices: Slices,
    day: Day,
    recent: Recent,
    breaker: CircuitBreaker,
    cap: Cap,
    back_off: BackOff,
}

impl Statistics {
    pub fn new(now: Instant) -> Self {
        Self {
            base: now,
            clients_name_models: false,
            samples: AtomicU64::new(0),
            in_flight: AtomicU32::new(0),
            outstanding: Outstanding::default(),
            ttft: Average::default(),
            total: Average::default(),
            throughput: Average::default(),
            output_tokens: Average::default(),
            errors: Average::default(),
            rate_limited: Average::default(),
            timeouts: Average::default(),
            tool_call_errors: Average::default(),
            tool_calls: AtomicU64::new(0),
            cache_hits: Average::default(),
            slices: Slices::default(),
            day: Day::default(),
            recent: Recent::default(),
            breaker: CircuitBreaker::default(),
            cap: Cap::default(),
            back_off: BackOff::default(),
        }
    }

    /// Of all the models of a provider that clients name themselves: one that is not found is
    /// the client's error.
    pub fn of_any_model(now: Instant) -> Self {
        Self { clients_name_models: true, ..Self::new(now) }
    }

    /// A request goes to the endpoint, whatever its breaker says. It counts as running until
    /// the guard is dropped.
    pub fn start(self: &Arc<Self>, now: Instant) -> InFlight {
        let ticket = self.breaker.start(milliseconds(self.nanoseconds(now)));
        self.enter(ticket, now)
    }

    /// As `start`, but nothing while the breaker is open or another request is its probe.
    /// Of any number of requests that saw it half-open, one gets through.
    pub fn start_if_admitted(self: &Arc<Self>, now: Instant) -> Option<InFlight> {
        let ticket = self.breaker.admit(milliseconds(self.nanoseconds(now)))?;
        Some(self.enter(ticket, now))
    }

    pub fn read(&self, now: Instant) -> Reading {
        let now = self.nanoseconds(now);
        self.recent.refresh_if_stale(&self.slices, now);
        let or_zero = |average: Option<f64>| average.unwrap_or(0.0);
        let ttft = if self.recent.streamed() { &self.ttft } else { &self.total };
        let [ttft_p50_ms, ttft_p90_ms, ttft_p95_ms, ttft_p99_ms] = self.recent.percentiles();
        let oldest = self.outstanding.oldest().map_or(0, |since| now.saturating_sub(since));
        Reading {
            samples: self.samples.load(Ordering::Relaxed),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            learned_cap: self.cap.learned(),
            oldest_outstanding: Duration::from_nanos(oldest),
            back_off: self.back_off.left(now),
            breaker: self.breaker.state(milliseconds(now)),
            ttft_fast_ms: or_zero(ttft.fast()),
            ttft_slow_ms: or_zero(ttft.slow()),
            ttft_p50_ms,
            ttft_p90_ms,
            ttft_p95_ms,
            ttft_p99_ms,
            total_fast_ms: or_zero(self.total.fast()),
            total_slow_ms: or_zero(self.total.slow()),
            throughput: or_zero(self.throughput.slow()),
            output_tokens: or_zero(self.output_tokens.slow()),
            error_rate_fast: or_zero(self.errors.fast()),
            error_rate: or_zero(self.errors.slow()),
            rate_limited_rate: or_zero(self.rate_limited.slow()),
            timeout_rate: or_zero(self.timeouts.slow()),
            tool_call_error_rate: or_zero(self.tool_call_errors.slow()),
            tool_calls: self.tool_calls.load(Ordering::Relaxed),
            cache_hits: self.cache_hits.slow(),
        }
    }

    /// One to five microseconds: for people and for requests that ask for percentiles.
    pub fn summary(&self, window: Window, now: Instant) -> Summary {
        let now = self.nanoseconds(now);
        let minutes = window.minutes();
        let percentiles = |figure| self.slices.percentiles(&[figure], minutes, now);
        let count = |count| self.slices.counted(count, minutes, now);
        Summary {
            ttft_ms: self.slices.percentiles(self.recent.ttft_figures(minutes, now), minutes, now),
            total_ms: percentiles(Figure::Total),
            throughput: percentiles(Figure::Throughput),
            succeeded: count(Count::Succeeded),
            failed: count(Count::Failed),
            rate_limited: count(Count::RateLimited),
            cost_usd: self.slices.spent(minutes, now),
        }
    }

    /// Share of calls that worked, of those that worked or failed: rate limits and the
    /// client's own errors do not count. Nothing with fewer than ten of them.
    pub fn uptime(&self, window: Window, now: Instant) -> Option<f64> {
        let now = self.nanoseconds(now);
        let count = |count| self.slices.counted(count, window.minutes(), now);
        share(count(Count::Succeeded), count(Count::Failed))
    }

    /// `uptime` of the last 24 hours.
    pub fn uptime_of_a_day(&self, now: Instant) -> Option<f64> {
        let (succeeded, failed) = self.day.counts(self.nanoseconds(now));
        share(succeeded, failed)
    }

    /// So many tokens were expected in its prompt cache, and so many of them found there.
    pub fn cached(&self, expected: u64, found: u64, now: Instant) {
        if expected > 0 {
            let share = token_count(found) / token_count(expected);
            self.cache_hits.add(share.min(1.0), self.nanoseconds(now));
        }
    }

    /// An answer had tool calls: whether they fit their schemas.
    pub fn tool_calls(&self, valid: bool, now: Instant) {
        self.tool_call_errors.add(if valid { 0.0 } else { 1.0 }, self.nanoseconds(now));
        self.tool_calls.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(self: &Arc<Self>, ticket: Ticket, now: Instant) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let slot = self.outstanding.enter(self.nanoseconds(now));
        InFlight::new(self.clone(), now, slot, ticket)
    }

    /// A request got its answer, or the beginning of it.
    fn proved_well(&self, ticket: Ticket, started: u64, now: u64) {
        self.errors.add(0.0, now);
        self.breaker.succeeded(ticket, milliseconds(started), milliseconds(now));
    }

    /// A call that worked or failed; rate limits are neither.
    fn judged(&self, count: Count, timeout: bool, now: u64) {
        let failed = matches!(count, Count::Failed);
        let rate = |happened| if happened { 1.0 } else { 0.0 };
        self.samples.fetch_add(1, Ordering::Relaxed);
        self.slices.count(count, now);
        self.day.count(!failed, now);
        self.timeouts.add(rate(timeout), now);
        self.rate_limited.add(0.0, now);
    }

    fn nanoseconds(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.base).as_nanos();
        u64::try_from(since).unwrap_or(u64::MAX)
    }
}

impl Window {
    fn minutes(self) -> u64 {
        match self {
            Self::FiveMinutes => 5,
            Self::ThirtyMinutes => 30,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "call counts are far below 2^52")]
fn share(succeeded: u64, failed: u64) -> Option<f64> {
    let calls = succeeded + failed;
    (calls >= ENOUGH_FOR_UPTIME).then(|| succeeded as f64 / calls as f64)
}

fn milliseconds(nanoseconds: u64) -> u64 {
    nanoseconds / 1_000_000
}

#[cfg(test)]
mod tests;
