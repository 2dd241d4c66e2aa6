//! Messages of one API that hosts send: `target`, `api`, `what` and `share`.

use super::super::document::{At, Problems, Section, unknown};
use super::super::known::Known;
use super::super::writer::Writer;
use super::keys;
use super::stage::{Cost, Fits, Hit, Scene};
use crate::scenario::{Range, Role, Roles};
use crate::sim::{Fate, Mishap, Part};
use crate::wire::api;

/// Words of `what`.
const PARTS: [(&str, Part); 2] = [("requests", Part::Requests), ("answers", Part::Answers)];

/// Messages that a fault strikes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Messages {
    /// Who sends them.
    pub target: Roles,
    /// Kafka's key of their API.
    api: i16,
    part: Part,
    /// Percentage that is struck.
    pub share: Range<u64>,
}

impl Messages {
    pub fn parse(
        section: &mut Section,
        known: &Known<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let target = keys::hosts(section, known, problems);
        if !section.has("api") {
            let message = "`api` is missing: which messages? Such as `\"EndTxn\"`";
            problems.add(section.line, message);
        }
        let api = section.scalar("api", problems).and_then(|At { line, value }| {
            let names = api::names();
            let found = names.iter().find(|(name, _)| *name == value);
            if found.is_none() {
                problems.add(line, unknown("API", &value, names.iter().map(|(name, _)| *name)));
            }
            found.map(|(_, key)| *key)
        });
        let part = section.word("what", &PARTS, problems).map_or(Part::Requests, |at| at.value);
        let share = keys::number(section, "share", (1, 100), (100, 100), problems);
        Some(Self { target: target?, api: api?, part, share })
    }

    pub fn write(&self, out: &mut Writer) {
        out.roles("target", &self.target);
        out.text("api", api::name(self.api).unwrap_or_default());
        out.text("what", self.words());
        out.range("share", &self.share);
    }

    fn words(&self) -> &'static str {
        PARTS.iter().find(|(_, part)| *part == self.part).map_or("", |(word, _)| word)
    }

    /// The way of the messages: from the hosts to any, themselves too.
    pub fn aim(&self, scene: &dyn Scene, how: &str) -> Hit {
        let from = scene.hosts(&self.target, Fits::All);
        let to = scene.hosts(&Roles::one(Role::Everyone), Fits::All);
        let links = from.iter().flat_map(|from| to.iter().map(|to| (*from, *to))).collect();
        let (name, words) = (api::name(self.api).unwrap_or_default(), self.words());
        let share = match self.share.low {
            100 => String::new(),
            share => format!("{share} % of "),
        };
        let what = format!("{share}{name} {words} of {} {how}", scene.describe(&from));
        Hit::links(scene, links, what)
    }

    pub fn mishap(&self, fate: Fate) -> Mishap {
        let chance = self.share.low as f64 / 100.0;
        Mishap { api: self.api, part: self.part, fate, chance }
    }

    /// A client or node that gets no answer takes the other side for dead.
    pub fn may_cost(&self) -> Cost {
        Cost::of_hosts(&self.target)
    }

    /// The same of fewer hosts.
    pub fn smaller(&self) -> impl Iterator<Item = Self> {
        self.target.fewer().into_iter().map(|target| Self { target, ..self.clone() })
    }

    #[cfg(test)]
    pub fn any() -> impl proptest::strategy::Strategy<Value = Self> {
        use super::any;
        use proptest::prelude::*;
        let api = proptest::sample::select(api::names()).prop_map(|(_, key)| key);
        let part = proptest::sample::select(PARTS.map(|(_, part)| part).to_vec());
        let parts = (any::hosts(), api, part, any::numbers(1..=100));
        parts.prop_map(|(target, api, part, share)| Self { target, api, part, share })
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::Scenario;

    #[test]
    fn messages_are_named_by_their_api_and_mistakes_are_refused() {
        let scenario =
            Scenario::parse("x.toml", "name = \"x\"\n[expect]\nholds = [\"*\"]\n").unwrap();
        let fault = "[[fault]]\nkind = \"late-messages\"\ntarget = \"b1\"\napi = \"EndTxn\"\n\
                     what = \"answers\"\nshare = 50\nlatency = \"1s..2s\"\n";
        assert!(scenario.rule_of(fault, &[]).is_ok());
        for (old, new, message) in [
            ("\"EndTxn\"", "\"EndTx\"", "unknown API `EndTx`; did you mean `EndTxn`?"),
            ("api = \"EndTxn\"\n", "", "`api` is missing: which messages? Such as `\"EndTxn\"`"),
            ("latency = \"1s..2s\"\n", "", "`latency` is missing: how late?"),
            ("answers", "answer", "did you mean `answers`?"),
            ("share = 50", "share = 0", "`share = 0`: expected 1 to 100"),
        ] {
            let wrong = scenario.rule_of(&fault.replacen(old, new, 1), &[]).unwrap_err();
            assert!(wrong.contains(message), "{new}: {wrong}");
        }
    }
}
