//! `partition`: bytes between two sides don't arrive.

use super::super::document::{Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{
    Action, Begins, Cost, Draws, Ends, Hit, Kind, Nature, Scene, Shape, Stage, Strike, Turned,
    Usual,
};
use crate::scenario::Roles;
use crate::sim::Unsupported;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Partition {
    pub ends: Ends,
}

impl Partition {
    pub fn between(from: Roles, to: Roles, one_way: bool) -> Self {
        Self { ends: Ends { from, to, one_way } }
    }
}

impl Kind for Partition {
    const NAME: &'static str = "partition";
    const WEIGHT: u64 = 9;

    fn parse(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<Self> {
        Some(Self { ends: Ends::parse(section, known, problems)? })
    }

    fn write(&self, out: &mut Writer) {
        self.ends.write(out);
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Strike(self)
    }

    fn retarget(&mut self, roles: Roles) {
        self.ends.from = roles;
    }

    fn sample(usual: Usual, _shape: &Shape, _draws: &mut Draws) -> String {
        usual.link
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        Ends::any().prop_map(|ends| Self { ends }).boxed()
    }
}

impl Strike for Partition {
    fn aim(&self, scene: &dyn Scene) -> Hit {
        self.ends.aim(scene, "cut off")
    }

    fn strike(&self, stage: &mut dyn Stage, hit: &Hit) -> Result<Begins, Unsupported> {
        hit.links.iter().for_each(|(from, to)| stage.cut(*from, *to));
        Ok(Begins::Now)
    }

    fn end(&self, stage: &mut dyn Stage, hit: &Hit, _begun: bool) {
        hit.links.iter().for_each(|(from, to)| stage.reconnect(*from, *to));
    }

    fn may_cost(&self) -> Cost {
        Cost::of_links(&self.ends.from, &self.ends.to)
    }

    fn smaller(&self) -> Vec<Action> {
        self.ends.smaller().map(|ends| Self { ends }.into()).collect()
    }

    fn turned(&self) -> Turned {
        Turned::Into(Self { ends: self.ends.turned() }.into())
    }
}
