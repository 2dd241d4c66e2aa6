//! `kill`: the process dies; what it wrote stays in the page cache.

use super::super::document::{Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{
    Action, Begins, Cost, Draws, Fits, Hit, Kind, Nature, Scene, Shape, Stage, Strike, Turned,
    Usual, keys,
};
use crate::scenario::Roles;
use crate::sim::Unsupported;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kill {
    pub target: Roles,
}

impl Kind for Kill {
    const NAME: &'static str = "kill";
    const WEIGHT: u64 = 16;

    fn parse(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<Self> {
        Some(Self { target: keys::hosts(section, known, problems)? })
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

    fn sample(usual: Usual, shape: &Shape, draws: &mut Draws) -> String {
        let clients = draws.weighted(&[(5, "clients"), (6, "producers"), (4, "consumers")]);
        if shape.groups && draws.chance(35) {
            return format!("target = \"{}\"\n", draws.one(&["k2", "k2", "consumers"]));
        }
        if draws.chance(15) { format!("target = \"{clients}\"\n") } else { usual.target }
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        super::any::hosts().prop_map(|target| Self { target }).boxed()
    }
}

impl Strike for Kill {
    fn aim(&self, scene: &dyn Scene) -> Hit {
        let hosts = scene.hosts(&self.target, Fits::Running);
        let what = format!("kill of {}", scene.describe(&hosts));
        Hit::hosts(scene, hosts, what)
    }

    fn strike(&self, stage: &mut dyn Stage, hit: &Hit) -> Result<Begins, Unsupported> {
        hit.hosts.iter().for_each(|host| stage.kill(*host));
        Ok(Begins::Now)
    }

    fn end(&self, stage: &mut dyn Stage, hit: &Hit, _begun: bool) {
        hit.hosts.iter().for_each(|host| stage.boot(*host));
    }

    fn holds_down(&self) -> bool {
        true
    }

    fn may_cost(&self) -> Cost {
        Cost { ends_uncleanly: true, ..Cost::of_hosts(&self.target) }
    }

    fn smaller(&self) -> Vec<Action> {
        self.target.fewer().into_iter().map(|target| Self { target }.into()).collect()
    }

    fn turned(&self) -> Turned {
        Turned::Another(self.target.clone())
    }
}
