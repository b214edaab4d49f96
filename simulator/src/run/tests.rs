//! Whole runs: what holds for any router, and what the host's rules make of a simple one.

#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use torana_routing::policy::{Candidate, Facts, Outcome, Plan, Step as PlanStep};

use super::*;
use crate::fixture::{fault, scenario};
use crate::oracle;
use crate::router::RouterFailure;
use crate::scenario::{Fault, FaultKind};

/// Endpoints in the order they are written.
#[derive(Default)]
struct Priority {
    told: Vec<Outcome>,
    batches: usize,
}

impl Router for Priority {
    fn route(&mut self, _: &Facts, _: &[Candidate]) -> Result<Plan, RouterFailure> {
        Ok(Plan::default())
    }

    fn observe(&mut self, outcomes: &[Outcome]) -> Result<(), RouterFailure> {
        self.told.extend_from_slice(outcomes);
        self.batches += 1;
        Ok(())
    }
}

/// Each request starts one endpoint further.
#[derive(Default)]
struct RoundRobin {
    next: usize,
}

impl Router for RoundRobin {
    fn route(&mut self, _: &Facts, candidates: &[Candidate]) -> Result<Plan, RouterFailure> {
        self.next += 1;
        let (first, rest) = candidates.split_at(self.next % candidates.len());
        let step = |row: &Candidate| PlanStep { endpoint: row.endpoint, ..PlanStep::default() };
        let steps = rest.iter().chain(first).map(step).collect();
        Ok(Plan { steps, scores: vec![] })
    }

    fn observe(&mut self, _: &[Outcome]) -> Result<(), RouterFailure> {
        Ok(())
    }
}

/// Fails whatever it is asked.
struct Broken;

impl Router for Broken {
    fn route(&mut self, _: &Facts, _: &[Candidate]) -> Result<Plan, RouterFailure> {
        Err(RouterFailure::new("trapped"))
    }

    fn observe(&mut self, _: &[Outcome]) -> Result<(), RouterFailure> {
        Err(RouterFailure::new("trapped"))
    }
}

/// Priority order, the second endpoint beside the first after half a second.
struct Hedging;

impl Router for Hedging {
    fn route(&mut self, _: &Facts, candidates: &[Candidate]) -> Result<Plan, RouterFailure> {
        let step = |row: &Candidate| PlanStep {
            endpoint: row.endpoint,
            timeout_ms: 0,
            hedge_after_ms: Some(500),
        };
        Ok(Plan { steps: candidates.iter().map(step).collect(), scores: vec![] })
    }

    fn observe(&mut self, _: &[Outcome]) -> Result<(), RouterFailure> {
        Ok(())
    }
}

fn tally(scenario: &Scenario, seed: u64, router: &mut dyn Router) -> Tally {
    run(scenario, seed, router, &Options::default()).unwrap()
}

/// One fault of each kind, and one endpoint too small for all.
fn troubled() -> Scenario {
    let mut scenario = scenario(4, 2_000);
    scenario.endpoints.first_mut().unwrap().concurrency = 6;
    for arrival in scenario.arrivals.iter_mut().step_by(3) {
        arrival.session = 1 + arrival.at.as_secs() % 10;
    }
    let part = |intensity, fault| Fault { intensity, ..fault };
    scenario.faults = vec![
        fault(0, 10, 40, FaultKind::Error),
        part(0.5, fault(1, 20, 50, FaultKind::Slow { factor: 8.0 })),
        part(0.7, fault(0, 60, 90, FaultKind::Hang { seconds: 20.0 })),
        fault(1, 70, 90, FaultKind::RateLimit { share: 0.05 }),
        fault(0, 100, 130, FaultKind::Flap { period: Duration::from_secs(10) }),
        fault(1, 110, 140, FaultKind::Ramp { factor: 5.0 }),
        part(0.2, fault(0, 150, 180, FaultKind::Grey)),
        part(0.3, fault(1, 160, 190, FaultKind::Cut)),
        fault(0, 200, 260, FaultKind::Price { factor: 3.0 }),
        fault(0, 300, 320, FaultKind::Error),
        fault(1, 300, 320, FaultKind::Error),
    ];
    scenario
}

/// Every arrival ends exactly once and nothing stays in flight, whoever routes.
fn conserved(scenario: &Scenario, seed: u64) {
    let mut routers: [Box<dyn Router>; 4] = [
        Box::new(Priority::default()),
        Box::new(RoundRobin::default()),
        Box::new(Hedging),
        Box::new(Broken),
    ];
    for router in &mut routers {
        let clock = Clock::new(&Options::default());
        let mut run = Run::new(scenario, seed, Some(router.as_mut()), clock);
        run.play();
        assert_eq!(run.ended.len(), scenario.arrivals.len());
        assert!(run.live.iter().all(Option::is_none));
        assert!(run.events.is_empty());
        let end = Duration::from_secs(100_000);
        for endpoint in 0..scenario.endpoints.len() {
            assert_eq!(run.world.in_flight(endpoint), 0);
            assert_eq!(run.gateway.reading(endpoint, end).in_flight, 0);
        }
    }
}

#[test]
fn every_arrival_ends_exactly_once_and_nothing_stays_in_flight() {
    conserved(&troubled(), 5);
}

fn any_fault() -> impl Strategy<Value = Fault> {
    let kind = prop_oneof![
        Just(FaultKind::Error),
        (1.0..20.0).prop_map(|factor| FaultKind::Slow { factor }),
        (0.0..1.0).prop_map(|share| FaultKind::RateLimit { share }),
        (0.0..60.0).prop_map(|seconds| FaultKind::Hang { seconds }),
        (1.0..20.0).prop_map(|factor| FaultKind::Ramp { factor }),
        (0u64..20).prop_map(|s| FaultKind::Flap { period: Duration::from_secs(s) }),
        Just(FaultKind::Grey),
        Just(FaultKind::Cut),
        (0.1..9.0).prop_map(|factor| FaultKind::Price { factor }),
    ];
    let fault = |(endpoint, start, length, kind, intensity)| Fault {
        intensity,
        ..fault(endpoint, start, start + length, kind)
    };
    (0usize..3, 0u64..60, 0u64..60, kind, 0.05..=1.0).prop_map(fault)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_goes_wrong_every_arrival_ends_exactly_once(
        faults in proptest::collection::vec(any_fault(), 0..8),
        concurrency in 0u32..12,
        timeout_ms in 0u64..30_000,
        seed in any::<u64>(),
    ) {
        let mut scenario = scenario(3, 300);
        scenario.faults = faults;
        scenario.endpoints.iter_mut().for_each(|endpoint| endpoint.concurrency = concurrency);
        scenario.limits.first_token_timeout = Duration::from_millis(timeout_ms);
        conserved(&scenario, seed);
    }
}

#[test]
fn the_same_seed_gives_the_same_tally_and_another_one_another() {
    let scenario = troubled();
    let of = |seed| tally(&scenario, seed, &mut RoundRobin::default());
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}

#[test]
fn the_oracle_is_never_worse_than_simple_routers() {
    let scenario = troubled();
    for seed in 0..5 {
        let oracle = oracle(&scenario, seed, &Options::default()).unwrap();
        let priority = tally(&scenario, seed, &mut Priority::default());
        let round_robin = tally(&scenario, seed, &mut RoundRobin::default());
        assert!(priority.regret(&oracle) > 0.0, "seed {seed}: {}", priority.regret(&oracle));
        assert!(round_robin.regret(&oracle) > 0.0, "seed {seed}");
        assert_eq!(oracle.failed_despite_room, 0);
    }
}

#[test]
fn a_hard_outage_harms_few_requests_and_traffic_returns() {
    let mut scenario = scenario(2, 1_000);
    scenario.faults = vec![fault(0, 60, 120, FaultKind::Error)];
    for seed in 0..20 {
        let tally = tally(&scenario, seed, &mut Priority::default());
        let outage = tally.outages.first().unwrap();
        assert!(outage.wanted);
        // Three in a row, and who came while the third was under way.
        assert!((3..=5).contains(&outage.harmed_before_opening), "seed {seed}: {outage:?}");
        assert!(outage.harmed < 15, "seed {seed}: {outage:?}");
        assert!(outage.readmitted_after_s.unwrap() <= 5.0, "seed {seed}: {outage:?}");
        assert!(tally.success > 0.995, "seed {seed}: the second endpoint serves them");
    }
}

#[test]
fn a_router_that_fails_means_priority_order_and_the_request_is_served() {
    let scenario = scenario(3, 500);
    let broken = tally(&scenario, 1, &mut Broken);
    let priority = tally(&scenario, 1, &mut Priority::default());
    assert!(broken.router_failures > 500, "routes and batches");
    let alike = Tally { router_failures: 0, ..broken };
    assert_eq!(alike, priority);
}

#[test]
fn without_any_endpoint_up_requests_fail_and_cost_their_penalty() {
    let mut scenario = scenario(2, 100);
    scenario.faults = (0..2).map(|at| fault(at, 0, 60, FaultKind::Error)).collect();
    let tally = tally(&scenario, 1, &mut Priority::default());
    assert!(tally.success.abs() < f64::EPSILON && tally.cost_usd_per_1000.abs() < f64::EPSILON);
    assert_eq!((tally.failed_despite_room, tally.servable), (0, 0));
    let penalty = scenario.values.ttft_usd_per_s * scenario.values.failure_penalty_s;
    assert!(tally.utility_usd > penalty);
    assert!((tally.all.over_slo - 1.0).abs() < f64::EPSILON);
}

#[test]
fn a_hedge_rescues_a_hanging_request_and_its_budget_holds() {
    let mut scenario = scenario(2, 1_000);
    scenario.endpoints.iter_mut().for_each(|endpoint| endpoint.ttft_ms.sigma = 0.05);
    let hang = fault(0, 0, 200, FaultKind::Hang { seconds: 20.0 });
    scenario.faults = vec![Fault { intensity: 0.02, ..hang }];
    let plain = tally(&scenario, 1, &mut Priority::default());
    let hedged = tally(&scenario, 1, &mut Hedging);
    assert!(plain.all.over_slo > 0.01);
    assert!(hedged.all.over_slo < plain.all.over_slo, "{hedged:?}");
    let limits = scenario.limits;
    let most = limits.hedge_share + (limits.hedge_burst + 1.0) / 1_000.0;
    assert!(hedged.hedged > 0.01 && hedged.hedged <= most, "{}", hedged.hedged);
    assert!(hedged.cost_usd_per_1000 > plain.cost_usd_per_1000, "losers pay their prompts");
}

#[test]
fn outcomes_are_told_in_batches_with_what_they_took() {
    let scenario = scenario(2, 500);
    let mut router = Priority::default();
    let tally = tally(&scenario, 1, &mut router);
    assert_eq!(router.told.len() as f64, tally.attempts_per_request * 500.0);
    assert!(router.batches > 100 && router.batches < 520, "{}", router.batches);
    assert!(router.told.is_sorted_by_key(|outcome| outcome.now_unix_ms));
    let good = router.told.iter().find(|outcome| outcome.error.is_none()).unwrap();
    assert!(good.ttft_ms > 0.0 && good.total_ms > good.ttft_ms);
    assert_eq!((good.usage.input, good.usage.output), (1_000, 100));
}

#[test]
fn a_step_that_runs_into_its_timeout_pays_the_prompt_and_falls_back() {
    let mut scenario = scenario(2, 200);
    scenario.endpoints.first_mut().unwrap().error_rate = 0.0;
    scenario.endpoints.first_mut().unwrap().ttft_ms.median = 60_000.0;
    scenario.limits.first_token_timeout = Duration::from_secs(2);
    let tally = tally(&scenario, 1, &mut Priority::default());
    assert!(tally.success > 0.98);
    assert!(tally.attempts_per_request > 1.0);
    let second = scenario.endpoints.get(1).unwrap().price.expected(1_000, 100) * 1e3;
    assert!(tally.cost_usd_per_1000 > second, "prompts of the first endpoint on top");
}

#[test]
fn answered_requests_are_counted_by_endpoint_and_time() {
    let scenario = scenario(3, 1_000);
    let tally = tally(&scenario, 1, &mut RoundRobin::default());
    assert_eq!(tally.shares.answered.len(), 7, "200 s in bins of 30 s");
    let answered: u32 = tally.shares.answered.iter().flatten().sum();
    assert_eq!(f64::from(answered), tally.success * 1_000.0);
    assert!(tally.shares.answered.iter().flatten().all(|&count| count > 20));
}

#[test]
fn a_scenario_that_makes_no_sense_is_refused() {
    let refused = |scenario: &Scenario| {
        run(scenario, 1, &mut Priority::default(), &Options::default()).unwrap_err()
    };
    assert_eq!(refused(&scenario(0, 1)), RunError::NoEndpoint);
    let mut stray = scenario(1, 1);
    stray.faults = vec![fault(1, 0, 1, FaultKind::Error)];
    let error = RunError::UnknownEndpoint { fault: 0, endpoint: 1, endpoints: 1 };
    assert_eq!(refused(&stray), error);
    let mut unsorted = scenario(1, 3);
    unsorted.arrivals.swap(1, 2);
    assert_eq!(refused(&unsorted), RunError::UnsortedArrivals { arrival: 2 });
    let narrow = Options { share_bin: Duration::ZERO, ..Options::default() };
    let error = run(&scenario(1, 1), 1, &mut Priority::default(), &narrow).unwrap_err();
    assert_eq!(error, RunError::TooManyBins(Duration::ZERO));
}
