//! Draws a scenario from a seed: shape, settings, loads, faults. Each part has its own random
//! streams, so that a change in one does not shift the others.

use super::contract::Contract;
use super::topic::{self, AUDIT, INVOICES, ORDERS, Topic};
use super::{faults, load, members, possible, transactions, users};
use crate::base::{Seed, Stream};
use crate::scenario::fault::Shape;
use crate::scenario::{Draws, Plan, Range, Scenario, ScenarioError};

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
    let text = document(seed);
    let mut scenario = Scenario::parse(&format!("{DIR}/{name}.toml"), &text)?;
    let mut plan = Plan::draw(&scenario, Seed(seed));
    possible::only(&scenario, &mut plan.faults);
    for (load, clients) in scenario.loads.iter_mut().zip(&plan.clients) {
        load.clients = Range::just(*clients);
    }
    scenario.rules.clear();
    scenario.schedule = Some(plan.faults);
    scenario.story = format!("Drawn by the swarm from seed {seed}.");
    Ok(under_contract(scenario))
}

/// The file of a seed, before its schedule is drawn.
fn document(seed: u64) -> String {
    let topics = topics(Seed(seed));
    let names: Vec<_> = topics.iter().map(|topic| topic.name).collect();
    let brokers = brokers(Seed(seed));
    let replicas = topics.iter().map(|of| topic::replicas(Seed(seed), of, brokers));
    let dirs = dirs(Seed(seed));
    let shape = Shape {
        brokers,
        replicas: replicas.min().unwrap_or(1),
        dirs: dirs.iter().map(|dir| (*dir).to_owned()).collect(),
        groups: members::has_groups(Seed(seed)) || users::transform(Seed(seed)),
        transactions: users::transact(Seed(seed)),
    };
    let loads = [load::loads, members::loads, transactions::loads];
    let loads: String = loads.iter().map(|of| of(Seed(seed), &topics)).collect();
    let (rules, cold) = faults::rules(Seed(seed), &shape, &names);
    format!(
        "name = \"{}\"\n{}{}{}{}{}[expect]\nholds = [\"*\"]\n",
        name(seed),
        timing(seed),
        cluster_and_topics(Seed(seed), cold, &topics),
        disk(Seed(seed)),
        loads,
        rules,
    )
}

/// The scenario with its contract as `[expect]`, and the reasons. Removes faults that the contract
/// can't judge, and says so.
pub(super) fn under_contract(mut scenario: Scenario) -> Scenario {
    let mut faults = scenario.schedule.take().unwrap_or_default();
    for (why, kinds) in Contract::without_unjudged(&scenario, &mut faults) {
        scenario.story.push_str(&format!("\nLeft out: {}, {why}.", kinds.join(", ")));
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

/// Most scenarios have one topic; a group that transforms needs another one.
fn topics(seed: Seed) -> Vec<Topic> {
    let mut draws = Draws::of(seed, Stream::named("swarm topics"));
    let mut topics = if draws.chance(15) { vec![ORDERS, AUDIT] } else { vec![ORDERS] };
    topics.extend(users::transform(seed).then_some(INVOICES));
    topics
}

/// The log directories of each node.
fn dirs(seed: Seed) -> &'static [&'static str] {
    let mut draws = Draws::of(seed, Stream::named("swarm dirs"));
    draws.weighted(&[
        (75, &["/data"][..]),
        (18, &["/data1", "/data2"]),
        (7, &["/data1", "/data2", "/data3"]),
    ])
}

/// `[disk]` of some: a page cache that is soon full, written back early or late, on a fast or a slow
/// device.
fn disk(seed: Seed) -> String {
    let mut draws = Draws::of(seed, Stream::named("swarm disk"));
    if !draws.chance(30) {
        return String::new();
    }
    let mut text = String::from("[disk]\n");
    if draws.chance(60) {
        let background = draws.number(0, 30);
        let dirty = draws.number(background + 1, 60);
        text.push_str(&format!(
            "memory.pages = {}\nvm.dirty_background_ratio = {background}\n\
             vm.dirty_ratio = {dirty}\nread_ahead_kb = {}\n",
            draws.number(64, 2048),
            draws.weighted(&[(1, 0), (2, 16), (2, 128)]),
        ));
    }
    if draws.chance(60) {
        text.push_str(&format!(
            "vm.dirty_writeback_centisecs = {}\nvm.dirty_expire_centisecs = {}\n",
            draws.number(5, 300),
            draws.number(5, 1500),
        ));
    }
    if draws.chance(40) {
        let (write, read) = (draws.number(1, 200), draws.number(20, 2000));
        text.push_str(&format!("page.write.us = {write}\npage.read.us = {read}\n"));
    }
    text
}

/// The heartbeats of brokers, in milliseconds, and how long the controller waits for one. With the
/// shortest sessions a leader is elected sooner than bytes arrive on a slow link.
fn session(seed: Seed, draws: &mut Draws) -> (u64, u64) {
    let heartbeat = draws.number(150, 600);
    let session = heartbeat * draws.number(3, 8);
    let mut draws = Draws::of(seed, Stream::named("swarm session"));
    let fast = draws.number(40, 120);
    let short = fast * draws.number(3, 5);
    if draws.chance(20) { (fast, short) } else { (heartbeat, session) }
}

/// `[cluster]` and the topics. `cold`: some fault needs segments that roll soon.
fn cluster_and_topics(seed: Seed, cold: bool, topics: &[Topic]) -> String {
    let (mut draws, brokers) = cluster(seed);
    let (heartbeat, session) = session(seed, &mut draws);
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
    let dirs = dirs(seed);
    if dirs.len() > 1 {
        text.push_str(&format!("log.dirs = \"{}\"\n", dirs.join(",")));
        // Otherwise the metadata log is in the first of them, without which no broker runs.
        if Draws::of(seed, Stream::named("swarm metadata dir")).chance(60) {
            text.push_str("metadata.log.dir = \"/meta\"\n");
        }
    }
    let drawn: Vec<_> = topics.iter().map(|of| topic::topic(seed, of, brokers, cold)).collect();
    text.push_str(&topic::node_keys(seed, &drawn));
    text.push_str(&members::node_keys(seed, brokers));
    text.push_str(&transactions::node_keys(seed, brokers));
    for (of, topic) in topics.iter().zip(&drawn) {
        if drawn.len() > 1 {
            text.push_str(&format!("[[topic]]\nname = \"{}\"\n{}", of.name, topic.text));
        } else {
            text.push_str(&format!("[topic]\n{}", topic.text));
        }
    }
    text
}
