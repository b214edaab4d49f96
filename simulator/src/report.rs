//! What a comparison of policies came to: figures with intervals, and three ways to say them.
//!
//! For people a table (`table`), for programs JSON (the types here serialize; names of fields
//! are documented in docs/simulation.md and stay), for documents rows of Markdown
//! (`markdown`). Every figure is a mean over seeds of that figure of each run; where there are
//! two seeds or more it has a 95 % interval. Figures that no run has (a re-admission without
//! an outage) are absent, not 0.

mod table;

pub use table::{markdown, table};

use serde::Serialize;

use crate::bootstrap::{self, Estimate};
use crate::outage::Outage;
use crate::scenario::Scenario;
use crate::tally::Tally;

/// Policies that a report can compare costs with, if nobody names one.
const USUAL_BASELINES: [&str; 2] = ["balanced", "router-balanced"];

/// One policy's runs: a tally a seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Runs {
    pub policy: String,
    /// In the order of the seeds, which is the same for all policies and the oracle.
    pub tallies: Vec<Tally>,
}

/// A comparison under one scenario.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub scenario: String,
    pub seeds: usize,
    /// Of a run, on average.
    pub requests: f64,
    pub slo_ttft_s: f64,
    /// The policy that the figures `…_vs_baseline` compare with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    pub policies: Vec<Figures>,
    pub oracle: Figures,
}

/// The figures of one policy. Percent are of 100.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    pub policy: String,
    /// US dollars a request, all told.
    pub utility_usd: Estimate,
    /// By how much a request cost more, all told, than with the oracle.
    pub regret_percent: Estimate,
    /// Regret less the baseline's, seed by seed, in points of percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regret_vs_baseline_points: Option<Estimate>,
    pub ttft_mean_s: Estimate,
    pub ttft_p99_s: Estimate,
    pub over_slo_percent: Estimate,
    /// Absent where no request came during a brown-out; so are the next two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brown_out_ttft_p95_s: Option<Estimate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brown_out_ttft_p99_s: Option<Estimate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brown_out_over_slo_percent: Option<Estimate>,
    pub cost_usd_per_1000: Estimate,
    /// 0: the same cost; −10: a tenth less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_vs_baseline_percent: Option<Estimate>,
    pub attempts_per_request: Estimate,
    pub hedged_percent: Estimate,
    pub refused_per_request: Estimate,
    pub success_percent: Estimate,
    /// Of the requests that some endpoint had room for.
    pub success_with_room_percent: Estimate,
    /// All runs together; so are the next two.
    pub rate_limited: u64,
    pub rate_limited_despite_room: u64,
    pub router_failures: u64,
    /// Absent where there was no hard outage of an endpoint in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outages: Option<Outages>,
}

/// Hard outages of endpoints that were in use when they began.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Outages {
    /// All runs together.
    pub count: usize,
    /// Requests harmed until the breaker opened, an outage.
    pub harmed_before_opening: Estimate,
    pub harmed_before_opening_worst: u32,
    /// Until the outage ended, probes included.
    pub harmed: Estimate,
    /// From the end of an outage to the first request served; absent where none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readmitted_after_s: Option<Estimate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readmitted_after_worst_s: Option<f64>,
    /// Outages after which no request was served again.
    pub not_readmitted: usize,
}

/// Runs that do not compare.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReportError {
    #[error(
        "policy `{policy}` has {found} runs; expected {expected}, one for each seed of the oracle"
    )]
    Seeds { policy: String, found: usize, expected: usize },
    #[error("there are no runs to report; expected at least one seed")]
    NoRuns,
    #[error("no policy is called `{found}`; expected one of: {}", expected.join(", "))]
    Baseline { found: String, expected: Vec<String> },
}

impl Report {
    /// `baseline` names one of the policies; without a name `balanced` is the one, if it ran.
    pub fn new(
        scenario: &Scenario,
        policies: &[Runs],
        oracle: &[Tally],
        baseline: Option<&str>,
    ) -> Result<Self, ReportError> {
        if oracle.is_empty() {
            return Err(ReportError::NoRuns);
        }
        if let Some(odd) = policies.iter().find(|runs| runs.tallies.len() != oracle.len()) {
            let (found, expected) = (odd.tallies.len(), oracle.len());
            return Err(ReportError::Seeds { policy: odd.policy.clone(), found, expected });
        }
        let baseline = find_baseline(policies, baseline)?;
        let figures = |policy: &str, tallies: &[Tally]| {
            figures(policy, tallies, oracle, baseline.map(|runs| runs.tallies.as_slice()))
                .ok_or(ReportError::NoRuns)
        };
        let requests: Vec<f64> = oracle.iter().map(|tally| count(tally.requests)).collect();
        Ok(Self {
            scenario: scenario.name.clone(),
            seeds: oracle.len(),
            requests: bootstrap::mean(&requests).map_or(0.0, |requests| requests.mean),
            slo_ttft_s: scenario.slo_ttft.as_secs_f64(),
            baseline: baseline.map(|runs| runs.policy.clone()),
            policies: policies
                .iter()
                .map(|runs| figures(&runs.policy, &runs.tallies))
                .collect::<Result<_, _>>()?,
            oracle: figures("oracle", oracle)?,
        })
    }
}

fn find_baseline<'a>(
    policies: &'a [Runs],
    name: Option<&str>,
) -> Result<Option<&'a Runs>, ReportError> {
    let called = |name: &str| policies.iter().find(|runs| runs.policy == name);
    let Some(name) = name else {
        return Ok(USUAL_BASELINES.iter().find_map(|usual| called(usual)));
    };
    let unknown = || ReportError::Baseline {
        found: name.to_owned(),
        expected: policies.iter().map(|runs| runs.policy.clone()).collect(),
    };
    called(name).map(Some).ok_or_else(unknown)
}

/// `None` without runs.
fn figures(
    policy: &str,
    tallies: &[Tally],
    oracle: &[Tally],
    baseline: Option<&[Tally]>,
) -> Option<Figures> {
    let mean = |of: fn(&Tally) -> f64| bootstrap::mean(&tallies.iter().map(of).collect::<Vec<_>>());
    let in_brown_outs = |of: fn(&Tally) -> f64| {
        let met = tallies.iter().filter(|tally| tally.brown_outs.requests > 0);
        bootstrap::mean(&met.map(of).collect::<Vec<_>>())
    };
    let sum = |of: fn(&Tally) -> u64| tallies.iter().map(of).sum();
    let regrets = regrets(tallies, oracle);
    Some(Figures {
        policy: policy.to_owned(),
        utility_usd: mean(|tally| tally.utility_usd)?,
        regret_percent: bootstrap::mean(&regrets)?,
        regret_vs_baseline_points: baseline
            .and_then(|baseline| bootstrap::difference(&regrets, &self::regrets(baseline, oracle))),
        ttft_mean_s: mean(|tally| tally.all.ttft_mean_s)?,
        ttft_p99_s: mean(|tally| tally.all.ttft_p99_s)?,
        over_slo_percent: mean(|tally| tally.all.over_slo * 100.0)?,
        brown_out_ttft_p95_s: in_brown_outs(|tally| tally.brown_outs.ttft_p95_s),
        brown_out_ttft_p99_s: in_brown_outs(|tally| tally.brown_outs.ttft_p99_s),
        brown_out_over_slo_percent: in_brown_outs(|tally| tally.brown_outs.over_slo * 100.0),
        cost_usd_per_1000: mean(|tally| tally.cost_usd_per_1000)?,
        cost_vs_baseline_percent: baseline.and_then(|baseline| relative_costs(tallies, baseline)),
        attempts_per_request: mean(|tally| tally.attempts_per_request)?,
        hedged_percent: mean(|tally| tally.hedged * 100.0)?,
        refused_per_request: mean(|tally| tally.refused_per_request)?,
        success_percent: mean(|tally| tally.success * 100.0)?,
        success_with_room_percent: mean(success_with_room)?,
        rate_limited: sum(|tally| tally.rate_limited),
        rate_limited_despite_room: sum(|tally| tally.rate_limited_despite_room),
        router_failures: sum(|tally| tally.router_failures),
        outages: outages(tallies),
    })
}

fn regrets(tallies: &[Tally], oracle: &[Tally]) -> Vec<f64> {
    tallies.iter().zip(oracle).map(|(tally, oracle)| tally.regret(oracle) * 100.0).collect()
}

fn relative_costs(tallies: &[Tally], baseline: &[Tally]) -> Option<Estimate> {
    let pairs = tallies.iter().zip(baseline);
    let priced = pairs.filter(|(_, baseline)| baseline.cost_usd_per_1000 > 0.0);
    let relative = |(ours, theirs): (&Tally, &Tally)| {
        (ours.cost_usd_per_1000 / theirs.cost_usd_per_1000 - 1.0) * 100.0
    };
    bootstrap::mean(&priced.map(relative).collect::<Vec<_>>())
}

fn success_with_room(tally: &Tally) -> f64 {
    if tally.servable == 0 {
        return 100.0;
    }
    100.0 * (1.0 - count(tally.failed_despite_room) / count(tally.servable))
}

/// Each outage is one case; they are resampled by outage, not by seed, for a run has few.
fn outages(tallies: &[Tally]) -> Option<Outages> {
    let met: Vec<&Outage> =
        tallies.iter().flat_map(|tally| &tally.outages).filter(|outage| outage.wanted).collect();
    let mean = |of: fn(&Outage) -> f64| {
        bootstrap::mean(&met.iter().map(|outage| of(outage)).collect::<Vec<_>>())
    };
    let readmitted: Vec<f64> = met.iter().filter_map(|outage| outage.readmitted_after_s).collect();
    Some(Outages {
        count: met.len(),
        harmed_before_opening: mean(|outage| outage.harmed_before_opening.into())?,
        harmed_before_opening_worst: met.iter().map(|outage| outage.harmed_before_opening).max()?,
        harmed: mean(|outage| outage.harmed.into())?,
        readmitted_after_s: bootstrap::mean(&readmitted),
        readmitted_after_worst_s: readmitted.iter().copied().max_by(f64::total_cmp),
        not_readmitted: met.len() - readmitted.len(),
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
fn count(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
