//! Keeps requests away from an endpoint that is down.
//!
//! Five failures in a row open the breaker; it stays open for two seconds, doubled at each
//! failed probe up to a minute; then one request is let through as a probe. A success closes
//! it. Open endpoints are not forbidden but last: should nothing else be left, they are tried.

use std::time::{Duration, Instant};

/// One failure says little, ten are ten harmed requests.
const FAILURES: u32 = 5;
const FIRST_BACK_OFF: Duration = Duration::from_secs(2);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);

/// What the breaker lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Closed,
    /// The next request is a probe.
    HalfOpen,
    Open,
}

/// The breaker of one endpoint.
#[derive(Debug, Default)]
pub struct Breaker {
    failures: u32,
    opened: Option<Opened>,
}

#[derive(Debug, Clone, Copy)]
struct Opened {
    until: Instant,
    back_off: Duration,
}

impl Breaker {
    pub fn state(&self, now: Instant) -> State {
        match self.opened {
            None => State::Closed,
            Some(opened) if now < opened.until => State::Open,
            Some(_) => State::HalfOpen,
        }
    }

    /// A request goes to the endpoint: in half-open state it is the probe, and others are
    /// kept away until it is back or another back-off has passed.
    pub fn started(&mut self, now: Instant) {
        if let Some(opened) = &mut self.opened
            && now >= opened.until
        {
            opened.until = now + opened.back_off;
        }
    }

    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    pub fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let back_off = match self.opened {
            Some(opened) => opened.back_off.saturating_mul(2).min(LONGEST_BACK_OFF),
            None if self.failures >= FAILURES => FIRST_BACK_OFF,
            None => return,
        };
        self.opened = Some(Opened { until: now + back_off, back_off });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_five_failures_in_a_row_and_closes_after_one_good_probe() {
        let mut breaker = Breaker::default();
        let now = Instant::now();
        for _ in 0..4 {
            breaker.failed(now);
        }
        breaker.succeeded();
        for _ in 0..4 {
            breaker.failed(now);
        }
        assert_eq!(breaker.state(now), State::Closed, "a success in between starts over");
        breaker.failed(now);
        assert_eq!(breaker.state(now), State::Open);
        let later = now + Duration::from_secs(2);
        assert_eq!(breaker.state(later), State::HalfOpen);
        breaker.started(later);
        assert_eq!(breaker.state(later), State::Open, "one probe at a time");
        breaker.failed(later);
        assert_eq!(breaker.state(later + Duration::from_secs(3)), State::Open);
        assert_eq!(breaker.state(later + Duration::from_secs(4)), State::HalfOpen);
        breaker.succeeded();
        assert_eq!(breaker.state(later), State::Closed);
    }
}
