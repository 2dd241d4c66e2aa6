//! `restart-storm`: a process is killed again and again, also while it recovers from the time
//! before.

use std::time::Duration;

use rand_chacha::ChaCha12Rng;

use super::super::document::{Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{Burst, Cluster, Draws, Fault, Kill, Kind, Nature, Series, Shape, Usual, keys};
use crate::scenario::Roles;

/// How long a node stays down, unless the file says otherwise: less than it takes to be missed.
const DOWN: Duration = Duration::from_millis(300);

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RestartStorm {
    target: Roles,
    burst: Burst,
}

impl Kind for RestartStorm {
    const NAME: &'static str = "restart-storm";
    const WEIGHT: u64 = 4;

    fn parse(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<Self> {
        let burst = Burst::parse(section, problems);
        Some(Self { burst, target: keys::nodes(section, known, problems)? })
    }

    fn write(&self, out: &mut Writer) {
        out.roles("target", &self.target);
        self.burst.write(out);
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Series(self)
    }

    fn sample(usual: Usual, _shape: &Shape, _draws: &mut Draws) -> String {
        usual.target + &usual.burst
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let parts = (super::any::nodes(), Burst::any());
        parts.prop_map(|(target, burst)| Self { target, burst }).boxed()
    }
}

impl Series for RestartStorm {
    fn made_of(&self) -> &'static str {
        Kill::NAME
    }

    fn expand(&self, whole: &Fault, _: &Cluster, random: &mut ChaCha12Rng) -> Vec<Fault> {
        let action = Kill { target: self.target.clone() }.into();
        let kill = Fault { action, down: whole.down.or(Some(DOWN)), ..whole.clone() };
        self.burst.repeat(&kill, random)
    }
}
