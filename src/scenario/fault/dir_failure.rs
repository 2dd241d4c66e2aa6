//! `dir-failure`: nothing works in one log directory any more (`EIO`).

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
pub(crate) struct DirFailure {
    target: Roles,
    /// One of `log.dirs`.
    dir: String,
    /// Whether the process is started again at the end, without which it does not use the directory.
    restart: bool,
}

impl Kind for DirFailure {
    const NAME: &'static str = "dir-failure";
    const WEIGHT: u64 = 5;

    fn parse(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<Self> {
        let dir = keys::log_dir(section, known, problems)?;
        let restart = section.boolean("restart", problems).unwrap_or(false);
        Some(Self { dir, restart, target: keys::nodes(section, known, problems)? })
    }

    fn write(&self, out: &mut Writer) {
        out.roles("target", &self.target);
        out.text("dir", &self.dir);
        if self.restart {
            out.plain("restart", true);
        }
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Strike(self)
    }

    /// A broker with a failed directory never gets back into the ISR unless it is started again.
    fn move_to(&mut self, dirs: &[String]) {
        keys::move_to(dirs, Some(&mut self.dir), &mut self.restart);
    }

    fn sample(_: Usual, shape: &Shape, draws: &mut Draws) -> String {
        format!("{}dir = \"{}\"\nrestart = true\n", shape.broker(draws), shape.dir(draws))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let dir = Just("/data".to_owned());
        (super::any::nodes(), dir, any::<bool>())
            .prop_map(|(target, dir, restart)| Self { target, dir, restart })
            .boxed()
    }
}

impl Strike for DirFailure {
    fn aim(&self, scene: &dyn Scene) -> Hit {
        let hosts = scene.hosts(&self.target, Fits::Up);
        let what = format!("broken {} of {}", self.dir, scene.describe(&hosts));
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

    fn alter_disk(&self, disk: &mut DiskProfile) {
        disk.dead = Some(self.dir.clone());
    }

    fn may_cost(&self) -> Cost {
        // A process without a directory that works ends by itself.
        Cost { spoils_syncs: true, ends_uncleanly: true, ..Cost::of_hosts(&self.target) }
    }
}
