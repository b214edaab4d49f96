//! Averages that decay with time, not with calls: a quiet endpoint forgets as fast as a busy
//! one.
//!
//! A sample weighs `1 - exp(-silence / tau)`, where the silence is the time since the sample
//! before: after a long one it counts in full, whatever came before. Within a burst that
//! weight would be about 0 and only its first sample would count; so a sample weighs at least
//! its share of the samples within `tau` (one over their decayed count). For samples at even
//! distances the two weights are the same.
//!
//! Atomics only. Two samples at the very same moment may each be weighed as if the other were
//! not there; no sample is torn, and an average never leaves the range of its samples.

use std::sync::atomic::{AtomicU64, Ordering};

/// Seconds.
const FAST: f64 = 5.0;
const SLOW: f64 = 60.0;

/// One figure, over about 5 and about 60 seconds. Times are nanoseconds since any fixed
/// moment.
#[derive(Debug, Default)]
pub(super) struct Average {
    last_ns: AtomicU64,
    fast: Mean,
    slow: Mean,
}

impl Average {
    pub(super) fn add(&self, sample: f64, now_ns: u64) {
        let silence = self.silence_before(now_ns);
        self.fast.add(sample, decay(silence, FAST));
        self.slow.add(sample, decay(silence, SLOW));
    }

    /// The figure is at least this: a sample where an average is lower or unknown. Whether the
    /// slow one was.
    pub(super) fn at_least(&self, bound: f64, now_ns: u64) -> bool {
        self.bounded(bound, now_ns, |mean| mean.get().is_none_or(|average| average < bound))
    }

    /// The figure is at most this: a sample where an average is higher.
    pub(super) fn at_most(&self, bound: f64, now_ns: u64) -> bool {
        self.bounded(bound, now_ns, |mean| mean.get().is_some_and(|average| average > bound))
    }

    pub(super) fn fast(&self) -> Option<f64> {
        self.fast.get()
    }

    pub(super) fn slow(&self) -> Option<f64> {
        self.slow.get()
    }

    /// Samples within the last 5 seconds or so, as far as any came since: decayed.
    pub(super) fn fast_count(&self, now_ns: u64) -> f64 {
        let silence = seconds(now_ns.saturating_sub(self.last_ns.load(Ordering::Relaxed)));
        self.fast.count() * decay(silence, FAST)
    }

    fn bounded(&self, bound: f64, now_ns: u64, applies: impl Fn(&Mean) -> bool) -> bool {
        let (fast, slow) = (applies(&self.fast), applies(&self.slow));
        if fast || slow {
            let silence = self.silence_before(now_ns);
            if fast {
                self.fast.add(bound, decay(silence, FAST));
            }
            if slow {
                self.slow.add(bound, decay(silence, SLOW));
            }
        }
        slow
    }

    /// Seconds; 0 for a sample that others have overtaken.
    fn silence_before(&self, now_ns: u64) -> f64 {
        seconds(now_ns.saturating_sub(self.last_ns.fetch_max(now_ns, Ordering::Relaxed)))
    }
}

/// An average over one `tau`: bits of an `f64` each.
#[derive(Debug)]
struct Mean {
    /// Not a number before the first sample.
    value: AtomicU64,
    /// Samples, each decayed since it came.
    count: AtomicU64,
}

impl Default for Mean {
    fn default() -> Self {
        Self { value: AtomicU64::new(f64::NAN.to_bits()), count: AtomicU64::new(0) }
    }
}

impl Mean {
    fn add(&self, sample: f64, decay: f64) {
        let before = change(&self.count, |count| count * decay + 1.0);
        let weight = (1.0 - decay).max((before * decay + 1.0).recip());
        change(&self.value, |value| {
            if value.is_nan() { sample } else { value + (sample - value) * weight }
        });
    }

    fn get(&self) -> Option<f64> {
        let value = f64::from_bits(self.value.load(Ordering::Relaxed));
        (!value.is_nan()).then_some(value)
    }

    fn count(&self) -> f64 {
        f64::from_bits(self.count.load(Ordering::Relaxed))
    }
}

/// What was there before.
fn change(bits: &AtomicU64, change: impl Fn(f64) -> f64) -> f64 {
    let mut before = bits.load(Ordering::Relaxed);
    loop {
        let after = change(f64::from_bits(before)).to_bits();
        match bits.compare_exchange_weak(before, after, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return f64::from_bits(before),
            Err(other) => before = other,
        }
    }
}

fn decay(silence: f64, tau: f64) -> f64 {
    (-silence / tau).exp()
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53 ns between calls that matter")]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

#[cfg(test)]
mod tests;
