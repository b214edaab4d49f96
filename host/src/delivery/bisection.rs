//! Finds the rows of a batch that a sink dies of.
//!
//! A batch that kills the sink is tried once more, then in halves, and their halves, until
//! what kills it stands alone. Every other row is taken on the way. The halves of one size
//! take turns before any is cut again, so that a sink which takes most rows is heard of soon,
//! and its plugin's quarantine ends between two kills. A row that stands alone is a suspect,
//! not more: a store that is down kills with any row. Pure; knows rows by their place.

use std::collections::VecDeque;
use std::ops::Range;

/// Kills that may be an accident, before a batch is cut.
const TRIES: u32 = 2;

/// What is left of one batch.
#[derive(Debug)]
pub(super) struct Bisection {
    slices: VecDeque<Range<usize>>,
    /// Kills by the whole batch.
    kills: u32,
    suspects: Vec<usize>,
}

impl Bisection {
    pub(super) fn new(rows: usize) -> Self {
        let whole = (rows > 0).then_some(0..rows);
        Self { slices: whole.into_iter().collect(), kills: 0, suspects: Vec::new() }
    }

    /// What to try now.
    pub(super) fn next(&self) -> Option<Range<usize>> {
        self.slices.front().cloned()
    }

    /// The sink has what was tried.
    pub(super) fn taken(&mut self) {
        self.slices.pop_front();
    }

    /// It died of it.
    pub(super) fn killed(&mut self) {
        let Some(slice) = self.slices.pop_front() else { return };
        self.kills += 1;
        if self.kills < TRIES {
            self.slices.push_front(slice);
        } else if slice.len() <= 1 {
            self.suspects.extend(slice);
        } else {
            let middle = slice.start + slice.len() / 2;
            self.slices.push_back(slice.start..middle);
            self.slices.push_back(middle..slice.end);
        }
    }

    /// Rows that killed the sink all by themselves, once nothing is left to try.
    pub(super) fn into_suspects(self) -> Vec<usize> {
        self.suspects
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_row_is_taken_once_or_stands_alone_after_few_kills(
            rows in 0usize..500,
            poison in prop::collection::btree_set(0usize..500, 0..5),
        ) {
            let poison: BTreeSet<usize> = poison.into_iter().filter(|row| *row < rows).collect();
            let mut bisection = Bisection::new(rows);
            let mut taken = BTreeSet::new();
            let mut kills = 0;
            while let Some(slice) = bisection.next() {
                if slice.clone().any(|row| poison.contains(&row)) {
                    kills += 1;
                    bisection.killed();
                } else {
                    for row in slice {
                        prop_assert!(taken.insert(row), "{row} twice");
                    }
                    bisection.taken();
                }
            }
            // Once for each size a slice of 500 rows can have, and the second try.
            prop_assert!(kills <= 1 + poison.len() * 10, "{kills} kills");
            let suspects: BTreeSet<usize> = bisection.into_suspects().into_iter().collect();
            prop_assert_eq!(&suspects, &poison);
            prop_assert_eq!(taken.len() + poison.len(), rows);
        }
    }

    #[test]
    fn one_kill_cuts_nothing() {
        let mut bisection = Bisection::new(8);
        bisection.killed();
        assert_eq!(bisection.next(), Some(0..8));
        bisection.killed();
        assert_eq!(bisection.next(), Some(0..4));
    }
}
