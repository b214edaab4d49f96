//! Schedules of faults from a seed.
//!
//! Events of each family come independently, so many an hour. Two promises hold whenever a
//! generated fault is on, written ones counted: at least one endpoint has no fault that harms
//! requests, and the endpoints without one take at least `healthy_concurrency` requests at
//! once together. And a generated fault that harms never meets another at its endpoint, so
//! that a recovery is one. An event that would break a promise is drawn again, a few times;
//! then it is left out: where events are many, fewer come than the rates say.

use std::time::Duration;

use super::{Fault, FaultKind};
use crate::scenario::Endpoint;
use crate::scenario::draws::Draws;

/// More events than anyone reads; it bounds the work of a schedule.
pub const MAX_FAULTS: usize = 10_000;

/// Times that an event is drawn before it is left out.
const TRIES: usize = 8;
const FAULTS: u64 = 0x0066_6c74;

/// Slower than that is what `hang` is for.
const SLOWNESS: (f64, f64) = (3.0, 10.0);
const SHARE_LEFT: (f64, f64) = (0.05, 0.3);
const HANG_S: f64 = 20.0;
/// 10 s of errors, 10 s of health.
const FLAP_PERIOD: Duration = Duration::from_secs(20);
/// Errors below what consecutive-failure breakers notice.
const GREY: (f64, f64) = (0.1, 0.3);
/// Streams break for some requests, not for most: a broken stream is seldom the endpoint's.
const CUT: (f64, f64) = (0.1, 0.5);
const PRICE: (f64, f64) = (0.5, 3.0);

/// A kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// One endpoint, of a random kind.
    Single,
    /// All endpoints of a region at once, of one random kind.
    Region,
    Grey,
    Ramp,
    Flap,
    RateLimit,
    Cut,
    Price,
}

impl Family {
    pub const ALL: [Self; 8] = [
        Self::Single,
        Self::Region,
        Self::Grey,
        Self::Ramp,
        Self::Flap,
        Self::RateLimit,
        Self::Cut,
        Self::Price,
    ];
}

/// Kinds that brown-outs of one endpoint or of a region are drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrownOut {
    Error,
    Slow,
    RateLimit,
    Hang,
}

impl BrownOut {
    pub const ALL: [Self; 4] = [Self::Error, Self::Slow, Self::RateLimit, Self::Hang];

    fn drawn(self, draws: &mut Draws) -> FaultKind {
        match self {
            Self::Error => FaultKind::Error,
            Self::Slow => FaultKind::Slow { factor: draws.within(SLOWNESS) },
            Self::RateLimit => FaultKind::RateLimit { share: draws.within(SHARE_LEFT) },
            Self::Hang => FaultKind::Hang { seconds: HANG_S },
        }
    }
}

/// What a schedule is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Generator {
    /// Events an hour, by family.
    pub per_hour: Vec<(Family, f64)>,
    /// Shortest and longest, seconds.
    pub duration_s: (f64, f64),
    /// Share of requests hit, for the families `Single` and `Region`.
    pub intensity: (f64, f64),
    /// For the families `Single` and `Region`; not empty.
    pub kinds: Vec<BrownOut>,
    /// Nothing starts before.
    pub calm: Duration,
    pub healthy_concurrency: u64,
}

impl Generator {
    /// Faults that start within the horizon, in the order of their start, with those that
    /// are there already. The same seed, the same schedule.
    pub fn schedule(
        &self,
        endpoints: &[Endpoint],
        written: &[Fault],
        horizon: Duration,
        seed: u64,
    ) -> Vec<Fault> {
        let mut faults = written.to_vec();
        // A family's events do not depend on which other families there are, but for the
        // promises.
        for (family, per_hour) in &self.per_hour {
            let mut draws = Draws::new(seed, FAULTS + *family as u64);
            let rate_per_s = per_hour / 3600.0;
            if rate_per_s <= 0.0 {
                continue;
            }
            let mut at = self.calm.as_secs_f64() + draws.wait(rate_per_s);
            while at < horizon.as_secs_f64() && faults.len() < MAX_FAULTS {
                let event = (0..TRIES)
                    .map(|_| self.event(*family, at, endpoints, &mut draws))
                    .find(|event| !event.is_empty() && self.keeps(event, &faults, endpoints));
                faults.extend(event.unwrap_or_default());
                at += draws.wait(rate_per_s);
            }
        }
        faults.sort_by_key(|fault| (fault.start, fault.endpoint));
        faults
    }

    /// Empty where there is no endpoint it could meet.
    fn event(
        &self,
        family: Family,
        at: f64,
        endpoints: &[Endpoint],
        draws: &mut Draws,
    ) -> Vec<Fault> {
        let length = draws.within(self.duration_s);
        let first = draws.below(endpoints.len());
        let (kind, intensity) = self.kind(family, draws);
        let fault = |endpoint| Fault {
            start: Duration::try_from_secs_f64(at).unwrap_or(Duration::MAX),
            end: Duration::try_from_secs_f64(at + length).unwrap_or(Duration::MAX),
            endpoint,
            kind,
            intensity,
        };
        let Some(met) = endpoints.get(first) else { return Vec::new() };
        if family != Family::Region {
            return vec![fault(first)];
        }
        // By way of a random endpoint: a region of many endpoints is met more often.
        match &met.region {
            Some(region) => of_region(endpoints, region).map(fault).collect(),
            None => Vec::new(),
        }
    }

    fn kind(&self, family: Family, draws: &mut Draws) -> (FaultKind, f64) {
        match family {
            Family::Single | Family::Region => {
                let kind = draws.pick(&self.kinds).copied().unwrap_or(BrownOut::Error).drawn(draws);
                let intensity = draws.within(self.intensity);
                // A limit is the endpoint's state and hits all.
                let in_part = !matches!(kind, FaultKind::RateLimit { .. });
                (kind, if in_part { intensity } else { 1.0 })
            }
            Family::Grey => (FaultKind::Grey, draws.within(GREY)),
            Family::Ramp => (FaultKind::Ramp { factor: draws.within(SLOWNESS) }, 1.0),
            Family::Flap => (FaultKind::Flap { period: FLAP_PERIOD }, 1.0),
            Family::RateLimit => (BrownOut::RateLimit.drawn(draws), 1.0),
            Family::Cut => (FaultKind::Cut, draws.within(CUT)),
            Family::Price => (FaultKind::Price { factor: draws.within(PRICE) }, 1.0),
        }
    }

    /// Whether the promises hold with the event too.
    fn keeps(&self, event: &[Fault], faults: &[Fault], endpoints: &[Endpoint]) -> bool {
        let overlaps = |one: &Fault, other: &Fault| one.start < other.end && other.start < one.end;
        let same_endpoint = |one: &Fault, other: &Fault| {
            one.endpoint == other.endpoint
                && one.kind.harms() == other.kind.harms()
                && overlaps(one, other)
        };
        if event.iter().any(|one| faults.iter().any(|other| same_endpoint(one, other))) {
            return false;
        }
        let concurrent: Vec<Fault> = faults
            .iter()
            .filter(|fault| event.iter().any(|one| overlaps(one, fault)))
            .chain(event)
            .copied()
            .collect();
        // Health only shrinks where a fault starts.
        concurrent.iter().all(|fault| {
            let inside = event.iter().any(|one| one.covers(fault.start));
            let (healthy, concurrency) = health(&concurrent, endpoints, fault.start);
            !inside || (healthy > 0 && concurrency >= self.healthy_concurrency)
        })
    }
}

/// Endpoints without a fault that harms requests at the time, and what they take together.
pub fn health(faults: &[Fault], endpoints: &[Endpoint], at: Duration) -> (usize, u64) {
    let harmed = |position| {
        let harms =
            |fault: &Fault| fault.endpoint == position && fault.kind.harms() && fault.covers(at);
        faults.iter().any(harms)
    };
    let healthy = endpoints.iter().enumerate().filter(|(position, _)| !harmed(*position));
    healthy.fold((0, 0), |(count, sum), (_, endpoint)| {
        (count + 1, sum + u64::from(endpoint.concurrency))
    })
}

/// Positions of the endpoints of a region.
pub(crate) fn of_region<'a>(
    endpoints: &'a [Endpoint],
    region: &'a str,
) -> impl Iterator<Item = usize> + 'a {
    let inside = |endpoint: &&Endpoint| endpoint.region.as_deref() == Some(region);
    let positions = endpoints.iter().enumerate();
    positions.filter(move |(_, endpoint)| inside(endpoint)).map(|(position, _)| position)
}

#[cfg(test)]
mod tests;
