//! How much an endpoint takes at once, learned from its refusals; and how long it asked to be
//! left alone.
//!
//! Additive increase, multiplicative decrease (Chiu and Jain 1989): a refusal sets the cap to
//! 85 % of what was running, each success near the cap raises it by a quarter. An endpoint
//! that never refused has no cap. Atomics only.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const DECREASE: f64 = 0.85;
const INCREASE: f64 = 0.25;
/// A success with fewer running than this share of the cap says nothing about the cap.
const NEAR: f64 = 0.8;
/// An endpoint that asks for more is mistaken, or a header of ours is misread: five minutes
/// without it are enough to find out.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(300);

/// The concurrency that one endpoint has shown to take.
#[derive(Debug, Default)]
pub struct Cap {
    /// Bits of an `f64`; 0 while it never refused.
    limit: AtomicU64,
}

impl Cap {
    /// 0: none is known.
    pub fn learned(&self) -> u32 {
        let limit = f64::from_bits(self.limit.load(Ordering::Relaxed));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let whole = limit as u32;
        whole
    }

    /// A request was refused while `in_flight` ran, itself among them. A refusal never raises
    /// the cap, though more may have run than it allows.
    pub fn refused(&self, in_flight: u32) {
        let seen = (f64::from(in_flight) * DECREASE).max(1.0);
        self.change(|limit| Some(if limit > 0.0 { limit.min(seen) } else { seen }));
    }

    /// A request was served while `in_flight` ran, itself among them.
    pub fn served(&self, in_flight: u32) {
        self.change(|limit| {
            // Whole requests are admitted, so a fraction must not be what growth waits for.
            let near = limit > 0.0 && f64::from(in_flight) >= limit.floor() * NEAR;
            near.then_some(limit + INCREASE)
        });
    }

    fn change(&self, change: impl Fn(f64) -> Option<f64>) {
        // An error means that nothing is to be changed.
        let _ = self.limit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
            change(f64::from_bits(bits)).map(f64::to_bits)
        });
    }
}

/// Until when one endpoint asked to be left alone. Times are nanoseconds since any fixed
/// moment.
#[derive(Debug, Default)]
pub struct BackOff {
    until_ns: AtomicU64,
}

impl BackOff {
    /// The longest of what it asked for holds: answers overtake each other.
    pub fn asked(&self, retry_after: Duration, now_ns: u64) {
        let back_off = retry_after.min(LONGEST_BACK_OFF).as_nanos();
        let until = now_ns.saturating_add(u64::try_from(back_off).unwrap_or(u64::MAX));
        self.until_ns.fetch_max(until, Ordering::Relaxed);
    }

    pub fn left(&self, now_ns: u64) -> Duration {
        Duration::from_nanos(self.until_ns.load(Ordering::Relaxed).saturating_sub(now_ns))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_endpoint_that_never_refused_has_no_cap() {
        let cap = Cap::default();
        for in_flight in 1..1_000 {
            cap.served(in_flight);
        }
        assert_eq!(cap.learned(), 0);
    }

    #[test]
    fn a_refusal_sets_the_cap_below_what_was_running() {
        let cap = Cap::default();
        cap.refused(100);
        assert_eq!(cap.learned(), 85);
        cap.refused(20);
        assert_eq!(cap.learned(), 17);
        cap.refused(1);
        assert_eq!(cap.learned(), 1, "one at a time is always tried");
    }

    #[test]
    fn a_refusal_does_not_raise_the_cap() {
        let cap = Cap::default();
        cap.refused(10);
        cap.refused(100);
        assert_eq!(cap.learned(), 8);
    }

    #[test]
    fn successes_at_the_cap_raise_it_and_others_do_not() {
        let cap = Cap::default();
        cap.refused(20);
        for _ in 0..8 {
            cap.served(3);
        }
        assert_eq!(cap.learned(), 17);
        for _ in 0..8 {
            cap.served(17);
        }
        assert_eq!(cap.learned(), 19);
    }

    #[test]
    fn a_back_off_runs_out_and_is_bounded() {
        let back_off = BackOff::default();
        back_off.asked(Duration::from_secs(9), 1_000_000_000);
        assert_eq!(back_off.left(4_000_000_000), Duration::from_secs(6));
        assert_eq!(back_off.left(10_000_000_000), Duration::ZERO);
        back_off.asked(Duration::MAX, 0);
        assert_eq!(back_off.left(0), LONGEST_BACK_OFF);
    }

    #[test]
    fn a_shorter_wish_does_not_shorten_a_longer_one() {
        let back_off = BackOff::default();
        back_off.asked(Duration::from_secs(9), 0);
        back_off.asked(Duration::from_secs(1), 0);
        assert_eq!(back_off.left(0), Duration::from_secs(9));
    }

    #[test]
    fn a_cap_grows_from_wherever_it_was_set() {
        for refused_at in 1..=5 {
            let cap = Cap::default();
            cap.refused(refused_at);
            for _ in 0..1_000 {
                // The host admits no more than the cap.
                cap.served(cap.learned().max(1));
            }
            assert!(cap.learned() > 100, "{refused_at}: {}", cap.learned());
        }
    }

    proptest! {
        #[test]
        fn the_cap_settles_around_what_the_endpoint_takes(capacity in 2_u32..200) {
            let cap = Cap::default();
            cap.refused(capacity.saturating_mul(3));
            for _ in 0..20_000 {
                let running = cap.learned();
                if running > capacity { cap.refused(running) } else { cap.served(running) }
            }
            let learned = f64::from(cap.learned());
            prop_assert!(learned >= (f64::from(capacity) * 0.85).floor().max(1.0));
            prop_assert!(learned <= f64::from(capacity) + 1.0);
        }
    }
}
