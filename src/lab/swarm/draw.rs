//! Draws a scenario from a seed: shape, settings, loads, faults. Each part has its own random
//! streams, so that a change in one does not shift the others.

use super::{Contract, faults};
use crate::base::{Seed, Stream};
use crate::scenario::fault::Strike;
use crate::scenario::{Draws, Fault, Plan, Range, Scenario, ScenarioError};

/// Directory for the swarm's scenarios, below the directory of reports.
pub const DIR: &str = "swarm";

/// The name of a run's scenario; its file is named after it.
pub(super) fn name(number: u64) -> String {
    format!("swarm-{number}")
}

/// The scenario of a seed, with an explicit schedule and a computed contract.
///
/// # Errors
/// When the drawn scenario is invalid: a bug in the drawing.
pub fn draw(seed: u64) -> Result<Scenario, ScenarioError> {
    let name = name(seed);
    let topics = topics(Seed(seed));
    let names: Vec<_> = topics.iter().map(|topic| topic.name).collect();
    let (rules, cold) = faults::rules(Seed(seed), brokers(Seed(seed)), &names);
    let text = format!(
        "name = \"{name}\"\n{}{}{}{}[expect]\nholds = [\"*\"]\n",
        timing(seed),
        shape(Seed(seed), cold, &topics),
        loads(Seed(seed), &topics),
        rules,
    );
    let mut scenario = Scenario::parse(&format!("{DIR}/{name}.toml"), &text)?;
    let plan = Plan::draw(&scenario, Seed(seed));
    for (load, clients) in scenario.loads.iter_mut().zip(&plan.clients) {
        load.clients = Range::just(*clients);
    }
    scenario.rules.clear();
    scenario.schedule = Some(plan.faults);
    scenario.story = format!("Drawn by the swarm from seed {seed}.");
    Ok(under_contract(scenario))
}

/// The scenario with its contract as `[expect]`, and the reasons. Removes rot and replaced disks that
/// might not heal.
pub(super) fn under_contract(mut scenario: Scenario) -> Scenario {
    let mut faults = scenario.schedule.take().unwrap_or_default();
    if !Contract::heals(&scenario, &faults) {
        let lasts = |fault: &Fault| {
            let cost = fault.action.as_strike().map(Strike::may_cost);
            cost.is_some_and(|cost| cost.rots_all_but.is_some() || cost.replaces_disks)
        };
        faults.retain(|fault| !lasts(fault));
    }
    scenario.schedule = Some(faults);
    let faults = scenario.schedule.as_deref().unwrap_or_default();
    let contract = Contract::of(&scenario, faults);
    for loss in &contract.losses {
        scenario.story.push_str(&format!("\nNot promised: {loss}."));
    }
    scenario.expect = contract.expect();
    scenario
}

fn timing(seed: u64) -> String {
    let mut draws = Draws::of(Seed(seed), Stream::named("swarm time"));
    format!("duration = \"{}s\"\nseed = {seed}\n", draws.number(10, 22))
}

/// The number of brokers: the first draw of a cluster.
fn brokers(seed: Seed) -> u64 {
    cluster(seed).1
}

fn cluster(seed: Seed) -> (Draws, u64) {
    let mut draws = Draws::of(seed, Stream::named("swarm cluster"));
    let brokers = draws.weighted(&[(4, 1), (8, 2), (62, 3), (12, 4), (14, 5)]);
    (draws, brokers)
}

/// A topic's name, and the random streams for it and its loads.
#[derive(Clone, Copy)]
struct Topic {
    name: &'static str,
    stream: &'static str,
    loads: &'static str,
}

const ORDERS: Topic = Topic { name: "orders", stream: "swarm topic", loads: "swarm load" };
const AUDIT: Topic = Topic { name: "audit", stream: "swarm audit", loads: "swarm audit load" };

/// Most scenarios have one topic.
fn topics(seed: Seed) -> Vec<Topic> {
    let mut draws = Draws::of(seed, Stream::named("swarm topics"));
    if draws.chance(15) { vec![ORDERS, AUDIT] } else { vec![ORDERS] }
}

/// `[cluster]` and the topics. `cold`: some fault needs segments that roll soon.
fn shape(seed: Seed, cold: bool, topics: &[Topic]) -> String {
    let (mut draws, brokers) = cluster(seed);
    let heartbeat = draws.number(150, 600);
    let session = heartbeat * draws.number(3, 8);
    let mut text = format!(
        "[cluster]\nbrokers = {brokers}\n\
         broker.heartbeat.interval.ms = {heartbeat}\nbroker.session.timeout.ms = {session}\n\
         replica.lag.time.max.ms = {}\nreplica.fetch.wait.max.ms = {}\n\
         replica.fetch.min.bytes = {}\nreplica.fetch.backoff.ms = {}\n\
         replica.high.watermark.checkpoint.interval.ms = {}\n\
         log.flush.offset.checkpoint.interval.ms = {}\n",
        draws.number(1000, 6000),
        draws.number(20, 500),
        // A larger value would make each request of a connection take the whole wait: writes could
        // not resume.
        1,
        draws.number(50, 1000),
        draws.number(500, 5000),
        draws.number(500, 20_000),
    );
    let drawn = topics.iter().map(|of| (of.name, topic(seed, of.stream, brokers, cold)));
    let drawn: Vec<_> = drawn.collect();
    // The flush scheduler is a setting of the node, `flush.ms` one of the topic.
    if drawn.iter().any(|(_, topic)| topic.by_time) {
        text.push_str("log.flush.scheduler.interval.ms = 100\n");
    }
    for (name, topic) in &drawn {
        if drawn.len() > 1 {
            text.push_str(&format!("[[topic]]\nname = \"{name}\"\n{}", topic.text));
        } else {
            text.push_str(&format!("[topic]\n{}", topic.text));
        }
    }
    text
}

/// A topic's keys, and whether it is flushed by time.
struct Drawn {
    text: String,
    by_time: bool,
}

fn topic(seed: Seed, stream: &'static str, brokers: u64, cold: bool) -> Drawn {
    let mut draws = Draws::of(seed, Stream::named(stream));
    let replicas = draws.weighted(&[(8, 1), (17, 2), (70, 3), (5, 5)]).min(brokers);
    let min_insync = draws.weighted(&[(30, 1), (60, 2), (10, 3)]).min(replicas);
    let flush = draws.weighted(&[(52, 0), (20, 1), (12, 2), (8, 3), (8, 4)]);
    let mut text = format!(
        "partitions = {}\nreplication.factor = {replicas}\n\
         min.insync.replicas = {min_insync}\nunclean.leader.election.enable = {}\n\
         index.interval.bytes = {}\n",
        draws.number(1, 4),
        draws.chance(25),
        draws.one(&[512, 4096]),
    );
    match flush {
        1 => text.push_str("flush.messages = 1\n"),
        2 => text.push_str("flush.before.ack = true\n"),
        3 => text.push_str(&format!("flush.messages = {}\n", draws.number(2, 500))),
        4 => text.push_str(&format!("flush.ms = {}\n", draws.number(100, 2000))),
        _ => {}
    }
    if draws.chance(40) || cold {
        let largest = if cold { 131_072 } else { 1 << 20 };
        text.push_str(&format!("segment.bytes = {}\n", draws.number(65_536, largest)));
    }
    Drawn { text, by_time: flush == 4 }
}

/// Producers and consumers of all topics.
fn loads(seed: Seed, topics: &[Topic]) -> String {
    let of = |topic: &Topic| {
        let key = format!("topic = \"{}\"\n", topic.name);
        load(seed, topic.loads, if topics.len() > 1 { &key } else { "" })
    };
    topics.iter().map(of).collect()
}

/// Producers, usually all alike, and consumers of one topic.
fn load(seed: Seed, stream: &'static str, topic: &str) -> String {
    let mut draws = Draws::of(seed, Stream::named(stream));
    let mut text = String::new();
    let wanted: &[&str] =
        draws.weighted(&[(66, &["all"][..]), (20, &["1"]), (5, &["0"]), (9, &["all", "1"])]);
    for acks in wanted {
        let idempotent = *acks == "all" && draws.chance(80);
        let low = draws.number(8, 800);
        text.push_str(&format!(
            "[[load]]\nkind = \"producer\"\n{topic}clients = {}\nrate = \"{}/s\"\n\
             record.size = \"{low}..{}\"\nacks = \"{acks}\"\nenable.idempotence = {idempotent}\n\
             linger.ms = {}\nbatch.size = {}\nmax.in.flight.requests.per.connection = {}\n\
             compression.type = \"{}\"\nrequest.timeout.ms = {}\ndelivery.timeout.ms = {}\n",
            draws.number(1, 3),
            draws.number(30, 200) / wanted.len() as u64,
            low + draws.number(0, 800),
            draws.number(0, 20),
            draws.number(1024, 16_384),
            draws.number(1, 5),
            draws.weighted(&[
                (60, "none"),
                (10, "gzip"),
                (10, "snappy"),
                (10, "lz4"),
                (10, "zstd")
            ]),
            draws.number(1000, 4000),
            draws.number(6000, 15_000),
        ));
    }
    text.push_str(&format!(
        "[[load]]\nkind = \"consumer\"\n{topic}clients = {}\nfetch.min.bytes = {}\n\
         fetch.max.wait.ms = {}\nmax.poll.records = {}\n",
        draws.number(1, 2),
        draws.weighted(&[(70, 1), (30, 5000)]),
        draws.number(50, 500),
        draws.number(10, 500),
    ));
    text
}
