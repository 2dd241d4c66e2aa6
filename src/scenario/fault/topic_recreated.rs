//! `topic-recreated`: a topic is deleted, and created again with the same name when the fault ends.

use super::super::document::{Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{
    Begins, Cost, Draws, Hit, Kind, Nature, Scene, Shape, Stage, Strike, TopicChange, Usual,
};
use crate::scenario::{Role, Roles};
use crate::sim::Unsupported;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TopicRecreated;

impl Kind for TopicRecreated {
    const NAME: &'static str = "topic-recreated";
    // A deleted topic keeps no promise that a contract could compute.
    const WEIGHT: u64 = 0;

    fn parse(_: &mut Section, _: &Known<'_>, _: &mut Problems) -> Option<Self> {
        Some(Self)
    }

    fn write(&self, _: &mut Writer) {}

    fn nature(&self) -> Nature<'_> {
        Nature::Strike(self)
    }

    fn sample(_: Usual, _: &Shape, _: &mut Draws) -> String {
        String::new()
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        Just(Self).boxed()
    }
}

impl Strike for TopicRecreated {
    fn aim(&self, scene: &dyn Scene) -> Hit {
        Hit::topic(scene, format!("deletion of {}", scene.partition().topic))
    }

    fn strike(&self, stage: &mut dyn Stage, hit: &Hit) -> Result<Begins, Unsupported> {
        stage.administer(TopicChange::Delete(hit.partition.topic.to_string()));
        Ok(Begins::Now)
    }

    fn end(&self, stage: &mut dyn Stage, hit: &Hit, _begun: bool) {
        stage.administer(TopicChange::Create(hit.partition.topic.to_string()));
    }

    fn may_cost(&self) -> Cost {
        Cost { deletes_topic: true, ..Cost::of_hosts(&Roles::one(Role::Controller)) }
    }
}
