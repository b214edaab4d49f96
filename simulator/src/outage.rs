//! What each hard outage did: whom it harmed until traffic left, and when traffic came back.
//!
//! Worked out after the run from a log of attempts and of what the breakers showed, so that
//! it costs the run nothing and no router can see it.

use std::time::Duration;

use serde::Serialize;

use crate::scenario::{Fault, Scenario};

/// Traffic of this long before an outage says whether the endpoint was wanted …
const BEFORE: Duration = Duration::from_secs(60);
/// … if it served at least this share of it.
const WANTED_SHARE: f64 = 0.05;
/// Shorter calm after an outage says nothing about whether traffic would have come back.
const AFTER: Duration = Duration::from_secs(20);

/// One hard fault, as this router met it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outage {
    /// Position in the scenario's faults.
    pub fault: usize,
    pub endpoint: usize,
    /// Requests whose first attempt went to the endpoint during the fault and failed or took
    /// longer than the SLO: those that began before the breaker opened.
    pub harmed_before_opening: u32,
    /// The same until the end of the fault, probes included.
    pub harmed: u32,
    /// When the breaker was first seen not closed, from the start of the fault; absent: never.
    pub opened_after_s: Option<f64>,
    /// From the end of the fault to the first token of the first attempt that began after it
    /// and succeeded. Absent: there was none before the endpoint's next fault.
    pub readmitted_after_s: Option<f64>,
    /// The endpoint had served at least 5 % of the traffic of the minute before, and had 20 s
    /// of calm after: only then does it say something that traffic came back, or not.
    pub wanted: bool,
}

/// One attempt, as far as outages are concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempted {
    pub endpoint: usize,
    pub started: Duration,
    /// It was its request's first.
    pub first: bool,
    /// Absent: it failed or was cancelled before.
    pub first_token: Option<Duration>,
}

/// A breaker was seen to change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub endpoint: usize,
    pub at: Duration,
    pub closed: bool,
}

/// One entry for each hard fault. `attempts` and `seen` are in the order of their times.
pub(crate) fn outages(scenario: &Scenario, attempts: &[Attempted], seen: &[Seen]) -> Vec<Outage> {
    let hard = scenario.faults.iter().enumerate().filter(|(_, fault)| fault.is_hard());
    hard.map(|(position, fault)| outage(scenario, position, fault, attempts, seen)).collect()
}

fn outage(
    scenario: &Scenario,
    position: usize,
    fault: &Fault,
    attempts: &[Attempted],
    seen: &[Seen],
) -> Outage {
    let opened = opened(fault, seen);
    let calm = calm_until(scenario, fault);
    let harmed = |attempt: &&Attempted| {
        let late = |token: Duration| token.saturating_sub(attempt.started) > scenario.slo_ttft;
        attempt.first && attempt.endpoint == fault.endpoint && attempt.first_token.is_none_or(late)
    };
    let during = between(attempts, fault.start, fault.end);
    let until_opened = between(attempts, fault.start, opened.unwrap_or(fault.end).min(fault.end));
    let since = |at: Duration, from: Duration| at.saturating_sub(from).as_secs_f64();
    Outage {
        fault: position,
        endpoint: fault.endpoint,
        harmed_before_opening: count(until_opened.iter().filter(harmed).count()),
        harmed: count(during.iter().filter(harmed).count()),
        opened_after_s: opened.map(|at| since(at, fault.start)),
        readmitted_after_s: readmitted(fault, calm, attempts).map(|at| since(at, fault.end)),
        wanted: wanted(fault, attempts) && calm.saturating_sub(fault.end) >= AFTER,
    }
}

/// When the breaker was first seen not closed during the fault: at its start, if it was open
/// already.
fn opened(fault: &Fault, seen: &[Seen]) -> Option<Duration> {
    let mut of_endpoint = seen.iter().filter(|seen| seen.endpoint == fault.endpoint);
    let before = of_endpoint.clone().rfind(|seen| seen.at <= fault.start);
    if before.is_some_and(|seen| !seen.closed) {
        return Some(fault.start);
    }
    let opening = |seen: &&Seen| !seen.closed && fault.start < seen.at && seen.at < fault.end;
    of_endpoint.find(opening).map(|seen| seen.at)
}

/// Until when the endpoint is well after the fault: its next harmful fault, which may have
/// begun already, or the end of traffic.
fn calm_until(scenario: &Scenario, fault: &Fault) -> Duration {
    let next = scenario.faults.iter().filter(|other| {
        other.kind.harms() && other.endpoint == fault.endpoint && other.end > fault.end
    });
    let traffic = scenario.arrivals.last().map(|arrival| arrival.at).unwrap_or_default();
    next.map(|other| other.start).fold(traffic, Duration::min).max(fault.end)
}

fn readmitted(fault: &Fault, calm_until: Duration, attempts: &[Attempted]) -> Option<Duration> {
    let after = between(attempts, fault.end, calm_until);
    let at_endpoint = after.iter().filter(|attempt| attempt.endpoint == fault.endpoint);
    at_endpoint.filter_map(|attempt| attempt.first_token).min()
}

fn wanted(fault: &Fault, attempts: &[Attempted]) -> bool {
    let before = between(attempts, fault.start.saturating_sub(BEFORE), fault.start);
    let answered = before.iter().filter(|attempt| attempt.first_token.is_some());
    let here = answered.clone().filter(|attempt| attempt.endpoint == fault.endpoint).count();
    here > 0 && f64::from(count(here)) >= WANTED_SHARE * f64::from(count(answered.count()))
}

/// Attempts that began in the span, its end excluded.
fn between(attempts: &[Attempted], start: Duration, end: Duration) -> &[Attempted] {
    let from = attempts.partition_point(|attempt| attempt.started < start);
    let to = attempts.partition_point(|attempt| attempt.started < end);
    attempts.get(from..to).unwrap_or_default()
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::fixture::scenario;
    use crate::scenario::FaultKind;

    fn seconds(count: f64) -> Duration {
        Duration::from_secs_f64(count)
    }

    fn attempt(endpoint: usize, started: f64, took: Option<f64>) -> Attempted {
        let first_token = took.map(|took| seconds(started + took));
        Attempted { endpoint, started: seconds(started), first: true, first_token }
    }

    fn down(start: f64, end: f64) -> Fault {
        let (start, end) = (seconds(start), seconds(end));
        Fault { start, end, endpoint: 0, kind: FaultKind::Error, intensity: 1.0 }
    }

    #[test]
    fn harm_is_told_before_the_breaker_opens_and_in_all() {
        let mut scenario = scenario(2, 2_000);
        scenario.faults = vec![down(100.0, 200.0)];
        let fallback = Attempted { first: false, ..attempt(0, 104.0, None) };
        let attempts = [
            attempt(0, 99.0, Some(1.0)),
            attempt(0, 100.0, None),
            attempt(1, 101.0, None),
            attempt(0, 102.0, Some(9.0)),
            attempt(0, 103.0, Some(1.0)),
            fallback,
            attempt(0, 150.0, None),
            attempt(0, 203.0, Some(0.5)),
        ];
        let seen = [
            Seen { endpoint: 1, at: seconds(101.0), closed: false },
            Seen { endpoint: 0, at: seconds(105.0), closed: false },
        ];
        let outages = outages(&scenario, &attempts, &seen);
        let expected = Outage {
            fault: 0,
            endpoint: 0,
            harmed_before_opening: 2,
            harmed: 3,
            opened_after_s: Some(5.0),
            readmitted_after_s: Some(3.5),
            wanted: true,
        };
        assert_eq!(outages, [expected]);
    }

    #[test]
    fn a_breaker_that_is_open_already_leaves_nobody_to_harm_before() {
        let mut scenario = scenario(2, 2_000);
        scenario.faults = vec![down(100.0, 110.0), down(112.0, 120.0)];
        let seen = [Seen { endpoint: 0, at: seconds(101.0), closed: false }];
        let attempts = [attempt(0, 100.0, None), attempt(0, 113.0, None)];
        let outages = outages(&scenario, &attempts, &seen);
        let second = outages.get(1).unwrap();
        assert_eq!((second.harmed_before_opening, second.harmed), (0, 1));
        assert_eq!(outages.first().unwrap().readmitted_after_s, None);
    }

    #[test]
    fn an_endpoint_that_served_next_to_nothing_was_not_wanted() {
        let mut scenario = scenario(2, 2_000);
        scenario.faults = vec![down(100.0, 110.0)];
        let mut attempts: Vec<Attempted> =
            (50..90).map(|at| attempt(1, f64::from(at), Some(0.1))).collect();
        attempts.push(attempt(0, 95.0, Some(0.1)));
        assert!(!outages(&scenario, &attempts, &[]).first().unwrap().wanted);
        attempts.push(attempt(0, 96.0, Some(0.1)));
        attempts.push(attempt(0, 97.0, Some(0.1)));
        assert!(outages(&scenario, &attempts, &[]).first().unwrap().wanted);
        scenario.faults.push(Fault { intensity: 0.1, ..down(129.0, 140.0) });
        assert!(!outages(&scenario, &attempts, &[]).first().unwrap().wanted, "19 s of calm");
    }
}
