//! The stream of observations, folded once into the cluster's state and its changes.
//!
//! Ghost, coverage, hosts and picture all need to know the same things: a partition's committed
//! state, which process was admitted, who believes to lead, where a consumer stands. They read them
//! here instead of following the stream each for itself. Only what nodes, the controller and
//! clients report is folded; the bytes on disks are the ghost's.
//!
//! - `change`: the changes, with the contract of each.
//! - `state`, `partitions`: what the controller committed, elections and exposures.
//! - `nodes`: processes, their roles, and the controller's admission of brokers.
//! - `clients`: open sends and consumers' positions.
//!
//! A controller that starts replays its log and reports everything in it again. That is filtered
//! here and nowhere else: a repeated report changes nothing and yields no `Change`.

mod change;
mod clients;
mod nodes;
mod partitions;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use change::{Change, Committed, Down, Election};
pub(crate) use clients::Position;
pub(crate) use nodes::{Node, Role};
pub(crate) use partitions::Partition;
pub(crate) use state::State;

use crate::base::{
    BrokerId, ControllerProbe, LeaderEpoch, NodeProbe, Offset, Probe, ReplicaProbe, StorageProbe,
    TopicPartition,
};
use crate::sim::{HostId, Observation, What};
use clients::Clients;
use nodes::{End, Nodes};
use partitions::Partitions;

/// The fold of all observations so far, and what the last one changed.
#[derive(Debug)]
pub struct View {
    nodes: Nodes,
    partitions: Partitions,
    clients: Clients,
    changes: Vec<Change>,
}

impl View {
    /// The view of a run in which nothing has happened. `min_insync`: by topic; 1 elsewhere.
    pub(crate) fn new(
        brokers: &BTreeMap<HostId, BrokerId>,
        min_insync: BTreeMap<Arc<str>, usize>,
    ) -> Self {
        Self {
            nodes: Nodes::new(brokers),
            partitions: Partitions::new(min_insync),
            clients: Clients::default(),
            changes: Vec::new(),
        }
    }

    /// Takes the next observation in. What it changed is in [`View::changes`] until the next one.
    pub(crate) fn fold(&mut self, seen: &Observation) {
        self.changes.clear();
        let (host, changes) = (seen.host, &mut self.changes);
        match &seen.what {
            What::Probe(Probe::Node(NodeProbe::Registered { epoch })) => {
                self.nodes.registered(host, *epoch);
            }
            What::Probe(Probe::Node(NodeProbe::Ready)) => self.nodes.ready(host),
            What::Probe(Probe::Controller(probe)) => self.controller(seen, probe),
            What::Probe(Probe::Replica(probe)) => self.replica(host, probe),
            What::Probe(
                Probe::Node(NodeProbe::Failed)
                | Probe::Storage(StorageProbe::Failed { full: false, .. }),
            ) => self.nodes.failed(host),
            What::Probe(Probe::Storage(StorageProbe::Damaged { partition, .. })) => {
                if let Some(broker) = self.nodes.get(host).and_then(|node| node.broker) {
                    self.partitions.damaged(partition, broker);
                }
            }
            What::Client(event) => self.clients.fold(seen.at, host, event, changes),
            What::Booted => self.nodes.booted(host),
            What::Killed | What::PowerLost { .. } | What::Ended => {
                let (node, end) = self.nodes.died(host, matches!(seen.what, What::Ended));
                let eligible = self.partitions.died(node.broker, end);
                let Node { up, ready, failed, .. } = node;
                changes.push(Change::Down(Down { up, ready, failed, eligible }));
                self.clients.died(host, changes);
            }
            What::Probe(Probe::Storage(_) | Probe::Group(_))
            | What::Wrote { .. }
            | What::Cut { .. }
            | What::Renamed { .. }
            | What::Removed { .. }
            | What::Corrupted { .. }
            | What::Lied { .. }
            | What::Survived { .. }
            | What::Replaced { .. }
            | What::Paused
            | What::Resumed
            | What::Damaged { .. } => {}
        }
    }

    fn controller(&mut self, seen: &Observation, probe: &ControllerProbe) {
        let changes = &mut self.changes;
        match probe {
            ControllerProbe::BecameController { .. } => self.nodes.became_controller(seen.host),
            ControllerProbe::MetadataCommitted { .. } => {}
            ControllerProbe::PartitionCommitted(state) => {
                let nodes = &self.nodes;
                let ended = |id| nodes.of(id).map_or(Some(End::Crash), |(_, node)| node.ended);
                self.partitions.committed(seen.at, state, &ended, changes);
                if let Some(Change::Gone { partition }) = changes.first() {
                    self.clients.gone(partition);
                }
            }
            ControllerProbe::TopicDeleted { topic_id } => {
                self.partitions.deleted(*topic_id, changes);
                for change in &*changes {
                    if let Change::Gone { partition } = change {
                        self.clients.gone(partition);
                    }
                }
            }
            ControllerProbe::BrokerFenced { broker, epoch } => {
                let fenced = self.nodes.fenced(*broker, *epoch);
                changes.extend(fenced.map(|host| Change::Fenced { host }));
            }
            ControllerProbe::BrokerUnfenced { broker, epoch } => {
                let admitted = self.nodes.unfenced(*broker, *epoch);
                changes.extend(admitted.map(|host| Change::Admitted { host }));
            }
        }
    }

    fn replica(&mut self, host: HostId, probe: &ReplicaProbe) {
        match probe {
            ReplicaProbe::BecameLeader { partition, topic_id, epoch, .. } => {
                let role = Role { topic_id: *topic_id, epoch: *epoch, leads: true, fresh: true };
                self.nodes.took_role(host, partition, role);
                let broker = self.nodes.get(host).and_then(|node| node.broker);
                if self.partitions.took_over(host, broker, partition, role) {
                    let (partition, epoch) = (partition.clone(), *epoch);
                    self.changes.push(Change::TookOver { host, partition, epoch });
                }
            }
            ReplicaProbe::BecameFollower { partition, topic_id, epoch, .. } => {
                let role = Role { topic_id: *topic_id, epoch: *epoch, leads: false, fresh: false };
                self.nodes.took_role(host, partition, role);
            }
            ReplicaProbe::HighWatermark { partition, epoch, leads: true, offset } => {
                let (epoch, upto) = (*epoch, *offset);
                let Some(role) = self.role(host, partition) else { return };
                let behind = role.fresh && upto < self.exposed_below(partition);
                if role.fresh {
                    self.nodes.reported_high_watermark(host, partition);
                }
                self.partitions.exposed(partition, upto);
                self.changes.push(Change::Exposed { epoch, upto, behind });
            }
            ReplicaProbe::AcknowledgedAll { partition, epoch, end } => {
                if self.role(host, partition).is_some() {
                    let (epoch, upto) = (*epoch, *end);
                    self.partitions.exposed(partition, upto);
                    self.changes.push(Change::Exposed { epoch, upto, behind: false });
                }
            }
            ReplicaProbe::LeaderAppended { partition, epoch, .. } => {
                self.partitions.appended(partition, *epoch);
            }
            ReplicaProbe::HighWatermark { .. }
            | ReplicaProbe::MayBeInSync { .. }
            | ReplicaProbe::Truncated { .. }
            | ReplicaProbe::StartedOver { .. }
            | ReplicaProbe::Expired { .. }
            | ReplicaProbe::Refused { .. }
            | ReplicaProbe::Duplicate { .. }
            | ReplicaProbe::EpochAnswered { .. } => {}
        }
    }

    /// What the last observation changed, in order.
    pub(crate) fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Takes the changes, to be given back by [`View::give_back`] before anyone else reads them.
    pub(crate) fn lend_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Gives back what [`View::lend_changes`] took.
    pub(crate) fn give_back(&mut self, changes: Vec<Change>) {
        self.changes = changes;
    }

    /// A host's process.
    pub(crate) fn node(&self, host: HostId) -> Option<&Node> {
        self.nodes.get(host)
    }

    /// A broker's process.
    pub(crate) fn node_of(&self, broker: BrokerId) -> Option<(HostId, &Node)> {
        self.nodes.of(broker)
    }

    /// How many times a controller has become the active one.
    pub(crate) fn controllers(&self) -> u64 {
        self.nodes.controllers()
    }

    /// The partition's present creation; `None` before it is committed and after its deletion.
    pub(crate) fn partition(&self, name: &TopicPartition) -> Option<&Partition> {
        self.partitions.get(name)
    }

    /// All partitions that exist.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = (&TopicPartition, &Partition)> {
        self.partitions.iter()
    }

    /// The role that a process believes to have in the partition's present creation.
    pub(crate) fn role(&self, host: HostId, partition: &TopicPartition) -> Option<Role> {
        let role = self.nodes.get(host)?.roles.get(partition)?;
        (role.topic_id == self.partition(partition)?.state().topic_id).then_some(*role)
    }

    /// How many processes believe to lead a partition.
    pub(crate) fn leaders(&self, partition: &TopicPartition) -> usize {
        let leads = |node: &Node| node.roles.get(partition).is_some_and(|role| role.leads);
        self.nodes.iter().filter(|node| leads(node)).count()
    }

    /// The newest leader that the controller chose, if it took over and still leads.
    pub(crate) fn leader(&self, name: &TopicPartition) -> Option<(LeaderEpoch, HostId)> {
        let (epoch, host) = self.partition(name)?.led?;
        let role = self.role(host, name)?;
        (role.leads && role.epoch == epoch).then_some((epoch, host))
    }

    /// Every offset that was ever exposed of a partition is below.
    pub(crate) fn exposed_below(&self, partition: &TopicPartition) -> Offset {
        self.partition(partition).map_or(Offset::ZERO, Partition::exposed)
    }

    /// Where a consumer stands in a partition.
    pub(crate) fn position(&self, consumer: u32, partition: &TopicPartition) -> Option<Position> {
        self.clients.position(consumer, partition)
    }
}
