//! `disk-stall`: every sync hangs.

use std::time::Duration;

use super::super::document::{Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{
    Begins, Cost, Draws, Fits, Hit, Kind, Nature, Scene, Shape, Stage, Strike, Usual, keys,
};
use crate::scenario::{Range, Roles};
use crate::sim::Unsupported;
use crate::sim::disk::DiskProfile;

/// How long, unless the file says otherwise: around the timeouts that it should put to the test.
const STALL: Range<Duration> =
    Range { low: Duration::from_millis(200), high: Duration::from_secs(2) };

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DiskStall {
    target: Roles,
    /// How long, drawn for each sync.
    stall: Range<Duration>,
}

impl Kind for DiskStall {
    const NAME: &'static str = "disk-stall";
    const WEIGHT: u64 = 3;
    const DISTURBS: bool = false;

    fn parse(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<Self> {
        let stall = section.range("stall", problems).map_or(STALL, |stall| stall.value);
        Some(Self { stall, target: keys::nodes(section, known, problems)? })
    }

    fn write(&self, out: &mut Writer) {
        out.roles("target", &self.target);
        out.range("stall", &self.stall);
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Strike(self)
    }

    fn retarget(&mut self, roles: Roles) {
        self.target = roles;
    }

    fn sample(usual: Usual, _shape: &Shape, draws: &mut Draws) -> String {
        format!("{}stall = \"10ms..{}ms\"\n", usual.target, draws.number(100, 3000))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let parts = (super::any::nodes(), super::any::times());
        parts.prop_map(|(target, stall)| Self { target, stall }).boxed()
    }
}

impl Strike for DiskStall {
    fn aim(&self, scene: &dyn Scene) -> Hit {
        let hosts = scene.hosts(&self.target, Fits::Up);
        let what =
            format!("syncs that hang for {}, disk of {}", self.stall, scene.describe(&hosts));
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
        disk.stall_one_in = 1;
        disk.stall = self.stall.low..=self.stall.high;
    }

    fn may_cost(&self) -> Cost {
        Cost::of_hosts(&self.target)
    }
}
