//! Several strikes in a row: `times` and `gap`.

use std::time::Duration;

use rand_chacha::ChaCha12Rng;

use super::super::document::{Problems, Section};
use super::super::writer::Writer;
use super::keys;
use crate::scenario::{Fault, Range};

/// Most strikes of one burst.
const MAX: u64 = 100;
/// The pause between two strikes, unless the file says otherwise.
const GAP: Range<Duration> =
    Range { low: Duration::from_millis(100), high: Duration::from_secs(1) };

/// How often a fault strikes, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Burst {
    pub times: Range<u64>,
    /// From the end of one strike to the beginning of the next.
    pub gap: Range<Duration>,
}

impl Burst {
    pub fn parse(section: &mut Section, problems: &mut Problems) -> Self {
        let times = keys::number(section, "times", (1, MAX), (3, 6), problems);
        Self { times, gap: gap(section, problems) }
    }

    pub fn write(&self, out: &mut Writer) {
        out.range("times", &self.times);
        out.range("gap", &self.gap);
    }

    /// The fault several times, each a gap after the end of the one before.
    pub fn repeat(&self, fault: &Fault, random: &mut ChaCha12Rng) -> Vec<Fault> {
        let (mut at, mut faults) = (fault.at, Vec::new());
        for _ in 0..self.times.draw(random) {
            faults.push(Fault { at, ..fault.clone() });
            at = at + fault.down.unwrap_or_default() + self.gap.draw(random);
        }
        faults
    }

    #[cfg(test)]
    pub fn any() -> impl proptest::strategy::Strategy<Value = Self> {
        use super::any;
        use proptest::prelude::*;
        (any::numbers(1..=MAX), any::times()).prop_map(|(times, gap)| Self { times, gap })
    }
}

pub(super) fn gap(section: &mut Section, problems: &mut Problems) -> Range<Duration> {
    section.range("gap", problems).map_or(GAP, |gap| gap.value)
}
