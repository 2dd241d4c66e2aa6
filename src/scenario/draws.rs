//! Chances, and choices among things of different weight.

use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use crate::base::{Seed, Stream};

/// A stream of draws.
pub(crate) struct Draws(ChaCha12Rng);

impl Draws {
    pub(crate) fn of(seed: Seed, stream: Stream) -> Self {
        Self(seed.stream(stream))
    }

    /// A whole number, both ends included.
    pub(crate) fn number(&mut self, low: u64, high: u64) -> u64 {
        self.0.random_range(low..=high)
    }

    /// True in this many of a hundred draws.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.number(0, 99) < percent
    }

    /// One of these, each as likely as its weight says. There has to be one.
    pub(crate) fn weighted<T: Copy>(&mut self, choices: &[(u64, T)]) -> T {
        let total: u64 = choices.iter().map(|(weight, _)| weight).sum();
        let mut left = self.number(0, total.saturating_sub(1));
        for (weight, choice) in choices {
            if left < *weight {
                return *choice;
            }
            left -= weight;
        }
        choices[choices.len() - 1].1
    }

    /// One of these. There has to be one.
    pub(crate) fn one<T: Copy>(&mut self, choices: &[T]) -> T {
        let last = choices.len().saturating_sub(1) as u64;
        choices[usize::try_from(self.number(0, last)).unwrap_or(0)]
    }
}
