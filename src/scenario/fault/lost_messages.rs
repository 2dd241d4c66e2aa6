//! `lost-messages`: requests or answers of one API do not arrive, for their connection is reset.

use super::super::document::{Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{
    Action, Begins, Cost, Drawn, Draws, Hit, Kind, Messages, Nature, Scene, Shape, Stage, Strike,
    Usual, ends,
};
use crate::scenario::Roles;
use crate::sim::{Fate, Mishap, Unsupported};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LostMessages {
    messages: Messages,
}

impl Kind for LostMessages {
    const NAME: &'static str = "lost-messages";
    const WEIGHT: u64 = 0;

    fn parse(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<Self> {
        Some(Self { messages: Messages::parse(section, known, problems)? })
    }

    fn write(&self, out: &mut Writer) {
        self.messages.write(out);
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Strike(self)
    }

    fn ranges(&mut self) -> Vec<Drawn<'_>> {
        vec![Drawn::Number("share", &mut self.messages.share)]
    }

    fn retarget(&mut self, roles: Roles) {
        self.messages.target = roles;
    }

    fn sample(usual: Usual, _: &Shape, _: &mut Draws) -> String {
        format!("{}api = \"Produce\"\nwhat = \"answers\"\n", usual.target)
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        Messages::any().prop_map(|messages| Self { messages }).boxed()
    }
}

impl Strike for LostMessages {
    fn aim(&self, scene: &dyn Scene) -> Hit {
        self.messages.aim(scene, "lost")
    }

    fn strike(&self, stage: &mut dyn Stage, hit: &Hit) -> Result<Begins, Unsupported> {
        ends::refit(stage, hit)
    }

    fn end(&self, stage: &mut dyn Stage, hit: &Hit, _begun: bool) {
        ends::restore(stage, hit);
    }

    fn mishap(&self) -> Option<Mishap> {
        Some(self.messages.mishap(Fate::Lost))
    }

    fn may_cost(&self) -> Cost {
        self.messages.may_cost()
    }

    fn smaller(&self) -> Vec<Action> {
        self.messages.smaller().map(|messages| Self { messages }.into()).collect()
    }
}
