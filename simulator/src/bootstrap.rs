//! Intervals for figures that come once a seed: the percentile bootstrap.
//!
//! Seeds are drawn with replacement, 2,000 times; the interval holds the middle 95 % of the
//! means that come out (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, §13).
//! Policies that ran under the same seeds are compared by their differences, seed by seed:
//! what the seeds have in common cancels out. An interval says how much luck is in the mean
//! over seeds. It says nothing of other scenarios. Resampling has a seed itself, so a report
//! repeats.

use serde::Serialize;

use crate::scenario::draws::Draws;

/// The ends of a 95 % interval move by less than a tenth of its width from one such set to
/// another.
pub const RESAMPLES: usize = 2_000;

const OUTSIDE: f64 = 0.025;
const RESAMPLING: u64 = 0x0062_6f6f;

/// A mean over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    pub mean: f64,
    /// 95 %; absent with fewer than two seeds, which say nothing of luck.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

/// The mean of one value a seed; `None` without any.
pub fn mean(values: &[f64]) -> Option<Estimate> {
    let mean = average(values.iter().copied(), values.len())?;
    let interval = if values.len() < 2 { None } else { interval(values) };
    Some(Estimate { mean, interval })
}

/// The mean of what is left of each value when its partner is taken away. `None` without
/// pairs, or with values that have no partner.
pub fn difference(values: &[f64], partners: &[f64]) -> Option<Estimate> {
    if values.len() != partners.len() {
        return None;
    }
    let differences: Vec<f64> = values.iter().zip(partners).map(|(a, b)| a - b).collect();
    mean(&differences)
}

fn interval(values: &[f64]) -> Option<Interval> {
    // The same resamples for every figure of as many seeds.
    let mut draws = Draws::new(RESAMPLING, values.len() as u64);
    let mut means = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let drawn = (0..values.len()).filter_map(|_| draws.pick(values).copied());
        means.push(average(drawn, values.len())?);
    }
    means.sort_unstable_by(f64::total_cmp);
    Some(Interval { low: quantile(&means, OUTSIDE)?, high: quantile(&means, 1.0 - OUTSIDE)? })
}

/// Between the two values that the rank lies between.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "ranks are below 2,000"
)]
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = share * sorted.len().checked_sub(1)? as f64;
    let below = *sorted.get(rank.floor() as usize)?;
    let above = *sorted.get(rank.ceil() as usize)?;
    Some(below + (above - below) * rank.fract())
}

#[expect(clippy::cast_precision_loss, reason = "seeds are counted in tens")]
fn average(values: impl Iterator<Item = f64>, count: usize) -> Option<f64> {
    if count == 0 { None } else { Some(values.sum::<f64>() / count as f64) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn sample(seed: u64, count: usize, center: f64) -> Vec<f64> {
        let mut draws = Draws::new(seed, 1);
        (0..count).map(|_| center + draws.normal()).collect()
    }

    #[test]
    fn the_interval_of_a_normal_sample_is_nearly_the_textbooks() {
        let values = sample(11, 400, 10.0);
        let estimate = mean(&values).unwrap();
        let interval = estimate.interval.unwrap();
        let squares: f64 = values.iter().map(|value| (value - estimate.mean).powi(2)).sum();
        let error = (squares / 399.0).sqrt() / 20.0;
        assert!((interval.low - (estimate.mean - 1.96 * error)).abs() < 0.15 * error);
        assert!((interval.high - (estimate.mean + 1.96 * error)).abs() < 0.15 * error);
    }

    #[test]
    fn about_nineteen_of_twenty_intervals_hold_the_true_mean() {
        let holds = |seed| {
            let interval = mean(&sample(seed, 40, 3.0)).unwrap().interval.unwrap();
            interval.low <= 3.0 && 3.0 <= interval.high
        };
        let held = (0..200).filter(|seed| holds(*seed)).count();
        assert!((180..=198).contains(&held), "{held} of 200");
    }

    #[test]
    fn pairs_cancel_what_they_have_in_common() {
        let common = sample(5, 30, 100.0);
        let ours: Vec<f64> = common.iter().map(|value| value * 3.0 + 0.5).collect();
        let theirs: Vec<f64> = common.iter().map(|value| value * 3.0).collect();
        let estimate = difference(&ours, &theirs).unwrap();
        let interval = estimate.interval.unwrap();
        assert!((estimate.mean - 0.5).abs() < 1e-9);
        assert!(interval.high - interval.low < 1e-9);
        let unpaired = mean(&ours).unwrap().interval.unwrap();
        assert!(unpaired.high - unpaired.low > 1.0);
    }

    #[test]
    fn one_seed_has_a_mean_and_no_interval() {
        assert_eq!(mean(&[4.0]), Some(Estimate { mean: 4.0, interval: None }));
        assert_eq!(mean(&[]), None);
        assert_eq!(difference(&[1.0], &[1.0, 2.0]), None);
    }

    #[test]
    fn equal_values_leave_no_doubt() {
        let interval = mean(&[2.0, 2.0, 2.0]).unwrap().interval.unwrap();
        assert_eq!((interval.low, interval.high), (2.0, 2.0));
    }

    proptest! {
        #[test]
        fn an_interval_lies_within_the_values(values in prop::collection::vec(-1e3..1e3f64, 2..40)) {
            let interval = mean(&values).unwrap().interval.unwrap();
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            prop_assert!(least - 1e-9 <= interval.low && interval.low <= interval.high);
            prop_assert!(interval.high <= most + 1e-9);
        }
    }
}
