//! Draws the fault mix: which kinds, how often, against which targets, and whether a fault waits
//! for the recovery from the previous one.
//!
//! Targets and moments are those that the cluster can have: no follower of a single copy, no
//! election to wait for where nothing ends a leader.

use super::pairs;
use crate::base::{Seed, Stream};
use crate::scenario::fault::{self, Row, Shape, Usual};
use crate::scenario::{Draws, Fault, Plan, Scenario, ScenarioError};

/// How faults follow each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Each waits until the cluster has recovered, when the contract promises most.
    OneByOne,
    /// They may overlap.
    Wild,
}

/// What a target or link takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    /// A second replica.
    Follower,
    /// A second broker.
    Brokers,
    /// A replica that fell behind.
    Lag,
    /// Clients in groups.
    Groups,
    /// Clients that write in transactions.
    Transactions,
}

impl Takes {
    /// Whether it needs no other fault.
    fn is_there(self) -> bool {
        matches!(self, Self::Nothing | Self::Groups | Self::Transactions)
    }
}

/// Targets of faults that strike hosts.
const TARGETS: &[(u64, Takes, &str)] = &[
    (30, Takes::Nothing, "\"leader\""),
    (14, Takes::Nothing, "\"any\""),
    (10, Takes::Follower, "\"follower\""),
    (10, Takes::Follower, "\"isr-follower\""),
    (5, Takes::Follower, "\"followers\""),
    (4, Takes::Lag, OUT_OF_SYNC),
    (6, Takes::Follower, "[\"leader\", \"isr-follower\"]"),
    (4, Takes::Brokers, "\"minority\""),
    (4, Takes::Brokers, "\"majority\""),
    (5, Takes::Nothing, "\"all\""),
    (5, Takes::Nothing, "\"controller\""),
    (3, Takes::Nothing, "[\"leader\", \"controller\"]"),
    (20, Takes::Groups, "\"coordinator\""),
    (25, Takes::Transactions, "\"transaction-coordinator\""),
    (6, Takes::Transactions, "[\"leader\", \"transaction-coordinator\"]"),
];

/// Few partitions have such a replica at any time: a fault that strikes one waits until there is one.
const OUT_OF_SYNC: &str = "\"out-of-sync\"";

/// Ends of links.
const LINKS: &[(u64, Takes, (&str, &str))] = &[
    (24, Takes::Follower, ("\"leader\"", "\"followers\"")),
    (16, Takes::Follower, ("\"followers\"", "\"leader\"")),
    (12, Takes::Nothing, ("\"controller\"", "\"any\"")),
    (12, Takes::Nothing, ("\"leader\"", "\"controller\"")),
    (8, Takes::Nothing, ("\"minority\"", "[\"majority\", \"controller\"]")),
    (8, Takes::Follower, ("\"isr-follower\"", "\"leader\"")),
    (8, Takes::Nothing, ("\"clients\"", "\"leader\"")),
    (6, Takes::Nothing, ("\"controller\"", "\"all\"")),
    (6, Takes::Nothing, ("\"producers\"", "\"all\"")),
    (14, Takes::Groups, ("\"consumers\"", "\"coordinator\"")),
    (8, Takes::Groups, ("\"coordinator\"", "\"all\"")),
    (8, Takes::Groups, ("\"consumers\"", "\"all\"")),
    (12, Takes::Transactions, ("\"producers\"", "\"transaction-coordinator\"")),
    (10, Takes::Transactions, ("\"transaction-coordinator\"", "\"all\"")),
    (10, Takes::Transactions, ("\"transaction-coordinator\"", "\"leader\"")),
];

const MOMENTS: &[(Takes, &str)] = &[
    (Takes::Nothing, "after = \"ack\""),
    (Takes::Brokers, "on = \"leader-elected\""),
    (Takes::Lag, "on = \"isr-shrunk\""),
    (Takes::Lag, "on = \"isr-grown\""),
    (Takes::Brokers, "during = \"recovery\""),
    (Takes::Groups, "during = \"rebalance\""),
    (Takes::Transactions, "during = \"commit\""),
    (Takes::Transactions, "during = \"commit\""),
];

/// What a rule is drawn for.
#[derive(Clone, Copy)]
struct Part<'a> {
    seed: Seed,
    index: u64,
    manner: Manner,
    shape: &'a Shape,
    topics: &'a [&'a str],
    /// Some other fault changes leaders and ISRs.
    disturbed: bool,
}

/// The `[[fault]]` tables of a seed for a cluster and these topics, and whether they need cold
/// segments.
pub(super) fn rules(seed: Seed, shape: &Shape, topics: &[&str]) -> (String, bool) {
    let mut draws = Draws::of(seed, Stream::named("swarm mix"));
    // Sometimes none: then everything has to hold.
    let wild = draws.number(1, 5);
    let (manner, count) = draws.weighted(&[
        (36, (Manner::OneByOne, wild.min(3))),
        (60, (Manner::Wild, wild)),
        (4, (Manner::Wild, 0)),
    ]);
    let (mut text, mut cold, mut disturbed) = (String::new(), false, false);
    for index in 0..count {
        let part = Part { seed, index, manner, shape, topics, disturbed };
        let mut draws = Draws::of(seed, Stream::numbered("swarm pair", index));
        // The second of a pair does not wait for the recovery from the first.
        if manner == Manner::Wild && draws.chance(18) {
            text.push_str(&pairs::pair(shape.brokers, part.topic().as_deref(), &mut draws));
            disturbed = true;
            continue;
        }
        let (row, rule) = part.rule();
        text.push_str(&rule);
        cold |= row.needs_cold_segments;
        disturbed |= row.disturbs;
    }
    (text, cold)
}

/// The cluster of a scenario.
fn shape_of(scenario: &Scenario) -> Shape {
    let replicas = scenario.topics.iter().map(|topic| topic.replication_factor).min();
    Shape {
        brokers: u64::from(scenario.cluster.brokers),
        replicas: replicas.and_then(|replicas| u64::try_from(replicas).ok()).unwrap_or(1),
        dirs: scenario.cluster.log_dirs(),
        groups: scenario.coordinator().is_some(),
        transactions: scenario.transacts(),
    }
}

/// The faults of one more rule, for a scenario that has others.
///
/// # Errors
/// When the rule does not fit the scenario: a bug in the drawing.
pub(super) fn more(scenario: &Scenario, seed: Seed) -> Result<Vec<Fault>, ScenarioError> {
    let mut draws = Draws::of(seed, Stream::named("swarm more"));
    let manner = if draws.chance(30) { Manner::OneByOne } else { Manner::Wild };
    let topics: Vec<_> = scenario.topics.iter().map(|topic| topic.name.as_str()).collect();
    let plain = Scenario { schedule: Some(Vec::new()), ..scenario.clone() };
    let (shape, topics) = (&shape_of(scenario), topics.as_slice());
    let disturbed = scenario.schedule.as_ref().is_some_and(|faults| !faults.is_empty());
    let part = Part { seed, index: 0, manner, shape, topics, disturbed };
    let rule = match draws.chance(25) {
        true => pairs::pair(shape.brokers, part.topic().as_deref(), &mut draws),
        false => part.rule().1,
    };
    let text = plain.to_toml(&Plan::draw(&plain, seed)) + &rule;
    let scenario = Scenario::parse(&scenario.file, &text)?;
    Ok(Plan::draw(&scenario, seed).faults)
}

impl Part<'_> {
    /// Whether the cluster has what something takes.
    fn has(&self, takes: Takes) -> bool {
        match takes {
            Takes::Nothing => true,
            Takes::Follower => self.shape.replicas > 1,
            Takes::Brokers => self.shape.brokers > 1,
            Takes::Groups => self.shape.groups,
            Takes::Transactions => self.shape.transactions,
            Takes::Lag => self.shape.replicas > 1 && self.disturbed && self.manner == Manner::Wild,
        }
    }

    /// One of those that the cluster can have, by weight.
    fn choose<T: Copy>(&self, of: &[(u64, Takes, T)], draws: &mut Draws) -> T {
        let fit = of.iter().filter(|(_, takes, _)| self.has(*takes));
        let fit: Vec<_> = fit.map(|(weight, _, choice)| (*weight, *choice)).collect();
        draws.weighted(&fit)
    }

    /// The topic that a rule is about, if there are several.
    fn topic(&self) -> Option<String> {
        let mut draws = Draws::of(self.seed, Stream::numbered("swarm fault topic", self.index));
        (self.topics.len() > 1).then(|| draws.one(self.topics).to_owned())
    }

    /// One rule, and the table row of its kind.
    fn rule(&self) -> (Row, String) {
        let mut draws = Draws::of(self.seed, Stream::numbered("swarm fault", self.index));
        let (row, keys) = self.kind(&mut draws);
        let mut text = format!("[[fault]]\nkind = \"{}\"\n{keys}", row.name);
        if let Some(topic) = self.topic() {
            text.push_str(&format!("topic = \"{topic}\"\n"));
        }
        let (low, wide) = (draws.number(400, 3500), draws.number(300, 4000));
        let (repeats, count) = (draws.chance(80), draws.one(&[1, 2]));
        let (shortest, longer) = (draws.number(50, 2500), draws.number(0, 4000));
        let moment = self.moment(&row, &keys, &mut draws);
        // Those that wait for a moment would all strike at the same one.
        if repeats && !row.once && moment.is_none() {
            text.push_str(&format!("every = \"{low}ms..{}ms\"\n", low + wide));
        } else {
            let count = if row.once { 1 } else { count };
            text.push_str(&format!("at = \"{low}ms..{}ms\"\ncount = {count}\n", low + wide));
        }
        text.push_str(&format!("down = \"{shortest}ms..{}ms\"\n", shortest + longer));
        match self.manner {
            Manner::OneByOne => text.push_str("when = \"settled\"\n"),
            Manner::Wild => text.push_str(&moment.unwrap_or_default()),
        }
        (row, text)
    }

    /// The moment that a fault waits for, if it does.
    fn moment(&self, row: &Row, keys: &str, draws: &mut Draws) -> Option<String> {
        let (wanted, delay) = (draws.chance(20), draws.one(&[0, 20, 100, 1000]));
        let fit = MOMENTS
            .iter()
            .filter(|(takes, _)| self.has(*takes))
            .filter(|(takes, _)| takes.is_there() || self.disturbed);
        let fit: Vec<_> = fit.map(|(_, moment)| *moment).collect();
        let drawn = draws.one(&fit);
        let lags = keys.contains(OUT_OF_SYNC);
        let moment = if lags { "on = \"isr-shrunk\"" } else { drawn };
        (self.manner == Manner::Wild && row.takes_moment && (wanted || lags))
            .then(|| format!("{moment}\ndelay = \"0ms..{delay}ms\"\n"))
    }

    /// A kind, and its keys.
    fn kind(&self, draws: &mut Draws) -> (Row, String) {
        let kinds: Vec<_> = fault::rows().iter().map(|row| (row.weight, *row)).collect();
        let row = draws.weighted(&kinds);
        let target = format!("target = {}\n", self.choose(TARGETS, draws));
        let (from, to) = self.choose(LINKS, draws);
        let link = format!("from = {from}\nto = {to}\none-way = {}\n", draws.chance(35));
        let burst = format!(
            "times = \"2..{}\"\ngap = \"10ms..{}ms\"\n",
            draws.number(2, 6),
            draws.number(100, 1500)
        );
        let keys = (row.sample)(Usual { target, link, burst }, self.shape, draws);
        (row, keys)
    }
}
