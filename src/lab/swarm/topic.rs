//! Draws a topic: its replicas, how it is flushed, and what is removed from it.

use crate::base::{Seed, Stream};
use crate::scenario::Draws;

/// A topic's name, and the random streams for it and its loads.
#[derive(Clone, Copy)]
pub(super) struct Topic {
    pub name: &'static str,
    stream: &'static str,
    cleanup: &'static str,
    pub loads: &'static str,
}

pub(super) const ORDERS: Topic =
    Topic { name: "orders", stream: "swarm topic", cleanup: "swarm cleanup", loads: "swarm load" };
pub(super) const AUDIT: Topic = Topic {
    name: "audit",
    stream: "swarm audit",
    cleanup: "swarm audit cleanup",
    loads: "swarm audit load",
};

/// Where a group writes what it makes of `orders`. No other load writes to it.
pub(super) const INVOICES: Topic = Topic {
    name: "invoices",
    stream: "swarm invoices",
    cleanup: "swarm invoices cleanup",
    loads: "swarm invoices load",
};

/// Smallest segment: no batch that loads send is larger.
const SMALLEST: u64 = 32_768;

/// A topic's keys, and what nodes have to do for it.
pub(super) struct Drawn {
    pub text: String,
    /// It is flushed by time.
    by_time: bool,
    cleanup: Cleanup,
}

/// What is removed from a topic.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cleanup {
    Nothing,
    Old,
    Superseded,
    Both,
}

impl Cleanup {
    fn deletes(self) -> bool {
        matches!(self, Self::Old | Self::Both)
    }

    fn compacts(self) -> bool {
        matches!(self, Self::Superseded | Self::Both)
    }
}

/// The replicas of each partition: the first draw of a topic.
pub(super) fn replicas(seed: Seed, of: &Topic, brokers: u64) -> u64 {
    copies(seed, of, brokers).1
}

fn copies(seed: Seed, of: &Topic, brokers: u64) -> (Draws, u64) {
    let mut draws = Draws::of(seed, Stream::named(of.stream));
    let replicas = draws.weighted(&[(8, 1), (17, 2), (70, 3), (5, 5)]).min(brokers);
    (draws, replicas)
}

/// A topic. `cold`: some fault needs segments that roll soon.
pub(super) fn topic(seed: Seed, of: &Topic, brokers: u64, cold: bool) -> Drawn {
    let (mut draws, replicas) = copies(seed, of, brokers);
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
    let rolls = draws.chance(40) || cold;
    let largest = if cold { 131_072 } else { 1 << 20 };
    let segment = draws.number(65_536, largest);
    let (cleanup, keys) = cleanup(seed, of);
    match (cleanup, rolls) {
        (Cleanup::Nothing, true) => text.push_str(&format!("segment.bytes = {segment}\n")),
        (Cleanup::Nothing, false) => {}
        // Only what lies before the active segment is removed.
        _ => text.push_str(&format!("segment.bytes = {}\n", segment.min(131_072))),
    }
    text.push_str(&keys);
    text.push_str(&small(seed, of));
    Drawn { text, by_time: flush == 4, cleanup }
}

/// What is removed, and its keys.
fn cleanup(seed: Seed, of: &Topic) -> (Cleanup, String) {
    let mut draws = Draws::of(seed, Stream::named(of.cleanup));
    let cleanup = draws.weighted(&[
        (62, Cleanup::Nothing),
        (17, Cleanup::Old),
        (17, Cleanup::Superseded),
        (4, Cleanup::Both),
    ]);
    let mut keys = String::new();
    let (age, size) = (draws.number(3000, 12_000), draws.number(2 * SMALLEST, 400_000));
    let (by_age, by_size) = draws.one(&[(true, false), (false, true), (true, true)]);
    if cleanup.deletes() && by_age {
        keys.push_str(&format!("retention.ms = {age}\n"));
    }
    if cleanup.deletes() && by_size {
        keys.push_str(&format!("retention.bytes = {size}\n"));
    }
    if cleanup.compacts() {
        let policy = if cleanup == Cleanup::Both { "compact,delete" } else { "compact" };
        keys.push_str(&format!(
            "cleanup.policy = \"{policy}\"\nkeys = {}\nmin.cleanable.dirty.ratio = 0.{}\n\
             delete.retention.ms = {}\nmin.compaction.lag.ms = {}\n",
            draws.number(3, 200),
            draws.number(1, 5),
            draws.number(1000, 10_000),
            draws.weighted(&[(70, 0), (30, 1500)]),
        ));
    }
    if cleanup != Cleanup::Nothing {
        keys.push_str(&format!("file.delete.delay.ms = {}\n", draws.number(200, 3000)));
    }
    (cleanup, keys)
}

/// Segments that end for another reason than their size.
fn small(seed: Seed, of: &Topic) -> String {
    let mut draws = Draws::of(seed, Stream::numbered(of.cleanup, 1));
    let (index, age) = (draws.number(256, 4096), draws.number(700, 5000));
    match draws.weighted(&[(70, 0), (15, 1), (15, 2)]) {
        1 => format!("segment.index.bytes = {index}\n"),
        2 => format!("segment.ms = {age}\n"),
        _ => String::new(),
    }
}

/// Keys of nodes: how often they look for what is to be flushed or removed.
pub(super) fn node_keys(seed: Seed, topics: &[Drawn]) -> String {
    let mut draws = Draws::of(seed, Stream::named("swarm node keys"));
    let (retention, cleaner) = (draws.number(200, 2000), draws.number(200, 2000));
    let mut text = String::new();
    if topics.iter().any(|topic| topic.by_time) {
        text.push_str("log.flush.scheduler.interval.ms = 100\n");
    }
    if topics.iter().any(|topic| topic.cleanup.deletes()) {
        text.push_str(&format!("log.retention.check.interval.ms = {retention}\n"));
    }
    if topics.iter().any(|topic| topic.cleanup.compacts()) {
        text.push_str(&format!("log.cleaner.backoff.ms = {cleaner}\n"));
    }
    text
}
