//! `disk-full`: nothing more fits (`ENOSPC`).

use super::super::document::{Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{Begins, Cost, Fits, Hit, Kind, Nature, Scene, Stage, Strike, Turned, keys};
use crate::scenario::Roles;
use crate::sim::Unsupported;
use crate::sim::disk::DiskProfile;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DiskFull {
    target: Roles,
}

impl Kind for DiskFull {
    const NAME: &'static str = "disk-full";
    const WEIGHT: u64 = 3;

    fn parse(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<Self> {
        Some(Self { target: keys::nodes(section, known, problems)? })
    }

    fn write(&self, out: &mut Writer) {
        out.roles("target", &self.target);
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Strike(self)
    }

    fn retarget(&mut self, roles: Roles) {
        self.target = roles;
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        super::any::nodes().prop_map(|target| Self { target }).boxed()
    }
}

impl Strike for DiskFull {
    fn aim(&self, scene: &dyn Scene) -> Hit {
        let hosts = scene.hosts(&self.target, Fits::Up);
        let what = format!("full disk of {}", scene.describe(&hosts));
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

    /// What is there stays there; not a page more fits.
    fn alter_disk(&self, disk: &mut DiskProfile) {
        disk.capacity = Some(0);
    }

    fn may_cost(&self) -> Cost {
        // A process whose copy of the metadata finds no room ends by itself.
        Cost { ends_uncleanly: true, ..Cost::of_hosts(&self.target) }
    }

    fn turned(&self) -> Turned {
        Turned::Another(self.target.clone())
    }
}
