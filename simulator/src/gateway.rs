//! What the gateway knows of its endpoints, and what it does around a policy.
//!
//! The same steps as on the gateway's request path: read the statistics, make the rows, ask
//! the policy, drop what may not be tried. A policy that fails is counted, and the request
//! takes the endpoints in priority order. Outcomes are told in batches, off the path. In
//! place of a policy stands the oracle, if there is none.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use torana_routing::affinity::Affinity;
use torana_routing::budget::{self, Budgets};
use torana_routing::candidate;
use torana_routing::execution::Step;
use torana_routing::plan;
use torana_routing::policy::{Breaker, Candidate, Facts, Outcome};
use torana_routing::statistics::{InFlight, Reading, Statistics};

use crate::oracle;
use crate::outage::Seen;
use crate::random;
use crate::router::Router;
use crate::run::Options;
use crate::scenario::{Arrival, Scenario};
use crate::world::World;

/// As in the gateway.
const BATCH: Duration = Duration::from_millis(200);
const AFFINITY_SESSIONS: usize = 100_000;
const AFFINITY_TTL: Duration = Duration::from_secs(300);
/// Keeps the numbers for policies apart from those for luck.
const POLICY_SEED: u64 = 0x706f_6c69_6379;

/// Virtual time as instants and as Unix time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    base: Instant,
    start_unix_ms: u64,
}

impl Clock {
    /// Any instant will do as a base: only differences matter.
    pub(crate) fn new(options: &Options) -> Self {
        Self { base: Instant::now(), start_unix_ms: options.start_unix_ms }
    }

    pub(crate) fn instant(self, at: Duration) -> Instant {
        self.base.checked_add(at).unwrap_or(self.base)
    }

    pub(crate) fn virtual_time(self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.base)
    }

    pub(crate) fn unix_ms(self, at: Duration) -> u64 {
        let passed = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        self.start_unix_ms.saturating_add(passed)
    }
}

pub(crate) struct Gateway<'r> {
    /// Absent: the oracle.
    router: Option<&'r mut dyn Router>,
    clock: Clock,
    seed: u64,
    pub(crate) budgets: Budgets,
    affinity: Affinity,
    endpoints: Vec<Known>,
    outcomes: Vec<Outcome>,
    next_batch: Duration,
    /// Kept from request to request to save their allocation.
    readings: Vec<Reading>,
    rows: Vec<Candidate>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) router_failures: u64,
}

struct Known {
    name_hash: u64,
    statistics: Arc<Statistics>,
    /// What its breaker was last seen to show.
    closed: bool,
}

impl<'r> Gateway<'r> {
    pub(crate) fn new(
        scenario: &Scenario,
        seed: u64,
        router: Option<&'r mut dyn Router>,
        clock: Clock,
    ) -> Self {
        let start = clock.instant(Duration::ZERO);
        let limits = scenario.limits;
        let settings = budget::Settings {
            retry_percent: limits.retry_share * 100.0,
            retries_per_second: limits.retry_per_s,
            hedge_percent: limits.hedge_share * 100.0,
            hedge_burst: limits.hedge_burst,
        };
        let known = |name: &String| {
            let mut hasher = DefaultHasher::new();
            name.hash(&mut hasher);
            let statistics = Arc::new(Statistics::new(start));
            Known { name_hash: hasher.finish(), statistics, closed: true }
        };
        Self {
            router,
            clock,
            seed: random::number(seed, POLICY_SEED),
            budgets: Budgets::new(&settings, start),
            affinity: Affinity::new(AFFINITY_SESSIONS, AFFINITY_TTL),
            endpoints: scenario.endpoints.iter().map(|endpoint| known(&endpoint.name)).collect(),
            outcomes: Vec::new(),
            next_batch: BATCH,
            readings: Vec::new(),
            rows: Vec::new(),
            seen: Vec::new(),
            router_failures: 0,
        }
    }

    /// Where the request is to go, in order.
    pub(crate) fn plan(
        &mut self,
        world: &World<'_>,
        request: usize,
        arrival: &Arrival,
        now: Duration,
    ) -> Vec<Step> {
        if self.router.is_none() {
            return oracle::order(world, self.endpoints.len(), request, now);
        }
        let instant = self.clock.instant(now);
        self.readings.clear();
        let readings = self.endpoints.iter().map(|known| known.statistics.read(instant));
        self.readings.extend(readings);
        self.see_breakers(now);
        let facts = Facts {
            now_unix_ms: self.clock.unix_ms(now),
            seed: random::number(self.seed, request as u64),
            stream: true,
            input_tokens: arrival.input_tokens,
            expected_output_tokens: candidate::expected_output(&self.readings, None),
            session: arrival.session,
            ..Facts::default()
        };
        self.rows.clear();
        for (endpoint, (known, reading)) in self.endpoints.iter().zip(&self.readings).enumerate() {
            // The catalog is assumed to know a change of price at once.
            let price = world.price(endpoint, now);
            let cached = self.affinity.cached_tokens(arrival.session, known.name_hash, instant);
            let endpoint = u32::try_from(endpoint).unwrap_or(u32::MAX);
            self.rows.push(candidate::row(endpoint, true, reading, Some(&price), cached, &facts));
        }
        match self.router.as_mut().map(|router| router.route(&facts, &self.rows)) {
            Some(Ok(plan)) => plan::steps(&plan, &self.rows, 0).0,
            Some(Err(_)) => {
                self.router_failures += 1;
                plan::priority(&self.rows, 0).0
            }
            None => plan::priority(&self.rows, 0).0,
        }
    }

    #[cfg(test)]
    pub(crate) fn reading(&self, endpoint: usize, now: Duration) -> Reading {
        let known = self.endpoints.get(endpoint);
        known.map_or_else(Reading::default, |known| known.statistics.read(self.clock.instant(now)))
    }

    /// `None` for an endpoint that the scenario does not have.
    pub(crate) fn start(&self, endpoint: usize, now: Duration) -> Option<InFlight> {
        let known = self.endpoints.get(endpoint)?;
        Some(known.statistics.start(self.clock.instant(now)))
    }

    pub(crate) fn remember(&self, arrival: &Arrival, endpoint: usize, now: Duration) {
        if let Some(known) = self.endpoints.get(endpoint) {
            let tokens = arrival.input_tokens.saturating_add(arrival.output_tokens);
            let now = self.clock.instant(now);
            self.affinity.remember(arrival.session, known.name_hash, tokens, now);
        }
    }

    /// The outcome is told with its batch.
    pub(crate) fn note(&mut self, outcome: Outcome) {
        if self.router.is_some() {
            self.outcomes.push(outcome);
        }
    }

    /// Virtual time goes on: batches that were due until now are told.
    pub(crate) fn advance(&mut self, now: Duration) {
        if now < self.next_batch {
            return;
        }
        self.tell();
        let passed = now.as_nanos() / BATCH.as_nanos();
        let batches = u32::try_from(passed).unwrap_or(u32::MAX).saturating_add(1);
        self.next_batch = BATCH.saturating_mul(batches);
    }

    /// Tells what is left.
    pub(crate) fn tell(&mut self) {
        if self.outcomes.is_empty() {
            return;
        }
        if let Some(Err(_)) = self.router.as_mut().map(|router| router.observe(&self.outcomes)) {
            self.router_failures += 1;
        }
        self.outcomes.clear();
    }

    fn see_breakers(&mut self, now: Duration) {
        for (endpoint, (known, reading)) in
            self.endpoints.iter_mut().zip(&self.readings).enumerate()
        {
            let closed = reading.breaker == Breaker::Closed;
            if closed != known.closed {
                known.closed = closed;
                self.seen.push(Seen { endpoint, at: now, closed });
            }
        }
    }
}
