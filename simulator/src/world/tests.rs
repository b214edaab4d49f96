//! The world does what its model says.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::fixture::{fault, scenario};

const NOW: Duration = Duration::from_secs(50);

fn answer(fate: Fate) -> Answer {
    let Fate::Answered(answer) = fate else { unreachable!("{fate:?} is no answer") };
    answer
}

#[test]
fn the_same_seed_request_and_endpoint_meet_the_same_fate() {
    let scenario = scenario(2, 10);
    let fates = |seed| -> Vec<Fate> {
        let mut world = World::new(&scenario, seed);
        (0..10).map(|request| world.begin(request, 1, NOW)).collect()
    };
    assert_eq!(fates(1), fates(1));
    assert_ne!(fates(1), fates(2));
}

#[test]
fn one_request_more_than_the_capacity_is_refused_until_another_ends() {
    let mut scenario = scenario(1, 10);
    scenario.endpoints.first_mut().unwrap().concurrency = 2;
    scenario.endpoints.first_mut().unwrap().error_rate = 0.0;
    let mut world = World::new(&scenario, 1);
    let first = world.begin(0, 0, NOW);
    assert!(world.has_room(NOW));
    answer(world.begin(1, 0, NOW));
    assert!(!world.has_room(NOW));
    let refused = world.begin(2, 0, NOW);
    assert!(matches!(refused, Fate::Refused { .. }));
    world.end(0, &refused);
    assert_eq!(world.in_flight(0), 2, "what was refused took no room");
    world.end(0, &first);
    answer(world.begin(3, 0, NOW));
}

#[test]
fn some_refusals_name_a_time_of_one_to_two_seconds() {
    let mut scenario = scenario(1, 100);
    scenario.endpoints.first_mut().unwrap().concurrency = 0;
    let mut world = World::new(&scenario, 1);
    let named: Vec<Duration> = (0..100)
        .filter_map(|request| match world.begin(request, 0, NOW) {
            Fate::Refused { retry_after, .. } => retry_after,
            other => unreachable!("{other:?} without any capacity"),
        })
        .collect();
    assert!((30..70).contains(&named.len()), "{} of 100", named.len());
    assert!(named.iter().all(|after| (1.0..2.0).contains(&after.as_secs_f64())));
}

#[test]
fn load_above_the_stated_share_delays_and_slows() {
    let mut scenario = scenario(1, 200);
    let endpoint = scenario.endpoints.first_mut().unwrap();
    endpoint.error_rate = 0.0;
    endpoint.ttft_ms.sigma = 0.0;
    let mut world = World::new(&scenario, 1);
    let answers: Vec<Answer> =
        (0..100).map(|request| answer(world.begin(request, 0, NOW))).collect();
    let ttft = |position: usize| answers.get(position).unwrap().ttft.as_secs_f64();
    assert!((ttft(0) - 0.5).abs() < 1e-6 && (ttft(58) - 0.5).abs() < 1e-6);
    assert!((ttft(79) - 0.75).abs() < 1e-6, "1 + 2 × 0.5²");
    assert!((ttft(99) - 1.5).abs() < 1e-6, "1 + 2 × 1²");
    let streams: f64 = answers.iter().take(40).map(|answer| answer.stream.as_secs_f64()).sum();
    let slow: f64 = answers.iter().rev().take(10).map(|answer| answer.stream.as_secs_f64()).sum();
    assert!(slow / 10.0 > 1.6 * streams / 40.0);
}

#[test]
fn each_fault_does_what_its_kind_says() {
    let fate = |kind| {
        let mut scenario = scenario(1, 1);
        scenario.endpoints.first_mut().unwrap().error_rate = 0.0;
        scenario.faults = vec![fault(0, 40, 60, kind)];
        World::new(&scenario, 1).begin(0, 0, NOW)
    };
    let mut healthy = scenario(1, 1);
    healthy.endpoints.first_mut().unwrap().error_rate = 0.0;
    let healthy = answer(World::new(&healthy, 1).begin(0, 0, NOW));
    let server = |fate| matches!(fate, Fate::Failed { error: CallErrorKind::Server, .. });
    assert!(server(fate(FaultKind::Error)) && server(fate(FaultKind::Grey)));
    assert!(!server(fate(FaultKind::Flap { period: Duration::from_secs(20) })), "the good half");
    assert!(server(fate(FaultKind::Flap { period: Duration::from_secs(10) })));
    let hangs = fate(FaultKind::Hang { seconds: 20.0 });
    let after = Duration::from_secs(20);
    assert_eq!(hangs, Fate::Failed { after, error: CallErrorKind::Timeout });
    assert!(matches!(fate(FaultKind::RateLimit { share: 0.0 }), Fate::Refused { .. }));
    let times = |kind| answer(fate(kind)).ttft.as_secs_f64() / healthy.ttft.as_secs_f64();
    assert!((times(FaultKind::Slow { factor: 4.0 }) - 4.0).abs() < 1e-6);
    assert!((times(FaultKind::Ramp { factor: 3.0 }) - 2.0).abs() < 1e-6, "half-way");
    let cut = answer(fate(FaultKind::Cut));
    assert!(cut.cut && cut.usage.output <= healthy.usage.output && cut.stream < healthy.stream);
    assert_eq!(cut.ttft, healthy.ttft);
    let dear = answer(fate(FaultKind::Price { factor: 2.0 }));
    assert!((dear.cost_usd / healthy.cost_usd - 2.0).abs() < 1e-9);
}

#[test]
fn a_fault_hits_the_share_of_requests_that_its_intensity_says() {
    let mut scenario = scenario(1, 1_000);
    let endpoint = scenario.endpoints.first_mut().unwrap();
    (endpoint.error_rate, endpoint.concurrency) = (0.0, 2_000);
    scenario.faults = vec![Fault { intensity: 0.2, ..fault(0, 40, 60, FaultKind::Grey) }];
    let mut world = World::new(&scenario, 3);
    let failed = (0..1_000)
        .filter(|&request| matches!(world.begin(request, 0, NOW), Fate::Failed { .. }))
        .count();
    assert!((160..240).contains(&failed), "{failed} of 1000");
}

#[test]
fn a_conversation_is_cheaper_and_faster_where_it_was_of_late() {
    let mut scenario = scenario(2, 2);
    scenario.endpoints.iter_mut().for_each(|endpoint| endpoint.error_rate = 0.0);
    let arrival = Arrival { session: 7, ..*scenario.arrivals.first().unwrap() };
    scenario.arrivals = vec![arrival, arrival];
    let mut world = World::new(&scenario, 1);
    let cold = answer(world.begin(1, 0, NOW));
    world.answered(&arrival, 0, NOW);
    let warm = answer(world.begin(1, 0, NOW + Duration::from_secs(299)));
    assert_eq!((cold.usage.cached_input, warm.usage.cached_input), (0, 1_000));
    assert!(warm.cost_usd < cold.cost_usd);
    assert!((warm.ttft.as_secs_f64() / cold.ttft.as_secs_f64() - 0.5).abs() < 1e-6);
    assert_eq!(answer(world.begin(1, 0, NOW + Duration::from_secs(300))), cold);
    assert_eq!(answer(world.begin(1, 1, NOW)).usage.cached_input, 0);
}

#[test]
fn a_prospect_knows_faults_room_and_price() {
    let mut scenario = scenario(4, 1);
    scenario.endpoints.get_mut(3).unwrap().concurrency = 0;
    let grey = Fault { intensity: 0.5, ..fault(1, 40, 60, FaultKind::Hang { seconds: 20.0 }) };
    scenario.faults = vec![fault(0, 40, 60, FaultKind::Error), grey];
    let world = World::new(&scenario, 1);
    let prospect = |endpoint| world.prospect(0, endpoint, NOW);
    assert!(!prospect(0).has_room && !prospect(3).has_room);
    assert!(world.has_room(NOW));
    assert!(prospect(1).has_room && prospect(2).has_room);
    assert!(prospect(1).rank > prospect(2).rank, "half of the requests hang for 20 s");
    let later = Duration::from_secs(70);
    let rank = |endpoint| world.prospect(0, endpoint, later).rank;
    assert!(rank(0) < rank(1) && rank(1) < rank(2));
}
