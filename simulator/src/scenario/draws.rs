//! A sequence of draws from a seed, for what is made before a run: schedules, arrivals,
//! resamples. What happens within a run is drawn by `random::Luck`, whatever the order.

use crate::random::{fraction, number};

/// The same seed and purpose give the same draws in the same order.
#[derive(Debug, Clone)]
pub(crate) struct Draws {
    seed: u64,
    position: u64,
}

impl Draws {
    /// Sequences of different purposes do not depend on each other.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        Self { seed: number(seed, purpose), position: 0 }
    }

    /// From 0 up to, but not, 1.
    pub(crate) fn uniform(&mut self) -> f64 {
        let drawn = fraction(number(self.seed, self.position));
        self.position += 1;
        drawn
    }

    pub(crate) fn within(&mut self, range: (f64, f64)) -> f64 {
        range.0 + (range.1 - range.0) * self.uniform()
    }

    /// A position below `count`; 0 where `count` is.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "counts are far below 2^52"
    )]
    pub(crate) fn below(&mut self, count: usize) -> usize {
        ((self.uniform() * count as f64) as usize).min(count.saturating_sub(1))
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let position = self.below(of.len());
        of.get(position)
    }

    /// The wait for the next of events that come independently, so many a unit of time.
    pub(crate) fn wait(&mut self, rate: f64) -> f64 {
        -(1.0 - self.uniform()).ln() / rate
    }

    /// Mean 0, deviation 1 (Box and Muller, 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = 1.0 - self.uniform();
        let angle = std::f64::consts::TAU * self.uniform();
        (-2.0 * radius.ln()).sqrt() * angle.cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_repeat_with_their_seed_and_differ_by_purpose() {
        let drawn = |seed, purpose| {
            let mut draws = Draws::new(seed, purpose);
            [draws.uniform(), draws.uniform(), draws.uniform()]
        };
        assert_eq!(drawn(1, 2), drawn(1, 2));
        assert_ne!(drawn(1, 2), drawn(1, 3));
        assert_ne!(drawn(1, 2), drawn(2, 2));
    }

    #[test]
    fn waits_and_positions_have_the_means_they_should() {
        let mut draws = Draws::new(3, 0);
        let count = 50_000;
        let mut counts = [0; 4];
        let mut waited = 0.0;
        for _ in 0..count {
            waited += draws.wait(2.0);
            counts[draws.below(4)] += 1;
        }
        assert!((waited / f64::from(count) - 0.5).abs() < 0.01);
        assert!(counts.iter().all(|drawn| (12_000..13_000).contains(drawn)));
        assert_eq!(draws.below(0), 0);
        assert!(draws.pick::<u8>(&[]).is_none());
    }
}
