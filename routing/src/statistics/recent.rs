//! Percentiles of the time to first token, kept ready for the path of a request.
//!
//! Computed anew at most once a second, by whoever comes first after that (a microsecond or
//! two), and at the 1st, 2nd, 4th, 8th … streamed answer, so that an endpoint's first second
//! does not look empty. Others go on with the old ones meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};

use super::window::{Figure, Slices};

const MINUTES: u64 = 5;
const SECOND: u64 = 1_000_000_000;

/// Times are nanoseconds since any fixed moment.
#[derive(Debug, Default)]
pub(super) struct Recent {
    streamed: AtomicU64,
    last_streamed_ns: AtomicU64,
    refreshed_ns: AtomicU64,
    /// Bits of `f64`: p50, p90, p95, p99; milliseconds.
    percentiles: [AtomicU64; 4],
}

impl Recent {
    /// An answer was streamed; its figures stand in the slices already.
    pub(super) fn streamed_one(&self, slices: &Slices, now_ns: u64) {
        self.last_streamed_ns.fetch_max(now_ns, Ordering::Relaxed);
        let before = self.streamed.fetch_add(1, Ordering::Relaxed);
        if before.wrapping_add(1).is_power_of_two() {
            self.refresh(slices, now_ns);
        } else {
            self.refresh_if_stale(slices, now_ns);
        }
    }

    /// Whether anything ever was.
    pub(super) fn streamed(&self) -> bool {
        self.streamed.load(Ordering::Relaxed) > 0
    }

    /// What tells the time to first token: totals too, where nothing was streamed within so
    /// many minutes.
    pub(super) fn ttft_figures(&self, minutes: u64, now_ns: u64) -> &'static [Figure] {
        let last = self.last_streamed_ns.load(Ordering::Relaxed);
        if self.streamed() && now_ns.saturating_sub(last) < minutes * 60 * SECOND {
            &[Figure::Ttft]
        } else {
            &[Figure::Ttft, Figure::Total]
        }
    }

    pub(super) fn refresh_if_stale(&self, slices: &Slices, now_ns: u64) {
        let refreshed = self.refreshed_ns.load(Ordering::Relaxed);
        let stale = now_ns.saturating_sub(refreshed) >= SECOND;
        if stale
            && self
                .refreshed_ns
                .compare_exchange(refreshed, now_ns, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            self.refresh(slices, now_ns);
        }
    }

    /// p50, p90, p95, p99.
    pub(super) fn percentiles(&self) -> [f64; 4] {
        self.percentiles.each_ref().map(|bits| f64::from_bits(bits.load(Ordering::Relaxed)))
    }

    fn refresh(&self, slices: &Slices, now_ns: u64) {
        let figures = self.ttft_figures(MINUTES, now_ns);
        let of_late = slices.percentiles(figures, MINUTES, now_ns);
        let values = [of_late.p50, of_late.p90, of_late.p95, of_late.p99];
        for (bits, value) in self.percentiles.iter().zip(values) {
            bits.store(value.to_bits(), Ordering::Relaxed);
        }
    }
}
