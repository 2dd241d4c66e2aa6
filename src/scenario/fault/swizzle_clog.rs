//! `swizzle-clog`: nodes of a drawn part of the cluster are cut off one after the other, and
//! connected again in another order (FoundationDB's swizzle-clogging).

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use super::super::document::{Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{
    Cluster, Draws, Fault, Kind, Nature, Partition, Series, Shape, Usual, burst, flapping,
};
use crate::scenario::{Range, Role, Roles};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SwizzleClog {
    /// From one node to the next.
    gap: Range<Duration>,
}

impl Kind for SwizzleClog {
    const NAME: &'static str = "swizzle-clog";
    const WEIGHT: u64 = 3;

    fn parse(section: &mut Section, _: &Known<'_>, problems: &mut Problems) -> Option<Self> {
        Some(Self { gap: burst::gap(section, problems) })
    }

    fn write(&self, out: &mut Writer) {
        out.range("gap", &self.gap);
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Series(self)
    }

    fn sample(_: Usual, _: &Shape, draws: &mut Draws) -> String {
        format!("gap = \"50ms..{}ms\"\n", draws.number(200, 1500))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        super::any::times().prop_map(|gap| Self { gap }).boxed()
    }
}

impl Series for SwizzleClog {
    fn made_of(&self) -> &'static str {
        Partition::NAME
    }

    fn expand(&self, whole: &Fault, cluster: &Cluster, random: &mut ChaCha12Rng) -> Vec<Fault> {
        let brokers = (1..=cluster.brokers).map(|number| Role::Host('b', number));
        let controllers = (1..=cluster.controllers).map(|number| Role::Host('c', number));
        let mut nodes: Vec<Role> = brokers.chain(controllers).collect();
        shuffle(&mut nodes, random);
        nodes.truncate(random.random_range(nodes.len().min(2)..=nodes.len()));
        let mut at = whole.at;
        let mut cuts: Vec<(Duration, Role)> = Vec::new();
        for node in nodes {
            cuts.push((at, node));
            at += self.gap.draw(random);
        }
        at += whole.down.unwrap_or(flapping::DOWN);
        shuffle(&mut cuts, random);
        let mut faults = Vec::new();
        for (begins, node) in cuts {
            let everyone = Roles::one(Role::Everyone);
            let action = Partition::between(Roles::one(node), everyone, false).into();
            let down = Some(at.saturating_sub(begins));
            faults.push(Fault { at: begins, action, down, ..whole.clone() });
            at += self.gap.draw(random);
        }
        faults
    }
}

fn shuffle<T>(items: &mut [T], random: &mut ChaCha12Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, random.random_range(0..=last));
    }
}
