//! Which hosts run, what they believe to be, and what their disks hold.

use std::collections::BTreeMap;
use std::ops::BitOrAssign;

use super::replica::Replica;
use crate::base::{BrokerEpoch, BrokerId, LeaderEpoch, Offset, TopicId, TopicPartition};
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

/// What a node believes about its replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Role {
    pub topic_id: TopicId,
    pub epoch: LeaderEpoch,
    pub leads: bool,
}

/// One broker's host.
#[derive(Debug)]
pub(crate) struct Host {
    pub broker: BrokerId,
    /// Its place among the brokers.
    pub rank: usize,
    /// Its process runs.
    pub up: bool,
    /// The controller has admitted it since its process began. Before that, it may well be in an
    /// ISR that the controller is about to take it from.
    pub admitted: bool,
    /// The controller has said last that it may not take part.
    pub fenced: bool,
    /// It died since the controller last admitted it.
    pub restarted: bool,
    /// Which of its starts the controller admitted last.
    pub admitted_as: Option<BrokerEpoch>,
    /// Since its process began.
    pub roles: BTreeMap<TopicPartition, Role>,
    pub replicas: BTreeMap<TopicPartition, Replica>,
    /// Where each log ended when the power failed, until every file that is left was seen.
    pub(super) before_power_loss: Option<BTreeMap<TopicPartition, (Offset, bool)>>,
}

impl Host {
    fn new(broker: BrokerId, rank: usize) -> Self {
        Self {
            broker,
            rank,
            up: true,
            admitted: false,
            fenced: false,
            restarted: false,
            admitted_as: None,
            roles: BTreeMap::new(),
            replicas: BTreeMap::new(),
            before_power_loss: None,
        }
    }

    /// Whether the controller can mean the process that runs. One that starts again says again what
    /// it reads from its log, also of a broker that has died since and has not registered anew.
    pub fn is_news(&self, epoch: BrokerEpoch) -> bool {
        match self.admitted_as {
            Some(known) if self.restarted => epoch > known,
            Some(known) => epoch >= known,
            None => true,
        }
    }

    /// Its process is gone.
    pub fn died(&mut self) {
        self.up = false;
        self.admitted = false;
        self.restarted = true;
        self.roles.clear();
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
