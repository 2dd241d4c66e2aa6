//! `leaders-elected`: an administrator has the leaders of a topic's partitions elected (KIP-460).

use super::super::document::{Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{
    Begins, Cost, Draws, Hit, Kind, Nature, Scene, Shape, Stage, Strike, TopicChange, Usual,
};
use crate::client::ElectionType;
use crate::scenario::{Role, Roles};
use crate::sim::Unsupported;

/// Which replicas are to lead.
const ELECTIONS: [(&str, ElectionType); 2] =
    [("preferred", ElectionType::Preferred), ("unclean", ElectionType::Unclean)];

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LeadersElected {
    election: ElectionType,
}

impl Kind for LeadersElected {
    const NAME: &'static str = "leaders-elected";
    // It costs nothing or everything, by the topic's state at that moment.
    const WEIGHT: u64 = 0;

    fn parse(section: &mut Section, _: &Known<'_>, problems: &mut Problems) -> Option<Self> {
        if !section.has("election") {
            let message = "`election` is missing: who is to lead? `\"preferred\"` or `\"unclean\"`";
            problems.add(section.line, message);
        }
        let election = section.word("election", &ELECTIONS, problems)?.value;
        Some(Self { election })
    }

    fn write(&self, out: &mut Writer) {
        out.text("election", name_of(self.election));
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Strike(self)
    }

    fn sample(_: Usual, _: &Shape, _: &mut Draws) -> String {
        "election = \"preferred\"\n".into()
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        proptest::sample::select(&ELECTIONS[..]).prop_map(|(_, election)| Self { election }).boxed()
    }
}

fn name_of(election: ElectionType) -> &'static str {
    ELECTIONS.iter().find(|(_, known)| *known == election).map_or("", |(name, _)| *name)
}

impl Strike for LeadersElected {
    fn aim(&self, scene: &dyn Scene) -> Hit {
        let topic = &scene.partition().topic;
        Hit::topic(scene, format!("{} election of the leaders of {topic}", name_of(self.election)))
    }

    fn strike(&self, stage: &mut dyn Stage, hit: &Hit) -> Result<Begins, Unsupported> {
        stage.administer(TopicChange::Elect(hit.partition.topic.to_string(), self.election));
        Ok(Begins::Now)
    }

    fn end(&self, _: &mut dyn Stage, _: &Hit, _begun: bool) {}

    fn may_cost(&self) -> Cost {
        let elects_uncleanly = self.election == ElectionType::Unclean;
        Cost { elects_uncleanly, ..Cost::of_hosts(&Roles::one(Role::Controller)) }
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::Scenario;

    #[test]
    fn election_has_a_type_and_mistakes_are_refused() {
        let scenario =
            Scenario::parse("x.toml", "name = \"x\"\n[expect]\nholds = [\"*\"]\n").unwrap();
        let fault = "[[fault]]\nkind = \"leaders-elected\"\nelection = \"preferred\"\n";
        assert!(scenario.rule_of(fault, &[]).is_ok());
        for (old, new, message) in [
            ("\"preferred\"", "\"prefered\"", "did you mean `preferred`?"),
            ("election = \"preferred\"\n", "", "`election` is missing"),
        ] {
            let wrong = scenario.rule_of(&fault.replacen(old, new, 1), &[]).unwrap_err();
            assert!(wrong.contains(message), "{new}: {wrong}");
        }
    }
}
