//! Routing policy: endpoints drawn by price, those without a recent outage first.
//!
//! OpenRouter's documented default until August 2026. Endpoints that had no significant
//! outage within the last `window_s` seconds come first, in random order: one of price `p`
//! is drawn with a weight of 1/p², without putting back. Then come those with an outage, the
//! least failing first, and at the very end open breakers. OpenRouter does not publish what
//! a significant outage is; here it is `outage_errors` failures that are also more than
//! `outage_share` of the calls.
//!
//! The price is what this request would likely cost, less what the endpoint's prompt cache
//! saves. An unknown price counts as the dearest known one. Scores are the chance to be
//! tried first.
//!
//! The outage window is this policy's own (`outage`): it learns from outcomes, deciding
//! changes nothing.

mod outage;

use serde::Deserialize;
use torana_plugin_sdk::SettingsError;
use torana_plugin_sdk::router::{
    Breaker, Candidate, Endpoint, Outcome, Plan, Policy, RequestFacts, Score, Step,
};

use self::outage::Outages;

/// A free endpoint is drawn as if it cost this part of the dearest: always before paid ones
/// in practice, and with equal chances among its like.
const LEAST_PRICE: f64 = 1e-6;

/// A decision sums up this many slots an endpoint: more would be felt.
const LONGEST_WINDOW_S: u32 = 300;

/// The router's `settings` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// Seconds that an outage is remembered.
    window_s: u32,
    /// Failures within the window that make an outage …
    outage_errors: u32,
    /// … if they are more than this share of its calls.
    outage_share: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { window_s: 30, outage_errors: 3, outage_share: 0.1 }
    }
}

struct Balanced {
    settings: Settings,
    /// By position: whether the price is known.
    priced: Vec<bool>,
    outages: Outages,
}

/// What decides an endpoint's place.
struct Drawn {
    endpoint: u32,
    open: bool,
    /// Share of failed calls; 0 without a significant outage.
    failing: f64,
    /// Largest first.
    key: f64,
    weight: f64,
}

impl Policy for Balanced {
    type Settings = Settings;

    fn prepare(settings: Settings, endpoints: Vec<Endpoint>) -> Result<Self, SettingsError> {
        settings.check()?;
        let priced = |it: &Endpoint| it.price_input.is_some() || it.price_output.is_some();
        Ok(Self {
            priced: endpoints.iter().map(priced).collect(),
            outages: Outages::new(settings.window_s, endpoints),
            settings,
        })
    }

    fn route(&mut self, facts: &RequestFacts, candidates: &[Candidate]) -> Plan {
        let price = |it: &Candidate| self.price(it);
        let dearest = candidates.iter().filter_map(price).fold(0.0, f64::max);
        let eligible = candidates.iter().filter(|it| it.eligible);
        let mut drawn: Vec<Drawn> = eligible.map(|it| self.draw(facts, it, dearest)).collect();
        drawn.sort_by(|a, b| {
            let key = || b.key.total_cmp(&a.key);
            a.open.cmp(&b.open).then(a.failing.total_cmp(&b.failing)).then_with(key)
        });
        let weight = |it: &Drawn| if it.stands_back() { 0.0 } else { it.weight };
        let sum: f64 = drawn.iter().map(weight).sum();
        let share = |it: &Drawn| if sum > 0.0 { weight(it) / sum } else { 0.0 };
        Plan {
            steps: drawn.iter().map(|it| Step::to(it.endpoint)).collect(),
            scores: drawn
                .iter()
                .map(|it| Score { endpoint: it.endpoint, score: share(it) })
                .collect(),
        }
    }

    fn observe(&mut self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            self.outages.observe(outcome);
        }
    }

    fn save(&self) -> Vec<u8> {
        self.outages.save()
    }

    fn restore(&mut self, state: &[u8]) {
        self.outages.restore(state);
    }
}

impl Balanced {
    /// US dollars for this request; `None` if the endpoint's price is unknown.
    fn price(&self, candidate: &Candidate) -> Option<f64> {
        let known = self.priced.get(candidate.endpoint as usize).copied().unwrap_or(false)
            || candidate.cost_usd > 0.0;
        known.then(|| (candidate.cost_usd - candidate.cache_saving_usd.max(0.0)).max(0.0))
    }

    fn draw(&self, facts: &RequestFacts, candidate: &Candidate, dearest: f64) -> Drawn {
        let endpoint = candidate.endpoint;
        let price = match self.price(candidate) {
            Some(price) if dearest > 0.0 => (price / dearest).max(LEAST_PRICE),
            _ => 1.0,
        };
        let (errors, calls) = self.outages.recent(endpoint, facts.now_unix_ms);
        let share = f64::from(errors) / f64::from(calls.max(1));
        let outage = errors >= self.settings.outage_errors && share > self.settings.outage_share;
        let squared = price * price;
        Drawn {
            endpoint,
            open: candidate.breaker == Breaker::Open,
            failing: if outage { share } else { 0.0 },
            // Efraimidis and Spirakis 2006, as in router-weighted: ln(u) / weight.
            key: uniform(facts.seed, endpoint).ln() * squared,
            weight: 1.0 / squared,
        }
    }
}

impl Drawn {
    fn stands_back(&self) -> bool {
        self.open || self.failing > 0.0
    }
}

impl Settings {
    fn check(&self) -> Result<(), SettingsError> {
        if !(1..=LONGEST_WINDOW_S).contains(&self.window_s) {
            let found = self.window_s;
            let message =
                format!("{found} is not a number of seconds from 1 to {LONGEST_WINDOW_S}");
            return Err(SettingsError::at("/window_s", message));
        }
        if self.outage_errors == 0 {
            return Err(SettingsError::at(
                "/outage_errors",
                "0 errors are no outage, write 1 or more",
            ));
        }
        if !(0.0..=1.0).contains(&self.outage_share) {
            let message = format!("{} is not a share from 0 to 1", self.outage_share);
            return Err(SettingsError::at("/outage_share", message));
        }
        Ok(())
    }
}

/// In (0, 1], with 53 bits: SplitMix64 (Steele, Lea, Flood 2014) at the endpoint's place in
/// the seed's sequence.
fn uniform(seed: u64, endpoint: u32) -> f64 {
    const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
    let step = u64::from(endpoint) + 1;
    let mut bits = seed.wrapping_add(GOLDEN_GAMMA.wrapping_mul(step));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    ((bits >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

torana_plugin_sdk::export_router!(Balanced);

#[cfg(test)]
mod tests;
