//! Faults: what goes wrong at which endpoint, when, and for how many of the requests.
//!
//! A fault is a plain value: a span of virtual time, one endpoint, a kind. An outage of a
//! region is several faults, one for each endpoint of the region. Faults of one endpoint may
//! overlap; each is applied for itself. `generated` makes schedules from a seed.

pub mod generated;

use std::time::Duration;

use serde::Serialize;

/// One fault of one endpoint. It holds from `start` up to, but not at, `end`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Fault {
    pub start: Duration,
    pub end: Duration,
    /// Position in `Scenario::endpoints`.
    pub endpoint: usize,
    pub kind: FaultKind,
    /// Share of the requests that are hit, above 0 up to 1. Rate limits and price changes are
    /// the endpoint's state, not a request's luck: they hit all, and 1 stands here.
    pub intensity: f64,
}

/// What a request that is hit meets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A server error instead of an answer.
    Error,
    /// The first token takes `factor` times as long.
    Slow { factor: f64 },
    /// The endpoint takes `share` of the concurrent requests that it takes otherwise, and
    /// refuses those beyond as rate-limited.
    RateLimit { share: f64 },
    /// Nothing comes for so long; then the connection breaks.
    Hang { seconds: f64 },
    /// Slowness that grows evenly from nothing to `factor` at the end of the fault.
    Ramp { factor: f64 },
    /// Server errors for the first half of each period, health for the second.
    Flap { period: Duration },
    /// Server errors for so few requests that the endpoint looks up.
    Grey,
    /// The stream breaks after the first token, before the last.
    Cut,
    /// Every token costs `factor` times as much.
    Price { factor: f64 },
}

impl FaultKind {
    /// Its name in scenario files, tables and plots.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Slow { .. } => "slow",
            Self::RateLimit { .. } => "rate_limit",
            Self::Hang { .. } => "hang",
            Self::Ramp { .. } => "ramp",
            Self::Flap { .. } => "flap",
            Self::Grey => "grey",
            Self::Cut => "cut",
            Self::Price { .. } => "price",
        }
    }

    /// Whether it makes requests fail or wait, so that its time counts as a brown-out. A
    /// price change harms no request.
    pub fn harms(self) -> bool {
        !matches!(self, Self::Price { .. })
    }
}

impl Fault {
    /// Whether it is in force: within its span and, for a flap, in the bad half of a period.
    pub fn in_force(&self, at: Duration) -> bool {
        if !self.covers(at) {
            return false;
        }
        let FaultKind::Flap { period } = self.kind else { return true };
        let period = period.as_nanos().max(1);
        (at.saturating_sub(self.start).as_nanos() % period) * 2 < period
    }

    /// Whether the time is within its span, good halves of a flap included.
    pub fn covers(&self, at: Duration) -> bool {
        self.start <= at && at < self.end
    }

    /// By how much the first token is late, as a factor of at least 1.
    pub fn slowness(&self, at: Duration) -> f64 {
        match self.kind {
            FaultKind::Slow { factor } if self.covers(at) => factor.max(1.0),
            FaultKind::Ramp { factor } if self.covers(at) => {
                let length = self.end.saturating_sub(self.start).as_secs_f64();
                let passed = at.saturating_sub(self.start).as_secs_f64();
                1.0 + (factor.max(1.0) - 1.0) * passed / length.max(f64::MIN_POSITIVE)
            }
            _ => 1.0,
        }
    }

    /// Whether every request fails or hangs while it is in force: an outage one can count
    /// the victims of.
    pub fn is_hard(&self) -> bool {
        self.intensity >= 1.0 && matches!(self.kind, FaultKind::Error | FaultKind::Hang { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: FaultKind) -> Fault {
        let seconds = Duration::from_secs;
        Fault { start: seconds(100), end: seconds(200), endpoint: 0, kind, intensity: 1.0 }
    }

    #[test]
    fn a_fault_holds_from_its_start_up_to_its_end() {
        let error = fault(FaultKind::Error);
        let at = |seconds| error.in_force(Duration::from_secs(seconds));
        assert_eq!([at(99), at(100), at(199), at(200)], [false, true, true, false]);
    }

    #[test]
    fn a_flap_is_bad_in_the_first_half_of_each_period() {
        let flap = fault(FaultKind::Flap { period: Duration::from_secs(20) });
        let at = |seconds| flap.in_force(Duration::from_secs(seconds));
        assert_eq!([at(100), at(109), at(110), at(119), at(120)], [true, true, false, false, true]);
        assert!(flap.covers(Duration::from_secs(110)));
    }

    #[test]
    fn a_ramp_grows_to_its_factor() {
        let ramp = fault(FaultKind::Ramp { factor: 5.0 });
        let at = |seconds| ramp.slowness(Duration::from_secs(seconds));
        assert!((at(99) - 1.0).abs() < 1e-9);
        assert!((at(100) - 1.0).abs() < 1e-9);
        assert!((at(150) - 3.0).abs() < 1e-9);
        assert!((at(200) - 1.0).abs() < 1e-9);
        let slow = fault(FaultKind::Slow { factor: 4.0 });
        assert!((slow.slowness(Duration::from_secs(150)) - 4.0).abs() < 1e-9);
    }

    #[test]
    fn only_errors_and_hangs_for_every_request_are_hard() {
        assert!(fault(FaultKind::Error).is_hard());
        assert!(fault(FaultKind::Hang { seconds: 20.0 }).is_hard());
        assert!(!fault(FaultKind::Slow { factor: 9.0 }).is_hard());
        assert!(!Fault { intensity: 0.5, ..fault(FaultKind::Error) }.is_hard());
        assert!(!fault(FaultKind::Price { factor: 2.0 }).kind.harms());
    }
}
