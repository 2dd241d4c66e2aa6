//! `pause`: the process stops and later continues, without knowing.

use super::super::document::{Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{
    Action, Begins, Cost, Draws, Fits, Hit, Kind, Nature, Scene, Shape, Stage, Strike, Usual, keys,
};
use crate::scenario::Roles;
use crate::sim::Unsupported;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pause {
    pub target: Roles,
}

impl Kind for Pause {
    const NAME: &'static str = "pause";
    const WEIGHT: u64 = 9;

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
        // The first is a consumer without a group.
        if shape.groups && draws.chance(35) {
            return format!("target = \"{}\"\n", draws.one(&["k2", "consumers"]));
        }
        if draws.chance(15) { "target = \"clients\"\n".into() } else { usual.target }
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        super::any::hosts().prop_map(|target| Self { target }).boxed()
    }
}

impl Strike for Pause {
    fn aim(&self, scene: &dyn Scene) -> Hit {
        let hosts = scene.hosts(&self.target, Fits::Running);
        let what = format!("pause of {}", scene.describe(&hosts));
        Hit::hosts(scene, hosts, what)
    }

    fn strike(&self, stage: &mut dyn Stage, hit: &Hit) -> Result<Begins, Unsupported> {
        hit.hosts.iter().for_each(|host| stage.pause(*host));
        Ok(Begins::Now)
    }

    fn end(&self, stage: &mut dyn Stage, hit: &Hit, _begun: bool) {
        hit.hosts.iter().for_each(|host| stage.resume(*host));
    }

    fn may_cost(&self) -> Cost {
        Cost::of_hosts(&self.target)
    }

    fn smaller(&self) -> Vec<Action> {
        self.target.fewer().into_iter().map(|target| Self { target }.into()).collect()
    }
}
