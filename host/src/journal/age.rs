//! How old rows are that a consumer has not acknowledged, and whether the clock was set back.
//!
//! Keeps when some rows were appended, one a second at first, by the monotonic clock: the age of
//! any row follows to the interval between two of them. Room is bounded and taken at once, so
//! that appending allocates nothing. Where it ends, every second one is forgotten: then the age
//! is right to 1/256 of the longest one. Rows of an earlier process count from the opening.
//!
//! Nothing else in the journal reads a clock: rows are ordered by the place they are written to,
//! and times in rows are only carried.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

const SAMPLES: usize = 512;
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// Less is what time daemons do by slewing, and what reading two clocks one after the other
/// costs; a thousandth of the time since is added, twice what they may slew.
const LEAST_STEP: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Ages {
    opened: Instant,
    /// A row's number, and when it was appended. Both grow.
    samples: VecDeque<(u64, Instant)>,
    interval: Duration,
    /// Both clocks, read together.
    clocks: (Instant, SystemTime),
    steps_back: u64,
}

impl Ages {
    pub(super) fn new(now: Instant, clock: SystemTime) -> Self {
        Self {
            opened: now,
            samples: VecDeque::with_capacity(SAMPLES),
            interval: SHORTEST_INTERVAL,
            clocks: (now, clock),
            steps_back: 0,
        }
    }

    /// Row number `row` is appended. The system's clock is read at most once a second.
    pub(super) fn appended(&mut self, row: u64, now: Instant, clock: impl FnOnce() -> SystemTime) {
        let last = self.samples.back().map(|(_, at)| *at);
        if last.is_some_and(|at| now.saturating_duration_since(at) < self.interval) {
            return;
        }
        if self.samples.len() >= SAMPLES {
            self.thin_out();
        }
        self.samples.push_back((row, now));
        self.compare(now, clock());
    }

    /// Of the row with this number, which was appended.
    pub(super) fn of(&self, row: u64, now: Instant) -> Duration {
        let after = self.samples.partition_point(|(first, _)| *first <= row);
        let sample = after.checked_sub(1).and_then(|index| self.samples.get(index));
        now.saturating_duration_since(sample.map_or(self.opened, |(_, at)| *at))
    }

    pub(super) fn steps_back(&self) -> u64 {
        self.steps_back
    }

    fn thin_out(&mut self) {
        let mut odd = false;
        self.samples.retain(|_| {
            odd = !odd;
            odd
        });
        self.interval = self.interval.saturating_mul(2);
    }

    fn compare(&mut self, now: Instant, clock: SystemTime) {
        let (before, clock_before) = std::mem::replace(&mut self.clocks, (now, clock));
        let passed = now.saturating_duration_since(before);
        let tolerated = LEAST_STEP + passed / 1000;
        let expected = clock_before.checked_add(passed).unwrap_or(clock_before);
        let behind = expected.duration_since(clock).unwrap_or_default();
        self.steps_back += u64::from(behind > tolerated);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn age_is_right_to_a_second_and_later_to_a_part_of_the_longest() {
        let start = Instant::now();
        let mut ages = Ages::new(start, SystemTime::UNIX_EPOCH);
        assert_eq!(ages.of(0, start + 5 * SECOND), 5 * SECOND);
        for row in 0..10_000 {
            let now = start + u32::try_from(row).unwrap_or(u32::MAX) * SECOND / 2;
            ages.appended(row, now, || SystemTime::UNIX_EPOCH + (now - start));
            for other in [0, row / 3, row / 2, row] {
                let age = (row - other) as f64 / 2.0;
                let found = ages.of(other, now).as_secs_f64();
                let longest = row as f64 / 2.0;
                assert!(found >= age && found <= age + 1.0 + longest / 128.0, "{found} {age}");
            }
        }
        assert!(ages.samples.len() <= SAMPLES);
        assert_eq!(ages.steps_back(), 0);
    }

    #[test]
    fn clock_that_is_set_back_is_counted_and_one_that_drifts_is_not() {
        let start = Instant::now();
        let clock = SystemTime::UNIX_EPOCH + 1000 * SECOND;
        let mut ages = Ages::new(start, clock);
        let mut append = |at: Duration, clock: SystemTime| {
            ages.appended(0, start + at, || clock);
            ages.steps_back()
        };
        assert_eq!(append(2 * SECOND, clock + 2 * SECOND), 0);
        assert_eq!(append(4 * SECOND, clock + 4 * SECOND - SECOND / 20), 0);
        assert_eq!(append(3604 * SECOND, clock + 3603 * SECOND), 0);
        assert_eq!(append(3606 * SECOND, clock + 8000 * SECOND), 0);
        assert_eq!(append(3608 * SECOND, clock + 3608 * SECOND), 1);
        // Back by less than the time that passed.
        assert_eq!(append(3708 * SECOND, clock + 3698 * SECOND), 2);
        assert_eq!(append(3710 * SECOND, clock + 3700 * SECOND), 2);
    }
}
