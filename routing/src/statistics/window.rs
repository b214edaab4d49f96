//! What was observed within the last minutes: counts, costs and percentiles.
//!
//! A ring of 30 slices of one minute each, of counters in logarithmic buckets. A slice whose
//! minute has passed is emptied by whoever needs it first; a sample that arrives in the midst
//! of that may be lost, and a reader may see the old counts for a microsecond. Windows end
//! with the running minute: five minutes are between four and five.
//!
//! Percentiles are nearest-rank, within 5 % of the exact ones for figures from 0.1 to 870,000
//! (milliseconds: a quarter of an hour; tokens a second: more than there are); what lies
//! beyond counts as the nearest. A slice takes 2 KiB and is allocated in its first minute with
//! traffic (the only moment, 30 in an endpoint's life, in which threads may wait for another), so
//! an endpoint takes 58 KiB at most.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::Percentiles;

const MINUTES: u64 = 30;
const LOWEST: f64 = 0.1;
/// A bucket reaches from x to 1.105 x. The value in between that is relatively closest to both
/// ends is off by (1.105 - 1) / (1.105 + 1) = 4.99 % at most.
const RATIO: f64 = 1.105;
/// 0.1 * 1.105^160 = 870,000.
const BUCKETS: usize = 160;
/// Bytes, of all slices together.
#[cfg(test)]
pub(super) const MOST_ON_THE_HEAP: usize = MINUTES as usize * size_of::<Slice>();
const NANOSECONDS_A_MINUTE: u64 = 60_000_000_000;

#[derive(Debug, Clone, Copy)]
pub(super) enum Figure {
    Ttft,
    Total,
    Throughput,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Count {
    Succeeded,
    Failed,
    RateLimited,
}

/// Times are nanoseconds since any fixed moment; spans are minutes, 30 at most.
#[derive(Debug, Default)]
pub(super) struct Slices {
    ring: [OnceLock<Box<Slice>>; MINUTES as usize],
}

impl Slices {
    pub(super) fn sample(&self, figure: Figure, value: f64, now_ns: u64) {
        if let Some(slice) = self.current(now_ns)
            && let Some(counter) = slice.buckets(figure).get(bucket(value))
        {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn count(&self, count: Count, now_ns: u64) {
        if let Some(slice) = self.current(now_ns) {
            slice.counter(count).fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn cost(&self, usd: f64, now_ns: u64) {
        if let Some(slice) = self.current(now_ns) {
            // It always changes, so there is no error.
            let _ = slice.cost_usd.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
                Some((f64::from_bits(bits) + usd).to_bits())
            });
        }
    }

    /// Of the given figures together.
    pub(super) fn percentiles(&self, figures: &[Figure], span: u64, now_ns: u64) -> Percentiles {
        let mut sums = [0_u64; BUCKETS];
        for slice in self.within(span, now_ns) {
            for figure in figures {
                for (sum, counter) in sums.iter_mut().zip(slice.buckets(*figure)) {
                    *sum += u64::from(counter.load(Ordering::Relaxed));
                }
            }
        }
        percentiles(&sums)
    }

    pub(super) fn counted(&self, count: Count, span: u64, now_ns: u64) -> u64 {
        self.within(span, now_ns)
            .map(|slice| u64::from(slice.counter(count).load(Ordering::Relaxed)))
            .sum()
    }

    pub(super) fn spent(&self, span: u64, now_ns: u64) -> f64 {
        self.within(span, now_ns)
            .map(|slice| f64::from_bits(slice.cost_usd.load(Ordering::Relaxed)))
            .sum()
    }

    /// Nothing for a time so long past that its slice serves a later minute.
    fn current(&self, now_ns: u64) -> Option<&Slice> {
        let minute = now_ns / NANOSECONDS_A_MINUTE;
        let place = usize::try_from(minute % MINUTES).ok()?;
        let slice = self.ring.get(place)?.get_or_init(|| Box::new(Slice::new(minute)));
        slice.enter(minute).then_some(slice)
    }

    fn within(&self, span: u64, now_ns: u64) -> impl Iterator<Item = &Slice> {
        let minute = now_ns / NANOSECONDS_A_MINUTE;
        self.ring.iter().filter_map(OnceLock::get).map(Box::as_ref).filter(move |slice| {
            let then = slice.minute.load(Ordering::Acquire);
            then <= minute && minute - then < span.min(MINUTES)
        })
    }
}

#[derive(Debug)]
struct Slice {
    minute: AtomicU64,
    ttft: [AtomicU32; BUCKETS],
    total: [AtomicU32; BUCKETS],
    throughput: [AtomicU32; BUCKETS],
    succeeded: AtomicU32,
    failed: AtomicU32,
    rate_limited: AtomicU32,
    /// Bits of an `f64`.
    cost_usd: AtomicU64,
}

impl Slice {
    fn new(minute: u64) -> Self {
        Self {
            minute: AtomicU64::new(minute),
            ttft: [const { AtomicU32::new(0) }; BUCKETS],
            total: [const { AtomicU32::new(0) }; BUCKETS],
            throughput: [const { AtomicU32::new(0) }; BUCKETS],
            succeeded: AtomicU32::new(0),
            failed: AtomicU32::new(0),
            rate_limited: AtomicU32::new(0),
            cost_usd: AtomicU64::new(0),
        }
    }

    /// Whether it serves that minute; emptied for it if it served an earlier one.
    fn enter(&self, minute: u64) -> bool {
        let then = self.minute.load(Ordering::Acquire);
        let mine = then < minute
            && self
                .minute
                .compare_exchange(then, minute, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok();
        if mine {
            for figure in [Figure::Ttft, Figure::Total, Figure::Throughput] {
                for counter in self.buckets(figure) {
                    counter.store(0, Ordering::Relaxed);
                }
            }
            for count in [Count::Succeeded, Count::Failed, Count::RateLimited] {
                self.counter(count).store(0, Ordering::Relaxed);
            }
            self.cost_usd.store(0, Ordering::Relaxed);
        }
        then <= minute
    }

    fn buckets(&self, figure: Figure) -> &[AtomicU32; BUCKETS] {
        match figure {
            Figure::Ttft => &self.ttft,
            Figure::Total => &self.total,
            Figure::Throughput => &self.throughput,
        }
    }

    fn counter(&self, count: Count) -> &AtomicU32 {
        match count {
            Count::Succeeded => &self.succeeded,
            Count::Failed => &self.failed,
            Count::RateLimited => &self.rate_limited,
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
fn bucket(value: f64) -> usize {
    let place = (value / LOWEST).ln() / RATIO.ln();
    (place as usize).min(BUCKETS - 1)
}

/// The value that is relatively closest to both ends of the bucket.
fn value(bucket: usize) -> f64 {
    let exponent = i32::try_from(bucket).unwrap_or(i32::MAX);
    LOWEST * RATIO.powi(exponent) * (2.0 * RATIO / (1.0 + RATIO))
}

fn percentiles(counts: &[u64; BUCKETS]) -> Percentiles {
    let count = counts.iter().sum::<u64>();
    if count == 0 {
        return Percentiles::default();
    }
    // In one pass, for the percents ascend.
    let mut places = counts.iter().enumerate();
    let (mut place, mut reached) = (0, 0);
    let [p1, p10, p25, p50, p75, p90, p95, p99] = [1, 10, 25, 50, 75, 90, 95, 99].map(|percent| {
        let rank = count.saturating_mul(percent).div_ceil(100);
        while reached < rank
            && let Some((next, here)) = places.next()
        {
            place = next;
            reached += here;
        }
        value(place)
    });
    Percentiles { count, p1, p10, p25, p50, p75, p90, p95, p99 }
}

#[cfg(test)]
mod tests;
