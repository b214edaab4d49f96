//! Routing policy: the endpoint where this request likely costs least, in money and waiting.
//!
//! The default policy. Every endpoint gets a charge in US dollars (`utility`): the expected
//! price less what its prompt cache saves, and seconds of waiting, risk of failure and scarce
//! capacity turned into money by the operator's rates (`settings`). The least charge comes
//! first, the others follow as fallbacks: those that would likely refuse after the usable
//! ones, open breakers last. Scores are charges. `timing` says how long to wait for each.
//!
//! Two things change the first place. Among endpoints within 5 % of the best the least busy
//! one is taken: a difference that small is noise, and spreading keeps figures of several
//! endpoints fresh. And some requests are trials (at most one endpoint, in front of the best,
//! with a short time-out): the probe of a half-open breaker, and now and then an endpoint
//! whose figures are bad but may be out of date. Only one that would be about the best if it
//! were well is tried, so trials cost next to nothing while all goes well.
//!
//! There is no state: the host's statistics say enough, and each decision replays from its
//! record alone. The constants were chosen on the simulator's `brownouts`, `overload` and
//! `outage` scenarios with seeds 1000 to 1019, each between values that were no better; most
//! may be halved or doubled without harm.

mod settings;
mod timing;
mod utility;

use torana_plugin_sdk::SettingsError;
use torana_plugin_sdk::router::{Breaker, Candidate, Endpoint, Plan, Policy, RequestFacts, Score};

use self::settings::Settings;
use self::utility::{Appraisal, Appraiser, Rank};

/// Charges that differ by less count as equal. Without it requests of one moment all go the
/// same way; from 10 % on it costs more than it brings.
const NEAR_TIE: f64 = 0.05;
/// A trial is worth it if the endpoint, were it well, cost at most so many times the best.
const TRIAL_WITHIN: f64 = 1.1;

struct Adaptive {
    settings: Settings,
    /// By position: whether the price is known.
    priced: Vec<bool>,
}

impl Policy for Adaptive {
    type Settings = Settings;

    fn prepare(settings: Settings, endpoints: Vec<Endpoint>) -> Result<Self, SettingsError> {
        settings.check()?;
        let priced = |it: &Endpoint| it.price_input.is_some() || it.price_output.is_some();
        Ok(Self { settings, priced: endpoints.iter().map(priced).collect() })
    }

    fn route(&mut self, facts: &RequestFacts, candidates: &[Candidate]) -> Plan {
        let appraiser = Appraiser::new(&self.settings, &self.priced, facts, candidates);
        let eligible = candidates.iter().filter(|it| it.eligible);
        let mut ranked: Vec<Appraisal<'_>> = eligible.map(|it| appraiser.appraise(it)).collect();
        ranked.sort_by(|a, b| a.rank.cmp(&b.rank).then(a.charge.total_cmp(&b.charge)));
        let least_busy = least_busy(&ranked);
        bring_forward(&mut ranked, least_busy);
        let trial = self.trial(facts, &ranked);
        bring_forward(&mut ranked, trial.unwrap_or(0));
        let step = |place| timing::step(&self.settings, facts, &ranked, place, trial.is_some());
        let score =
            |it: &Appraisal<'_>| Score { endpoint: it.candidate.endpoint, score: it.charge };
        Plan {
            steps: (0..ranked.len()).filter_map(step).collect(),
            scores: ranked.iter().map(score).collect(),
        }
    }
}

impl Adaptive {
    /// The place of an endpoint to try first though it does not look best.
    fn trial(&self, facts: &RequestFacts, ranked: &[Appraisal<'_>]) -> Option<usize> {
        let best = ranked.first().filter(|best| best.rank == Rank::Usable)?;
        let limit = best.charge * TRIAL_WITHIN;
        let worth = || {
            let others = ranked.iter().enumerate().skip(1);
            others.filter(|(_, it)| it.at_best <= limit)
        };
        let probe = worth().find(|(_, it)| it.candidate.breaker == Breaker::HalfOpen);
        if let Some((place, _)) = probe {
            return Some(place);
        }
        if uniform(facts.seed, 0) >= self.settings.exploration {
            return None;
        }
        let doubtful = || worth().filter(|(_, it)| it.rank == Rank::Usable);
        let drawn = uniform(facts.seed, 1) * doubtful().count() as f64;
        doubtful().nth(drawn as usize).map(|(place, _)| place)
    }
}

/// The place of the one to take among those about as good as the first: the fewest requests
/// for its charge.
fn least_busy(ranked: &[Appraisal<'_>]) -> usize {
    let Some(best) = ranked.first() else { return 0 };
    let limit = best.charge * (1.0 + NEAR_TIE);
    let ties = ranked.iter().take_while(|it| it.rank == Rank::Usable && it.charge <= limit);
    let burden = |it: &Appraisal<'_>| (f64::from(it.candidate.in_flight) + 1.0) * it.charge;
    let least = ties.map(burden).enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b));
    least.map_or(0, |(place, _)| place)
}

/// The order of the others stays.
fn bring_forward(ranked: &mut [Appraisal<'_>], place: usize) {
    if let Some(head) = ranked.get_mut(..=place) {
        head.rotate_right(1);
    }
}

/// In [0, 1), with 53 bits: SplitMix64 (Steele, Lea, Flood 2014) at the place in the seed's
/// sequence.
fn uniform(seed: u64, place: u64) -> f64 {
    const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut bits = seed.wrapping_add(GOLDEN_GAMMA.wrapping_mul(place + 1));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

torana_plugin_sdk::export_router!(Adaptive);

#[cfg(test)]
mod tests;
