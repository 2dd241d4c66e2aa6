//! Events that a fault can wait for.

use std::time::Duration;

/// Something that happens to the fault's partition, or to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// The controller committed a new leader of the partition.
    LeaderElected,
    /// The controller committed a smaller ISR of the partition.
    IsrShrunk,
    /// The controller committed a larger ISR of the partition.
    IsrGrown,
    /// A producer's record of the partition was acknowledged.
    Ack,
    /// A node boots: until it answers, it is recovering.
    Recovery,
    /// A member of a group gives partitions up: the group rebalances.
    Rebalance,
    /// A member of a classic group joins: the coordinator prepares a rebalance.
    Joining,
    /// A member of a classic group has joined a generation whose assignment is awaited.
    Syncing,
    /// A producer is about to commit or abort its transaction.
    Commit,
}

/// The keys, each with its words: `on = "leader-elected"`, `after = "ack"`, `during = "recovery"`.
pub(super) const EVENTS: [(&str, &[(&str, Event)]); 3] = [
    (
        "on",
        &[
            ("leader-elected", Event::LeaderElected),
            ("isr-shrunk", Event::IsrShrunk),
            ("isr-grown", Event::IsrGrown),
        ],
    ),
    ("after", &[("ack", Event::Ack)]),
    (
        "during",
        &[
            ("recovery", Event::Recovery),
            ("rebalance", Event::Rebalance),
            ("joining", Event::Joining),
            ("syncing", Event::Syncing),
            ("commit", Event::Commit),
        ],
    ),
];

impl Event {
    /// The key and the word by which it is written.
    pub fn words(self) -> (&'static str, &'static str) {
        let found = EVENTS.iter().find_map(|(key, words)| {
            words.iter().find(|(_, event)| *event == self).map(|(word, _)| (*key, *word))
        });
        found.unwrap_or(("on", ""))
    }
}

/// The moment at which a fault of a schedule strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The first such event after it is due…
    pub event: Event,
    /// …and this long after that.
    pub delay: Duration,
}
