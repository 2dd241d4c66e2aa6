//! Brokers and their disks.

use std::collections::BTreeMap;
use std::ops::BitOrAssign;
use std::sync::Arc;

use super::replica::Replica;
use crate::base::{BrokerId, Offset, TopicPartition};
use crate::sim::HostId;

/// A set of brokers: one bit for each, in the order of their ids. A cluster has fewer than 64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Crew(u64);

impl Crew {
    /// One broker, by its rank.
    pub fn one(rank: usize) -> Self {
        Self(1 << rank.min(63))
    }

    /// Whether a broker is in it.
    pub fn has(self, rank: usize) -> bool {
        self.0 & Self::one(rank).0 != 0
    }

    /// How many.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }
}

impl BitOrAssign for Crew {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// One broker's disks.
#[derive(Debug)]
pub(crate) struct Host {
    pub broker: BrokerId,
    /// Its place among the brokers.
    pub rank: usize,
    pub replicas: BTreeMap<TopicPartition, Replica>,
    /// Logs of partitions whose replica is in another directory, by the path of theirs.
    pub(super) aside: BTreeMap<Arc<str>, Replica>,
    /// Where each log ended when the power failed, and whether the broker could have been elected,
    /// until every surviving file was seen.
    pub(super) before_power_loss: Option<BTreeMap<TopicPartition, (Offset, bool)>>,
    /// Where the broker could have been elected when its process ended last.
    pub(super) eligible_at_end: Vec<TopicPartition>,
}

impl Host {
    fn new(broker: BrokerId, rank: usize) -> Self {
        Self {
            broker,
            rank,
            replicas: BTreeMap::new(),
            aside: BTreeMap::new(),
            before_power_loss: None,
            eligible_at_end: Vec::new(),
        }
    }

    /// Its process tells where it has found a log damaged.
    pub(super) fn tells_damage(&mut self, name: &TopicPartition, offset: Offset) {
        if let Some(replica) = self.replicas.get_mut(name) {
            replica.told_damage.insert(offset);
        }
    }
}

/// Every broker's host.
#[derive(Debug)]
pub(crate) struct Hosts {
    by_host: BTreeMap<HostId, Host>,
    by_broker: BTreeMap<BrokerId, HostId>,
}

impl Hosts {
    pub fn new(brokers: &BTreeMap<HostId, BrokerId>) -> Self {
        let by_broker: BTreeMap<BrokerId, HostId> =
            brokers.iter().map(|(host, broker)| (*broker, *host)).collect();
        let by_host = by_broker
            .iter()
            .enumerate()
            .map(|(rank, (broker, host))| (*host, Host::new(*broker, rank)))
            .collect();
        Self { by_host, by_broker }
    }

    pub fn get(&self, host: HostId) -> Option<&Host> {
        self.by_host.get(&host)
    }

    pub fn get_mut(&mut self, host: HostId) -> Option<&mut Host> {
        self.by_host.get_mut(&host)
    }

    pub fn id_of(&self, broker: BrokerId) -> Option<HostId> {
        self.by_broker.get(&broker).copied()
    }

    pub fn of(&self, broker: BrokerId) -> Option<&Host> {
        self.by_host.get(&self.id_of(broker)?)
    }

    pub fn iter(&self) -> impl Iterator<Item = (HostId, &Host)> {
        self.by_host.iter().map(|(id, host)| (*id, host))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Host> {
        self.by_host.values_mut()
    }

    pub fn replica(&self, host: HostId, partition: &TopicPartition) -> Option<&Replica> {
        self.by_host.get(&host)?.replicas.get(partition)
    }

    /// These brokers as a set.
    pub fn crew(&self, brokers: &[BrokerId]) -> Crew {
        let mut crew = Crew::default();
        for host in brokers.iter().filter_map(|id| self.of(*id)) {
            crew |= Crew::one(host.rank);
        }
        crew
    }

    /// A set as brokers.
    pub fn brokers(&self, crew: Crew) -> Vec<BrokerId> {
        self.by_broker
            .keys()
            .enumerate()
            .filter(|(rank, _)| crew.has(*rank))
            .map(|(_, broker)| *broker)
            .collect()
    }
}
