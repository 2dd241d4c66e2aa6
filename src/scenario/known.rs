//! What a scenario has, so that its faults can name only that.

use super::load::{Load, Side};
use super::{Cluster, Scenario, Topic, topic_of};
use crate::base::TopicPartition;

/// Everything that a fault can name.
pub(crate) struct Known<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) topics: &'a [Topic],
    pub(super) loads: &'a [Load],
    /// Hosts that are not of the scenario, by name.
    pub(super) programs: &'a [&'a str],
}

impl<'a> Known<'a> {
    pub(super) fn of(scenario: &'a Scenario, programs: &'a [&'a str]) -> Self {
        let Scenario { cluster, topics, loads, .. } = scenario;
        Self { cluster, topics, loads, programs }
    }

    /// How many partitions a topic has; the first without a name.
    pub(super) fn partitions(&self, topic: Option<&str>) -> u64 {
        u64::try_from(topic_of(self.topics, topic).partitions).unwrap_or(1).max(1)
    }

    /// How many partitions the smallest topic has.
    pub(super) fn fewest_partitions(&self) -> u64 {
        let counts = self.topics.iter().map(|topic| u64::try_from(topic.partitions).unwrap_or(1));
        counts.min().unwrap_or(1)
    }

    pub(super) fn has(&self, partition: &TopicPartition) -> bool {
        let mut topics = self.topics.iter().filter(|topic| topic.name == *partition.topic);
        topics.any(|topic| (0..topic.partitions).contains(&partition.partition))
    }

    /// Most hosts whose names begin with this letter.
    pub(super) fn hosts(&self, kind: char) -> u64 {
        let clients = |side| {
            let loads = self.loads.iter().filter(|load| load.work.side() == side);
            loads.map(|load| load.clients.high).sum()
        };
        match kind {
            'b' => u64::from(self.cluster.brokers),
            'c' => u64::from(self.cluster.controllers),
            'p' => clients(Side::Produces),
            _ => clients(Side::Consumes),
        }
    }
}
