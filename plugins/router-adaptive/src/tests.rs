#![expect(clippy::unwrap_used, reason = "tests")]
use proptest::prelude::*;
use torana_plugin_sdk::router::Step;

use super::*;

fn policy(settings: Settings) -> Adaptive {
    Adaptive::prepare(settings, vec![]).unwrap()
}

/// Without trials.
fn steady() -> Settings {
    Settings { exploration: 0.0, ..Settings::default() }
}

fn streamed(seed: u64) -> RequestFacts {
    RequestFacts { seed, stream: true, expected_output_tokens: 100, ..RequestFacts::default() }
}

/// A well-known endpoint: a tenth of a cent, half a second, 100 tokens a second.
fn well(endpoint: u32) -> Candidate {
    Candidate {
        samples: 1_000,
        cost_usd: 1e-3,
        throughput: 100.0,
        error_rate: 0.01,
        error_rate_fast: 0.01,
        total_fast_ms: 1_500.0,
        total_slow_ms: 1_500.0,
        ..with_ttft(endpoint, 500.0)
    }
}

fn with_ttft(endpoint: u32, ms: f64) -> Candidate {
    Candidate {
        ttft_fast_ms: ms,
        ttft_slow_ms: ms,
        ttft_p50_ms: ms,
        ttft_p90_ms: 1.6 * ms,
        ttft_p95_ms: 1.8 * ms,
        ttft_p99_ms: 2.2 * ms,
        ..Candidate::idle(endpoint)
    }
}

fn order_by(settings: Settings, candidates: &[Candidate]) -> Vec<u32> {
    let plan = policy(settings).route(&streamed(0), candidates);
    assert_eq!(plan.steps.len(), plan.scores.len());
    plan.steps.iter().map(|it| it.endpoint).collect()
}

fn order(candidates: &[Candidate]) -> Vec<u32> {
    order_by(steady(), candidates)
}

#[test]
fn a_second_is_worth_what_the_operator_says() {
    let dear_and_quick = Candidate { cost_usd: 1.2e-3, ..well(0) };
    let slow =
        Candidate { samples: 1_000, cost_usd: 1e-3, throughput: 100.0, ..with_ttft(1, 1_500.0) };
    assert_eq!(order(&[dear_and_quick, slow]), [0, 1], "a second is worth 0.03 cents");
    let patient = Settings { latency_value_usd_per_s: 1e-5, ..steady() };
    assert_eq!(order_by(patient, &[dear_and_quick, slow]), [1, 0]);
}

#[test]
fn slow_streams_and_lost_caches_are_charged() {
    let slow_stream = Candidate { throughput: 10.0, ..well(0) };
    assert_eq!(order(&[slow_stream, well(1)]), [1, 0]);
    let cached = Candidate { cache_saving_usd: 5e-4, cost_usd: 1.2e-3, ..well(1) };
    assert_eq!(order(&[well(0), cached]), [1, 0]);
}

#[test]
fn of_both_averages_the_worse_counts_but_recovery_is_believed_soon() {
    let of = |fast, slow| {
        let row = Candidate { ttft_fast_ms: fast, ttft_slow_ms: slow, ..well(0) };
        policy(steady()).route(&streamed(0), &[row]).scores.first().unwrap().score
    };
    let (slower, steady, faster) = (of(2_000.0, 500.0), of(2_000.0, 2_000.0), of(500.0, 2_000.0));
    assert!((slower - steady).abs() < 1e-12);
    assert!(of(500.0, 500.0) < faster && faster < of(1_000.0, 1_000.0));
}

#[test]
fn failing_endpoints_and_unfit_tool_calls_are_charged() {
    let failing = Candidate { error_rate_fast: 0.3, ..well(0) };
    assert_eq!(order(&[failing, well(1)]), [1, 0]);
    let unfit = Candidate { tool_call_error_rate: 0.3, ..well(0) };
    let dearer = Candidate { cost_usd: 1.1e-3, ..well(1) };
    assert_eq!(order(&[unfit, dearer]), [0, 1], "no tools, no matter");
    let facts = RequestFacts { uses_tools: true, ..streamed(0) };
    let plan = policy(steady()).route(&facts, &[unfit, dearer]);
    assert_eq!(plan.steps.first().unwrap().endpoint, 1);
}

#[test]
fn a_request_that_hangs_turns_others_away_before_it_times_out() {
    let waiting = |ms| Candidate { oldest_outstanding_ms: ms, ..well(0) };
    let dearer = Candidate { cost_usd: 1.2e-3, ..well(1) };
    assert_eq!(order(&[waiting(800), dearer]), [0, 1], "some first tokens do take that long");
    assert_eq!(order(&[waiting(1_000), dearer]), [1, 0]);
    let whole = RequestFacts { stream: false, ..streamed(0) };
    let plan = policy(steady()).route(&whole, &[waiting(5_000), dearer]);
    assert_eq!(plan.steps.first().unwrap().endpoint, 0, "whole answers are outstanding for long");
}

#[test]
fn load_is_charged_where_room_is_scarce() {
    let busy = Candidate { in_flight: 35, learned_cap: 40, ..well(0) };
    let dear = Candidate { cost_usd: 1.3e-3, ..well(1) };
    let elsewhere = Candidate { in_flight: 1, learned_cap: 400, ..dear };
    assert_eq!(order(&[busy, elsewhere]), [0, 1]);
    let little = Candidate { in_flight: 10, learned_cap: 20, ..dear };
    assert_eq!(order(&[busy, little]), [1, 0]);
}

#[test]
fn whoever_would_refuse_comes_later_and_open_breakers_last() {
    let mut rows: Vec<Candidate> = (0..6).map(well).collect();
    rows[0].breaker = Breaker::Open;
    rows[1] = Candidate { in_flight: 9, learned_cap: 9, ..rows[1] };
    rows[2].back_off_ms = 1;
    rows[2].cost_usd = 1.1e-3;
    rows[3].cost_usd = 9.0;
    rows[4].eligible = false;
    rows[5].cost_usd = 9.9;
    assert_eq!(order(&rows), [3, 5, 2, 1, 0]);
}

#[test]
fn among_equals_the_least_busy_is_taken() {
    let busy = Candidate { in_flight: 5, ..well(0) };
    let dearer_by_little = Candidate { cost_usd: 1.02e-3, in_flight: 3, ..well(1) };
    let dearer = Candidate { cost_usd: 1.2e-3, ..well(2) };
    assert_eq!(order(&[busy, dearer_by_little, dearer]), [1, 0, 2]);
}

#[test]
fn a_half_open_endpoint_gets_its_probe_if_it_would_be_worth_it() {
    let half_open = Candidate { breaker: Breaker::HalfOpen, error_rate_fast: 0.9, ..well(0) };
    let plan = policy(steady()).route(&streamed(0), &[half_open, well(1), well(2)]);
    let first = plan.steps.first().unwrap();
    assert_eq!((first.endpoint, first.timeout_ms), (0, 1_000), "twice the median");
    let dear = Candidate { cost_usd: 2e-3, ..half_open };
    assert_eq!(order(&[dear, well(1)]), [1, 0]);
}

#[test]
fn trials_go_to_endpoints_that_would_be_best_if_they_were_well() {
    let failing = Candidate { error_rate: 0.5, ..well(0) };
    let dear = Candidate { cost_usd: 5e-3, error_rate: 0.5, ..well(2) };
    let rows = [failing, well(1), dear];
    let mut policy = policy(Settings::default());
    let mut tried = [0_u32; 3];
    for seed in 0..10_000 {
        let plan = policy.route(&streamed(seed), &rows);
        let endpoints: Vec<u32> = plan.steps.iter().map(|it| it.endpoint).collect();
        tried[endpoints[0] as usize] += 1;
        assert!(endpoints == [1, 0, 2] || endpoints == [0, 1, 2], "{endpoints:?}");
    }
    assert!((150..250).contains(&tried[0]), "{tried:?}");
    let all_is_well = [Candidate { cost_usd: 2e-3, ..well(0) }, well(1)];
    let first = |seed| policy.route(&streamed(seed), &all_is_well).steps[0].endpoint;
    assert!((0..1_000).map(first).all(|endpoint| endpoint == 1));
}

#[test]
fn the_unknown_counts_as_typical_and_an_unknown_price_as_the_dearest() {
    let unknown = Candidate { cost_usd: 0.9e-3, ..Candidate::idle(2) };
    let slow = Candidate { samples: 9, cost_usd: 1e-3, throughput: 100.0, ..with_ttft(1, 2_000.0) };
    let dear = Candidate { cost_usd: 2e-3, ..well(0) };
    assert_eq!(order(&[dear, slow, unknown]), [2, 1, 0]);
    let without_price = Candidate { cost_usd: 0.0, ..well(1) };
    assert_eq!(order(&[Candidate { in_flight: 1, ..well(0) }, without_price]), [1, 0]);
    let free = Endpoint { price_input: Some(0.0), ..Endpoint::named("local/m") };
    let endpoints = vec![Endpoint::named("a/m"), free];
    let mut policy = Adaptive::prepare(steady(), endpoints).unwrap();
    let plan = policy.route(&streamed(0), &[well(0), without_price]);
    assert!(plan.scores.first().unwrap().score < 5e-4, "{plan:?}");
}

#[test]
fn time_outs_follow_the_endpoint_and_the_last_attempts_have_none() {
    let rows: Vec<Candidate> =
        (0..4).map(|it| Candidate { cost_usd: 1e-3 * f64::from(it + 1), ..well(it) }).collect();
    let timeouts = |rows: &[Candidate], facts: &RequestFacts| -> Vec<u32> {
        policy(steady()).route(facts, rows).steps.iter().map(|it| it.timeout_ms).collect()
    };
    assert_eq!(timeouts(&rows, &streamed(0)), [1_600, 1_600, 0, 0]);
    assert_eq!(timeouts(&rows[..2], &streamed(0)), [1_600, 0]);
    let whole = RequestFacts { stream: false, ..streamed(0) };
    assert_eq!(timeouts(&rows, &whole), [0; 4]);
    let little_known = [Candidate { samples: 9, ..rows[0] }, rows[1]];
    assert_eq!(timeouts(&little_known, &streamed(0)), [0, 0]);
    let down = [rows[0], Candidate { breaker: Breaker::Open, ..rows[1] }];
    assert_eq!(timeouts(&down, &streamed(0)), [0, 0], "nobody to go to");
}

#[test]
fn hedges_are_at_the_percentile_and_only_if_wanted() {
    let rows = [well(0), Candidate { cost_usd: 2e-3, ..well(1) }];
    let hedges = |settings| -> Vec<Option<u32>> {
        let plan = policy(settings).route(&streamed(0), &rows);
        plan.steps.iter().map(|it| it.hedge_after_ms).collect()
    };
    assert_eq!(hedges(steady()), [None, None]);
    let at = |hedge_percentile| Settings { hedge: true, hedge_percentile, ..steady() };
    assert_eq!(hedges(at(97.0)), [Some(1_000), None], "half-way from 900 to 1,100");
    assert_eq!(hedges(at(50.0)), [Some(500), None]);
    assert_eq!(hedges(at(95.0)), [Some(900), None]);
}

#[test]
fn whole_answers_are_compared_by_their_total_time() {
    let quick_start = Candidate { total_slow_ms: 9_000.0, ..well(0) };
    let quick_end = Candidate { ttft_slow_ms: 1_200.0, ..well(1) };
    assert_eq!(order(&[quick_start, quick_end]), [0, 1]);
    let whole = RequestFacts { stream: false, ..streamed(0) };
    let plan = policy(steady()).route(&whole, &[quick_start, quick_end]);
    assert_eq!(plan.steps, [Step::to(1), Step::to(0)]);
}

#[test]
fn settings_out_of_range_name_their_key() {
    let refused = |settings| Adaptive::prepare(settings, vec![]).err().unwrap().pointer;
    let with = Settings::default;
    let v = Settings { latency_value_usd_per_s: -1.0, ..with() };
    assert_eq!(refused(v), "/latency_value_usd_per_s");
    assert_eq!(refused(Settings { exploration: 0.5, ..with() }), "/exploration");
    assert_eq!(refused(Settings { hedge_percentile: 100.0, ..with() }), "/hedge_percentile");
    assert_eq!(refused(Settings { failure_s: f64::NAN, ..with() }), "/failure_s");
    assert_eq!(refused(Settings { least_timeout_s: 0.0, ..with() }), "/least_timeout_s");
}

/// Any row, and rows of zeros.
fn row() -> impl Strategy<Value = Candidate> {
    let figure =
        prop_oneof![Just(0.0), 0.0..1e5, any::<f64>().prop_filter("finite", |it| it.is_finite())];
    let figures = prop::collection::vec(figure, 14);
    let counts = prop::array::uniform4(prop_oneof![0_u32..100, any::<u32>()]);
    (any::<bool>(), 0_usize..3, any::<u64>(), counts, figures).prop_map(
        |(eligible, breaker, samples, counts, figures)| Candidate {
            eligible,
            breaker: [Breaker::Closed, Breaker::HalfOpen, Breaker::Open][breaker],
            samples,
            in_flight: counts[0],
            learned_cap: counts[1],
            oldest_outstanding_ms: counts[2],
            back_off_ms: counts[3] % 2,
            cost_usd: figures[0],
            cache_saving_usd: figures[1],
            ttft_fast_ms: figures[2],
            ttft_slow_ms: figures[3],
            ttft_p50_ms: figures[4],
            ttft_p90_ms: figures[5],
            ttft_p95_ms: figures[6],
            ttft_p99_ms: figures[7],
            total_fast_ms: figures[8],
            total_slow_ms: figures[9],
            throughput: figures[10],
            error_rate_fast: figures[11],
            error_rate: figures[12],
            rate_limited_rate: figures[13],
            ..Candidate::idle(0)
        },
    )
}

proptest! {
    #[test]
    fn a_plan_is_an_order_of_the_eligible_endpoints_without_odd_scores(
        mut rows in prop::collection::vec(row(), 0..12),
        seed in any::<u64>(), stream in any::<bool>(), hedge in any::<bool>(), tokens in any::<u64>(),
    ) {
        for (endpoint, row) in (0..).zip(&mut rows) {
            row.endpoint = endpoint;
        }
        let mut policy = policy(Settings { exploration: 0.2, hedge, ..Settings::default() });
        let facts = RequestFacts { stream, expected_output_tokens: tokens, ..streamed(seed) };
        let plan = policy.route(&facts, &rows);
        let mut tried: Vec<u32> = plan.steps.iter().map(|it| it.endpoint).collect();
        tried.sort_unstable();
        let eligible = rows.iter().filter(|it| it.eligible).map(|it| it.endpoint);
        prop_assert_eq!(tried, eligible.collect::<Vec<_>>());
        prop_assert!(plan.scores.iter().all(|it| it.score.is_finite()), "{:?}", plan.scores);
        prop_assert_eq!(policy.route(&facts, &rows), plan);
    }
}
