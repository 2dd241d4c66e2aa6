//! `late-messages` and `lost-messages`: requests or answers of one API arrive late, with all that follows
//! them on their connection, or do not arrive, for their connection is reset.

use std::fmt::Debug;
use std::time::Duration;

use super::super::document::{At, Problems, Section, unknown};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{
    Action, Begins, Cost, Drawn, Draws, Fits, Hit, Kind, Nature, Scene, Shape, Stage, Strike,
    Usual, ends, keys,
};
use crate::scenario::{Range, Role, Roles};
use crate::sim::{self, Mishap, Part, Unsupported};
use crate::wire::api;

/// What happens to the messages of a kind of fault.
pub(crate) trait Fate: Clone + Debug + PartialEq + 'static {
    /// As in `kind = "…"`.
    const NAME: &'static str;
    /// As the report says it.
    const WORD: &'static str;

    fn parse(section: &mut Section, problems: &mut Problems) -> Option<Self>;
    fn write(&self, out: &mut Writer);
    fn simulated(&self) -> sim::Fate;

    /// Whether the swarm may draw it for requests that this row has.
    fn suits(row: &Row) -> bool;
    /// Its own keys as the swarm draws them.
    fn sample(draws: &mut Draws) -> String;

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self>;
}

/// Messages are late.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Late {
    /// By how much, drawn for each message.
    latency: Range<Duration>,
}

impl Fate for Late {
    const NAME: &'static str = "late-messages";
    const WORD: &'static str = "late";

    fn parse(section: &mut Section, problems: &mut Problems) -> Option<Self> {
        if !section.has("latency") {
            let message = "`latency` is missing: how late? Such as `\"1s..5s\"`";
            problems.add(section.line, message);
        }
        let latency = section.range("latency", problems)?.value;
        Some(Self { latency })
    }

    fn write(&self, out: &mut Writer) {
        out.range("latency", &self.latency);
    }

    fn simulated(&self) -> sim::Fate {
        sim::Fate::Late(self.latency.low..=self.latency.high)
    }

    fn suits(row: &Row) -> bool {
        row.may_be_late
    }

    fn sample(draws: &mut Draws) -> String {
        format!("latency = \"100ms..{}s\"\n", draws.number(1, 8))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        super::any::times().prop_map(|latency| Self { latency }).boxed()
    }
}

/// Messages are lost with their connection: TCP loses nothing in the middle of a stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lost;

impl Fate for Lost {
    const NAME: &'static str = "lost-messages";
    const WORD: &'static str = "lost";

    fn parse(_: &mut Section, _: &mut Problems) -> Option<Self> {
        Some(Self)
    }

    fn write(&self, _: &mut Writer) {}

    fn simulated(&self) -> sim::Fate {
        sim::Fate::Lost
    }

    fn suits(_: &Row) -> bool {
        true
    }

    fn sample(_: &mut Draws) -> String {
        String::new()
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        Just(Self).boxed()
    }
}

pub(crate) type LateMessages = Struck<Late>;
pub(crate) type LostMessages = Struck<Lost>;

/// Messages, and what happens to them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Struck<F> {
    messages: Messages,
    fate: F,
}

impl<F: Fate> Kind for Struck<F>
where
    Action: From<Self>,
{
    const NAME: &'static str = F::NAME;
    /// Not yet: the contract does not say of each API what a late request may undo.
    const WEIGHT: u64 = 0;

    fn parse(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<Self> {
        let fate = F::parse(section, problems);
        let messages = Messages::parse(section, known, problems);
        Some(Self { messages: messages?, fate: fate? })
    }

    fn write(&self, out: &mut Writer) {
        self.messages.write(out);
        self.fate.write(out);
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Strike(self)
    }

    fn ranges(&mut self) -> Vec<Drawn<'_>> {
        vec![Drawn::Number("share", &mut self.messages.share)]
    }

    /// Others than clients send no requests of clients.
    fn retarget(&mut self, roles: Roles) {
        if self.messages.target.0.iter().all(Role::is_node) {
            self.messages.target = roles;
        }
    }

    fn sample(usual: Usual, shape: &Shape, draws: &mut Draws) -> String {
        let fit = DRAWN.iter().filter(|row| row.is_there(shape));
        let fit: Vec<_> = fit.map(|row| (row.weight, row)).collect();
        let row = draws.weighted(&fit);
        let requests = draws.chance(50) && F::suits(row);
        let (what, from) = match requests {
            true => ("requests", row.asked_by),
            false => ("answers", row.answered_by),
        };
        let target = from.map_or(usual.target, |from| format!("target = \"{from}\"\n"));
        let (api, share) = (row.api, draws.number(5, 60));
        let fate = F::sample(draws);
        format!("{target}api = \"{api}\"\nwhat = \"{what}\"\nshare = \"1..{share}\"\n{fate}")
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        (Messages::any(), F::any()).prop_map(|(messages, fate)| Self { messages, fate }).boxed()
    }
}

impl<F: Fate> Strike for Struck<F>
where
    Action: From<Self>,
{
    fn aim(&self, scene: &dyn Scene) -> Hit {
        self.messages.aim(scene, F::WORD)
    }

    fn strike(&self, stage: &mut dyn Stage, hit: &Hit) -> Result<Begins, Unsupported> {
        ends::refit(stage, hit)
    }

    fn end(&self, stage: &mut dyn Stage, hit: &Hit, _begun: bool) {
        ends::restore(stage, hit);
    }

    fn mishap(&self) -> Option<Mishap> {
        Some(self.messages.mishap(self.fate.simulated()))
    }

    /// A client or node that gets no answer takes the other side for dead.
    fn may_cost(&self) -> Cost {
        Cost::of_links(&self.messages.target, &Roles::one(Role::Everyone))
    }

    fn smaller(&self) -> Vec<Action> {
        let fewer = self.messages.target.fewer().into_iter();
        let fewer = fewer.map(|target| Messages { target, ..self.messages.clone() });
        fewer.map(|messages| Self { messages, ..self.clone() }.into()).collect()
    }
}

/// Messages that the swarm draws.
pub(crate) struct Row {
    weight: u64,
    api: &'static str,
    takes: Takes,
    /// Who sends its requests and its answers; the usual target where absent.
    asked_by: Option<&'static str>,
    answered_by: Option<&'static str>,
    /// Whether a request breaks no promise that arrives after its sender has given it up.
    may_be_late: bool,
}

/// What such messages take.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Groups,
    Transactions,
}

impl Row {
    fn is_there(&self, shape: &Shape) -> bool {
        match self.takes {
            Takes::Nothing => true,
            Takes::Groups => shape.groups,
            Takes::Transactions => shape.transactions,
        }
    }
}

const fn row(
    weight: u64,
    api: &'static str,
    takes: Takes,
    asked_by: &'static str,
    may_be_late: bool,
) -> Row {
    Row { weight, api, takes, asked_by: Some(asked_by), answered_by: None, may_be_late }
}

/// Late OffsetCommit and LeaveGroup undo what their member did since: the protocol has no guard.
const DRAWN: &[Row] = &[
    row(30, "Produce", Takes::Nothing, "producers", true),
    row(10, "Fetch", Takes::Nothing, "all", true),
    row(5, "Fetch", Takes::Nothing, "consumers", true),
    row(5, "Metadata", Takes::Nothing, "clients", true),
    Row {
        answered_by: Some("controller"),
        ..row(8, "AlterPartition", Takes::Nothing, "all", true)
    },
    Row {
        answered_by: Some("controller"),
        ..row(4, "BrokerHeartbeat", Takes::Nothing, "all", true)
    },
    row(8, "OffsetCommit", Takes::Groups, "consumers", false),
    row(5, "JoinGroup", Takes::Groups, "consumers", true),
    row(5, "SyncGroup", Takes::Groups, "consumers", true),
    row(5, "ConsumerGroupHeartbeat", Takes::Groups, "consumers", false),
    row(60, "EndTxn", Takes::Transactions, "clients", true),
    row(20, "AddPartitionsToTxn", Takes::Transactions, "clients", true),
    row(20, "TxnOffsetCommit", Takes::Transactions, "clients", true),
    row(50, "WriteTxnMarkers", Takes::Transactions, "all", true),
];

/// Words of `what`.
const PARTS: [(&str, Part); 2] = [("requests", Part::Requests), ("answers", Part::Answers)];

/// Messages that a fault strikes.
#[derive(Clone, Debug, PartialEq)]
struct Messages {
    /// Who sends them.
    target: Roles,
    /// Kafka's key of their API.
    api: i16,
    part: Part,
    /// Percentage that is struck.
    share: Range<u64>,
}

impl Messages {
    fn parse(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<Self> {
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

    fn write(&self, out: &mut Writer) {
        out.roles("target", &self.target);
        out.text("api", api::name(self.api).unwrap_or_default());
        out.text("what", self.words());
        out.range("share", &self.share);
    }

    fn words(&self) -> &'static str {
        PARTS.iter().find(|(_, part)| *part == self.part).map_or("", |(word, _)| word)
    }

    /// The way of the messages: from the hosts to any, themselves too.
    fn aim(&self, scene: &dyn Scene, how: &str) -> Hit {
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

    fn mishap(&self, fate: sim::Fate) -> Mishap {
        let chance = self.share.low as f64 / 100.0;
        Mishap { api: self.api, part: self.part, fate, chance }
    }

    #[cfg(test)]
    fn any() -> impl proptest::strategy::Strategy<Value = Self> {
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
