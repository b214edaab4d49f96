//! Quantiles of times of which some are known only to be longer than what was seen.
//!
//! An attempt that lost against a hedge took at least as long as it was waited for. To leave
//! such attempts out would make the slowest endpoint look fast. The estimator is that of
//! Kaplan and Meier ("Nonparametric estimation from incomplete observations", 1958).

use crate::scenario::LogNormal;

/// The quantile of the standard normal distribution for 0.9.
const NORMAL_90: f64 = 1.281_551_565_544_6;
/// As for scenarios in files.
const MAX_SIGMA: f64 = 5.0;
/// No time is shorter: logarithms need one above 0.
pub(super) const SHORTEST_MS: f64 = 0.001;

/// A time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Time {
    pub(super) ms: f64,
    /// Not: it was longer.
    pub(super) ended: bool,
}

/// Median, and sigma from the distance of the outer tenths: a few outliers do not move them.
/// `None` without a time that ended.
pub(super) fn log_normal(times: &mut [Time]) -> Option<LogNormal> {
    sort(times);
    let median = median_of_sorted(times)?;
    let tenth = quantile(times, 0.1).unwrap_or(median);
    let sigma = match quantile(times, 0.9) {
        Some(last) => (last / tenth).ln() / (2.0 * NORMAL_90),
        None => (median / tenth).ln() / NORMAL_90,
    };
    Some(LogNormal { median, sigma: sigma.clamp(0.0, MAX_SIGMA) })
}

/// The median; where most times did not end, the longest that did.
pub(super) fn median(times: &mut [Time]) -> Option<f64> {
    sort(times);
    median_of_sorted(times)
}

fn median_of_sorted(times: &[Time]) -> Option<f64> {
    let longest = || times.iter().rfind(|time| time.ended).map(|time| time.ms);
    let median = quantile(times, 0.5).or_else(longest)?;
    Some(median.max(SHORTEST_MS))
}

/// At equal times those that ended come first.
fn sort(times: &mut [Time]) {
    times.sort_unstable_by(|one, other| {
        one.ms.total_cmp(&other.ms).then_with(|| other.ended.cmp(&one.ended))
    });
}

fn quantile(sorted: &[Time], share: f64) -> Option<f64> {
    let mut surviving = 1.0;
    for (passed, time) in sorted.iter().enumerate().filter(|(_, time)| time.ended) {
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let left = (sorted.len() - passed) as f64;
        surviving *= 1.0 - 1.0 / left;
        // Products of fractions are not exact.
        if surviving <= 1.0 - share + 1e-9 {
            return Some(time.ms.max(SHORTEST_MS));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::scenario::draws::Draws;

    fn ended(ms: f64) -> Time {
        Time { ms, ended: true }
    }

    #[test]
    fn without_lost_attempts_quantiles_are_those_of_the_nearest_rank() {
        let mut times: Vec<Time> = (1..=10).rev().map(f64::from).map(ended).collect();
        assert_eq!(median(&mut times), Some(5.0));
        assert_eq!(quantile(&times, 0.9), Some(9.0));
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [Time { ms: 1.0, ended: false }]), None);
    }

    #[test]
    fn times_cut_short_do_not_make_the_rest_look_fast() {
        let truth = LogNormal { median: 500.0, sigma: 0.6 };
        let mut draws = Draws::new(1, 1);
        let cut = |ms: f64| if ms > 600.0 { Time { ms: 600.0, ended: false } } else { ended(ms) };
        let mut times: Vec<Time> = (0..4_000).map(|_| cut(truth.value(draws.normal()))).collect();
        let mut naive: Vec<Time> = times.iter().copied().filter(|time| time.ended).collect();
        let found = log_normal(&mut times).unwrap();
        assert!((found.median / 500.0 - 1.0).abs() < 0.05, "{found:?}");
        assert!((found.sigma / 0.6 - 1.0).abs() < 0.1, "{found:?}");
        assert!(log_normal(&mut naive).unwrap().median < 420.0);
    }
}
