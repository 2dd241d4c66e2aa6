//! `restart`: the process is asked to end, and boots again.

use std::time::Duration;

use super::super::document::{Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{Action, Begins, Cost, Fits, Hit, Kind, Nature, Scene, Stage, Strike, Turned, keys};
use crate::base::Instant;
use crate::scenario::Roles;
use crate::sim::Unsupported;

/// A process that has not ended by now will not end: it is killed, and that is reported.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Restart {
    pub target: Roles,
}

impl Kind for Restart {
    const NAME: &'static str = "restart";
    const WEIGHT: u64 = 8;

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

impl Strike for Restart {
    fn aim(&self, scene: &dyn Scene) -> Hit {
        let hosts = scene.hosts(&self.target, Fits::Answering);
        let what = format!("restart of {}", scene.describe(&hosts));
        Hit::hosts(scene, hosts, what)
    }

    fn strike(&self, stage: &mut dyn Stage, hit: &Hit) -> Result<Begins, Unsupported> {
        hit.hosts.iter().for_each(|host| stage.terminate(*host));
        Ok(Begins::Later)
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
        true
    }

    /// Those that have not ended by then are waited for while the cluster converges.
    fn end(&self, stage: &mut dyn Stage, hit: &Hit, _begun: bool) {
        hit.hosts.iter().for_each(|host| stage.boot(*host));
    }

    fn holds_down(&self) -> bool {
        true
    }

    fn may_cost(&self) -> Cost {
        Cost::of_hosts(&self.target)
    }

    fn smaller(&self) -> Vec<Action> {
        self.target.fewer().into_iter().map(|target| Self { target }.into()).collect()
    }

    fn turned(&self) -> Turned {
        Turned::Another(self.target.clone())
    }
}
