//! `disk-replaced`: the process ends, and its disk (or one log directory) is replaced by an empty one
//! before it boots again.

use std::time::Duration;

use super::super::document::{Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{
    Action, Begins, Cost, Draws, Fits, Hit, Kind, Nature, Scene, Shape, Stage, Strike, Usual, keys,
};
use crate::base::Instant;
use crate::scenario::Roles;
use crate::sim::Unsupported;

/// A process that has not ended by now will not end: it is killed, and that is reported.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DiskReplaced {
    target: Roles,
    /// One of `log.dirs`; the whole disk when absent.
    dir: Option<String>,
    /// Whether the process is asked to end. Otherwise it is killed.
    clean: bool,
}

impl DiskReplaced {
    fn replace(&self, stage: &mut dyn Stage, hit: &Hit) {
        hit.hosts.iter().for_each(|host| stage.replace_disk(*host, self.dir.as_deref()));
    }
}

impl Kind for DiskReplaced {
    const NAME: &'static str = "disk-replaced";
    const WEIGHT: u64 = 6;

    fn parse(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<Self> {
        let dir = section.has("dir").then(|| keys::log_dir(section, known, problems));
        let clean = section.boolean("clean", problems).unwrap_or(false);
        let target = keys::nodes(section, known, problems)?;
        Some(Self { target, dir: dir.flatten(), clean })
    }

    fn write(&self, out: &mut Writer) {
        out.roles("target", &self.target);
        if let Some(dir) = &self.dir {
            out.text("dir", dir);
        }
        if self.clean {
            out.plain("clean", true);
        }
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Strike(self)
    }

    /// One disk at a time.
    fn sample(_: Usual, shape: &Shape, draws: &mut Draws) -> String {
        let mut keys = shape.broker(draws);
        if draws.chance(30) {
            keys.push_str("clean = true\n");
        }
        if shape.dirs.len() > 1 && draws.chance(50) {
            keys.push_str(&format!("dir = \"{}\"\n", shape.dir(draws)));
        }
        keys
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let dir = proptest::option::of(Just("/data".to_owned()));
        (super::any::nodes(), dir, any::<bool>())
            .prop_map(|(target, dir, clean)| Self { target, dir, clean })
            .boxed()
    }
}

impl Strike for DiskReplaced {
    fn aim(&self, scene: &dyn Scene) -> Hit {
        let hosts = scene.hosts(&self.target, Fits::RunningBroker);
        let of = self.dir.as_deref().unwrap_or("disk");
        let ended = if self.clean { ", after a clean stop" } else { "" };
        let what = format!("replaced {of} of {}{ended}", scene.describe(&hosts));
        Hit::hosts(scene, hosts, what)
    }

    fn strike(&self, stage: &mut dyn Stage, hit: &Hit) -> Result<Begins, Unsupported> {
        if self.clean {
            hit.hosts.iter().for_each(|host| stage.terminate(*host));
            return Ok(Begins::Later);
        }
        hit.hosts.iter().for_each(|host| stage.kill(*host));
        self.replace(stage, hit);
        Ok(Begins::Now)
    }

    fn has_begun(&self, stage: &mut dyn Stage, hit: &Hit, struck: Instant) -> bool {
        let running = |stage: &dyn Stage, host| stage.is_running(host);
        let late: Vec<_> = hit.hosts.iter().copied().filter(|host| running(stage, *host)).collect();
        if !late.is_empty() && stage.now() < struck + PATIENCE {
            return false;
        }
        for host in late {
            stage.report_deaf(host);
            stage.kill(host);
        }
        self.replace(stage, hit);
        true
    }

    /// A process that has not ended by then keeps its disk.
    fn end(&self, stage: &mut dyn Stage, hit: &Hit, _begun: bool) {
        hit.hosts.iter().for_each(|host| stage.boot(*host));
    }

    fn holds_down(&self) -> bool {
        true
    }

    fn may_cost(&self) -> Cost {
        Cost { replaces_disks: true, ends_uncleanly: true, ..Cost::of_hosts(&self.target) }
    }

    fn smaller(&self) -> Vec<Action> {
        let mut ways = Vec::new();
        if self.clean {
            ways.push(Self { clean: false, ..self.clone() });
        }
        let fewer = self.target.fewer().into_iter();
        ways.extend(fewer.map(|target| Self { target, ..self.clone() }));
        ways.into_iter().map(Action::from).collect()
    }
}
