//! One running request, and what its end says of its endpoint.
//!
//! The guard may end in four ways: finished (with or without an error), lost to a hedge, or
//! dropped because the client went away, which says nothing. Whichever it is, the request no
//! longer counts as running.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use torana_wire::error::CallErrorKind;

use super::outstanding::Slot;
use super::window::{Count, Figure};
use super::{Ending, Statistics, milliseconds};
use crate::breaker::{Failed, Ticket};

/// A running request. Dropping it ends that and says nothing else.
#[derive(Debug)]
pub struct InFlight {
    statistics: Arc<Statistics>,
    started: Instant,
    slot: Option<Slot>,
    /// Absent before the first token.
    ttft: Option<Duration>,
    /// Its answer comes as a whole.
    whole: bool,
    ticket: Ticket,
}

impl InFlight {
    /// It is among those in flight already.
    pub(super) fn new(
        statistics: Arc<Statistics>,
        started: Instant,
        slot: Option<Slot>,
        ticket: Ticket,
    ) -> Self {
        Self { statistics, started, slot, ttft: None, whole: false, ticket }
    }

    pub fn started(&self) -> Instant {
        self.started
    }

    /// Its answer comes as a whole. Beside streams, how long nothing has come of it says
    /// nothing of first tokens; among its like, it is all there is to go by.
    pub fn expects_whole(&mut self) {
        self.whole = true;
        if self.statistics.recent.streamed()
            && let Some(slot) = self.slot.take()
        {
            self.statistics.outstanding.leave(slot);
        }
    }

    /// The endpoint began to stream. Only the first call counts.
    pub fn first_token(&mut self, now: Instant) {
        if self.ttft.is_some() {
            return;
        }
        let ttft = now.saturating_duration_since(self.started);
        self.ttft = Some(ttft);
        let statistics = &self.statistics;
        if let Some(slot) = self.slot.take() {
            statistics.outstanding.leave(slot);
        }
        let now = statistics.nanoseconds(now);
        statistics.proved_well(self.ticket, statistics.nanoseconds(self.started), now);
        statistics.ttft.add(in_milliseconds(ttft), now);
        statistics.slices.sample(Figure::Ttft, in_milliseconds(ttft), now);
        statistics.recent.streamed_one(&statistics.slices, now);
    }

    pub fn finished(self, ending: &Ending, now: Instant) {
        let total = now.saturating_duration_since(self.started);
        let statistics = &self.statistics;
        let now = statistics.nanoseconds(now);
        if let Some(retry_after) = ending.retry_after {
            statistics.back_off.asked(retry_after, now);
        }
        statistics.slices.cost(ending.cost_usd, now);
        match Verdict::of(ending.error, statistics.clients_name_models) {
            Verdict::Worked => self.worked(total, ending.output_tokens, now),
            Verdict::Fault { timeout } => self.fault(total, timeout, now),
            Verdict::RateLimited => self.rate_limited(now),
            Verdict::NotItsFault => statistics.breaker.alive(self.ticket, milliseconds(now)),
        }
    }

    /// Another request answered first, and this one was cancelled.
    pub fn lost(self, now: Instant) {
        let waited = now.saturating_duration_since(self.started);
        self.waited(waited, self.statistics.nanoseconds(now));
    }

    fn worked(&self, total: Duration, output_tokens: u64, now: u64) {
        let statistics = &self.statistics;
        // Of a stream its first token told so already. Its end says nothing of new requests:
        // an endpoint that refuses them often still finishes what it began.
        if self.ttft.is_none() {
            statistics.proved_well(self.ticket, statistics.nanoseconds(self.started), now);
        }
        statistics.cap.served(statistics.in_flight.load(Ordering::Relaxed));
        statistics.judged(Count::Succeeded, false, now);
        let total_ms = in_milliseconds(total);
        statistics.total.add(total_ms, now);
        statistics.slices.sample(Figure::Total, total_ms, now);
        let generation = match self.ttft {
            Some(ttft) => Some(total.saturating_sub(ttft)),
            None => {
                statistics.ttft.at_most(total_ms, now);
                statistics.recent.refresh_if_stale(&statistics.slices, now);
                (!statistics.recent.streamed()).then_some(total)
            }
        };
        let tokens = token_count(output_tokens);
        if output_tokens > 0 {
            statistics.output_tokens.add(tokens, now);
        }
        if let Some(seconds) = generation.map(|generation| generation.as_secs_f64())
            && output_tokens > 1
            && seconds > 0.0
        {
            statistics.throughput.add(tokens / seconds, now);
            statistics.slices.sample(Figure::Throughput, tokens / seconds, now);
        }
    }

    fn fault(&self, total: Duration, timeout: bool, now: u64) {
        let statistics = &self.statistics;
        if timeout {
            self.waited(total, now);
        }
        statistics.judged(Count::Failed, timeout, now);
        statistics.errors.add(1.0, now);
        statistics.breaker.failed(&Failed {
            ticket: self.ticket,
            started_ms: milliseconds(statistics.nanoseconds(self.started)),
            now_ms: milliseconds(now),
            error_rate: statistics.errors.fast().unwrap_or(0.0),
            calls: statistics.errors.fast_count(now),
        });
    }

    fn rate_limited(&self, now: u64) {
        let statistics = &self.statistics;
        statistics.samples.fetch_add(1, Ordering::Relaxed);
        statistics.slices.count(Count::RateLimited, now);
        statistics.rate_limited.add(1.0, now);
        statistics.cap.refused(statistics.in_flight.load(Ordering::Relaxed));
        statistics.breaker.alive(self.ticket, milliseconds(now));
    }

    /// So long, and no answer: neither its first token nor its end can have been sooner.
    fn waited(&self, time: Duration, now: u64) {
        let statistics = &self.statistics;
        let time = in_milliseconds(time);
        let tells = self.ttft.is_none() && !(self.whole && statistics.recent.streamed());
        if tells && statistics.ttft.at_least(time, now) {
            statistics.slices.sample(Figure::Ttft, time, now);
        }
        statistics.total.at_least(time, now);
        statistics.recent.refresh_if_stale(&statistics.slices, now);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.statistics.outstanding.leave(slot);
        }
        self.statistics.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Who is to blame for an ending.
enum Verdict {
    Worked,
    Fault { timeout: bool },
    RateLimited,
    NotItsFault,
}

impl Verdict {
    fn of(error: Option<CallErrorKind>, clients_name_models: bool) -> Self {
        match error {
            None => Self::Worked,
            Some(CallErrorKind::NotFound) if clients_name_models => Self::NotItsFault,
            Some(CallErrorKind::Timeout) => Self::Fault { timeout: true },
            Some(
                CallErrorKind::Server
                | CallErrorKind::Overloaded
                | CallErrorKind::MalformedResponse
                | CallErrorKind::Authentication
                | CallErrorKind::Permission
                | CallErrorKind::NotFound,
            ) => Self::Fault { timeout: false },
            Some(CallErrorKind::RateLimited) => Self::RateLimited,
            Some(
                CallErrorKind::InvalidRequest
                | CallErrorKind::Unsupported
                | CallErrorKind::ContextLength
                | CallErrorKind::ContentFilter,
            ) => Self::NotItsFault,
        }
    }
}

fn in_milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
pub(super) fn token_count(tokens: u64) -> f64 {
    tokens as f64
}
