//! Finds the rows of a batch that a sink dies of, and how many it takes at once.
//!
//! What kills the sink is tried once more, then in halves, and their halves. After each kill
//! the next try is at the other end of what is left: one bad row is closed in on from both
//! sides, and the sink takes rows in between, which ends its plugin's quarantine. A row that
//! kills alone is a suspect, not more: a store that is down kills with any row. Where it is
//! the number that kills, few tries find one that does not, and it stays: tries grow again
//! only after [`STREAK`] that went well. Pure; knows rows by their place.

use std::ops::Range;

/// Kills of a batch that may be an accident, before less of it is tried.
const ACCIDENTS: u32 = 1;

/// Takings in a row after which twice as much is tried.
const STREAK: u32 = 8;

/// How many rows a sink is offered at once; lasts from batch to batch.
#[derive(Debug)]
pub(super) struct Appetite {
    most: usize,
    rows: usize,
    streak: u32,
}

impl Appetite {
    pub(super) fn new(most: usize) -> Self {
        Self { most, rows: most, streak: 0 }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    fn taken(&mut self) {
        self.streak += 1;
        if self.streak >= STREAK {
            self.rows = self.rows.saturating_mul(2).min(self.most);
            self.streak = 0;
        }
    }

    fn killed(&mut self, by: usize) {
        self.rows = (by / 2).max(1);
        self.streak = 0;
    }
}

/// What is left of one batch.
#[derive(Debug)]
pub(super) struct Bisection {
    left: Range<usize>,
    at_the_end: bool,
    kills: u32,
    suspects: Vec<usize>,
}

impl Bisection {
    pub(super) fn new(rows: usize) -> Self {
        Self { left: 0..rows, at_the_end: false, kills: 0, suspects: Vec::new() }
    }

    /// What to try now.
    pub(super) fn next(&self, appetite: &Appetite) -> Option<Range<usize>> {
        let rows = self.left.len().min(appetite.rows());
        let slice = if self.at_the_end {
            self.left.end - rows..self.left.end
        } else {
            self.left.start..self.left.start + rows
        };
        (rows > 0).then_some(slice)
    }

    /// The sink has what was tried.
    pub(super) fn taken(&mut self, slice: &Range<usize>, appetite: &mut Appetite) {
        appetite.taken();
        self.done(slice);
    }

    /// It died of it.
    pub(super) fn killed(&mut self, slice: &Range<usize>, appetite: &mut Appetite) {
        self.kills += 1;
        if self.kills <= ACCIDENTS {
            return;
        }
        if slice.len() <= 1 {
            self.suspects.extend(slice.clone());
            self.done(slice);
        }
        appetite.killed(slice.len());
        self.at_the_end = !self.at_the_end;
    }

    /// Rows that killed the sink all by themselves, once nothing is left to try.
    pub(super) fn into_suspects(self) -> Vec<usize> {
        self.suspects
    }

    fn done(&mut self, slice: &Range<usize>) {
        if self.at_the_end {
            self.left.end = slice.start;
        } else {
            self.left.start = slice.end;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Kills and suspects of a batch whose slices kill as `kills` says.
    fn run(rows: usize, kills: impl Fn(Range<usize>) -> bool) -> (usize, usize, Vec<usize>) {
        let (mut bisection, mut appetite) = (Bisection::new(rows), Appetite::new(500));
        let (mut killed, mut taken) = (0, 0);
        while let Some(slice) = bisection.next(&appetite) {
            if kills(slice.clone()) {
                killed += 1;
                bisection.killed(&slice, &mut appetite);
            } else {
                taken += slice.len();
                bisection.taken(&slice, &mut appetite);
            }
        }
        let mut suspects = bisection.into_suspects();
        suspects.sort_unstable();
        (killed, taken, suspects)
    }

    proptest! {
        #[test]
        fn every_row_is_taken_once_or_stands_alone_after_few_kills(
            rows in 0usize..500,
            poison in prop::collection::btree_set(0usize..500, 0..5),
        ) {
            let poison: BTreeSet<usize> = poison.into_iter().filter(|row| *row < rows).collect();
            let (kills, taken, suspects) =
                run(rows, |mut slice| slice.any(|row| poison.contains(&row)));
            // Nine halvings to one row, and what grew meanwhile is halved again.
            prop_assert!(kills <= 2 + poison.len() * 20, "{kills} kills");
            prop_assert_eq!(taken + poison.len(), rows);
            prop_assert_eq!(suspects, poison.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn a_number_that_kills_is_found_soon_and_not_tried_often(
            rows in 1usize..500,
            most in 1usize..500,
        ) {
            let (kills, taken, suspects) = run(rows, |slice| slice.len() > most);
            prop_assert_eq!((taken, suspects), (rows, vec![]));
            let tries = rows.div_ceil(most.div_ceil(2));
            prop_assert!(kills <= 11 + tries.div_ceil(STREAK as usize), "{kills} kills");
        }
    }

    #[test]
    fn one_kill_changes_nothing() {
        let (mut bisection, mut appetite) = (Bisection::new(8), Appetite::new(500));
        bisection.killed(&(0..8), &mut appetite);
        assert_eq!(bisection.next(&appetite), Some(0..8));
        bisection.killed(&(0..8), &mut appetite);
        assert_eq!(bisection.next(&appetite), Some(4..8));
    }
}
