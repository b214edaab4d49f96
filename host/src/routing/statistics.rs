//! Live figures of one endpoint: what a policy decides on.
//!
//! Keyed by endpoint name in the gateway, so they survive reloads. Averages decay with time
//! (weight `1 - exp(-dt/tau)`), not with calls: a quiet endpoint forgets at the same rate as
//! a busy one. One short lock an update; no allocation.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use torana_wire::error::CallErrorKind;

use super::breaker::{self, Breaker};

const FAST: Duration = Duration::from_secs(5);
const SLOW: Duration = Duration::from_secs(60);
/// Times to first token that the percentiles rest on: the latest of at most this many.
const WINDOW: usize = 256;
/// Older ones say nothing about now.
const WINDOW_AGE: Duration = Duration::from_secs(300);

/// Figures of one endpoint.
#[derive(Debug, Default)]
pub struct Statistics {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    samples: u64,
    /// When each running request started; ids rise, so the first is the oldest.
    outstanding: VecDeque<(u64, Instant)>,
    next_id: u64,
    last: Option<Instant>,
    ttft_fast: Average,
    ttft_slow: Average,
    throughput: Average,
    errors: Average,
    rate_limited: Average,
    timeouts: Average,
    ttfts: VecDeque<(Instant, f32)>,
    /// Median and 95th percentile of `ttfts`, as of the last one: readers are on the path of
    /// a request, and sorting is not for them.
    percentiles: (f64, f64),
    breaker: Breaker,
}

/// Decaying average; the first value counts in full.
#[derive(Debug, Default, Clone, Copy)]
struct Average(Option<f64>);

impl Average {
    fn add(&mut self, value: f64, since: Duration, tau: Duration) {
        let weight = 1.0 - (-since.as_secs_f64() / tau.as_secs_f64()).exp();
        self.0 = Some(match self.0 {
            None => value,
            // A burst within a moment still moves the average a little.
            Some(old) => old + (value - old) * weight.max(0.02),
        });
    }

    fn get(self) -> f64 {
        self.0.unwrap_or(0.0)
    }
}

/// How one attempt went.
#[derive(Debug, Clone, Copy)]
pub struct Observation {
    pub ttft: Option<Duration>,
    pub total: Duration,
    pub output_tokens: u64,
    pub error: Option<CallErrorKind>,
}

/// One reading.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    pub samples: u64,
    pub in_flight: u32,
    pub oldest_outstanding: Duration,
    pub breaker: breaker::State,
    pub ttft_fast_ms: f64,
    pub ttft_slow_ms: f64,
    pub ttft_p50_ms: f64,
    pub ttft_p95_ms: f64,
    pub throughput: f64,
    pub error_rate: f64,
    pub rate_limited_rate: f64,
    pub timeout_rate: f64,
}

impl Statistics {
    /// A request goes to the endpoint. It counts as running until the guard is dropped.
    pub fn start(self: &Arc<Self>) -> InFlight {
        let now = Instant::now();
        let mut state = self.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.outstanding.push_back((id, now));
        state.breaker.started(now);
        InFlight { statistics: self.clone(), id, started: now }
    }

    pub fn read(&self) -> Reading {
        let now = Instant::now();
        let state = self.lock();
        let fresh = state.ttfts.back().is_some_and(|(at, _)| now.duration_since(*at) < WINDOW_AGE);
        let (p50, p95) = if fresh { state.percentiles } else { (0.0, 0.0) };
        Reading {
            samples: state.samples,
            in_flight: u32::try_from(state.outstanding.len()).unwrap_or(u32::MAX),
            oldest_outstanding: state
                .outstanding
                .front()
                .map_or(Duration::ZERO, |(_, started)| now.duration_since(*started)),
            breaker: state.breaker.state(now),
            ttft_fast_ms: state.ttft_fast.get(),
            ttft_slow_ms: state.ttft_slow.get(),
            ttft_p50_ms: p50,
            ttft_p95_ms: p95,
            throughput: state.throughput.get(),
            error_rate: state.errors.get(),
            rate_limited_rate: state.rate_limited.get(),
            timeout_rate: state.timeouts.get(),
        }
    }

    pub fn breaker(&self) -> breaker::State {
        self.lock().breaker.state(Instant::now())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn observe(&mut self, observation: &Observation, now: Instant) {
        let since = self.last.map_or(SLOW, |last| now.duration_since(last));
        self.last = Some(now);
        self.samples += 1;
        let is = |kind| f64::from(u8::from(observation.error == Some(kind)));
        self.errors.add(f64::from(u8::from(counts_against(observation.error))), since, SLOW);
        self.rate_limited.add(is(CallErrorKind::RateLimited), since, SLOW);
        self.timeouts.add(is(CallErrorKind::Timeout), since, SLOW);
        if counts_against(observation.error) {
            self.breaker.failed(now);
            return;
        }
        self.breaker.succeeded();
        let Some(ttft) = observation.ttft else { return };
        let ttft_ms = ttft.as_secs_f64() * 1e3;
        self.ttft_fast.add(ttft_ms, since, FAST);
        self.ttft_slow.add(ttft_ms, since, SLOW);
        if self.ttfts.len() == WINDOW {
            self.ttfts.pop_front();
        }
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds, for percentiles")]
        self.ttfts.push_back((now, ttft_ms as f32));
        self.percentiles = self.sorted_percentiles(now);
        let generation = observation.total.saturating_sub(ttft).as_secs_f64();
        if observation.output_tokens > 1 && generation > 0.0 {
            #[expect(clippy::cast_precision_loss, reason = "token counts are small")]
            self.throughput.add(observation.output_tokens as f64 / generation, since, FAST);
        }
    }

    fn sorted_percentiles(&self, now: Instant) -> (f64, f64) {
        let mut recent = [0f32; WINDOW];
        let mut count = 0;
        let fresh = self.ttfts.iter().filter(|(at, _)| now.duration_since(*at) < WINDOW_AGE);
        for (slot, (_, ttft)) in recent.iter_mut().zip(fresh) {
            *slot = *ttft;
            count += 1;
        }
        let Some(recent) = recent.get_mut(..count) else { return (0.0, 0.0) };
        recent.sort_unstable_by(f32::total_cmp);
        let at = |percent: usize| {
            recent.get((count * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or(0.0)
        };
        (f64::from(at(50)), f64::from(at(95)))
    }
}

/// The endpoint's fault, as opposed to the request's.
fn counts_against(error: Option<CallErrorKind>) -> bool {
    match error {
        None
        | Some(
            CallErrorKind::InvalidRequest
            | CallErrorKind::Unsupported
            | CallErrorKind::ContextLength
            | CallErrorKind::ContentFilter
            | CallErrorKind::NotFound,
        ) => false,
        Some(
            CallErrorKind::RateLimited
            | CallErrorKind::Overloaded
            | CallErrorKind::Timeout
            | CallErrorKind::Authentication
            | CallErrorKind::Permission
            | CallErrorKind::Server
            | CallErrorKind::MalformedResponse,
        ) => true,
    }
}

/// A running request.
#[derive(Debug)]
pub struct InFlight {
    statistics: Arc<Statistics>,
    id: u64,
    started: Instant,
}

impl InFlight {
    pub fn started(&self) -> Instant {
        self.started
    }

    /// It is over. Dropping without this (the client went away) leaves the figures alone.
    pub fn observe(self, observation: &Observation) {
        self.statistics.lock().observe(observation, Instant::now());
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.statistics.lock();
        if let Ok(position) = state.outstanding.binary_search_by_key(&self.id, |(id, _)| *id) {
            state.outstanding.remove(position);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(ttft_ms: u64) -> Observation {
        Observation {
            ttft: Some(Duration::from_millis(ttft_ms)),
            total: Duration::from_millis(ttft_ms + 1_000),
            output_tokens: 50,
            error: None,
        }
    }

    #[test]
    fn figures_follow_the_calls() {
        let statistics = Arc::new(Statistics::default());
        for ttft in 1..=100 {
            statistics.start().observe(&ok(ttft));
        }
        let reading = statistics.read();
        assert_eq!(reading.samples, 100);
        assert_eq!(reading.in_flight, 0);
        assert!((reading.ttft_p50_ms - 50.0).abs() < 1.0);
        assert!((reading.ttft_p95_ms - 95.0).abs() < 1.0);
        assert!((reading.throughput - 50.0).abs() < 1.0);
        assert!(reading.error_rate.abs() < f64::EPSILON);
    }

    #[test]
    fn a_request_counts_as_running_until_its_guard_goes() {
        let statistics = Arc::new(Statistics::default());
        let first = statistics.start();
        let second = statistics.start();
        drop(first);
        assert_eq!(statistics.read().in_flight, 1);
        drop(second);
        assert_eq!(statistics.read().in_flight, 0);
        assert_eq!(statistics.read().samples, 0, "an abandoned request says nothing");
    }

    #[test]
    fn the_clients_own_errors_do_not_count_against_the_endpoint() {
        let statistics = Arc::new(Statistics::default());
        for _ in 0..20 {
            let error = Some(CallErrorKind::InvalidRequest);
            statistics.start().observe(&Observation { error, ttft: None, ..ok(1) });
        }
        assert_eq!(statistics.read().breaker, breaker::State::Closed);
        for _ in 0..5 {
            let error = Some(CallErrorKind::Server);
            statistics.start().observe(&Observation { error, ttft: None, ..ok(1) });
        }
        assert_eq!(statistics.read().breaker, breaker::State::Open);
        assert!(statistics.read().error_rate > 0.0);
    }
}
