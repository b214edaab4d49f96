#![expect(clippy::unwrap_used, reason = "tests")]
use proptest::prelude::*;
use torana_plugin_sdk::{CallErrorKind, Usage};

use super::*;

/// Endpoints of these prices in US dollars for a request.
fn prepared(prices: &[Option<f64>]) -> (Balanced, Vec<Candidate>) {
    let names: Vec<String> = (0..prices.len()).map(|it| format!("p/{it}")).collect();
    let endpoint = |(name, price): (&String, &Option<f64>)| Endpoint {
        price_input: *price,
        ..Endpoint::named(name)
    };
    let endpoints = names.iter().zip(prices).map(endpoint).collect();
    let candidate = |(index, price): (u32, &Option<f64>)| Candidate {
        cost_usd: price.unwrap_or(0.0),
        ..Candidate::idle(index)
    };
    let policy = Balanced::prepare(Settings::default(), endpoints).unwrap();
    (policy, (0..).zip(prices).map(candidate).collect())
}

fn facts(seed: u64, now_s: u64) -> RequestFacts {
    RequestFacts { seed, now_unix_ms: now_s * 1_000, ..RequestFacts::default() }
}

fn order(plan: &Plan) -> Vec<u32> {
    plan.steps.iter().map(|it| it.endpoint).collect()
}

fn outcome(endpoint: u32, now_s: u64, error: Option<CallErrorKind>) -> Outcome {
    Outcome {
        endpoint,
        now_unix_ms: now_s * 1_000,
        error,
        ttft_ms: 1.0,
        total_ms: 2.0,
        usage: Usage::default(),
    }
}

fn fails(policy: &mut Balanced, endpoint: u32, now_s: u64, count: usize) {
    policy.observe(&vec![outcome(endpoint, now_s, Some(CallErrorKind::Server)); count]);
}

#[test]
fn half_the_price_is_drawn_four_times_as_often() {
    let (mut policy, candidates) = prepared(&[Some(1e-3), Some(2e-3)]);
    let draws = 20_000;
    let plans = (0..draws).map(|seed| policy.route(&facts(seed, 0), &candidates));
    let cheap = plans.filter(|plan| order(plan) == [0, 1]).count();
    let share = cheap as f64 / draws as f64;
    assert!((share - 0.8).abs() < 0.01, "{share}");
    let scores = policy.route(&facts(0, 0), &candidates).scores;
    let score = |endpoint| scores.iter().find(|it| it.endpoint == endpoint).unwrap().score;
    assert!((score(0) - 0.8).abs() < 1e-9 && (score(1) - 0.2).abs() < 1e-9);
}

#[test]
fn an_unknown_price_counts_as_the_dearest_and_a_free_endpoint_comes_first() {
    let (mut policy, candidates) = prepared(&[None, Some(2e-3), Some(0.0)]);
    let draws = 10_000;
    let plans = (0..draws).map(|seed| order(&policy.route(&facts(seed, 0), &candidates)));
    let (mut free_first, mut unknown_second) = (0, 0);
    for plan in plans {
        free_first += i32::from(plan[0] == 2);
        unknown_second += i32::from(plan[1] == 0);
    }
    assert_eq!(free_first, 10_000);
    assert!((4_700..5_300).contains(&unknown_second), "{unknown_second}");
}

#[test]
fn what_the_prompt_cache_saves_makes_an_endpoint_cheaper() {
    let (mut policy, mut candidates) = prepared(&[Some(1e-3), Some(1e-3)]);
    candidates[1].cache_saving_usd = 0.5e-3;
    let scores = policy.route(&facts(1, 0), &candidates).scores;
    let share = scores.iter().find(|it| it.endpoint == 1).unwrap().score;
    assert!((share - 0.8).abs() < 1e-9, "{share}");
}

#[test]
fn an_outage_stands_back_for_thirty_seconds() {
    let (mut policy, candidates) = prepared(&[Some(1e-6), Some(1.0)]);
    fails(&mut policy, 0, 100, 2);
    assert_eq!(order(&policy.route(&facts(1, 100), &candidates)), [0, 1], "two are no outage");
    fails(&mut policy, 0, 101, 1);
    for seed in 0..50 {
        assert_eq!(order(&policy.route(&facts(seed, 129), &candidates)), [1, 0]);
    }
    assert_eq!(order(&policy.route(&facts(1, 131), &candidates)), [0, 1]);
}

#[test]
fn failures_among_many_calls_are_no_outage() {
    let (mut policy, candidates) = prepared(&[Some(1e-6), Some(1.0)]);
    policy.observe(&vec![outcome(0, 100, None); 45]);
    fails(&mut policy, 0, 100, 5);
    assert_eq!(order(&policy.route(&facts(1, 100), &candidates)), [0, 1], "exactly a tenth");
    fails(&mut policy, 0, 101, 1);
    assert_eq!(order(&policy.route(&facts(1, 101), &candidates)), [1, 0]);
}

#[test]
fn rate_limits_and_requests_at_fault_are_no_outage() {
    let (mut policy, candidates) = prepared(&[Some(1e-6), Some(1.0)]);
    for kind in [CallErrorKind::RateLimited, CallErrorKind::InvalidRequest] {
        policy.observe(&vec![outcome(0, 100, Some(kind)); 20]);
    }
    assert_eq!(order(&policy.route(&facts(1, 100), &candidates)), [0, 1]);
}

#[test]
fn the_most_failing_comes_last_but_for_open_breakers() {
    let (mut policy, mut candidates) = prepared(&[Some(1.0), Some(1.0), Some(1.0), Some(1.0)]);
    policy.observe(&vec![outcome(1, 100, None); 3]);
    fails(&mut policy, 1, 100, 3);
    fails(&mut policy, 0, 100, 3);
    candidates[2].breaker = Breaker::Open;
    for seed in 0..20 {
        assert_eq!(order(&policy.route(&facts(seed, 100), &candidates)), [3, 1, 0, 2]);
    }
}

#[test]
fn the_window_survives_into_a_policy_of_other_endpoints() {
    let (mut policy, _) = prepared(&[Some(1.0), Some(1.0)]);
    fails(&mut policy, 1, 100, 4);
    let state = policy.save();
    let endpoints = vec![Endpoint::named("p/1"), Endpoint::named("q/new")];
    let mut other = Balanced::prepare(Settings::default(), endpoints).unwrap();
    other.restore(&state);
    assert_eq!(other.outages.recent(0, 100_000), (4, 4));
    assert_eq!(other.outages.recent(1, 100_000), (0, 0));
}

#[test]
fn settings_out_of_range_name_their_key() {
    let refused = |settings| Balanced::prepare(settings, vec![]).err().unwrap().pointer;
    let with = Settings::default;
    assert_eq!(refused(Settings { window_s: 0, ..with() }), "/window_s");
    assert_eq!(refused(Settings { window_s: 301, ..with() }), "/window_s");
    assert_eq!(refused(Settings { outage_errors: 0, ..with() }), "/outage_errors");
    assert_eq!(refused(Settings { outage_share: f64::NAN, ..with() }), "/outage_share");
}

proptest! {
    #[test]
    fn a_plan_is_an_order_of_the_eligible_endpoints_without_odd_scores(
        rows in prop::collection::vec((any::<bool>(), 0_u8..3, any::<f64>(), any::<f64>()), 0..12),
        seed in any::<u64>(),
    ) {
        let (mut policy, mut candidates) = prepared(&vec![Some(1.0); rows.len()]);
        for (candidate, (eligible, breaker, cost, saving)) in candidates.iter_mut().zip(rows) {
            candidate.eligible = eligible;
            candidate.breaker = [Breaker::Closed, Breaker::HalfOpen, Breaker::Open][breaker as usize];
            candidate.cost_usd = if cost.is_finite() { cost } else { 0.0 };
            candidate.cache_saving_usd = if saving.is_finite() { saving } else { 0.0 };
        }
        let plan = policy.route(&facts(seed, 5), &candidates);
        let mut tried = order(&plan);
        tried.sort_unstable();
        let eligible = candidates.iter().filter(|it| it.eligible).map(|it| it.endpoint);
        prop_assert_eq!(tried, eligible.collect::<Vec<_>>());
        prop_assert!(plan.scores.iter().all(|it| it.score.is_finite()));
        prop_assert_eq!(policy.route(&facts(seed, 5), &candidates), plan);
    }

    #[test]
    fn nonsense_changes_nothing_and_saved_state_comes_back_the_same(
        nonsense in prop::collection::vec(any::<u8>(), 0..80),
        calls in prop::collection::vec((0_u32..4, 0_u64..100, any::<bool>()), 0..80),
    ) {
        let (mut policy, _) = prepared(&[Some(1.0); 3]);
        for (endpoint, second, failed) in calls {
            let error = failed.then_some(CallErrorKind::Timeout);
            policy.observe(&[outcome(endpoint, second, error)]);
        }
        let state = policy.save();
        let (mut other, _) = prepared(&[Some(1.0); 3]);
        other.restore(&state);
        prop_assert_eq!(other.save(), state.clone());
        for cut in 1..state.len() {
            let (mut third, _) = prepared(&[Some(1.0); 3]);
            third.restore(&state[..cut]);
            prop_assert!(third.save().len() <= state.len());
        }
        other.restore(&nonsense);
        prop_assert!(other.save().len() <= 1 + 3 * (7 + 30 * 16));
    }
}
