//! `rolling-restart`: every broker is restarted, one after the other, each when the one before is
//! back.

use std::time::Duration;

use rand_chacha::ChaCha12Rng;

use super::super::document::{Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{Cluster, Draws, Fault, Kind, Nature, Restart, Series, Shape, Usual};
use crate::scenario::{Role, Roles};

/// How long a broker stays down, unless the file says otherwise.
pub(super) const DOWN: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RollingRestart;

impl Kind for RollingRestart {
    const NAME: &'static str = "rolling-restart";
    const WEIGHT: u64 = 2;
    // Each restart waits until the cluster has recovered from the one before.
    const TAKES_MOMENT: bool = false;

    fn parse(_: &mut Section, _: &Known<'_>, _: &mut Problems) -> Option<Self> {
        Some(Self)
    }

    fn write(&self, _: &mut Writer) {}

    fn nature(&self) -> Nature<'_> {
        Nature::Series(self)
    }

    fn sample(_: Usual, _: &Shape, _: &mut Draws) -> String {
        String::new()
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        Just(Self).boxed()
    }
}

impl Series for RollingRestart {
    fn made_of(&self) -> &'static str {
        Restart::NAME
    }

    fn expand(&self, whole: &Fault, cluster: &Cluster, _: &mut ChaCha12Rng) -> Vec<Fault> {
        let restart = |broker| {
            let target = Roles::one(Role::Host('b', broker));
            let down = Some(whole.down.unwrap_or(DOWN));
            Fault { action: Restart { target }.into(), down, settled: true, ..whole.clone() }
        };
        (1..=cluster.brokers).map(restart).collect()
    }
}
