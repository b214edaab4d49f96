//! What a request would likely cost at an endpoint: money, and time turned into money.
//!
//! ```text
//! charge = cost − cache saving
//!        + v · E[wait] + w · E[output tokens ÷ tokens a second]
//!        + P(failure) · (v · failure_s + cost) + P(429) · v · 1 s
//!        + v · 48 s · pressure³ · load²
//! ```
//!
//! `v` and `w` are the operator's values of a second. Each term is what the endpoint's
//! figures say, with these corrections:
//!
//! - Of the fast and the slow average the worse one counts, as in peak EWMA. When the fast one
//!   is the better, four fifths of it count: an endpoint that recovers is believed soon.
//! - With few samples, figures are drawn towards those of a typical peer (as a prior worth
//!   three samples), so that a new endpoint gets its chance and one bad call is not a verdict.
//! - A request that is outstanding for longer than nearly all first tokens took says that
//!   something hangs, long before its time-out: its age is added to the wait.
//! - Load is priced at its marginal, not its average cost: one more request delays all others
//!   there (Pigou, "The Economics of Welfare", 1920), and a slot is dear when few are left
//!   anywhere. Both averages being equal, everything would fill up to the brim and crawl.
//!   The price of a resource that grows steeply with its use is that of online packing
//!   (Buchbinder and Naor 2009); a cube is close to an exponential, and cheap.

use torana_plugin_sdk::router::{Breaker, Candidate, RequestFacts};

use super::settings::Settings;

/// Part of the slow average that still counts when the fast one is better. At 1 recovered
/// endpoints stay away for a minute; at 0 one lucky call brings all traffic back.
const CAUTION: f64 = 0.2;
/// What the typical figures weigh, in samples.
const PRIOR_SAMPLES: f64 = 3.0;
/// What fails of late at a good endpoint.
const PRIOR_FAILURE: f64 = 0.01;
/// Before any endpoint has answered: then all are equal, whatever stands here.
const PRIOR_WAIT_S: f64 = 1.0;
const PRIOR_TOKENS_PER_S: f64 = 50.0;
/// An age is suspicious from this part of the 99th percentile on. Less means false alarms;
/// more means that each hang takes more requests.
const SUSPICIOUS: f64 = 0.8;
/// What a 429 costs: a round trip, and one of few attempts.
const REFUSAL_S: f64 = 1.0;
/// What a slot costs where all are taken. Without it overloads end in a crawl; twice as much
/// pays for room that is not needed.
const FULL_S: f64 = 48.0;
/// Part of an endpoint's capacity that costs the others there nothing.
const EASY_LOAD: f64 = 0.2;
/// An endpoint that never refused is taken to have room for as many again, and so many more.
const UNSEEN_ROOM: f64 = 10.0;
/// Beyond any figure that makes sense (milliseconds, tokens, dollars); keeps sums finite.
const MOST: f64 = 1e9;

/// One endpoint in the eyes of this request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Appraisal<'a> {
    pub(crate) candidate: &'a Candidate,
    pub(crate) rank: Rank,
    /// US dollars; less is better.
    pub(crate) charge: f64,
    /// The same if all were well there.
    pub(crate) at_best: f64,
}

/// Whatever the charges, these come one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    Usable,
    /// It would likely refuse, or its breaker waits for a probe.
    Reluctant,
    /// Its breaker is open.
    Down,
}

/// What is the same for all endpoints of one request.
#[derive(Debug)]
pub(crate) struct Appraiser<'a> {
    settings: &'a Settings,
    priced: &'a [bool],
    facts: &'a RequestFacts,
    peers: Peers,
}

/// The endpoints as a whole.
#[derive(Debug)]
struct Peers {
    /// Means of those that have answered.
    wait_s: f64,
    tokens_per_s: f64,
    /// What an unknown price counts as.
    dearest_usd: f64,
    /// Share of the known capacity that is taken: 0 … 1, a little more while caps are learned.
    pressure: f64,
}

impl<'a> Appraiser<'a> {
    pub(crate) fn new(
        settings: &'a Settings,
        priced: &'a [bool],
        facts: &'a RequestFacts,
        candidates: &[Candidate],
    ) -> Self {
        Self { settings, priced, facts, peers: Peers::of(candidates) }
    }

    pub(crate) fn appraise<'c>(&self, it: &'c Candidate) -> Appraisal<'c> {
        let value = sane(self.settings.latency_value_usd_per_s);
        let cost = self.cost(it);
        let stream_s = self.stream_s(it);
        // Whoever gets a whole answer waits for all of it.
        let (typical_s, streaming) = if self.facts.stream {
            (self.peers.wait_s, stream_s * self.settings.stream_value_usd_per_s)
        } else {
            (self.peers.wait_s + stream_s, 0.0)
        };
        let wait_s = self.wait_s(it, typical_s);
        let failure = value * self.settings.failure_s + cost;
        let load = load(it);
        let crowding = square((load - EASY_LOAD).max(0.0) / (1.0 - EASY_LOAD));
        let scarcity = FULL_S * square(self.peers.pressure) * self.peers.pressure * crowding;
        let waits_s =
            wait_s + self.suspicion_s(it) + share(it.rate_limited_rate) * REFUSAL_S + scarcity;
        let plain = cost + streaming;
        Appraisal {
            candidate: it,
            rank: rank(it, load),
            charge: plain + value * waits_s + self.failing(it) * failure,
            at_best: plain + value * wait_s.min(typical_s) + PRIOR_FAILURE * failure,
        }
    }

    /// US dollars for the tokens.
    fn cost(&self, it: &Candidate) -> f64 {
        let known = self.priced.get(it.endpoint as usize).copied().unwrap_or(false);
        let cost = sane(it.cost_usd);
        let cost = if known || cost > 0.0 { cost } else { self.peers.dearest_usd };
        (cost - sane(it.cache_saving_usd)).max(0.0)
    }

    /// Seconds from the first token to the last.
    fn stream_s(&self, it: &Candidate) -> f64 {
        let seen = sane(it.throughput);
        let tokens_per_s = if seen > 0.0 { seen } else { self.peers.tokens_per_s };
        sane(self.facts.expected_output_tokens as f64) / tokens_per_s.max(1e-3)
    }

    /// Seconds until the client sees something.
    fn wait_s(&self, it: &Candidate, typical_s: f64) -> f64 {
        let (fast, slow) = if self.facts.stream {
            (it.ttft_fast_ms, it.ttft_slow_ms)
        } else {
            (it.total_fast_ms, it.total_slow_ms)
        };
        let seen_s = worse(fast, slow) / 1e3;
        if seen_s > 0.0 { towards(seen_s, typical_s, it.samples) } else { typical_s }
    }

    /// What is added to the wait for a request that should have been answered by now. Whole
    /// answers are outstanding to their end: for them an age says nothing.
    fn suspicion_s(&self, it: &Candidate) -> f64 {
        let age_s = f64::from(it.oldest_outstanding_ms) / 1e3;
        let tail_s = sane(it.ttft_p99_ms) / 1e3;
        let tail_s = if tail_s > 0.0 { tail_s } else { 3.0 * self.peers.wait_s };
        if self.facts.stream && age_s > SUSPICIOUS * tail_s { age_s } else { 0.0 }
    }

    /// Chance that there will be no answer that is of use.
    fn failing(&self, it: &Candidate) -> f64 {
        let rate = share(worse(it.error_rate_fast, it.error_rate));
        let failing = towards(rate, PRIOR_FAILURE, it.samples);
        let useless = if self.facts.uses_tools { share(it.tool_call_error_rate) } else { 0.0 };
        1.0 - (1.0 - failing) * (1.0 - useless)
    }
}

impl Peers {
    fn of(candidates: &[Candidate]) -> Self {
        let (mut wait_ms, mut speed) = (Mean::default(), Mean::default());
        let (mut running, mut room, mut dearest_usd) = (0.0, 0.0, 0.0_f64);
        for it in candidates {
            // The median of minutes outlasts a bad moment.
            wait_ms.add(if it.ttft_p50_ms > 0.0 { it.ttft_p50_ms } else { it.ttft_slow_ms });
            speed.add(it.throughput);
            dearest_usd = dearest_usd.max(sane(it.cost_usd));
            if it.eligible && it.breaker == Breaker::Closed {
                let here = f64::from(it.in_flight);
                running += here;
                let cap = f64::from(it.learned_cap);
                room += if cap > 0.0 { cap } else { 2.0 * here + UNSEEN_ROOM };
            }
        }
        Self {
            wait_s: wait_ms.or(PRIOR_WAIT_S * 1e3) / 1e3,
            tokens_per_s: speed.or(PRIOR_TOKENS_PER_S),
            dearest_usd,
            pressure: if room > 0.0 { (running / room).min(1.5) } else { 0.0 },
        }
    }
}

/// Of the figures above 0: those are known.
#[derive(Debug, Default)]
struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    fn add(&mut self, figure: f64) {
        if figure > 0.0 {
            self.sum += sane(figure);
            self.count += 1.0;
        }
    }

    fn or(&self, unknown: f64) -> f64 {
        if self.count > 0.0 { self.sum / self.count } else { unknown }
    }
}

fn rank(it: &Candidate, load: f64) -> Rank {
    match it.breaker {
        Breaker::Open => Rank::Down,
        Breaker::HalfOpen => Rank::Reluctant,
        Breaker::Closed if load > 1.0 || it.back_off_ms > 0 => Rank::Reluctant,
        Breaker::Closed => Rank::Usable,
    }
}

/// Of its learned capacity, with this request; 0 while it never refused.
fn load(it: &Candidate) -> f64 {
    if it.learned_cap == 0 {
        return 0.0;
    }
    (f64::from(it.in_flight) + 1.0) / f64::from(it.learned_cap)
}

fn worse(fast: f64, slow: f64) -> f64 {
    let (fast, slow) = (sane(fast), sane(slow));
    if fast >= slow { fast } else { fast + (slow - fast) * CAUTION }
}

/// The mean of a prior and the samples.
fn towards(seen: f64, prior: f64, samples: u64) -> f64 {
    let samples = samples as f64;
    prior + (seen - prior) * samples / (samples + PRIOR_SAMPLES)
}

/// What is not a number counts as 0.
fn sane(figure: f64) -> f64 {
    if figure > 0.0 { figure.min(MOST) } else { 0.0 }
}

fn share(rate: f64) -> f64 {
    sane(rate).min(1.0)
}

fn square(number: f64) -> f64 {
    number * number
}
