//! Calls of the last day that worked or failed, by the half hour.
//!
//! 48 atomic words, each with its half hour and both counts, so that a word is never half of
//! one half hour and half of another. The running half hour counts: a day is between 23.5 and
//! 24 hours. Counts end at 16 million a half hour, 9,000 a second.

use std::sync::atomic::{AtomicU64, Ordering};

const HALF_HOURS: usize = 48;
const NANOSECONDS_A_HALF_HOUR: u64 = 1_800_000_000_000;
const MOST: u64 = (1 << 24) - 1;

/// Times are nanoseconds since any fixed moment.
#[derive(Debug)]
pub(super) struct Day {
    words: [AtomicU64; HALF_HOURS],
}

/// 16 bits of half hour (it comes again after 3.7 years), 24 of each count.
#[derive(Debug, Clone, Copy, Default)]
struct Word {
    half_hour: u64,
    succeeded: u64,
    failed: u64,
}

impl Default for Day {
    fn default() -> Self {
        Self { words: [const { AtomicU64::new(0) }; HALF_HOURS] }
    }
}

impl Day {
    pub(super) fn count(&self, succeeded: bool, now_ns: u64) {
        let (half_hour, place) = half_hour(now_ns);
        let Some(word) = self.words.get(place) else { return };
        // It always changes, so there is no error.
        let _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
            let mut word = Word::unpack(bits);
            if word.half_hour != half_hour {
                word = Word { half_hour, ..Word::default() };
            }
            let count = if succeeded { &mut word.succeeded } else { &mut word.failed };
            *count = (*count + 1).min(MOST);
            Some(word.pack())
        });
    }

    /// Calls that worked, and that failed.
    pub(super) fn counts(&self, now_ns: u64) -> (u64, u64) {
        let (now, _) = half_hour(now_ns);
        let words = self.words.iter().map(|word| Word::unpack(word.load(Ordering::Relaxed)));
        let of_late = words.filter(|word| {
            let age = now.wrapping_sub(word.half_hour) & 0xffff;
            usize::try_from(age).is_ok_and(|age| age < HALF_HOURS)
        });
        of_late.fold((0, 0), |(succeeded, failed), word| {
            (succeeded + word.succeeded, failed + word.failed)
        })
    }
}

impl Word {
    fn pack(self) -> u64 {
        self.half_hour << 48 | self.succeeded << 24 | self.failed
    }

    fn unpack(bits: u64) -> Self {
        Self { half_hour: bits >> 48, succeeded: bits >> 24 & MOST, failed: bits & MOST }
    }
}

/// Its number, and its place in the ring.
fn half_hour(now_ns: u64) -> (u64, usize) {
    let number = now_ns / NANOSECONDS_A_HALF_HOUR;
    let place = usize::try_from(number).unwrap_or(0) % HALF_HOURS;
    (number & 0xffff, place)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF_HOUR: u64 = NANOSECONDS_A_HALF_HOUR;

    #[test]
    fn calls_count_for_a_day_and_no_longer() {
        let day = Day::default();
        day.count(true, 0);
        day.count(false, HALF_HOUR);
        assert_eq!(day.counts(HALF_HOUR), (1, 1));
        assert_eq!(day.counts(47 * HALF_HOUR), (1, 1));
        assert_eq!(day.counts(48 * HALF_HOUR), (0, 1));
        assert_eq!(day.counts(49 * HALF_HOUR), (0, 0));
        day.count(true, 48 * HALF_HOUR);
        assert_eq!(day.counts(48 * HALF_HOUR), (1, 1), "the first half hour's place serves again");
    }

    #[test]
    fn a_full_count_stays_full_and_spoils_no_neighbour() {
        let day = Day::default();
        let full = Word { half_hour: 0, succeeded: MOST, failed: MOST }.pack();
        if let Some(word) = day.words.first() {
            word.store(full, Ordering::Relaxed);
        }
        day.count(true, 0);
        day.count(false, 0);
        assert_eq!(day.counts(0), (MOST, MOST));
    }
}
