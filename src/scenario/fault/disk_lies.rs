//! `disk-lies`: syncs succeed, and make nothing durable.

use super::super::document::{Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{
    Begins, Cost, Draws, Fits, Hit, Kind, Nature, Scene, Shape, Stage, Strike, Usual, keys,
};
use crate::scenario::Roles;
use crate::sim::Unsupported;
use crate::sim::disk::DiskProfile;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DiskLies {
    target: Roles,
}

impl Kind for DiskLies {
    const NAME: &'static str = "disk-lies";
    const WEIGHT: u64 = 4;
    const DISTURBS: bool = false;

    fn parse(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<Self> {
        Some(Self { target: keys::nodes(section, known, problems)? })
    }

    fn write(&self, out: &mut Writer) {
        out.roles("target", &self.target);
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Strike(self)
    }

    fn sample(_: Usual, shape: &Shape, draws: &mut Draws) -> String {
        shape.broker(draws)
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        super::any::nodes().prop_map(|target| Self { target }).boxed()
    }
}

impl Strike for DiskLies {
    fn aim(&self, scene: &dyn Scene) -> Hit {
        let hosts = scene.hosts(&self.target, Fits::Up);
        let what = format!("lying disk of {}", scene.describe(&hosts));
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

    fn alter_disk(&self, disk: &mut DiskProfile) {
        disk.lies = true;
    }

    fn may_cost(&self) -> Cost {
        Cost { spoils_syncs: true, ..Cost::of_hosts(&self.target) }
    }
}
