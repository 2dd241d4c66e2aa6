//! `flapping`: links that fail and work again, several times.

use rand_chacha::ChaCha12Rng;

use super::super::document::{Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{Burst, Cluster, Draws, Ends, Fault, Kind, Nature, Partition, Series, Shape, Usual};
use std::time::Duration;

/// How long a link fails, unless the file says otherwise.
pub(super) const DOWN: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Flapping {
    ends: Ends,
    burst: Burst,
}

impl Kind for Flapping {
    const NAME: &'static str = "flapping";
    const WEIGHT: u64 = 4;

    fn parse(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<Self> {
        let burst = Burst::parse(section, problems);
        Some(Self { burst, ends: Ends::parse(section, known, problems)? })
    }

    fn write(&self, out: &mut Writer) {
        self.ends.write(out);
        self.burst.write(out);
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Series(self)
    }

    fn sample(usual: Usual, _shape: &Shape, _draws: &mut Draws) -> String {
        usual.link + &usual.burst
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let parts = (Ends::any(), Burst::any());
        parts.prop_map(|(ends, burst)| Self { ends, burst }).boxed()
    }
}

impl Series for Flapping {
    fn made_of(&self) -> &'static str {
        Partition::NAME
    }

    fn expand(&self, whole: &Fault, _: &Cluster, random: &mut ChaCha12Rng) -> Vec<Fault> {
        let action = Partition { ends: self.ends.clone() }.into();
        let cut = Fault { action, down: whole.down.or(Some(DOWN)), ..whole.clone() };
        self.burst.repeat(&cut, random)
    }
}
