use proptest::prelude::*;

use super::*;
use crate::fixture;

fn endpoints(count: u32, regions: u32) -> Vec<Endpoint> {
    let mut endpoints = fixture::scenario(count, 1).endpoints;
    for (position, endpoint) in endpoints.iter_mut().enumerate() {
        endpoint.region = (regions > 0).then(|| format!("r{}", position % regions as usize));
        endpoint.concurrency = 10;
    }
    endpoints
}

fn generator(per_hour: f64, healthy_concurrency: u64) -> Generator {
    Generator {
        per_hour: Family::ALL.map(|family| (family, per_hour)).to_vec(),
        duration_s: (30.0, 180.0),
        intensity: (0.5, 1.0),
        kinds: BrownOut::ALL.to_vec(),
        calm: Duration::from_secs(60),
        healthy_concurrency,
    }
}

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn every_family_comes_at_about_its_rate() {
    let endpoints = endpoints(20, 4);
    for family in Family::ALL {
        let one = Generator { per_hour: vec![(family, 6.0)], ..generator(0.0, 1) };
        let mut starts: Vec<Duration> =
            one.schedule(&endpoints, &[], HOUR * 50, 1).iter().map(|fault| fault.start).collect();
        starts.dedup();
        // 300 expected; some are left out for overlapping on their endpoint.
        assert!((240..350).contains(&starts.len()), "{family:?}: {}", starts.len());
    }
}

#[test]
fn a_region_fails_as_one() {
    let endpoints = endpoints(6, 2);
    let one = Generator { per_hour: vec![(Family::Region, 5.0)], ..generator(0.0, 1) };
    let faults = one.schedule(&endpoints, &[], HOUR, 3);
    assert!(!faults.is_empty());
    for event in faults.chunk_by(|one, other| one.start == other.start) {
        let hit: Vec<usize> = event.iter().map(|fault| fault.endpoint).collect();
        assert!(hit == [0, 2, 4] || hit == [1, 3, 5], "{hit:?}");
        assert!(event.iter().all(|fault| (fault.end, fault.kind) == (event[0].end, event[0].kind)));
    }
}

#[test]
fn families_do_not_move_each_others_events() {
    let endpoints = endpoints(20, 0);
    let single = Generator { per_hour: vec![(Family::Single, 2.0)], ..generator(0.0, 1) };
    let with_price =
        Generator { per_hour: vec![(Family::Single, 2.0), (Family::Price, 9.0)], ..single.clone() };
    let harming = |faults: Vec<Fault>| -> Vec<Fault> {
        faults.into_iter().filter(|fault| fault.kind.harms()).collect()
    };
    let alone = single.schedule(&endpoints, &[], HOUR, 5);
    assert_eq!(alone, harming(with_price.schedule(&endpoints, &[], HOUR, 5)));
}

#[test]
fn written_faults_count_for_the_promise_too() {
    let endpoints = endpoints(2, 0);
    let down = fixture::fault(0, 0, 3_600, FaultKind::Error);
    let faults = generator(20.0, 1).schedule(&endpoints, &[down], HOUR, 1);
    assert!(faults.contains(&down));
    assert!(faults.iter().all(|fault| *fault == down || !fault.kind.harms()));
}

proptest! {
    #[test]
    fn some_endpoint_is_always_healthy_and_enough_is(
        seed in any::<u64>(),
        count in 1u32..6,
        regions in 0u32..3,
        per_hour in 0.0..60.0f64,
        healthy in 1u64..30,
    ) {
        let endpoints = endpoints(count, regions);
        let of = generator(per_hour, healthy);
        let faults = of.schedule(&endpoints, &[], HOUR, seed);
        prop_assert_eq!(&faults, &of.schedule(&endpoints, &[], HOUR, seed));
        prop_assert!(faults.is_sorted_by_key(|fault| fault.start));
        for fault in &faults {
            prop_assert!(fault.start >= of.calm && fault.start < HOUR && fault.start < fault.end);
            prop_assert!(fault.endpoint < endpoints.len());
            prop_assert!(fault.intensity > 0.0 && fault.intensity <= 1.0);
            // Every instant is as the instant of the latest start before it, or better.
            let (up, concurrency) = health(&faults, &endpoints, fault.start);
            prop_assert!(!fault.kind.harms() || (up >= 1 && concurrency >= healthy));
            let same = faults.iter().filter(|other| {
                other.endpoint == fault.endpoint
                    && other.kind.harms() == fault.kind.harms()
                    && other.start < fault.end
                    && fault.start < other.end
            });
            prop_assert_eq!(same.count(), 1);
        }
    }
}
