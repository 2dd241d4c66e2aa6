//! Draws the fault mix: which kinds, how often, against which targets, and whether a fault waits
//! for the recovery from the previous one.

use crate::base::{Seed, Stream};
use crate::scenario::fault::{self, Row, Usual};
use crate::scenario::{Draws, Fault, Plan, Scenario, ScenarioError};

/// How faults follow each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Each waits until the cluster has recovered, when the contract promises most.
    OneByOne,
    /// They may overlap.
    Wild,
}

/// Targets of faults that strike hosts.
const TARGETS: &[(u64, &str)] = &[
    (30, "\"leader\""),
    (14, "\"any\""),
    (10, "\"follower\""),
    (10, "\"isr-follower\""),
    (5, "\"followers\""),
    (4, "\"out-of-sync\""),
    (6, "[\"leader\", \"isr-follower\"]"),
    (4, "\"minority\""),
    (4, "\"majority\""),
    (5, "\"all\""),
    (5, "\"controller\""),
    (3, "[\"leader\", \"controller\"]"),
];

/// Ends of links.
const LINKS: &[(u64, (&str, &str))] = &[
    (24, ("\"leader\"", "\"followers\"")),
    (16, ("\"followers\"", "\"leader\"")),
    (12, ("\"controller\"", "\"any\"")),
    (12, ("\"leader\"", "\"controller\"")),
    (8, ("\"minority\"", "[\"majority\", \"controller\"]")),
    (8, ("\"isr-follower\"", "\"leader\"")),
    (8, ("\"clients\"", "\"leader\"")),
    (6, ("\"controller\"", "\"all\"")),
    (6, ("\"producers\"", "\"all\"")),
];

const MOMENTS: &[&str] = &[
    "on = \"leader-elected\"",
    "on = \"isr-shrunk\"",
    "on = \"isr-grown\"",
    "after = \"ack\"",
    "during = \"recovery\"",
];

/// The `[[fault]]` tables of a seed for a number of brokers and these topics, and whether they need
/// cold segments.
pub(super) fn rules(seed: Seed, brokers: u64, topics: &[&str]) -> (String, bool) {
    let mut draws = Draws::of(seed, Stream::named("swarm mix"));
    // Sometimes none: then everything has to hold.
    let wild = draws.number(1, 4);
    let (manner, count) = draws.weighted(&[
        (36, (Manner::OneByOne, wild.min(3))),
        (60, (Manner::Wild, wild)),
        (4, (Manner::Wild, 0)),
    ]);
    let rules: Vec<_> =
        (0..count).map(|index| rule(seed, index, manner, (brokers, topics))).collect();
    let cold = rules.iter().any(|(row, _)| row.needs_cold_segments);
    (rules.into_iter().map(|(_, text)| text).collect(), cold)
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
    let text = plain.to_toml(&Plan::draw(&plain, seed))
        + &rule(seed, 0, manner, (u64::from(scenario.cluster.brokers), &topics)).1;
    let scenario = Scenario::parse(&scenario.file, &text)?;
    Ok(Plan::draw(&scenario, seed).faults)
}

/// One rule, and the table row of its kind.
fn rule(
    seed: Seed,
    index: u64,
    manner: Manner,
    (brokers, topics): (u64, &[&str]),
) -> (Row, String) {
    let mut draws = Draws::of(seed, Stream::numbered("swarm fault", index));
    let (row, keys) = kind(brokers, &mut draws);
    let mut text = format!("[[fault]]\nkind = \"{}\"\n{keys}", row.name);
    if topics.len() > 1 {
        let mut draws = Draws::of(seed, Stream::numbered("swarm fault topic", index));
        text.push_str(&format!("topic = \"{}\"\n", draws.one(topics)));
    }
    let (low, wide) = (draws.number(500, 5000), draws.number(500, 6000));
    if draws.chance(80) {
        text.push_str(&format!("every = \"{low}ms..{}ms\"\n", low + wide));
    } else {
        text.push_str(&format!(
            "at = \"{low}ms..{}ms\"\ncount = {}\n",
            low + wide,
            draws.one(&[1, 2])
        ));
    }
    let (low, wide) = (draws.number(50, 2500), draws.number(0, 4000));
    text.push_str(&format!("down = \"{low}ms..{}ms\"\n", low + wide));
    match manner {
        Manner::OneByOne => text.push_str("when = \"settled\"\n"),
        Manner::Wild if row.takes_moment && draws.chance(20) => {
            let delay = draws.one(&[0, 20, 100, 1000]);
            let moment = draws.one(MOMENTS);
            text.push_str(&format!("{moment}\ndelay = \"0ms..{delay}ms\"\n"));
        }
        Manner::Wild => {}
    }
    (row, text)
}

/// A kind, and its keys.
fn kind(brokers: u64, draws: &mut Draws) -> (Row, String) {
    let kinds: Vec<_> = fault::rows().iter().map(|row| (row.weight, *row)).collect();
    let row = draws.weighted(&kinds);
    let target = format!("target = {}\n", draws.weighted(TARGETS));
    let (from, to) = draws.weighted(LINKS);
    let link = format!("from = {from}\nto = {to}\none-way = {}\n", draws.chance(35));
    let burst = format!(
        "times = \"2..{}\"\ngap = \"10ms..{}ms\"\n",
        draws.number(2, 6),
        draws.number(100, 1500)
    );
    let keys = (row.sample)(Usual { target, link, burst }, brokers, draws);
    (row, keys)
}
