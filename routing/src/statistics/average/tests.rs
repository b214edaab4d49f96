use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn close(left: Option<f64>, right: f64) -> bool {
    left.is_some_and(|left| (left - right).abs() < 1e-9 * right.abs().max(1.0))
}

#[test]
fn nothing_is_known_before_the_first_sample_which_counts_in_full() {
    let average = Average::default();
    assert_eq!((average.fast(), average.slow()), (None, None));
    average.add(7.0, 3 * SECOND);
    assert_eq!((average.fast(), average.slow()), (Some(7.0), Some(7.0)));
}

#[test]
fn the_samples_of_a_burst_count_alike() {
    let average = Average::default();
    for sample in [0.0, 100.0, 0.0, 100.0, 100.0, 0.0] {
        average.add(sample, SECOND);
    }
    assert!(close(average.fast(), 50.0), "{average:?}");
    assert!(close(average.slow(), 50.0), "{average:?}");
}

#[test]
fn after_a_long_silence_the_next_sample_counts_in_full() {
    let average = Average::default();
    for step in 0..1_000 {
        average.add(100.0, step * SECOND / 100);
    }
    average.add(900.0, 1_800 * SECOND);
    assert!(close(average.fast(), 900.0));
    assert!(close(average.slow(), 900.0));
}

#[test]
fn in_steady_traffic_a_sample_weighs_by_the_time_since_the_one_before() {
    let average = Average::default();
    for step in 0..10_000 {
        average.add(100.0, step * SECOND / 10);
    }
    average.add(200.0, 10_000 * SECOND / 10);
    let expected = |tau: f64| 100.0 + 100.0 * (1.0 - (-0.1 / tau).exp());
    assert!(close(average.fast(), expected(FAST)), "{average:?}");
    assert!(close(average.slow(), expected(SLOW)), "{average:?}");
}

#[test]
fn a_bound_is_a_sample_only_where_it_contradicts_the_average() {
    let average = Average::default();
    assert!(!average.at_most(50.0, 0), "an upper bound alone says nothing");
    assert_eq!(average.slow(), None);
    assert!(average.at_least(50.0, 0));
    assert_eq!(average.slow(), Some(50.0));
    assert!(!average.at_least(40.0, 0));
    assert!(!average.at_most(60.0, 0));
    assert_eq!(average.slow(), Some(50.0));
    assert!(average.at_most(40.0, 0));
    assert!(close(average.slow(), 45.0));
    assert!(average.at_least(60.0, 0));
    assert!(close(average.slow(), 50.0));
}

#[test]
fn threads_lose_no_sample() {
    let average = Average::default();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let average = &average;
            scope.spawn(move || {
                for _ in 0..5_000 {
                    average.add(f64::from(thread), SECOND);
                }
            });
        }
    });
    assert!((average.fast_count(SECOND) - 20_000.0).abs() < 1e-6);
    assert!(average.fast().is_some_and(|value| (0.0..=3.0).contains(&value)), "{average:?}");
}

proptest! {
    #[test]
    fn an_average_stays_within_its_samples(
        samples in prop::collection::vec((0.0..1e6_f64, 0..120 * SECOND), 1..200),
    ) {
        let average = Average::default();
        let mut now = 0;
        let (mut lowest, mut highest) = (f64::MAX, f64::MIN);
        for (sample, pause) in samples {
            now += pause;
            average.add(sample, now);
            lowest = lowest.min(sample);
            highest = highest.max(sample);
            for value in [average.fast(), average.slow()].into_iter().flatten() {
                prop_assert!(value >= lowest * (1.0 - 1e-12) && value <= highest * (1.0 + 1e-12));
            }
        }
        prop_assert!(average.fast().is_some() && average.slow().is_some());
    }
}
