//! The event loop: every request from its arrival to its last token, in virtual time.
//!
//! Events come in the order of their times, and of their making where times are equal, so a
//! run depends on its arguments alone. Promises: every arrival ends exactly once; what is
//! counted in flight is given back; nothing is measured by the real clock. The length of a
//! run is bounded by its arrivals: each makes at most a few events for each attempt.

mod life;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::gateway::{Clock, Gateway};
use crate::outage::{self, Attempted};
use crate::router::Router;
use crate::scenario::{Arrival, Scenario};
use crate::tally::{self, Ended, Shares, Tally};
use crate::world::World;
use life::Live;

/// A year: what virtual instants surely reach, and more than any trace has.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
/// Rows of the plot: enough for the longest run in bins of the smallest sensible size.
const MOST_BINS: usize = 100_000;

/// What does not belong to the scenario.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Unix time of the scenario's start, as policies see it.
    pub start_unix_ms: u64,
    /// Width of the bins of [`Shares`].
    pub share_bin: Duration,
}

impl Default for Options {
    /// From the start of 2026, in bins of 30 s.
    fn default() -> Self {
        Self { start_unix_ms: 1_767_225_600_000, share_bin: Duration::from_secs(30) }
    }
}

/// The scenario cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    #[error("the scenario has no endpoint: write at least one")]
    NoEndpoint,
    #[error("fault {fault} names endpoint {endpoint}, but there are only {endpoints}")]
    UnknownEndpoint { fault: usize, endpoint: usize, endpoints: usize },
    #[error("arrival {arrival} comes before the one written before it: sort them by time")]
    UnsortedArrivals { arrival: usize },
    #[error("arrival {arrival} comes after {seconds} s: a run may last {} s", LONGEST.as_secs())]
    TooLong { arrival: usize, seconds: u64 },
    #[error("bins of {0:?} are too narrow: the run would have more than {MOST_BINS}")]
    TooManyBins(Duration),
}

/// Runs a policy through a scenario.
///
/// # Errors
///
/// [`RunError`] if the scenario makes no sense. A router that fails is no error but counted.
pub fn run(
    scenario: &Scenario,
    seed: u64,
    router: &mut dyn Router,
    options: &Options,
) -> Result<Tally, RunError> {
    execute(scenario, seed, Some(router), options)
}

/// Without a router, the oracle decides.
pub(crate) fn execute(
    scenario: &Scenario,
    seed: u64,
    router: Option<&mut dyn Router>,
    options: &Options,
) -> Result<Tally, RunError> {
    check(scenario, options)?;
    let clock = Clock::new(options);
    let mut run = Run::new(scenario, seed, router, clock);
    run.play();
    Ok(run.into_tally(options))
}

fn check(scenario: &Scenario, options: &Options) -> Result<(), RunError> {
    let endpoints = scenario.endpoints.len();
    if endpoints == 0 {
        return Err(RunError::NoEndpoint);
    }
    let stray = scenario.faults.iter().position(|fault| fault.endpoint >= endpoints);
    if let Some((fault, stray)) = stray.and_then(|at| Some((at, scenario.faults.get(at)?))) {
        return Err(RunError::UnknownEndpoint { fault, endpoint: stray.endpoint, endpoints });
    }
    let times = || scenario.arrivals.iter().map(|arrival| arrival.at);
    if let Some(earlier) = times().zip(times().skip(1)).position(|(one, next)| next < one) {
        return Err(RunError::UnsortedArrivals { arrival: earlier + 1 });
    }
    let last = times().next_back().unwrap_or_default();
    if last > LONGEST {
        let arrival = scenario.arrivals.len() - 1;
        return Err(RunError::TooLong { arrival, seconds: last.as_secs() });
    }
    if bin(last, options.share_bin).is_none_or(|bin| bin >= MOST_BINS) {
        return Err(RunError::TooManyBins(options.share_bin));
    }
    Ok(())
}

/// `None` for bins without width.
fn bin(at: Duration, width: Duration) -> Option<usize> {
    usize::try_from(at.as_nanos().checked_div(width.as_nanos())?).ok()
}

struct Run<'a, 'r> {
    scenario: &'a Scenario,
    clock: Clock,
    world: World<'a>,
    gateway: Gateway<'r>,
    /// By the number of the request, from its arrival to its end.
    live: Vec<Option<Box<Live>>>,
    events: BinaryHeap<Reverse<Event>>,
    sequence: u64,
    /// In the order of their start, for the outages.
    attempted: Vec<Attempted>,
    ended: Vec<Ended>,
}

/// Compared by time, then by the order of making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    at: Duration,
    sequence: u64,
    request: usize,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// The attempt's first token, its failure or its timeout.
    Settled { attempt: usize },
    /// The attempt's last token, or the cut before it.
    Ended { attempt: usize },
    /// The execution asked to be asked again.
    Wake,
}

impl<'a, 'r> Run<'a, 'r> {
    fn new(
        scenario: &'a Scenario,
        seed: u64,
        router: Option<&'r mut dyn Router>,
        clock: Clock,
    ) -> Self {
        Self {
            scenario,
            clock,
            world: World::new(scenario, seed),
            gateway: Gateway::new(scenario, seed, router, clock),
            live: scenario.arrivals.iter().map(|_| None).collect(),
            events: BinaryHeap::new(),
            sequence: 0,
            attempted: Vec::with_capacity(scenario.arrivals.len()),
            ended: Vec::with_capacity(scenario.arrivals.len()),
        }
    }

    fn play(&mut self) {
        let arrivals: &'a [Arrival] = &self.scenario.arrivals;
        for (request, arrival) in arrivals.iter().enumerate() {
            while let Some(event) = self.next_event(arrival.at) {
                self.handle(event);
            }
            self.gateway.advance(arrival.at);
            self.arrive(request, arrival);
        }
        while let Some(event) = self.next_event(Duration::MAX) {
            self.handle(event);
        }
        self.gateway.tell();
    }

    /// The earliest event, if it is not after `until`.
    fn next_event(&mut self, until: Duration) -> Option<Event> {
        let Reverse(event) = self.events.peek()?;
        if event.at > until {
            return None;
        }
        self.events.pop().map(|Reverse(event)| event)
    }

    fn schedule(&mut self, at: Duration, request: usize, what: What) {
        self.sequence += 1;
        self.events.push(Reverse(Event { at, sequence: self.sequence, request, what }));
    }

    fn into_tally(self, options: &Options) -> Tally {
        Tally {
            router_failures: self.gateway.router_failures,
            outages: outage::outages(self.scenario, &self.attempted, &self.gateway.seen),
            shares: self.shares(options.share_bin),
            ..tally::count(&self.ended, self.scenario.slo_ttft)
        }
    }

    fn shares(&self, width: Duration) -> Shares {
        let answered = |attempted: &&Attempted| attempted.first_token.is_some();
        let mut rows: Vec<Vec<u32>> = Vec::new();
        for attempted in self.attempted.iter().filter(answered) {
            let Some(bin) = bin(attempted.started, width) else { continue };
            if bin >= rows.len() {
                rows.resize(bin + 1, vec![0; self.scenario.endpoints.len()]);
            }
            if let Some(count) = rows.get_mut(bin).and_then(|row| row.get_mut(attempted.endpoint)) {
                *count += 1;
            }
        }
        Shares { bin_s: width.as_secs_f64(), answered: rows }
    }
}

#[cfg(test)]
mod tests;
