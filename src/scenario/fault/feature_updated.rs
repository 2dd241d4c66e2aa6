//! `feature-updated`: an administrator changes the level of a feature of the cluster, and it stays.

use super::super::document::{At, Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{
    Begins, Cost, Draws, Hit, Kind, Nature, Scene, Shape, Stage, Strike, TopicChange, Usual,
};
use crate::scenario::{Role, Roles};
use crate::sim::Unsupported;
use crate::txn::TRANSACTION_VERSION;

/// Features whose level may change while a cluster runs.
const FEATURES: [(&str, &str); 1] = [(TRANSACTION_VERSION, TRANSACTION_VERSION)];
/// The highest level that any of them has.
const MAX_LEVEL: i16 = 2;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FeatureUpdated {
    feature: &'static str,
    level: i16,
}

impl Kind for FeatureUpdated {
    const NAME: &'static str = "feature-updated";
    // The swarm draws the level that a cluster begins with.
    const WEIGHT: u64 = 0;

    fn parse(section: &mut Section, _: &Known<'_>, problems: &mut Problems) -> Option<Self> {
        if !section.has("feature") {
            let message =
                format!("`feature` is missing: which? Such as `\"{TRANSACTION_VERSION}\"`");
            problems.add(section.line, message);
        }
        let feature = section.word("feature", &FEATURES, problems).map(|feature| feature.value);
        if !section.has("level") {
            problems.add(section.line, "`level` is missing: which from then on? Such as `2`");
        }
        let level = section.value::<u64>("level", problems);
        let level = level.and_then(|At { line, value }| {
            let level = i16::try_from(value).ok().filter(|level| *level <= MAX_LEVEL);
            if level.is_none() {
                problems.add(line, format!("`level = {value}`: expected 0 to {MAX_LEVEL}"));
            }
            level
        });
        Some(Self { feature: feature?, level: level? })
    }

    fn write(&self, out: &mut Writer) {
        out.text("feature", self.feature);
        out.plain("level", self.level);
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Strike(self)
    }

    fn sample(_: Usual, _: &Shape, _: &mut Draws) -> String {
        format!("feature = \"{TRANSACTION_VERSION}\"\nlevel = 2\n")
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        (0..=MAX_LEVEL).prop_map(|level| Self { feature: TRANSACTION_VERSION, level }).boxed()
    }
}

impl Strike for FeatureUpdated {
    fn aim(&self, scene: &dyn Scene) -> Hit {
        Hit::topic(scene, format!("update of {} to level {}", self.feature, self.level))
    }

    fn strike(&self, stage: &mut dyn Stage, _hit: &Hit) -> Result<Begins, Unsupported> {
        stage.administer(TopicChange::Feature(self.feature.to_owned(), self.level));
        Ok(Begins::Now)
    }

    fn end(&self, _: &mut dyn Stage, _: &Hit, _begun: bool) {}

    fn may_cost(&self) -> Cost {
        Cost::of_hosts(&Roles::one(Role::Controller))
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::Scenario;

    #[test]
    fn features_have_names_and_levels_and_mistakes_are_refused() {
        let scenario =
            Scenario::parse("x.toml", "name = \"x\"\n[expect]\nholds = [\"*\"]\n").unwrap();
        let fault =
            "[[fault]]\nkind = \"feature-updated\"\nfeature = \"transaction.version\"\nlevel = 2\n";
        assert!(scenario.rule_of(fault, &[]).is_ok());
        for (old, new, message) in [
            ("transaction.version", "transaction.versio", "did you mean `transaction.version`?"),
            ("level = 2", "level = 3", "`level = 3`: expected 0 to 2"),
            ("level = 2\n", "", "`level` is missing"),
        ] {
            let wrong = scenario.rule_of(&fault.replacen(old, new, 1), &[]).unwrap_err();
            assert!(wrong.contains(message), "{new}: {wrong}");
        }
    }
}
