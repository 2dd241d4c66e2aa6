//! `slow-disk`: everything that a disk does takes several times as long.

use super::super::document::{Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{
    Begins, Cost, Drawn, Draws, Fits, Hit, Kind, Nature, Scene, Shape, Stage, Strike, Usual, keys,
};
use crate::scenario::{Range, Roles};
use crate::sim::Unsupported;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SlowDisk {
    target: Roles,
    /// How many times.
    factor: Range<u64>,
}

impl Kind for SlowDisk {
    const NAME: &'static str = "slow-disk";
    const WEIGHT: u64 = 3;
    const DISTURBS: bool = false;

    fn parse(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<Self> {
        let factor = keys::number(section, "factor", (2, 10_000), (5, 50), problems);
        Some(Self { factor, target: keys::nodes(section, known, problems)? })
    }

    fn write(&self, out: &mut Writer) {
        out.roles("target", &self.target);
        out.range("factor", &self.factor);
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Strike(self)
    }

    fn ranges(&mut self) -> Vec<Drawn<'_>> {
        vec![Drawn::Number("factor", &mut self.factor)]
    }

    fn retarget(&mut self, roles: Roles) {
        self.target = roles;
    }

    fn sample(usual: Usual, _shape: &Shape, draws: &mut Draws) -> String {
        format!("{}factor = \"2..{}\"\n", usual.target, draws.number(5, 200))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let parts = (super::any::nodes(), super::any::numbers(2..=10_000));
        parts.prop_map(|(target, factor)| Self { target, factor }).boxed()
    }
}

impl Strike for SlowDisk {
    fn aim(&self, scene: &dyn Scene) -> Hit {
        let hosts = scene.hosts(&self.target, Fits::Up);
        let what = format!("{} times slower disk of {}", self.factor.low, scene.describe(&hosts));
        Hit::hosts(scene, hosts, what)
    }

    fn strike(&self, stage: &mut dyn Stage, hit: &Hit) -> Result<Begins, Unsupported> {
        hit.hosts.iter().for_each(|host| stage.refit_disk(*host));
        Ok(Begins::Now)
    }

    fn end(&self, stage: &mut dyn Stage, hit: &Hit, _begun: bool) {
        for host in &hit.hosts {
            stage.refit_disk(*host);
            stage.revive(*host);
        }
    }

    fn slowdown(&self) -> u32 {
        keys::count(self.factor.low)
    }

    fn may_cost(&self) -> Cost {
        Cost::of_hosts(&self.target)
    }
}
