//! What a scenario has, so that its faults can name only that.

use super::load::{Load, Side};
use super::{Cluster, Scenario, Topic};
use crate::base::TopicPartition;

/// Everything that a fault can name.
pub(crate) struct Known<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) topic: &'a Topic,
    pub(super) loads: &'a [Load],
    /// Hosts that are not of the scenario, by name.
    pub(super) programs: &'a [&'a str],
    /// Topics besides the scenario's.
    pub(super) others: &'a [Topic],
}

impl<'a> Known<'a> {
    pub(super) fn of(scenario: &'a Scenario, programs: &'a [&'a str], others: &'a [Topic]) -> Self {
        let (cluster, topic, loads) = (&scenario.cluster, &scenario.topic, &scenario.loads[..]);
        Self { cluster, topic, loads, programs, others }
    }

    pub(super) fn has(&self, partition: &TopicPartition) -> bool {
        let topics = std::iter::once(self.topic).chain(self.others);
        let mut topics = topics.filter(|topic| topic.name == *partition.topic);
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
