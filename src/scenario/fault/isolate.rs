//! `isolate`: hosts are cut off from all others, both ways.

use super::super::document::{Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{
    Action, Begins, Cost, Hit, Kind, Nature, Partition, Scene, Stage, Strike, Turned, keys,
};
use crate::scenario::{Role, Roles};
use crate::sim::Unsupported;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Isolate {
    pub target: Roles,
}

impl Isolate {
    /// The partition that it comes to.
    fn partition(&self) -> Partition {
        Partition::between(self.target.clone(), Roles::one(Role::Everyone), false)
    }
}

impl Kind for Isolate {
    const NAME: &'static str = "isolate";
    const WEIGHT: u64 = 8;

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

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        super::any::hosts().prop_map(|target| Self { target }).boxed()
    }
}

impl Strike for Isolate {
    fn aim(&self, scene: &dyn Scene) -> Hit {
        self.partition().aim(scene)
    }

    fn strike(&self, stage: &mut dyn Stage, hit: &Hit) -> Result<Begins, Unsupported> {
        self.partition().strike(stage, hit)
    }

    fn end(&self, stage: &mut dyn Stage, hit: &Hit, begun: bool) {
        self.partition().end(stage, hit, begun);
    }

    fn may_cost(&self) -> Cost {
        self.partition().may_cost()
    }

    fn smaller(&self) -> Vec<Action> {
        self.partition().smaller()
    }

    fn turned(&self) -> Turned {
        self.partition().turned()
    }
}
