//! How long the requests that have not given their first token have been waiting.
//!
//! A table of 512 slots and a bit map of those in use, the lowest free one first: finding the
//! oldest looks at eight words and the slots in use, no others. With more requests than slots
//! the rest has no age; hundreds of older ones then tell as much. Atomics only.

use std::sync::atomic::{AtomicU64, Ordering};

const WORDS: usize = 8;
const SLOTS: usize = WORDS * 64;

/// Times are nanoseconds since any fixed moment.
#[derive(Debug)]
pub(super) struct Outstanding {
    used: [AtomicU64; WORDS],
    /// When each began, plus one; 0: not known yet, or not in use.
    since: [AtomicU64; SLOTS],
}

/// Where a request stands. To be given back once.
#[derive(Debug)]
pub(super) struct Slot(usize);

impl Default for Outstanding {
    fn default() -> Self {
        Self {
            used: [const { AtomicU64::new(0) }; WORDS],
            since: [const { AtomicU64::new(0) }; SLOTS],
        }
    }
}

impl Outstanding {
    /// Nothing when all slots are in use.
    pub(super) fn enter(&self, now_ns: u64) -> Option<Slot> {
        let slot = self.used.iter().zip((0..).step_by(64)).find_map(|(word, first)| {
            let bit = take_lowest(word)?;
            Some(first + bit)
        })?;
        self.since.get(slot)?.store(now_ns.saturating_add(1), Ordering::Release);
        Some(Slot(slot))
    }

    pub(super) fn leave(&self, Slot(slot): Slot) {
        // In this order: the next to take the slot finds no time of another's in it.
        if let Some(since) = self.since.get(slot) {
            since.store(0, Ordering::Release);
        }
        if let Some(word) = self.used.get(slot / 64) {
            word.fetch_and(!(1 << (slot % 64)), Ordering::Release);
        }
    }

    /// When the oldest began.
    pub(super) fn oldest(&self) -> Option<u64> {
        let times = self.used.iter().zip(self.since.chunks(64)).flat_map(|(word, since)| {
            let used = word.load(Ordering::Acquire);
            ones(used).filter_map(move |bit| since.get(bit)?.load(Ordering::Acquire).checked_sub(1))
        });
        times.min()
    }
}

/// The place of the bit.
fn take_lowest(word: &AtomicU64) -> Option<usize> {
    let taken = word.fetch_update(Ordering::Acquire, Ordering::Relaxed, |used| {
        let free = !used;
        // Its lowest bit.
        (free != 0).then_some(used | (free & free.wrapping_neg()))
    });
    taken.ok().map(|used| place(!used))
}

/// The places of the ones in a word.
fn ones(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = (word != 0).then(|| place(word))?;
        word &= word - 1;
        Some(lowest)
    })
}

fn place(word: u64) -> usize {
    // At most 64: fits anything.
    usize::try_from(word.trailing_zeros()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
