//! `disk-full`: nothing more fits (`ENOSPC`).

use super::super::document::{Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{
    Begins, Cost, Draws, Fits, Hit, Kind, Nature, Scene, Shape, Stage, Strike, Turned, Usual, keys,
};
use crate::scenario::Roles;
use crate::sim::Unsupported;
use crate::sim::disk::DiskProfile;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DiskFull {
    target: Roles,
    /// Whether the process is started again at the end, without which it does not use a directory
    /// that was full.
    restart: bool,
}

impl Kind for DiskFull {
    const NAME: &'static str = "disk-full";
    const WEIGHT: u64 = 3;

    fn parse(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<Self> {
        let restart = section.boolean("restart", problems).unwrap_or(false);
        Some(Self { restart, target: keys::nodes(section, known, problems)? })
    }

    fn write(&self, out: &mut Writer) {
        out.roles("target", &self.target);
        if self.restart {
            out.plain("restart", true);
        }
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Strike(self)
    }

    fn retarget(&mut self, roles: Roles) {
        self.target = roles;
    }

    fn move_to(&mut self, dirs: &[String]) {
        keys::move_to(dirs, None, &mut self.restart);
    }

    fn sample(usual: Usual, shape: &Shape, _draws: &mut Draws) -> String {
        // A process with another directory continues without the one that failed.
        let restart = if shape.dirs.len() > 1 { "restart = true\n" } else { "" };
        usual.target + restart
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let parts = (super::any::nodes(), any::<bool>());
        parts.prop_map(|(target, restart)| Self { target, restart }).boxed()
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
        hit.hosts.iter().for_each(|host| stage.refit_disk(*host));
        keys::start_again(stage, hit, self.restart);
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
