//! `wire-damage`: bytes do not arrive as they were sent.

use super::super::document::{Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{
    Begins, Cost, Drawn, Draws, Ends, Hit, Kind, Nature, Scene, Shape, Stage, Strike, Turned,
    Usual, ends, keys,
};
use crate::scenario::{Range, Roles};
use crate::sim::{Damage, Damaged, Unsupported};

/// Words of `what`, and for the report.
const DAMAGES: [(&str, Damaged, &str); 2] =
    [("batches", Damaged::Batch, "batches"), ("lengths", Damaged::Length, "lengths of frames")];

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WireDamage {
    ends: Ends,
    what: Damaged,
    /// Percentage of the segments that have such bytes.
    share: Range<u64>,
}

impl WireDamage {
    fn words(&self) -> (&'static str, &'static str) {
        let found = DAMAGES.iter().find(|(_, what, _)| *what == self.what);
        found.map_or(("batches", "batches"), |(word, _, words)| (*word, *words))
    }
}

impl Kind for WireDamage {
    const NAME: &'static str = "wire-damage";
    const WEIGHT: u64 = 5;

    fn parse(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<Self> {
        let words = DAMAGES.map(|(word, what, _)| (word, what));
        let what = section.word("what", &words, problems);
        let what = what.map_or(Damaged::Batch, |what| what.value);
        let share = keys::number(section, "share", (1, 100), (10, 10), problems);
        Some(Self { ends: Ends::parse(section, known, problems)?, what, share })
    }

    fn write(&self, out: &mut Writer) {
        self.ends.write(out);
        out.text("what", self.words().0);
        out.range("share", &self.share);
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Strike(self)
    }

    fn ranges(&mut self) -> Vec<Drawn<'_>> {
        vec![Drawn::Number("share", &mut self.share)]
    }

    fn retarget(&mut self, roles: Roles) {
        self.ends.from = roles;
    }

    fn sample(usual: Usual, _shape: &Shape, draws: &mut Draws) -> String {
        let (what, ..) = draws.weighted(&[(60, DAMAGES[0]), (40, DAMAGES[1])]);
        format!("{}what = \"{what}\"\nshare = \"1..{}\"\n", usual.link, draws.number(5, 60))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use super::any;
        use proptest::prelude::*;
        let what = proptest::sample::select(DAMAGES.map(|(_, what, _)| what).to_vec());
        let parts = (Ends::any(), what, any::numbers(1..=100));
        parts.prop_map(|(ends, what, share)| Self { ends, what, share }).boxed()
    }
}

impl Strike for WireDamage {
    fn aim(&self, scene: &dyn Scene) -> Hit {
        let (percent, what) = (self.share.low, self.words().1);
        self.ends.aim(scene, &format!("with {percent} % damaged {what}"))
    }

    fn strike(&self, stage: &mut dyn Stage, hit: &Hit) -> Result<Begins, Unsupported> {
        ends::refit(stage, hit)
    }

    fn end(&self, stage: &mut dyn Stage, hit: &Hit, _begun: bool) {
        ends::restore(stage, hit);
    }

    fn damage(&self) -> Option<Damage> {
        Some(Damage { what: self.what, chance: self.share.low as f64 / 100.0 })
    }

    /// What is damaged is refused and sent again.
    fn may_cost(&self) -> Cost {
        Cost::of_links(&self.ends.from, &self.ends.to)
    }

    fn turned(&self) -> Turned {
        Turned::Into(Self { ends: self.ends.turned(), ..self.clone() }.into())
    }
}
