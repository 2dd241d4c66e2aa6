//! Processes: which run, and whether the controller admits them.

use std::collections::BTreeMap;

use crate::base::{BrokerEpoch, BrokerId, LeaderEpoch, TopicId, TopicPartition};
use crate::sim::HostId;

/// The role that a replica believes to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Role {
    pub topic_id: TopicId,
    pub epoch: LeaderEpoch,
    pub leads: bool,
    /// It leads and has not reported a high watermark yet.
    pub(super) fresh: bool,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// It stopped after it had closed its logs.
    Closed,
    /// In any other way.
    Crash,
}

/// The process on one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Node {
    /// `None` for hosts that hold no partitions.
    pub broker: Option<BrokerId>,
    pub up: bool,
    /// It has reported that it answers requests.
    pub ready: bool,
    /// It is about to end because of an error, or its storage failed for good.
    pub failed: bool,
    /// The controller has admitted it since its process began. Before that, it may well be in an
    /// ISR that the controller is about to take it from.
    pub admitted: bool,
    /// The controller reported last that it may not take part.
    pub fenced: bool,
    /// It died since the controller last admitted it: how it did, the worst of several.
    pub ended: Option<End>,
    /// The registration that the controller admitted last.
    admitted_as: Option<BrokerEpoch>,
    /// The registration of the process that runs. The controller may admit one of an earlier process, by a
    /// heartbeat that outlived it.
    registered_as: Option<BrokerEpoch>,
    /// Since its process began.
    pub roles: BTreeMap<TopicPartition, Role>,
}

impl Node {
    /// Whether the controller can mean the process that runs. A controller that starts repeats what
    /// is in its log, also about a broker that has died since and has not registered again.
    fn is_news(&self, epoch: BrokerEpoch) -> bool {
        match self.admitted_as {
            Some(known) if self.ended.is_some() => epoch > known,
            Some(known) => epoch >= known,
            None => true,
        }
    }
}

/// All processes.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    by_host: BTreeMap<HostId, Node>,
    by_broker: BTreeMap<BrokerId, HostId>,
    controllers: u64,
    /// A controller that replays its log, until it is ready.
    replaying: Option<HostId>,
}

impl Nodes {
    pub fn new(brokers: &BTreeMap<HostId, BrokerId>) -> Self {
        let node = |broker: &BrokerId| Node { broker: Some(*broker), up: true, ..Node::default() };
        Self {
            by_host: brokers.iter().map(|(host, broker)| (*host, node(broker))).collect(),
            by_broker: brokers.iter().map(|(host, broker)| (*broker, *host)).collect(),
            ..Self::default()
        }
    }

    pub fn get(&self, host: HostId) -> Option<&Node> {
        self.by_host.get(&host)
    }

    pub fn of(&self, broker: BrokerId) -> Option<(HostId, &Node)> {
        let host = *self.by_broker.get(&broker)?;
        Some((host, self.by_host.get(&host)?))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Node> {
        self.by_host.values()
    }

    pub fn controllers(&self) -> u64 {
        self.controllers
    }

    pub fn booted(&mut self, host: HostId) {
        self.by_host.entry(host).or_default().up = true;
    }

    pub fn registered(&mut self, host: HostId, epoch: BrokerEpoch) {
        self.by_host.entry(host).or_default().registered_as = Some(epoch);
    }

    pub fn ready(&mut self, host: HostId) {
        self.by_host.entry(host).or_default().ready = true;
        self.replaying.take_if(|controller| *controller == host);
    }

    pub fn failed(&mut self, host: HostId) {
        self.by_host.entry(host).or_default().failed = true;
    }

    pub fn became_controller(&mut self, host: HostId) {
        self.controllers += 1;
        self.replaying = Some(host);
    }

    /// A process is gone, by a power loss, a kill, or as it decided itself. Returns it as it was, and
    /// how it ended: a broker that stopped before it was ready, or that failed, has not closed all its
    /// logs.
    pub fn died(&mut self, host: HostId, stopped: bool) -> (Node, End) {
        let node = self.by_host.entry(host).or_default();
        let closed = stopped && node.ready && !node.failed;
        let end = if closed { End::Closed } else { End::Crash };
        let next = Node {
            broker: node.broker,
            fenced: node.fenced,
            admitted_as: node.admitted_as,
            ended: node.ended.max(Some(end)),
            ..Node::default()
        };
        (std::mem::replace(node, next), end)
    }

    /// The controller fenced a registration. Returns the host if its admitted process runs and the
    /// report is not a repetition. A controller that replays ends with what is so.
    pub fn fenced(&mut self, broker: BrokerId, epoch: BrokerEpoch) -> Option<HostId> {
        let host = *self.by_broker.get(&broker)?;
        let node = self.by_host.get_mut(&host)?;
        let runs = node.up && node.admitted && node.admitted_as == Some(epoch);
        node.fenced = true;
        if node.is_news(epoch) {
            node.admitted = false;
        }
        (runs && self.replaying.is_none()).then_some(host)
    }

    /// The controller unfenced a registration. Returns the host if that admits the process there.
    pub fn unfenced(&mut self, broker: BrokerId, epoch: BrokerEpoch) -> Option<HostId> {
        let host = *self.by_broker.get(&broker)?;
        let node = self.by_host.get_mut(&host)?;
        // Also of a process whose last heartbeat outlived it: this is the controller's view.
        node.fenced = false;
        if !node.is_news(epoch) {
            return None;
        }
        node.admitted_as = Some(epoch);
        if !node.up || node.registered_as != Some(epoch) {
            return None;
        }
        node.admitted = true;
        node.ended = None;
        Some(host)
    }

    pub fn took_role(&mut self, host: HostId, partition: &TopicPartition, role: Role) {
        self.by_host.entry(host).or_default().roles.insert(partition.clone(), role);
    }

    /// A leader reported its first high watermark.
    pub fn reported_high_watermark(&mut self, host: HostId, partition: &TopicPartition) {
        let node = self.by_host.get_mut(&host);
        if let Some(role) = node.and_then(|node| node.roles.get_mut(partition)) {
            role.fresh = false;
        }
    }
}
