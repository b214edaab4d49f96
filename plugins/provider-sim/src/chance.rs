//! Chance, spread evenly: of any run of calls close to the wanted fraction happens. And
//! numbers for identifiers, from a sequence of their own.
//!
//! A Weyl sequence with the golden ratio, `start + n * phi mod 1`, has the lowest
//! discrepancy of its kind: a rate of 0.1 fails about every tenth call instead of by luck.
//! It starts where the seed of the standard library's hash maps says, so that instances
//! differ; an instance that serves one call only depends on that seed alone.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

/// The fractional part of the golden ratio, times 2^64.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

thread_local! {
    static CHANCE: Cell<u64> = Cell::new(RandomState::new().hash_one("chance"));
    static IDENTIFIER: Cell<u64> = Cell::new(RandomState::new().hash_one("identifier"));
}

/// True for a fraction `rate` of all calls.
pub(crate) fn happens(rate: f64) -> bool {
    fraction(CHANCE.with(advance)) < rate
}

/// A number that no other call of this instance gives.
pub(crate) fn identifier() -> u64 {
    // An odd step visits every number before it repeats one, and so does the mixing.
    let number = IDENTIFIER.with(advance);
    (number ^ (number >> 32)).wrapping_mul(GOLDEN)
}

fn advance(sequence: &Cell<u64>) -> u64 {
    sequence.replace(sequence.get().wrapping_add(GOLDEN))
}

/// In [0, 1), with 53 bits.
fn fraction(number: u64) -> f64 {
    (number >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_met_within_a_few_calls_whatever_the_start() {
        for rate in [0.0, 0.05, 0.1, 0.5, 0.9, 1.0] {
            let happened = (0..1_000).filter(|_| happens(rate)).count() as f64;
            assert!((happened - 1_000.0 * rate).abs() <= 5.0, "{rate}: {happened}");
        }
    }
}
