//! The world that requests meet: endpoints, their faults, load and prompt caches.
//!
//! An attempt's fate is settled when it begins, from the endpoint's state at that moment and
//! the luck of the request there. The model:
//!
//! - One request more than the capacity of now is refused with 429 after one round trip; half
//!   of the refusals name a `retry-after` of 1 to 2 s.
//! - Server errors come after 50 to 400 ms. A hanging endpoint says nothing, then breaks the
//!   connection.
//! - TTFT is log-normal, times slowness, times congestion: with y from 0 at the stated share
//!   of the capacity to 1 at full load, TTFT is 1 + 2y² and generation 1 / (1 + y) as fast.
//!   Speed varies by 10 % from answer to answer.
//! - A conversation's prompt and answer stay in the endpoint's cache for five minutes from
//!   their last use. What is cached costs the cached price and saves its part of the prefill,
//!   taken as half of the TTFT.
//! - Money: an answer costs its tokens; one cut in mid-stream what was generated; an attempt
//!   that the gateway cancelled (the loser of a hedge, or one that ran into the timeout of its
//!   step though an answer would have come) its prompt. Failures cost nothing.
//!
//! Faults that begin while a request runs leave it alone.

use std::collections::HashMap;
use std::time::Duration;

use torana_routing::price::Price;
use torana_wire::chat::Usage;
use torana_wire::error::CallErrorKind;

use crate::random::{Luck, Purpose};
use crate::scenario::{Arrival, Endpoint, Fault, FaultKind, Scenario};

/// One round trip.
const REFUSAL: Duration = Duration::from_millis(30);
const RETRY_AFTER_SHARE: f64 = 0.5;
const ERROR_AFTER_S: (f64, f64) = (0.05, 0.4);
const CONGESTED_TTFT: f64 = 2.0;
const SPEED_SIGMA: f64 = 0.1;
/// OpenAI and Anthropic keep prompts for 5 minutes from their last use.
const CACHE_TTL: Duration = Duration::from_secs(300);
const PREFILL_SHARE: f64 = 0.5;
/// No time of the world exceeds a day, whatever a scenario's factors multiply to.
const LONGEST_S: f64 = 86_400.0;

/// What becomes of an attempt if nobody cancels it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fate {
    Refused { after: Duration, retry_after: Option<Duration> },
    Failed { after: Duration, error: CallErrorKind },
    Answered(Answer),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Answer {
    pub ttft: Duration,
    /// From the first token to the last, or to the cut.
    pub stream: Duration,
    pub cut: bool,
    /// Of what was generated until then.
    pub usage: Usage,
    pub cost_usd: f64,
    /// What it costs if it is cancelled before the first token.
    pub prompt_cost_usd: f64,
}

#[derive(Debug)]
pub(crate) struct World<'a> {
    scenario: &'a Scenario,
    seed: u64,
    endpoints: Vec<State<'a>>,
    caches: HashMap<(u64, usize), Cached>,
}

#[derive(Debug)]
struct State<'a> {
    endpoint: &'a Endpoint,
    in_flight: u32,
    /// In the order of their start.
    faults: Vec<(usize, &'a Fault)>,
}

#[derive(Debug, Clone, Copy)]
struct Cached {
    tokens: u64,
    used: Duration,
}

impl<'a> World<'a> {
    pub(crate) fn new(scenario: &'a Scenario, seed: u64) -> Self {
        let state = |(position, endpoint)| {
            let faults = scenario.faults.iter().enumerate();
            let mut faults: Vec<_> =
                faults.filter(|(_, fault)| fault.endpoint == position).collect();
            faults.sort_by_key(|(_, fault)| fault.start);
            State { endpoint, in_flight: 0, faults }
        };
        let endpoints = scenario.endpoints.iter().enumerate().map(state).collect();
        Self { scenario, seed, endpoints, caches: HashMap::new() }
    }

    /// A request goes to an endpoint. It is in flight there until [`World::end`], unless it is
    /// refused: what is turned away at the door takes no room.
    pub(crate) fn begin(&mut self, request: usize, endpoint: usize, now: Duration) -> Fate {
        let luck = Luck::new(self.seed, request as u64, endpoint as u64);
        let Some(arrival) = self.scenario.arrivals.get(request) else { return unknown() };
        let cached = self.cached_tokens(arrival, endpoint, now);
        let Some(state) = self.endpoints.get_mut(endpoint) else { return unknown() };
        if state.in_flight >= state.capacity(now) {
            // Below the share it is even from 0 to 1.
            let drawn = luck.uniform(Purpose::RetryAfter) / RETRY_AFTER_SHARE;
            let retry_after = (drawn < 1.0).then(|| Duration::from_secs_f64(1.0 + drawn));
            return Fate::Refused { after: REFUSAL, retry_after };
        }
        state.in_flight += 1;
        state.fate(arrival, luck, cached, now)
    }

    /// The attempt of this fate is over, one way or another.
    pub(crate) fn end(&mut self, endpoint: usize, fate: &Fate) {
        let took_room = !matches!(fate, Fate::Refused { .. });
        if let Some(state) = self.endpoints.get_mut(endpoint).filter(|_| took_room) {
            state.in_flight = state.in_flight.saturating_sub(1);
        }
    }

    /// An answer came: its conversation is in the endpoint's cache from now on.
    pub(crate) fn answered(&mut self, arrival: &Arrival, endpoint: usize, now: Duration) {
        if arrival.session != 0 {
            let tokens = arrival.input_tokens.saturating_add(arrival.output_tokens);
            self.caches.insert((arrival.session, endpoint), Cached { tokens, used: now });
        }
    }

    #[cfg(test)]
    pub(crate) fn in_flight(&self, endpoint: usize) -> u32 {
        self.endpoints.get(endpoint).map_or(0, |state| state.in_flight)
    }

    /// What a token costs now.
    pub(crate) fn price(&self, endpoint: usize, now: Duration) -> Price {
        self.endpoints.get(endpoint).map_or_else(Price::default, |state| state.price(now))
    }

    /// Some endpoint would neither refuse a request nor fail it for certain.
    pub(crate) fn has_room(&self, now: Duration) -> bool {
        self.endpoints.iter().any(|state| state.has_room(now))
    }

    /// What a request can expect at an endpoint, for whoever knows everything but the luck.
    pub(crate) fn prospect(&self, request: usize, endpoint: usize, now: Duration) -> Prospect {
        let none = Prospect { has_room: false, rank: f64::INFINITY };
        let Some(arrival) = self.scenario.arrivals.get(request) else { return none };
        let Some(state) = self.endpoints.get(endpoint) else { return none };
        let values = self.scenario.values;
        let cached = self.cached_tokens(arrival, endpoint, now);
        let risk = state.risk(now, self.scenario.limits.first_token_timeout);
        let ttft = state.endpoint.ttft_ms.mean() / 1e3
            * state.ttft_factor(1, arrival, cached, now)
            * state.expected_slowness(now);
        let stream = float(arrival.output_tokens) / state.speed(1, now);
        let usage = usage(arrival, cached, arrival.output_tokens);
        let answered = state.price(now).cost(&usage)
            + values.ttft_usd_per_s * (ttft + risk.cut * values.failure_penalty_s)
            + values.stream_usd_per_s * stream;
        let failed = values.ttft_usd_per_s * risk.failure_s;
        Prospect {
            has_room: state.has_room(now),
            rank: answered + failed * risk.failure / (1.0 - risk.failure),
        }
    }

    fn cached_tokens(&self, arrival: &Arrival, endpoint: usize, now: Duration) -> u64 {
        if arrival.session == 0 {
            return 0;
        }
        let cached = self.caches.get(&(arrival.session, endpoint));
        let fresh = cached.filter(|cached| now.saturating_sub(cached.used) < CACHE_TTL);
        fresh.map_or(0, |cached| cached.tokens.min(arrival.input_tokens))
    }
}

/// What the oracle weighs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Prospect {
    /// It would neither refuse nor fail for certain.
    pub has_room: bool,
    /// US dollars; less is better. With A for the expected utility of an answer, F for that of
    /// the time until a failure and p for its chance: A + F p / (1 - p). To try endpoints in
    /// this order until one answers is best on average: exchange two neighbours, and the sum
    /// of c1 + p1 c2, where c = (1 - p) A + p F, is the least in the order of c / (1 - p).
    pub rank: f64,
}

/// Chances of a request at an endpoint.
#[derive(Debug, Clone, Copy, Default)]
struct Risk {
    /// To fail before the first token.
    failure: f64,
    /// How long that takes.
    failure_s: f64,
    /// To be cut after the first token.
    cut: f64,
}

impl State<'_> {
    fn fate(&self, arrival: &Arrival, luck: Luck, cached: u64, now: Duration) -> Fate {
        let (shortest, longest) = ERROR_AFTER_S;
        let error_after = shortest + (longest - shortest) * luck.uniform(Purpose::Delay);
        let failed = |after: f64, error| Fate::Failed { after: span(after), error };
        if luck.happens(Purpose::Error, self.endpoint.error_rate) {
            return failed(error_after, CallErrorKind::Server);
        }
        let (mut slowness, mut cut) = (1.0, false);
        for (position, fault) in self.in_force(now) {
            if !luck.happens(Purpose::Fault(position), fault.intensity) {
                continue;
            }
            match fault.kind {
                FaultKind::Error | FaultKind::Flap { .. } | FaultKind::Grey => {
                    return failed(error_after, CallErrorKind::Server);
                }
                FaultKind::Hang { seconds } => {
                    return failed(seconds, CallErrorKind::Timeout);
                }
                FaultKind::Slow { .. } | FaultKind::Ramp { .. } => slowness *= fault.slowness(now),
                FaultKind::Cut => cut = true,
                FaultKind::RateLimit { .. } | FaultKind::Price { .. } => {}
            }
        }
        let typical = self.endpoint.ttft_ms.value(luck.normal(Purpose::Ttft)) / 1e3;
        // This request is in flight already.
        let ttft = typical * self.ttft_factor(0, arrival, cached, now) * slowness;
        let speed = self.speed(0, now) * (SPEED_SIGMA * luck.normal(Purpose::Speed)).exp();
        let whole = if cut { luck.uniform(Purpose::Cut) } else { 1.0 };
        Fate::Answered(self.answer(arrival, cached, now, (ttft, speed), (cut, whole)))
    }

    fn answer(
        &self,
        arrival: &Arrival,
        cached: u64,
        now: Duration,
        (ttft, speed): (f64, f64),
        (cut, whole): (bool, f64),
    ) -> Answer {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "token counts")]
        let output = (float(arrival.output_tokens) * whole).ceil() as u64;
        let price = self.price(now);
        let usage = usage(arrival, cached, output);
        Answer {
            ttft: span(ttft),
            stream: span(float(output) / speed),
            cut,
            usage,
            cost_usd: price.cost(&usage),
            prompt_cost_usd: price.cost(&Usage { output: 0, ..usage }),
        }
    }

    fn in_force(&self, now: Duration) -> impl Iterator<Item = (usize, &Fault)> {
        // In the order of their start: what comes after `now` need not be looked at.
        let begun = self.faults.iter().take_while(move |(_, fault)| fault.start <= now);
        begun
            .filter(move |(_, fault)| fault.in_force(now))
            .map(|&(position, fault)| (position, fault))
    }

    fn has_room(&self, now: Duration) -> bool {
        let certain = |fault: &Fault| match fault.kind {
            FaultKind::Error
            | FaultKind::Flap { .. }
            | FaultKind::Grey
            | FaultKind::Hang { .. } => fault.intensity >= 1.0,
            FaultKind::Slow { .. }
            | FaultKind::Ramp { .. }
            | FaultKind::RateLimit { .. }
            | FaultKind::Cut
            | FaultKind::Price { .. } => false,
        };
        self.in_flight < self.capacity(now) && !self.in_force(now).any(|(_, fault)| certain(fault))
    }

    fn capacity(&self, now: Duration) -> u32 {
        let shares = self.in_force(now).filter_map(|(_, fault)| match fault.kind {
            FaultKind::RateLimit { share } => Some(share.clamp(0.0, 1.0)),
            _ => None,
        });
        let capacity = f64::from(self.endpoint.concurrency) * shares.product::<f64>();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most a u32"
        )]
        let capacity = capacity.floor() as u32;
        capacity
    }

    fn price(&self, now: Duration) -> Price {
        let factors = self.in_force(now).filter_map(|(_, fault)| match fault.kind {
            FaultKind::Price { factor } => Some(factor),
            _ => None,
        });
        let factor = factors.product::<f64>();
        let price = self.endpoint.price;
        Price {
            input: price.input * factor,
            output: price.output * factor,
            cached_input: price.cached_input.map(|price| price * factor),
            cache_write: price.cache_write.map(|price| price * factor),
            ..price
        }
    }

    /// From 0 at the load above which it is congested to 1 at full load. `more` requests are
    /// to come.
    fn congestion(&self, more: u32, now: Duration) -> f64 {
        let load = f64::from(self.in_flight + more) / f64::from(self.capacity(now).max(1));
        let above = self.endpoint.congestion_above;
        if above >= 1.0 { 0.0 } else { ((load - above) / (1.0 - above)).clamp(0.0, 1.0) }
    }

    fn ttft_factor(&self, more: u32, arrival: &Arrival, cached: u64, now: Duration) -> f64 {
        let congestion = self.congestion(more, now);
        let share = float(cached) / float(arrival.input_tokens.max(1));
        (1.0 + CONGESTED_TTFT * congestion * congestion) * (1.0 - PREFILL_SHARE * share)
    }

    fn speed(&self, more: u32, now: Duration) -> f64 {
        self.endpoint.tokens_per_s / (1.0 + self.congestion(more, now))
    }

    fn expected_slowness(&self, now: Duration) -> f64 {
        let factor = |fault: &Fault| 1.0 + fault.intensity * (fault.slowness(now) - 1.0);
        self.in_force(now).map(|(_, fault)| factor(fault)).product()
    }

    /// Who hangs is given up after `timeout`.
    fn risk(&self, now: Duration, timeout: Duration) -> Risk {
        let error_s = f64::midpoint(ERROR_AFTER_S.0, ERROR_AFTER_S.1);
        let mut risk = Risk::default();
        let mut may_fail = |probability: f64, after: f64| {
            risk.failure_s += (1.0 - risk.failure) * probability * after;
            risk.failure += (1.0 - risk.failure) * probability;
        };
        may_fail(self.endpoint.error_rate, error_s);
        let mut whole = 1.0;
        for (_, fault) in self.in_force(now) {
            match fault.kind {
                FaultKind::Error | FaultKind::Flap { .. } | FaultKind::Grey => {
                    may_fail(fault.intensity, error_s);
                }
                FaultKind::Hang { seconds } => {
                    may_fail(fault.intensity, seconds.min(timeout.as_secs_f64()));
                }
                FaultKind::Cut => whole *= 1.0 - fault.intensity,
                FaultKind::Slow { .. }
                | FaultKind::Ramp { .. }
                | FaultKind::RateLimit { .. }
                | FaultKind::Price { .. } => {}
            }
        }
        // So far the time is weighed by its chance; wanted is that of a failure.
        risk.failure_s = if risk.failure > 0.0 { risk.failure_s / risk.failure } else { 0.0 };
        risk.cut = 1.0 - whole;
        risk
    }
}

fn usage(arrival: &Arrival, cached: u64, output: u64) -> Usage {
    Usage { input: arrival.input_tokens, cached_input: cached, output, ..Usage::default() }
}

/// A request or endpoint that the scenario does not have: nothing answers.
fn unknown() -> Fate {
    Fate::Failed { after: Duration::ZERO, error: CallErrorKind::NotFound }
}

/// What is not a number comes out as no time at all.
fn span(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.clamp(0.0, LONGEST_S)).unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
