//! What the checker remembers by itself, with full sight of the simulation: every replica's log,
//! every promise, every client's story. No component under test may read it.
//!
//! All of it grows event by event. Nothing is scanned again, but what a power loss put in doubt.

mod clients;
mod files;
mod hosts;
mod metadata;
mod partition;
mod promises;
mod replica;
mod segment;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub(crate) use clients::{Clients, Reached, Send};
pub(crate) use hosts::Host;
pub(crate) use metadata::Metadata;
pub(crate) use partition::{Partition, Promised};
pub(crate) use replica::Replica;
pub(crate) use segment::Batch;

use super::{Note, Setup, TopicPromise};
use crate::base::{
    ControllerProbe, Instant, LeaderEpoch, NodeProbe, Offset, PartitionCommitted, Probe,
    ReplicaProbe, StorageProbe, TopicId, TopicPartition,
};
use crate::sim::{ClientEvent, ConsumerEvent, HostId, Observation, Outcome, ProducerEvent, What};
use hosts::{Crew, Hosts, Role};
use partition::Committed;
use replica::{Lost, Place};
use segment::Segment;

/// What an event did to logs, promises and positions.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// A batch was completed in a replica's log.
    Appended { host: HostId, partition: TopicPartition, batch: Batch, place: Place },
    /// Bytes were written after some that are no batch.
    Unreadable { host: HostId, partition: TopicPartition, after: Offset, position: u64 },
    /// A replica's log now ends here.
    Cut { host: HostId, partition: TopicPartition, end: Offset },
    /// A batch was completed in a node's metadata log, or in its copy.
    Decided { host: HostId, batch: Batch },
    /// A node's metadata log, or its copy, now ends here.
    Undecided { host: HostId, end: Offset },
    /// The controller committed a newer state of a partition.
    Committed { partition: TopicPartition },
    /// This host exposed records that nobody had exposed before.
    Promised { host: HostId, partition: TopicPartition },
    /// The leader that the controller chose has taken over.
    TookOver { host: HostId, partition: TopicPartition, epoch: LeaderEpoch },
    /// The controller admitted a broker.
    Admitted { host: HostId },
    /// A topic was deleted, or deleted and created again: all that was of it is gone.
    Gone { partition: TopicPartition },
    /// A consumer's process ended.
    Stopped { consumer: u32 },
    /// A consumer got another offset than the next.
    Jumped { consumer: u32, partition: TopicPartition, expected: Offset, got: Offset },
}

/// A `*.log` file that matters: of which partition, from which offset on.
type FilePlace = Option<(TopicPartition, i64)>;

/// Every replica's log, every promise, every client's story.
pub struct Ghost {
    setup: Setup,
    hosts: Hosts,
    partitions: BTreeMap<TopicPartition, Partition>,
    deleted: BTreeSet<TopicId>,
    metadata: Metadata,
    clients: Clients,
    files: BTreeMap<Arc<str>, FilePlace>,
    /// Cleaned segments that do not count yet.
    cleaned: BTreeMap<(HostId, Arc<str>), Segment>,
    /// Hosts whose surviving files are being listed.
    losing_power: BTreeSet<HostId>,
    notes: Vec<Note>,
}

impl Ghost {
    pub(crate) fn new(setup: Setup) -> Self {
        Self {
            hosts: Hosts::new(&setup.brokers),
            setup,
            partitions: BTreeMap::new(),
            deleted: BTreeSet::new(),
            metadata: Metadata::default(),
            clients: Clients::default(),
            files: BTreeMap::new(),
            cleaned: BTreeMap::new(),
            losing_power: BTreeSet::new(),
            notes: Vec::new(),
        }
    }

    /// What clients did and were told.
    pub(crate) fn clients(&self) -> &Clients {
        &self.clients
    }

    /// The metadata log and its copies.
    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Every partition that the controller made.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = (&TopicPartition, &Partition)> {
        self.partitions.iter()
    }

    pub(crate) fn partition(&self, name: &TopicPartition) -> Option<&Partition> {
        self.partitions.get(name)
    }

    pub(crate) fn host(&self, host: HostId) -> Option<&Host> {
        self.hosts.get(host)
    }

    pub(crate) fn hosts(&self) -> impl Iterator<Item = (HostId, &Host)> {
        self.hosts.iter()
    }

    pub(crate) fn replica(&self, host: HostId, partition: &TopicPartition) -> Option<&Replica> {
        self.hosts.replica(host, partition)
    }

    /// Below this, a partition's records were deleted by retention.
    pub(crate) fn deleted_below(&self, partition: &TopicPartition) -> Offset {
        self.partition(partition).map_or(Offset::ZERO, |partition| partition.deleted_below)
    }

    /// What was ever exposed of a partition lies below.
    pub(crate) fn exposed_below(&self, partition: &TopicPartition) -> Offset {
        self.partition(partition).map_or(Offset::ZERO, |partition| partition.exposed)
    }

    /// Whether a leader's epoch began with the election of the last known leader.
    pub(crate) fn is_last_known_leader(&self, name: &TopicPartition, epoch: LeaderEpoch) -> bool {
        self.partition(name).is_some_and(|partition| partition.last_known == Some(epoch))
    }

    /// What is configured for a topic.
    pub(crate) fn promise(&self, topic: &str) -> TopicPromise {
        self.setup.promise(topic)
    }

    /// Whether a topic is compacted.
    pub(crate) fn is_compacted(&self, topic: &str) -> bool {
        self.setup.promise(topic).compacted
    }

    /// Whether a path is of a compacted topic's log.
    pub(crate) fn is_compacted_path(&self, path: &str) -> bool {
        path.contains(".log")
            && self.setup.topics.values().any(|promise| promise.compacted)
            && files::partition_of_file(path).is_some_and(|name| self.is_compacted(&name.topic))
    }

    /// `delete.retention.ms`.
    pub(crate) fn delete_retention(&self, topic: &str) -> Duration {
        self.setup.promise(topic).delete_retention
    }

    /// Whether compaction may have removed a record: its key has a later one, or it is a tombstone.
    pub(crate) fn is_superseded(&self, send: &Send) -> bool {
        let promise = self.setup.promise(&send.partition.topic);
        let Some(key) = promise.key_of(send.value).filter(|_| promise.compacted) else {
            return false;
        };
        let latest = self.clients.latest_of(&send.partition, key);
        send.value & TopicPromise::TOMBSTONE != 0
            || send.offset().is_some_and(|offset| latest.is_some_and(|latest| offset < latest))
    }

    /// Copies that a partition's acknowledged records must have: `min.insync.replicas`, as far as
    /// there are replicas.
    pub(crate) fn copies_needed(&self, name: &TopicPartition) -> usize {
        let replicas = self.partition(name).map_or(usize::MAX, |p| p.committed.replicas.len());
        self.setup.promise(&name.topic).min_insync_replicas.min(replicas)
    }

    /// The host's role in the present creation of a partition.
    pub(crate) fn role(&self, host: HostId, partition: &TopicPartition) -> Option<Role> {
        let role = self.hosts.get(host)?.roles.get(partition)?;
        (role.topic_id == self.partition(partition)?.committed.topic_id).then_some(*role)
    }

    /// Learns what happened, and says what it changed.
    pub(crate) fn observe(&mut self, seen: &Observation, changes: &mut Vec<Change>) {
        let Observation { at, host, what } = seen;
        if !self.losing_power.is_empty() {
            self.settle_power_losses(*host, what);
        }
        self.metadata.observe(seen, changes);
        match what {
            What::Client(event) => {
                self.clients.observe(*at, *host, event, changes);
                self.keyed(event);
            }
            What::Probe(probe) => self.probed(*at, *host, probe, changes),
            What::Wrote { path, offset, bytes } => {
                self.wrote(*host, path, *offset, bytes, changes);
            }
            What::Cut { path, len } => self.cut(*host, path, *len, changes),
            What::Removed { path } => self.removed(*at, *host, path, changes),
            What::Renamed { from, to } => self.renamed(*at, *host, from, to, changes),
            What::PowerLost { .. } => {
                self.clients.ended(*host, changes);
                self.power_lost(*host);
                self.left_elrs(*host);
            }
            What::Survived { path, bytes } => {
                let Some((partition, base)) = self.place_of(path) else { return };
                let Some(host) = self.hosts.get_mut(*host) else { return };
                let replica = host.replicas.entry(partition).or_default();
                if path.ends_with(".swap") {
                    replica.swapped.insert(base);
                }
                // Sorted by name, so that what was swapped in comes after what it replaces.
                let segment = Segment::survived(bytes, replica.before.get(&base));
                replica.segments.insert(base, segment);
            }
            What::Corrupted { path, range } => {
                if let Some(segment) = self.segment_of(*host, path) {
                    segment.damaged(range.clone());
                }
            }
            What::Lied { path } => {
                if let Some(segment) = self.segment_of(*host, path) {
                    segment.lied();
                }
            }
            What::Killed | What::Ended => {
                self.clients.ended(*host, changes);
                if let Some(host) = self.hosts.get_mut(*host) {
                    host.died();
                }
                self.left_elrs(*host);
            }
            What::Booted => {
                if let Some(host) = self.hosts.get_mut(*host) {
                    host.up = true;
                }
            }
            What::Paused | What::Resumed => {}
        }
    }

    /// Where the latest record of each key is, as clients are told.
    fn keyed(&mut self, event: &ClientEvent) {
        let mut found = Vec::new();
        match event {
            ClientEvent::Producer(ProducerEvent::Told {
                producer,
                op,
                outcome: Outcome::Ok { offset: Some(offset) },
            }) => {
                let send = self.clients.send(*producer, *op);
                found.extend(send.map(|send| (send.partition.clone(), send.value, *offset)));
            }
            ClientEvent::Consumer(ConsumerEvent::Polled { partition, records, .. })
                if self.is_compacted(&partition.topic) =>
            {
                let records = records.iter();
                found.extend(records.map(|(at, value)| (partition.clone(), *value, *at)));
            }
            _ => {}
        }
        for (partition, value, offset) in found {
            let promise = self.setup.promise(&partition.topic);
            if let Some(key) = promise.key_of(value).filter(|_| promise.compacted) {
                self.clients.keyed(&partition, key, offset);
            }
        }
    }

    /// Who restarts may have lost what it had.
    fn left_elrs(&mut self, host: HostId) {
        let Some(broker) = self.hosts.get(host).map(|host| host.broker) else { return };
        for partition in self.partitions.values_mut() {
            partition.elr.retain(|id| *id != broker);
        }
    }

    fn probed(&mut self, at: Instant, on: HostId, probe: &Probe, changes: &mut Vec<Change>) {
        match probe {
            Probe::Controller(ControllerProbe::PartitionCommitted(_)) => {
                self.committed(at, probe, changes)
            }
            Probe::Controller(ControllerProbe::TopicDeleted { topic_id }) => {
                self.deleted(*topic_id, changes)
            }
            Probe::Controller(ControllerProbe::BrokerFenced { broker, epoch }) => {
                let host = self.hosts.id_of(*broker).and_then(|id| self.hosts.get_mut(id));
                let Some(host) = host else { return };
                // A controller that starts again retells it all, and ends with what is so.
                host.fenced = true;
                if host.is_news(*epoch) {
                    host.admitted = false;
                }
            }
            Probe::Controller(ControllerProbe::BrokerUnfenced { broker, epoch }) => {
                let Some(id) = self.hosts.id_of(*broker) else { return };
                let Some(host) = self.hosts.get_mut(id) else { return };
                // The controller's view, also of a process whose last heartbeat outlived it.
                host.fenced = false;
                if !host.is_news(*epoch) {
                    return;
                }
                host.admitted_as = Some(*epoch);
                if host.up {
                    host.admitted = true;
                    host.restarted = false;
                    changes.push(Change::Admitted { host: id });
                }
            }
            Probe::Replica(ReplicaProbe::BecameLeader { partition, topic_id, epoch, .. }) => {
                self.became(
                    on,
                    partition,
                    Role { topic_id: *topic_id, epoch: *epoch, leads: true },
                );
                self.took_over(on, partition, *topic_id, *epoch, changes);
            }
            Probe::Replica(ReplicaProbe::BecameFollower { partition, topic_id, epoch, .. }) => {
                let role = Role { topic_id: *topic_id, epoch: *epoch, leads: false };
                self.became(on, partition, role);
            }
            Probe::Replica(ReplicaProbe::HighWatermark {
                partition,
                epoch,
                leads: true,
                offset,
            }) => {
                self.exposed(at, on, partition, *epoch, *offset, changes);
            }
            Probe::Replica(ReplicaProbe::AcknowledgedAll { partition, epoch, end }) => {
                self.exposed(at, on, partition, *epoch, *end, changes);
            }
            Probe::Controller(ControllerProbe::BecameController { .. })
            | Probe::Controller(ControllerProbe::MetadataCommitted { .. }) => {}
            Probe::Replica(ReplicaProbe::MayBeInSync { .. })
            | Probe::Node(NodeProbe::Ready)
            | Probe::Replica(ReplicaProbe::LeaderAppended { .. })
            | Probe::Replica(ReplicaProbe::HighWatermark { .. })
            | Probe::Replica(ReplicaProbe::Truncated { .. })
            | Probe::Replica(ReplicaProbe::StartedOver { .. })
            | Probe::Replica(ReplicaProbe::Refused { .. })
            | Probe::Replica(ReplicaProbe::Duplicate { .. })
            | Probe::Replica(ReplicaProbe::EpochAnswered { .. })
            | Probe::Storage(StorageProbe::Recovered { .. })
            | Probe::Storage(StorageProbe::Damaged { .. })
            | Probe::Storage(StorageProbe::Failed { .. }) => {}
        }
    }

    fn committed(&mut self, at: Instant, probe: &Probe, changes: &mut Vec<Change>) {
        let Probe::Controller(ControllerProbe::PartitionCommitted(PartitionCommitted {
            partition: name,
            topic_id,
            replicas,
            leader,
            leader_epoch,
            partition_epoch,
            isr,
            unclean,
        })) = probe
        else {
            return;
        };
        let committed = Committed {
            topic_id: *topic_id,
            replicas: replicas.clone(),
            leader: *leader,
            leader_epoch: *leader_epoch,
            partition_epoch: *partition_epoch,
            isr: isr.clone(),
            as_elected: true,
        };
        let min_insync = self.setup.promise(&name.topic).min_insync_replicas.min(replicas.len());
        match self.partitions.get_mut(name) {
            // A controller that starts again may say again what it knows.
            _ if self.deleted.contains(topic_id) => return,
            Some(known) if known.committed.topic_id == *topic_id => {
                if *partition_epoch <= known.committed.partition_epoch {
                    return;
                }
                known.commit(committed, *unclean, min_insync, at);
                let hosts = &self.hosts;
                known.elr.retain(|id| hosts.of(*id).is_some_and(|host| !host.restarted));
            }
            Some(other) => {
                self.deleted.insert(other.committed.topic_id);
                *other = Partition::new(committed, at);
                self.gone(name, changes);
            }
            None => {
                self.partitions.insert(name.clone(), Partition::new(committed, at));
            }
        }
        self.forgive_power_losses(name);
        changes.push(Change::Committed { partition: name.clone() });
    }

    fn deleted(&mut self, topic_id: TopicId, changes: &mut Vec<Change>) {
        self.deleted.insert(topic_id);
        let of_topic = |partition: &Partition| partition.committed.topic_id == topic_id;
        let names: Vec<TopicPartition> = self
            .partitions
            .iter()
            .filter(|(_, p)| of_topic(p))
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            self.partitions.remove(&name);
            self.gone(&name, changes);
        }
    }

    fn gone(&mut self, name: &TopicPartition, changes: &mut Vec<Change>) {
        self.clients.forget(name);
        for host in self.hosts.iter_mut() {
            if let Some(replica) = host.replicas.get_mut(name) {
                replica.agreed.set(0);
                replica.lost.clear();
            }
        }
        changes.push(Change::Gone { partition: name.clone() });
    }

    fn became(&mut self, on: HostId, partition: &TopicPartition, role: Role) {
        let Some(host) = self.hosts.get_mut(on) else { return };
        host.roles.insert(partition.clone(), role);
        host.replicas.entry(partition.clone()).or_default().topic_id = Some(role.topic_id);
    }

    fn took_over(
        &mut self,
        on: HostId,
        name: &TopicPartition,
        topic_id: TopicId,
        epoch: LeaderEpoch,
        changes: &mut Vec<Change>,
    ) {
        let Some(broker) = self.hosts.get(on).map(|host| host.broker) else { return };
        let Some(partition) = self.partitions.get_mut(name) else { return };
        let state = &partition.committed;
        // One who learns late that it leads, when another has been chosen, promises nothing new.
        if state.topic_id == topic_id && state.leader == Some(broker) && state.leader_epoch == epoch
        {
            partition.led = Some((epoch, on));
            changes.push(Change::TookOver { host: on, partition: name.clone(), epoch });
        }
    }
}
