//! Routing policy: endpoints drawn by weight, without putting back, for the whole plan.
//!
//! The first endpoint is `i` with probability `weight(i) / sum`; the second is drawn in the
//! same way from the rest, and so on. Weights are those of the endpoints, overridden by
//! `settings.weights` under the endpoint's name; a name of another model is no error, for
//! routers are shared. Weight 0 comes after all others, in the order written; an open
//! breaker comes last. The same seed gives the same plan.
//!
//! Each endpoint gets the key `ln(u) / weight` with `u` uniform in (0, 1], and the largest
//! keys come first: Efraimidis and Spirakis, "Weighted random sampling with a reservoir",
//! Information Processing Letters 97 (2006). The keys are the plan's scores.

use std::collections::BTreeMap;

use serde::Deserialize;
use torana_plugin_sdk::SettingsError;
use torana_plugin_sdk::router::{
    Breaker, Candidate, Endpoint, Plan, Policy, RequestFacts, Score, Step,
};

/// The router's `settings` table.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// Weight by endpoint name, 0 or more, instead of the endpoint's own.
    weights: BTreeMap<String, f64>,
}

struct Weighted {
    /// By position of the endpoint.
    weights: Vec<f64>,
}

impl Policy for Weighted {
    type Settings = Settings;

    fn prepare(settings: Settings, endpoints: Vec<Endpoint>) -> Result<Self, SettingsError> {
        for (name, weight) in &settings.weights {
            if !is_weight(*weight) {
                let name = name.replace('~', "~0").replace('/', "~1");
                return Err(SettingsError::at(format!("/weights/{name}"), refusal(*weight)));
            }
        }
        let weight = |endpoint: &Endpoint| {
            let weight = settings.weights.get(&endpoint.name);
            let weight = weight.copied().unwrap_or(endpoint.weight);
            let error = || SettingsError::new(format!("{}: {}", endpoint.name, refusal(weight)));
            is_weight(weight).then_some(weight).ok_or_else(error)
        };
        let weights: Result<_, _> = endpoints.iter().map(weight).collect();
        Ok(Self { weights: weights? })
    }

    fn route(&mut self, facts: &RequestFacts, candidates: &[Candidate]) -> Plan {
        let eligible = candidates.iter().filter(|it| it.eligible);
        let mut drawn: Vec<(bool, Score)> = eligible
            .map(|it| (it.breaker == Breaker::Open, self.draw(facts.seed, it.endpoint)))
            .collect();
        drawn.sort_by(|(a_open, a), (b_open, b)| {
            a_open.cmp(b_open).then(b.score.total_cmp(&a.score))
        });
        let scores: Vec<Score> = drawn.into_iter().map(|(_, score)| score).collect();
        Plan { steps: scores.iter().map(|it| Step::to(it.endpoint)).collect(), scores }
    }
}

impl Weighted {
    fn draw(&self, seed: u64, endpoint: u32) -> Score {
        let weight = self.weights.get(endpoint as usize).copied().unwrap_or(0.0);
        // Without the minimum a denormal weight would give -inf: kept apart for weight 0,
        // where sorting is stable and so keeps the order written.
        let score = if weight > 0.0 {
            (uniform(seed, endpoint).ln() / weight).max(f64::MIN)
        } else {
            f64::NEG_INFINITY
        };
        Score { endpoint, score }
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

fn is_weight(weight: f64) -> bool {
    weight.is_finite() && weight >= 0.0
}

fn refusal(weight: f64) -> String {
    format!("weight {weight} is not a number of 0 or more")
}

torana_plugin_sdk::export_router!(Weighted);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn prepared(weights: &[f64], overrides: &[(&str, f64)]) -> Result<Weighted, SettingsError> {
        let endpoint = |(index, weight): (usize, &f64)| Endpoint {
            weight: *weight,
            ..Endpoint::named(&format!("p/{index}"))
        };
        let overrides = overrides.iter().map(|(name, it)| ((*name).to_owned(), *it));
        let settings = Settings { weights: overrides.collect() };
        Weighted::prepare(settings, weights.iter().enumerate().map(endpoint).collect())
    }

    fn order(policy: &mut Weighted, seed: u64, candidates: &[Candidate]) -> Vec<u32> {
        let facts = RequestFacts { seed, ..RequestFacts::default() };
        let plan = policy.route(&facts, candidates);
        assert_eq!(plan.steps.len(), plan.scores.len());
        plan.steps.iter().map(|it| it.endpoint).collect()
    }

    fn idle(count: u32) -> Vec<Candidate> {
        (0..count).map(Candidate::idle).collect()
    }

    #[test]
    fn places_are_drawn_by_weight_without_putting_back() {
        let mut policy = prepared(&[6.0, 3.0, 1.0], &[]).unwrap();
        let draws = 40_000;
        let (mut first, mut second_after_0) = ([0_u32; 3], [0_u32; 3]);
        for seed in 0..draws {
            let order = order(&mut policy, seed, &idle(3));
            first[order[0] as usize] += 1;
            if order[0] == 0 {
                second_after_0[order[1] as usize] += 1;
            }
        }
        let near = |count: u32, of: u32, expected: f64| {
            let share = f64::from(count) / f64::from(of);
            assert!((share - expected).abs() < 0.015, "{share} {expected}");
        };
        let all: u32 = first.iter().sum();
        near(first[0], all, 0.6);
        near(first[1], all, 0.3);
        near(first[2], all, 0.1);
        near(second_after_0[1], first[0], 0.75);
        near(second_after_0[2], first[0], 0.25);
    }

    #[test]
    fn same_seed_gives_the_same_plan() {
        let mut policy = prepared(&[1.0; 6], &[]).unwrap();
        let once = order(&mut policy, 77, &idle(6));
        assert_eq!(order(&mut policy, 77, &idle(6)), once);
        assert!((0..20).any(|seed| order(&mut policy, seed, &idle(6)) != once));
    }

    #[test]
    fn zero_comes_after_all_and_open_breakers_last() {
        let mut policy = prepared(&[0.0, 0.0, f64::MIN_POSITIVE, 100.0], &[]).unwrap();
        let mut candidates = idle(4);
        assert_eq!(order(&mut policy, 3, &candidates), [3, 2, 0, 1]);
        candidates[3].breaker = Breaker::Open;
        candidates[0].eligible = false;
        assert_eq!(order(&mut policy, 3, &candidates), [2, 1, 3]);
    }

    #[test]
    fn settings_override_by_name_and_names_of_other_models_are_no_error() {
        let mut policy = prepared(&[1.0, 1.0], &[("p/0", 0.0), ("q/9", 5.0)]).unwrap();
        for seed in 0..50 {
            assert_eq!(order(&mut policy, seed, &idle(2)), [1, 0]);
        }
    }

    #[test]
    fn negative_or_infinite_weight_is_refused_by_name() {
        let error = prepared(&[1.0], &[("p/0", -1.0)]).err().unwrap();
        assert_eq!(error.pointer, "/weights/p~10");
        assert!(prepared(&[f64::INFINITY], &[]).is_err());
        assert!(prepared(&[f64::NAN], &[]).is_err());
    }
}
