//! Randomness that is the same for every policy.
//!
//! What luck a request has at an endpoint depends on the seed of the run, the request, the
//! endpoint and what the draw is for, and on nothing else: not on the order of draws, nor on
//! what was drawn before. So two policies that send a request to the same endpoint meet the
//! same luck there, and their difference is theirs ("common random numbers").
//!
//! The generator is SplitMix64: the mix of a counter in steps of the golden ratio (Steele,
//! Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014). Not for
//! secrets.

use std::f64::consts::TAU;

/// 2^64 divided by the golden ratio, made odd.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// What a draw is for. Faults have purposes of their own, from `FAULTS` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Error,
    Delay,
    Ttft,
    Speed,
    RetryAfter,
    Cut,
    /// By the fault's position in the scenario.
    Fault(usize),
}

/// Room between the purposes for normal draws, which take two numbers.
const NUMBERS: u64 = 2;
const FAULTS: u64 = 16;

impl Purpose {
    fn position(self) -> u64 {
        match self {
            Self::Error => 0,
            Self::Delay => 1,
            Self::Ttft => 2,
            Self::Speed => 3,
            Self::RetryAfter => 4,
            Self::Cut => 5,
            Self::Fault(position) => FAULTS + position as u64,
        }
    }
}

/// The luck of one request at one endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Luck {
    state: u64,
}

impl Luck {
    /// A plan names an endpoint once, so these three tell every attempt.
    pub fn new(seed: u64, request: u64, endpoint: u64) -> Self {
        Self { state: number(number(number(seed, 0), request), endpoint) }
    }

    /// From 0 up to, but not, 1.
    pub fn uniform(self, purpose: Purpose) -> f64 {
        fraction(number(self.state, purpose.position() * NUMBERS))
    }

    pub fn happens(self, purpose: Purpose, probability: f64) -> bool {
        self.uniform(purpose) < probability
    }

    /// Mean 0, deviation 1: Box and Muller, "A note on the generation of random normal
    /// deviates", 1958.
    pub fn normal(self, purpose: Purpose) -> f64 {
        let radius = 1.0 - self.uniform(purpose);
        let angle = fraction(number(self.state, purpose.position() * NUMBERS + 1));
        (-2.0 * radius.ln()).sqrt() * (TAU * angle).cos()
    }
}

/// The number at a position of the sequence that a seed starts.
pub fn number(seed: u64, position: u64) -> u64 {
    let mut mixed = seed.wrapping_add(position.wrapping_add(1).wrapping_mul(STEP));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The upper 53 bits, all that a float holds.
#[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
pub fn fraction(number: u64) -> f64 {
    (number >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_that_of_the_published_generator() {
        // First numbers for seed 1234567 of the reference implementation by Vigna.
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973];
        assert_eq!([number(1_234_567, 0), number(1_234_567, 1)], expected);
    }

    #[test]
    fn luck_depends_on_seed_request_endpoint_and_purpose() {
        let luck = |seed, request, endpoint| Luck::new(seed, request, endpoint);
        let mut drawn = vec![
            luck(1, 2, 3).uniform(Purpose::Error),
            luck(1, 2, 3).uniform(Purpose::Fault(0)),
            luck(2, 2, 3).uniform(Purpose::Error),
            luck(1, 3, 2).uniform(Purpose::Error),
            luck(1, 2, 4).uniform(Purpose::Error),
        ];
        assert_eq!(drawn.first(), Some(&luck(1, 2, 3).uniform(Purpose::Error)));
        drawn.sort_by(f64::total_cmp);
        drawn.dedup();
        assert_eq!(drawn.len(), 5);
    }

    #[test]
    fn draws_have_the_moments_they_promise() {
        let count = 100_000u64;
        let (mut uniform, mut normal, mut square) = (0.0, 0.0, 0.0);
        for request in 0..count {
            let luck = Luck::new(7, request, 1);
            uniform += luck.uniform(Purpose::Error);
            let drawn = luck.normal(Purpose::Ttft);
            normal += drawn;
            square += drawn * drawn;
        }
        let mean = |sum: f64| sum / 1e5;
        assert!((mean(uniform) - 0.5).abs() < 0.005);
        assert!(mean(normal).abs() < 0.015);
        assert!((mean(square) - 1.0).abs() < 0.02);
    }
}
