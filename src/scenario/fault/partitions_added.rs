//! `partitions-added`: a topic gets more partitions, and keeps them.

use super::super::document::{At, Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{
    Begins, Cost, Draws, Hit, Kind, Nature, Scene, Shape, Stage, Strike, TopicChange, Usual,
};
use crate::scenario::{Role, Roles};
use crate::sim::Unsupported;

/// More partitions than a fault may add up to: as many as a scenario's topic may have.
const MAX_PARTITIONS: u64 = 1000;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PartitionsAdded {
    /// How many there are then.
    to: i32,
}

impl Kind for PartitionsAdded {
    const NAME: &'static str = "partitions-added";
    // Only a group or a producer that follows its topic notices it.
    const WEIGHT: u64 = 0;

    fn parse(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<Self> {
        let Some(At { line, value }) = section.value::<u64>("partitions", problems) else {
            if !section.has("partitions") {
                let message = "`partitions` is missing: how many are there then? Such as `9`";
                problems.add(section.line, message);
            }
            return None;
        };
        // `topic` is read later, with the keys that all kinds share: fewer than there are is an error
        // of every topic only if it is one of the smallest.
        let least = known.fewest_partitions();
        if value <= least || value > MAX_PARTITIONS {
            let bounds =
                format!("expected more than the {least} that there are, up to {MAX_PARTITIONS}");
            problems.add(line, format!("`partitions = {value}`: {bounds}"));
            return None;
        }
        Some(Self { to: i32::try_from(value).ok()? })
    }

    fn write(&self, out: &mut Writer) {
        out.plain("partitions", self.to);
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Strike(self)
    }

    fn sample(_: Usual, _: &Shape, _: &mut Draws) -> String {
        "partitions = 12\n".into()
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        (500..=1000i32).prop_map(|to| Self { to }).boxed()
    }
}

impl Strike for PartitionsAdded {
    fn aim(&self, scene: &dyn Scene) -> Hit {
        let topic = &scene.partition().topic;
        Hit::topic(scene, format!("growth of {topic} to {} partitions", self.to))
    }

    fn strike(&self, stage: &mut dyn Stage, hit: &Hit) -> Result<Begins, Unsupported> {
        stage.administer(TopicChange::Grow(hit.partition.topic.to_string(), self.to));
        Ok(Begins::Now)
    }

    fn end(&self, _: &mut dyn Stage, _: &Hit, _begun: bool) {}

    fn may_cost(&self) -> Cost {
        Cost::of_hosts(&Roles::one(Role::Controller))
    }
}
