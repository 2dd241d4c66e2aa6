//! Draws groups: members of each, their protocol and habits, and what the coordinators need for them.
//!
//! Few scenarios have any, so that the others stay as they are.

use super::topic::{INVOICES, Topic};
use super::users;
use crate::base::{Seed, Stream};
use crate::scenario::Draws;

/// Names of groups: a scenario has as many of them as it has groups.
const NAMES: [&str; 2] = ["shop", "books"];
/// Percentage of scenarios with groups.
const SHARE: u64 = 30;

/// Whether a scenario has groups.
pub(super) fn has_groups(seed: Seed) -> bool {
    Draws::of(seed, Stream::named("swarm groups")).chance(SHARE)
}

/// Keys of nodes that coordinate groups.
pub(super) fn node_keys(seed: Seed, brokers: u64) -> String {
    if !has_groups(seed) && !users::transform(seed) {
        return String::new();
    }
    let mut draws = Draws::of(seed, Stream::named("swarm coordinators"));
    let heartbeat = draws.number(200, 1000);
    let session = heartbeat * draws.number(3, 8) + 2000;
    format!(
        "offsets.topic.num.partitions = {}\noffsets.topic.replication.factor = {}\n\
         group.initial.rebalance.delay.ms = {}\n\
         group.consumer.min.heartbeat.interval.ms = 100\n\
         group.consumer.heartbeat.interval.ms = {heartbeat}\n\
         group.consumer.min.session.timeout.ms = 1000\n\
         group.consumer.session.timeout.ms = {session}\n\
         group.consumer.assignment.interval.ms = {}\n",
        draws.weighted(&[(20, 1), (60, 4), (20, 50)]),
        brokers.min(3),
        draws.one(&[0, 500, 3000]),
        draws.one(&[0, 300, 1000]),
    )
}

/// The loads of all groups.
pub(super) fn loads(seed: Seed, topics: &[Topic]) -> String {
    if !has_groups(seed) {
        return String::new();
    }
    let mut draws = Draws::of(seed, Stream::numbered("swarm groups", 1));
    let count = draws.weighted(&[(75, 1), (25, 2)]);
    let groups = NAMES.iter().take(count).zip(1..);
    groups.map(|(name, index)| group(seed, index, name, topics)).collect()
}

/// One group: members that stay, and often some that come and go.
fn group(seed: Seed, index: u64, name: &str, all: &[Topic]) -> String {
    let mut draws = Draws::of(seed, Stream::numbered("swarm group", index));
    let topics: Vec<_> = all.iter().filter(|topic| topic.name != INVOICES.name).collect();
    let topic = match topics.as_slice() {
        [_] if all.len() == 1 => String::new(),
        [one] => format!("topic = \"{}\"\n", one.name),
        several => {
            let name = several[draws.number(0, several.len() as u64 - 1) as usize].name;
            format!("topic = \"{name}\"\nall-topics = {}\n", draws.chance(40))
        }
    };
    let shared = format!("group.id = \"{name}\"\n{}", protocol(&mut draws));
    let shared = shared + isolation(seed, index);
    let is_static = draws.chance(20);
    let modes = [(30, "auto"), (10, "before"), (30, "after"), (10, "each"), (20, "async")];
    let commit = draws.weighted(&modes);
    let works = draws.number(0, 4);
    let common = format!(
        "{topic}static = {is_static}\ncommit = \"{commit}\"\n\
         processing = \"{works}ms..{}ms\"\nmax.poll.records = {}\n\
         auto.commit.interval.ms = {}\nmax.poll.interval.ms = {}\n",
        works + draws.number(0, 6),
        draws.number(5, 500),
        draws.number(100, 3000),
        draws.number(3000, 10_000),
    );
    let (stay, come) = (draws.number(1, 3), draws.number(1, 2));
    let mut text = load(stay, &common, &habits(&mut draws), &shared);
    if draws.chance(60) {
        let (short, long) = (draws.number(500, 4000), draws.number(0, 4000));
        let (back, later) = (draws.number(100, 2000), draws.number(0, 2000));
        let waves = format!(
            "stays = \"{short}ms..{}ms\"\naway = \"{back}ms..{}ms\"\n",
            short + long,
            back + later
        );
        text.push_str(&load(come, &common, &(habits(&mut draws) + &waves), &shared));
    }
    if draws.chance(12) {
        text.push_str(&load(1, &common, "never-revokes = true\n", &shared));
    }
    text
}

/// Half of the groups beside transactions get only records of committed ones.
fn isolation(seed: Seed, index: u64) -> &'static str {
    let mut draws = Draws::of(seed, Stream::numbered("swarm group isolation", index));
    match users::transact(seed) && draws.chance(50) {
        true => "isolation.level = \"read_committed\"\n",
        false => "",
    }
}

fn load(clients: u64, common: &str, habits: &str, shared: &str) -> String {
    format!("[[load]]\nkind = \"group\"\nclients = {clients}\n{common}{habits}{shared}")
}

/// The protocol, with the keys that only it has.
pub(super) fn protocol(draws: &mut Draws) -> String {
    if draws.chance(45) {
        let assignor = draws.one(&["", "uniform", "range"]);
        let assignor = match assignor {
            "" => String::new(),
            name => format!("group.remote.assignor = \"{name}\"\n"),
        };
        return format!("group.protocol = \"consumer\"\n{assignor}");
    }
    let strategies = [
        (20, "range"),
        (15, "roundrobin"),
        (20, "sticky"),
        (35, "cooperative-sticky"),
        (10, "cooperative-sticky,range"),
    ];
    format!(
        "partition.assignment.strategy = \"{}\"\nsession.timeout.ms = {}\n\
         heartbeat.interval.ms = {}\n",
        draws.weighted(&strategies),
        draws.number(6000, 9000),
        draws.number(200, 1500),
    )
}

/// Polls that come late, and partitions whose records are not wanted for a while.
fn habits(draws: &mut Draws) -> String {
    let mut text = String::new();
    for (chance, every, lasts, longest) in
        [(25, "stall.every", "stall.lasts", 8000), (20, "pause.every", "pause.lasts", 4000)]
    {
        let (wanted, after) = (draws.chance(chance), draws.number(500, 4000));
        let most = draws.number(500, longest);
        if wanted {
            text.push_str(&format!("{every} = \"{after}ms..{}ms\"\n", 2 * after));
            text.push_str(&format!("{lasts} = \"200ms..{most}ms\"\n"));
        }
    }
    let poll = draws.weighted(&[(85, 500), (10, 50), (5, 5)]);
    text + &format!("poll = \"{poll}ms\"\n")
}
