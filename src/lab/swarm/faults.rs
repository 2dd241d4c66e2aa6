//! Draws the fault mix: which kinds, how often, against whom, and whether one waits for the
//! recovery from another.

use super::draw::Draws;
use crate::base::{Seed, Stream};
use crate::scenario::{Fault, Plan};
use crate::scenario::{Scenario, ScenarioError};

/// How faults follow one another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Each waits until the cluster has recovered: what is promised then is most.
    OneByOne,
    /// They overlap as they come.
    Wild,
}

/// What can be drawn, by the kind's name.
const KINDS: &[(u64, &str)] = &[
    (16, "kill"),
    (18, "power-loss"),
    (9, "pause"),
    (8, "restart"),
    (2, "rolling-restart"),
    (4, "restart-storm"),
    (9, "partition"),
    (8, "isolate"),
    (4, "flapping"),
    (3, "swizzle-clog"),
    (5, "slow-link"),
    (3, "slow-disk"),
    (3, "disk-stall"),
    (3, "disk-full"),
    (4, "disk-error"),
    (8, "disk-corruption"),
    (2, "clock-jump"),
    (2, "clock-drift"),
];

/// Whom faults of hosts strike.
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

/// Whose disks rot: a controller has the only copy of what it decided.
const ROTTEN: &[(u64, &str)] = &[(60, "\"leader\""), (20, "\"any\""), (20, "\"isr-follower\"")];

/// The `[[fault]]` tables of a seed, for so many brokers.
pub(super) fn rules(seed: Seed, brokers: u64) -> String {
    let mut draws = Draws::of(seed, Stream::named("swarm mix"));
    // Now and then nothing at all: then everything has to hold.
    let wild = draws.number(1, 4);
    let (manner, count) = draws.weighted(&[
        (36, (Manner::OneByOne, wild.min(3))),
        (60, (Manner::Wild, wild)),
        (4, (Manner::Wild, 0)),
    ]);
    (0..count).map(|index| rule(seed, index, manner, brokers)).collect()
}

/// Faults of one more rule, for a scenario that has others.
///
/// # Errors
/// When the rule does not fit the scenario: a defect of the drawing.
pub(super) fn more(scenario: &Scenario, seed: Seed) -> Result<Vec<Fault>, ScenarioError> {
    let mut draws = Draws::of(seed, Stream::named("swarm more"));
    let manner = if draws.chance(30) { Manner::OneByOne } else { Manner::Wild };
    let plain = Scenario { schedule: Some(Vec::new()), ..scenario.clone() };
    let text = plain.to_toml(&Plan::draw(&plain, seed))
        + &rule(seed, 0, manner, u64::from(scenario.cluster.brokers));
    let scenario = Scenario::parse(&scenario.file, &text)?;
    Ok(Plan::draw(&scenario, seed).faults)
}

fn rule(seed: Seed, index: u64, manner: Manner, brokers: u64) -> String {
    let mut draws = Draws::of(seed, Stream::numbered("swarm fault", index));
    let kind = draws.weighted(KINDS);
    let mut text =
        format!("[[fault]]\nkind = \"{kind}\"\n{}", particulars(kind, brokers, &mut draws));
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
        Manner::Wild if kind != "rolling-restart" && draws.chance(20) => {
            let delay = draws.one(&[0, 20, 100, 1000]);
            let moment = draws.one(MOMENTS);
            text.push_str(&format!("{moment}\ndelay = \"0ms..{delay}ms\"\n"));
        }
        Manner::Wild => {}
    }
    text
}

/// The keys of a kind.
fn particulars(kind: &str, brokers: u64, draws: &mut Draws) -> String {
    let target = format!("target = {}\n", draws.weighted(TARGETS));
    let (from, to) = draws.weighted(LINKS);
    let link = format!("from = {from}\nto = {to}\none-way = {}\n", draws.chance(35));
    let burst = format!(
        "times = \"2..{}\"\ngap = \"10ms..{}ms\"\n",
        draws.number(2, 6),
        draws.number(100, 1500)
    );
    match kind {
        "power-loss" => {
            let survival = draws.weighted(&[(50, "nothing"), (50, "drawn")]);
            let operation = draws.chance(30);
            let range = format!("operation = \"0..{}\"\n", draws.number(1, 400));
            let operation = if operation { range } else { String::new() };
            format!("{target}survival = \"{survival}\"\n{operation}")
        }
        "pause" if draws.chance(15) => "target = \"clients\"\n".to_owned(),
        "partition" => link,
        "rolling-restart" => String::new(),
        "restart-storm" => target + &burst,
        "flapping" => link + &burst,
        "swizzle-clog" => format!("gap = \"50ms..{}ms\"\n", draws.number(200, 1500)),
        "slow-link" => {
            let latency = draws.number(10, 800);
            let lossy = format!("loss = \"1..{}\"\n", draws.number(1, 25));
            let narrow = format!("bandwidth = \"{}..200000\"\n", draws.number(10_000, 100_000));
            let more = draws.weighted(&[(40, ""), (30, lossy.as_str()), (30, narrow.as_str())]);
            format!("{link}latency = \"1ms..{latency}ms\"\n{more}")
        }
        "slow-disk" => format!("{target}factor = \"2..{}\"\n", draws.number(5, 200)),
        "disk-stall" => format!("{target}stall = \"10ms..{}ms\"\n", draws.number(100, 3000)),
        "disk-error" => format!("{target}syncs = \"1..{}\"\n", draws.number(1, 3)),
        // One broker's disk rots, the others keep what they have; of one alone nothing is left.
        "disk-corruption" => format!(
            "target = {}\nwhat = \"bit-rot\"\nplace = \"cold\"\npages = \"1..{}\"\nintact = {}\n",
            draws.weighted(ROTTEN),
            draws.number(1, 5),
            brokers.saturating_sub(1)
        ),
        "clock-jump" => format!("{target}by = \"1s..1h\"\nback = {}\n", draws.chance(50)),
        "clock-drift" => {
            format!(
                "{target}ppm = \"1000..{}\"\nslow = {}\n",
                draws.number(2000, 400_000),
                draws.chance(50)
            )
        }
        _ => target,
    }
}
