use proptest::prelude::*;

use super::*;

const MINUTE: u64 = NANOSECONDS_A_MINUTE;

fn exact(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

#[test]
fn nothing_observed_is_all_zero() {
    let slices = Slices::default();
    assert_eq!(slices.percentiles(&[Figure::Ttft], 30, 7 * MINUTE), Percentiles::default());
}

#[test]
fn samples_leave_the_windows_as_time_passes() {
    let slices = Slices::default();
    slices.sample(Figure::Ttft, 100.0, 0);
    slices.count(Count::Failed, MINUTE);
    slices.cost(0.25, MINUTE);
    slices.cost(0.5, 2 * MINUTE);
    let samples = |span, now| slices.percentiles(&[Figure::Ttft], span, now).count;
    assert_eq!(samples(5, 5 * MINUTE - 1), 1);
    assert_eq!(samples(5, 5 * MINUTE), 0);
    assert_eq!(samples(30, 30 * MINUTE - 1), 1);
    assert_eq!(samples(30, 30 * MINUTE), 0);
    assert_eq!(slices.counted(Count::Failed, 5, 6 * MINUTE - 1), 1);
    assert_eq!(slices.counted(Count::Failed, 5, 6 * MINUTE), 0);
    assert!((slices.spent(5, 5 * MINUTE) - 0.75).abs() < 1e-12);
    assert!((slices.spent(5, 6 * MINUTE) - 0.5).abs() < 1e-12);
}

#[test]
fn a_slice_is_emptied_for_its_next_minute() {
    let slices = Slices::default();
    for figure in [Figure::Ttft, Figure::Total, Figure::Throughput] {
        slices.sample(figure, 100.0, 0);
    }
    slices.count(Count::Succeeded, 0);
    slices.cost(1.0, 0);
    slices.sample(Figure::Ttft, 900.0, 30 * MINUTE);
    let now = 30 * MINUTE;
    let ttft = slices.percentiles(&[Figure::Ttft], 30, now);
    assert_eq!(ttft.count, 1);
    assert!((ttft.p50 / 900.0 - 1.0).abs() < 0.05);
    assert_eq!(slices.percentiles(&[Figure::Total, Figure::Throughput], 30, now).count, 0);
    assert_eq!(slices.counted(Count::Succeeded, 30, now), 0);
    assert!(slices.spent(30, now).abs() < 1e-12);
}

#[test]
fn a_sample_that_comes_half_an_hour_late_is_left_out() {
    let slices = Slices::default();
    slices.count(Count::Succeeded, 30 * MINUTE);
    slices.count(Count::Succeeded, 0);
    assert_eq!(slices.counted(Count::Succeeded, 30, 30 * MINUTE), 1);
}

#[test]
fn figures_beyond_the_range_count_at_its_ends() {
    let slices = Slices::default();
    for value in [0.0, -1.0, f64::NAN, 1e-9] {
        slices.sample(Figure::Ttft, value, 0);
    }
    let lowest = slices.percentiles(&[Figure::Ttft], 5, 0);
    assert_eq!(lowest.count, 4);
    assert!((lowest.p99 / LOWEST - 1.0).abs() < 0.05);
    for value in [1e12, f64::INFINITY] {
        slices.sample(Figure::Total, value, 0);
    }
    let highest = slices.percentiles(&[Figure::Total], 5, 0);
    assert_eq!(highest.count, 2);
    assert!(highest.p50 > 820_000.0 && highest.p50 < 880_000.0, "{}", highest.p50);
}

#[test]
fn threads_within_a_minute_lose_no_sample() {
    let slices = Slices::default();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for step in 0..5_000 {
                    slices.sample(Figure::Total, f64::from(step), 1);
                    slices.count(Count::Succeeded, 2);
                    slices.cost(0.5, 3);
                }
            });
        }
    });
    assert_eq!(slices.percentiles(&[Figure::Total], 5, 4).count, 20_000);
    assert_eq!(slices.counted(Count::Succeeded, 5, 4), 20_000);
    assert!((slices.spent(5, 4) - 10_000.0).abs() < 1e-6);
}

#[test]
fn threads_at_the_turn_of_a_minute_never_count_a_sample_twice() {
    let slices = Slices::default();
    for round in 1..50 {
        let now = round * MINUTES * MINUTE;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10).for_each(|_| slices.count(Count::Failed, now)));
            }
        });
        let counted = slices.counted(Count::Failed, 1, now);
        assert!((1..=40).contains(&counted), "{counted}");
    }
}

proptest! {
    #[test]
    fn percentiles_are_within_five_percent_of_the_exact_ones(
        logarithms in prop::collection::vec(-1.0..5.9_f64, 1..500),
    ) {
        let slices = Slices::default();
        let mut values: Vec<f64> = logarithms.iter().map(|power| 10_f64.powf(*power)).collect();
        for (minute, value) in (0..30).cycle().zip(&values) {
            slices.sample(Figure::Total, *value, minute * MINUTE);
        }
        values.sort_by(f64::total_cmp);
        let found = slices.percentiles(&[Figure::Total], 30, 29 * MINUTE);
        prop_assert_eq!(found.count, values.len() as u64);
        let pairs = [
            (found.p1, 1), (found.p10, 10), (found.p25, 25), (found.p50, 50),
            (found.p75, 75), (found.p90, 90), (found.p95, 95), (found.p99, 99),
        ];
        for (value, percent) in pairs {
            let exact = exact(&values, percent);
            prop_assert!((value / exact - 1.0).abs() <= 0.05, "p{percent}: {value}, not {exact}");
        }
    }
}
