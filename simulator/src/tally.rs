//! What a run came to: figures that runs are compared by.
//!
//! Utility is what a request cost all told, in US dollars, so less is better: money, plus
//! waiting for the first token and for the rest priced by the scenario's values, plus a
//! penalty if it failed. Times to first token are the client's: from arrival, through every
//! attempt that failed, to the first token that was passed on. A request without one has no
//! such time, but it misses the SLO.

use std::time::Duration;

use serde::Serialize;
use torana_wire::error::CallErrorKind;

use crate::outage::Outage;

/// The figures of one run of one router.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Tally {
    pub requests: u64,
    /// Share of the requests whose answer came whole.
    pub success: f64,
    /// Mean utility of a request, US dollars; less is better.
    pub utility_usd: f64,
    pub cost_usd_per_1000: f64,
    pub all: Latency,
    /// Of the requests that arrived while any fault but a change of price was active.
    pub brown_outs: Latency,
    /// Attempts that endpoints were asked, for each request.
    pub attempts_per_request: f64,
    /// Share of the requests that were hedged.
    pub hedged: f64,
    /// Attempts answered with 429, for each request.
    pub refused_per_request: f64,
    /// Requests whose answer broke off in mid-stream: no router mends those.
    pub cut: u64,
    /// Requests that got no answer at all, though some endpoint had room, and would not fail for
    /// certain, both when they came and when they ended.
    pub failed_despite_room: u64,
    /// Requests that ended with a 429 for the client.
    pub rate_limited: u64,
    pub rate_limited_despite_room: u64,
    /// Requests that were answered, or could have been: `failed_despite_room` is a part of them.
    pub servable: u64,
    /// Calls of the router that failed.
    pub router_failures: u64,
    pub outages: Vec<Outage>,
    pub shares: Shares,
}

/// Times to first token, seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Latency {
    pub requests: u64,
    pub success: f64,
    pub ttft_mean_s: f64,
    pub ttft_p50_s: f64,
    pub ttft_p95_s: f64,
    pub ttft_p99_s: f64,
    /// Share of the requests without a first token within the scenario's SLO.
    pub over_slo: f64,
}

/// Answered requests by endpoint over time.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Shares {
    pub bin_s: f64,
    /// A row for each bin, a column for each endpoint; by the time the winning attempt began.
    pub answered: Vec<Vec<u32>>,
}

impl Tally {
    /// By how much more a request cost than with the oracle, as a fraction of the oracle's.
    /// 0 where the oracle's cost nothing.
    pub fn regret(&self, oracle: &Self) -> f64 {
        if oracle.utility_usd > 0.0 { self.utility_usd / oracle.utility_usd - 1.0 } else { 0.0 }
    }
}

/// What became of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub in_brown_out: bool,
    pub ttft: Option<Duration>,
    /// Absent: it succeeded. With a first token: it was cut.
    pub error: Option<CallErrorKind>,
    /// Some endpoint had room, and would not fail for certain, when it came and when it ended.
    pub had_room: bool,
    pub cost_usd: f64,
    pub utility_usd: f64,
    pub attempts: u32,
    pub refused: u32,
    pub hedges: u32,
}

/// Figures of the requests; the rest of the tally is left at its default.
pub(crate) fn count(ended: &[Ended], slo: Duration) -> Tally {
    let requests = ended.len();
    let sum = |of: fn(&Ended) -> f64| ended.iter().map(of).sum::<f64>();
    let having = |is: fn(&Ended) -> bool| ended.iter().filter(|ended| is(ended)).count();
    let limited = |ended: &Ended| ended.error == Some(CallErrorKind::RateLimited);
    Tally {
        requests: requests as u64,
        success: share(having(|ended| ended.error.is_none()), requests),
        utility_usd: mean(sum(|ended| ended.utility_usd), requests),
        cost_usd_per_1000: mean(sum(|ended| ended.cost_usd), requests) * 1e3,
        all: latency(ended.iter(), slo),
        brown_outs: latency(ended.iter().filter(|ended| ended.in_brown_out), slo),
        attempts_per_request: mean(sum(|ended| ended.attempts.into()), requests),
        hedged: share(having(|ended| ended.hedges > 0), requests),
        refused_per_request: mean(sum(|ended| ended.refused.into()), requests),
        cut: having(|ended| ended.error.is_some() && ended.ttft.is_some()) as u64,
        failed_despite_room: having(|ended| ended.ttft.is_none() && ended.had_room) as u64,
        rate_limited: ended.iter().filter(|ended| limited(ended)).count() as u64,
        rate_limited_despite_room: ended
            .iter()
            .filter(|ended| limited(ended) && ended.had_room)
            .count() as u64,
        servable: having(|ended| ended.ttft.is_some() || ended.had_room) as u64,
        ..Tally::default()
    }
}

fn latency<'a>(ended: impl Iterator<Item = &'a Ended>, slo: Duration) -> Latency {
    let (mut requests, mut succeeded, mut late) = (0, 0, 0);
    let mut ttfts = Vec::new();
    for ended in ended {
        requests += 1;
        succeeded += usize::from(ended.error.is_none());
        late += usize::from(ended.ttft.is_none_or(|ttft| ttft > slo));
        ttfts.extend(ended.ttft.map(|ttft| ttft.as_secs_f64()));
    }
    ttfts.sort_unstable_by(f64::total_cmp);
    Latency {
        requests: requests as u64,
        success: share(succeeded, requests),
        ttft_mean_s: mean(ttfts.iter().sum(), ttfts.len()),
        ttft_p50_s: percentile(&ttfts, 50),
        ttft_p95_s: percentile(&ttfts, 95),
        ttft_p99_s: percentile(&ttfts, 99),
        over_slo: share(late, requests),
    }
}

/// By nearest rank: the least value that so many per cent of the values do not exceed.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

fn share(part: usize, whole: usize) -> f64 {
    mean(as_float(part), whole)
}

fn mean(sum: f64, count: usize) -> f64 {
    if count == 0 { 0.0 } else { sum / as_float(count) }
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
fn as_float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(ttft_ms: u64) -> Ended {
        Ended {
            in_brown_out: false,
            ttft: Some(Duration::from_millis(ttft_ms)),
            error: None,
            had_room: true,
            cost_usd: 0.001,
            utility_usd: 0.002,
            attempts: 1,
            refused: 0,
            hedges: 0,
        }
    }

    #[test]
    fn a_request_without_a_first_token_misses_the_slo_but_has_no_time() {
        let failed = Ended { ttft: None, error: Some(CallErrorKind::Server), ..served(0) };
        let tally =
            count(&[served(1_000), served(4_000), failed, served(1_000)], Duration::from_secs(3));
        assert!((tally.success - 0.75).abs() < 1e-12);
        assert!((tally.all.over_slo - 0.5).abs() < 1e-12);
        assert!((tally.all.ttft_mean_s - 2.0).abs() < 1e-12);
        assert!((tally.all.ttft_p99_s - 4.0).abs() < 1e-12);
        assert_eq!(tally.failed_despite_room, 1);
        assert_eq!(tally.rate_limited, 0);
    }

    #[test]
    fn requests_in_brown_outs_are_counted_apart_too() {
        let inside = Ended { in_brown_out: true, ..served(2_000) };
        let tally = count(&[served(1_000), inside], Duration::from_secs(3));
        assert_eq!((tally.all.requests, tally.brown_outs.requests), (2, 1));
        assert!((tally.brown_outs.ttft_p50_s - 2.0).abs() < 1e-12);
    }

    #[test]
    fn a_429_while_another_endpoint_had_room_is_told_from_one_without() {
        let limited = Ended { error: Some(CallErrorKind::RateLimited), ttft: None, ..served(0) };
        let full = Ended { had_room: false, ..limited };
        let tally = count(&[limited, full, served(1)], Duration::from_secs(3));
        assert_eq!((tally.rate_limited, tally.rate_limited_despite_room), (2, 1));
        assert_eq!((tally.failed_despite_room, tally.servable), (1, 2));
    }

    #[test]
    fn a_cut_stream_is_a_failure_that_no_room_elsewhere_mends() {
        let cut = Ended { error: Some(CallErrorKind::Server), ..served(1_000) };
        let tally = count(&[cut, served(1_000)], Duration::from_secs(3));
        assert!((tally.success - 0.5).abs() < 1e-12);
        assert_eq!((tally.cut, tally.failed_despite_room, tally.servable), (1, 0, 2));
    }

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert!((percentile(&values, 99) - 198.0).abs() < f64::EPSILON);
        assert!((percentile(&values, 50) - 100.0).abs() < f64::EPSILON);
        assert!(percentile(&[], 50).abs() < f64::EPSILON);
    }

    #[test]
    fn regret_is_relative_to_the_oracle() {
        let of = |utility_usd| Tally { utility_usd, ..Tally::default() };
        assert!((of(1.1).regret(&of(1.0)) - 0.1).abs() < 1e-12);
        assert!(of(1.0).regret(&of(0.0)).abs() < f64::EPSILON);
    }
}
