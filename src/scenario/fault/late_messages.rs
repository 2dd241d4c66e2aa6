//! `late-messages`: requests or answers of one API arrive late, and all that follows them on their
//! connection.

use std::time::Duration;

use super::super::document::{Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{
    Action, Begins, Cost, Drawn, Draws, Hit, Kind, Messages, Nature, Scene, Shape, Stage, Strike,
    Usual, ends,
};
use crate::scenario::{Range, Roles};
use crate::sim::{Fate, Mishap, Unsupported};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LateMessages {
    messages: Messages,
    /// By how much, drawn for each message.
    latency: Range<Duration>,
}

impl Kind for LateMessages {
    const NAME: &'static str = "late-messages";
    const WEIGHT: u64 = 0;

    fn parse(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<Self> {
        if !section.has("latency") {
            let message = "`latency` is missing: how late? Such as `\"1s..5s\"`";
            problems.add(section.line, message);
        }
        let latency = section.range("latency", problems).map(|latency| latency.value);
        let messages = Messages::parse(section, known, problems);
        Some(Self { messages: messages?, latency: latency? })
    }

    fn write(&self, out: &mut Writer) {
        self.messages.write(out);
        out.range("latency", &self.latency);
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
        format!("{}api = \"Produce\"\nlatency = \"1s..8s\"\n", usual.target)
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use super::any;
        use proptest::prelude::*;
        let parts = (Messages::any(), any::times());
        parts.prop_map(|(messages, latency)| Self { messages, latency }).boxed()
    }
}

impl Strike for LateMessages {
    fn aim(&self, scene: &dyn Scene) -> Hit {
        self.messages.aim(scene, "late")
    }

    fn strike(&self, stage: &mut dyn Stage, hit: &Hit) -> Result<Begins, Unsupported> {
        ends::refit(stage, hit)
    }

    fn end(&self, stage: &mut dyn Stage, hit: &Hit, _begun: bool) {
        ends::restore(stage, hit);
    }

    fn mishap(&self) -> Option<Mishap> {
        Some(self.messages.mishap(Fate::Late(self.latency.low..=self.latency.high)))
    }

    fn may_cost(&self) -> Cost {
        self.messages.may_cost()
    }

    fn smaller(&self) -> Vec<Action> {
        let fewer = self.messages.smaller();
        fewer.map(|messages| Self { messages, ..self.clone() }.into()).collect()
    }
}
