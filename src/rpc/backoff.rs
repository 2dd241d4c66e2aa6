//! How long to pause before a retry or a reconnect.

use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;

/// A pause that doubles from failure to failure, up to a limit, with a jitter of 20 %.
///
/// Source: Kafka's `ExponentialBackoff`; KIP-580.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    initial: Duration,
    max: Duration,
}

impl Backoff {
    pub(crate) const NONE: Self = Self { initial: Duration::ZERO, max: Duration::ZERO };

    pub(crate) fn new(initial: Duration, max: Duration) -> Self {
        Self { initial: initial.min(max), max }
    }

    /// The longest pause.
    pub(crate) fn max(&self) -> Duration {
        self.max
    }

    /// The pause after `failures` failures in a row, counted from 1.
    pub(crate) fn pause(&self, failures: u32, random: &mut ChaCha12Rng) -> Duration {
        let doublings = failures.saturating_sub(1).min(30);
        let term = self.initial.saturating_mul(1 << doublings).min(self.max);
        // From 0.8 to 1.2, in steps of 1/5000.
        let factor = 4000 + random.next_u32() % 2001;
        (term / 5000 * factor).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Seed, Stream};

    #[test]
    fn pauses_double_up_to_their_limit_with_jitter() {
        let mut random = Seed(3).stream(Stream::named("test"));
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for _ in 0..200 {
            let mut pause = |failures| backoff.pause(failures, &mut random).as_millis();
            assert!((80..=120).contains(&pause(1)));
            assert!((320..=480).contains(&pause(3)));
            assert!((800..=1000).contains(&pause(5)));
            assert!((800..=1000).contains(&pause(u32::MAX)));
        }
    }
}
