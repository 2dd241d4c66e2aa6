//! The checker's own memory, with full sight of the simulation: every replica's log, every promise,
//! every client's records. No component under test may read it.
//!
//! It grows event by event. Only a power loss makes it read files again.

mod aside;
mod calm;
mod clients;
mod compacted;
mod fields;
mod files;
mod forgetting;
mod groups;
mod hanging;
mod hosts;
mod image;
mod metadata;
mod pace;
mod partition;
mod promises;
mod replica;
mod segment;
mod stability;
mod stamp;
mod transaction_log;
mod transactions;
mod visible;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub(crate) use calm::Calm;
pub(crate) use clients::{Clients, Reached, Send};
pub(crate) use compacted::{Batches, CompactedFiles, FileName, Standing};
pub(crate) use files::{is_inside, partition_of as partition_of_directory};
pub(crate) use groups::{Before, Groups, Lagging, Member, Unstable};
pub(crate) use hosts::Host;
pub(crate) use metadata::Metadata;
pub(crate) use partition::{Partition, Promised};
pub(crate) use replica::Replica;
pub(crate) use segment::Batch;
pub(crate) use stability::{Open, Settled, Step};
pub(crate) use stamp::Stamp;
pub(crate) use transaction_log::{Decision, Entry, Logged, State, TransactionLog};
pub(crate) use transactions::{Fate, Identity, Read, Transaction, Transactions};

use super::{Note, Setup, TopicPromise, Touched};
use crate::base::{
    Instant, LeaderEpoch, Offset, Probe, ReplicaProbe, StorageProbe, TopicPartition, topics,
};
use crate::sim::{
    ClientEvent, ConsumerEvent, HostId, MemberEvent, Observation, Outcome, ProducerEvent, What,
};
use crate::view::{self, Change as Folded, View};
use hosts::{Crew, Hosts};
use replica::{Lost, Place};
use segment::Segment;

/// What an observation did to logs and promises.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// A batch was completed in a replica's log.
    Appended { host: HostId, partition: TopicPartition, batch: Batch, place: Place },
    /// Bytes were written after some that are not a batch.
    Unreadable { host: HostId, partition: TopicPartition, after: Offset, position: u64 },
    /// A replica's log now ends here.
    Cut { host: HostId, partition: TopicPartition, end: Offset },
    /// A batch was completed in a node's metadata log, or in its copy.
    Decided { host: HostId, batch: Batch },
    /// A node's metadata log, or its copy, now ends here.
    Undecided { host: HostId, end: Offset },
    /// A leader on this host exposed batches that no leader had exposed before.
    Promised { host: HostId, partition: TopicPartition },
    /// One of these batches was part of a transaction, or a marker.
    Transaction { partition: TopicPartition, step: Step },
    /// One of these batches had an entry of a transaction coordinator. `before`: what was known of the
    /// transactional id.
    Logged { entry: Entry, before: Option<Logged> },
}

/// A `*.log` file that matters: of which partition, from which offset on.
type FilePlace = Option<(TopicPartition, i64)>;

/// Every replica's log, every promise, every client's records.
pub struct Ghost {
    setup: Setup,
    view: View,
    hosts: Hosts,
    partitions: BTreeMap<TopicPartition, Partition>,
    metadata: Metadata,
    clients: Clients,
    groups: Groups,
    transactions: Transactions,
    transaction_log: TransactionLog,
    compacted: CompactedFiles,
    calm: Calm,
    healed: bool,
    files: BTreeMap<Arc<str>, FilePlace>,
    /// Cleaned segments that do not count yet: they were not renamed to `.swap`.
    cleaned: BTreeMap<(HostId, Arc<str>), Segment>,
    /// Hosts whose surviving files are being listed.
    losing_power: BTreeSet<HostId>,
    notes: Vec<Note>,
}

impl Ghost {
    pub(crate) fn new(setup: Setup) -> Self {
        Self {
            view: View::new(&setup.brokers, setup.min_insync()),
            hosts: Hosts::new(&setup.brokers),
            setup,
            partitions: BTreeMap::new(),
            metadata: Metadata::default(),
            clients: Clients::default(),
            groups: Groups::default(),
            transactions: Transactions::default(),
            transaction_log: TransactionLog::default(),
            compacted: CompactedFiles::default(),
            calm: Calm::default(),
            healed: false,
            files: BTreeMap::new(),
            cleaned: BTreeMap::new(),
            losing_power: BTreeSet::new(),
            notes: Vec::new(),
        }
    }

    /// Clients' operations and outcomes.
    pub(crate) fn clients(&self) -> &Clients {
        &self.clients
    }

    /// Members of groups.
    pub(crate) fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Whether brokers are observed, and not only clients.
    pub(crate) fn observes_brokers(&self) -> bool {
        !self.setup.brokers.is_empty()
    }

    /// Whether the logs of transaction coordinators are observed.
    pub(crate) fn observes_coordinators(&self) -> bool {
        self.view.partitions().any(|(name, _)| *name.topic == *topics::TRANSACTION_STATE)
    }

    /// Clients' transactions.
    pub(crate) fn transactions(&self) -> &Transactions {
        &self.transactions
    }

    /// What transaction coordinators have committed.
    pub(crate) fn transaction_log(&self) -> &TransactionLog {
        &self.transaction_log
    }

    /// The final reads begin: from now on, members leave their groups.
    pub(super) fn reading(&mut self, at: Instant) {
        let (unstable, lag) = (self.unstable(), self.lagging(at));
        self.groups.reading(unstable, lag);
    }

    /// Why some group is not stable now, other than because a member waits in vain, within the contract,
    /// for committed offsets or the outcome of a transaction.
    pub(crate) fn unstable(&self) -> Option<Unstable> {
        self.groups.unstable(&self.view, |member| {
            self.waits_in_vain(&member.group) || self.may_learn_no_outcome(member.host)
        })
    }

    /// The first partition that its group has not read to the end, as far as there is something to
    /// read. Compaction may have taken the last records of a topic, and members don't know where to
    /// read on while they wait for committed offsets in vain.
    pub(crate) fn lagging(&self, now: Instant) -> Option<Lagging> {
        let waits = |group: &str| self.waits_in_vain(group);
        self.groups.lagging(now, &self.view, waits, |name| {
            let (_, leader) = self.view.leader(name).filter(|_| !self.is_compacted(&name.topic))?;
            let log = self.hosts.replica(leader, name)?;
            let end = self.view.exposed_below(name).min(log.end());
            let end = self.readable_below(name, end);
            (end > log.start().max(self.deleted_below(name))).then_some(end)
        })
    }

    /// Whether committed records of a partition were lost within the contract.
    pub(crate) fn has_lost(&self, name: &TopicPartition) -> bool {
        self.notes.iter().any(|note| match note {
            Note::LossWithinContract { partition, .. } => partition == name,
            Note::EndedEarly { .. }
            | Note::StillWorking { .. }
            | Note::PermittedCycle { .. }
            | Note::ToldByDeposed { .. } => false,
        })
    }

    /// Whether the coordinator of a group has lost what it had committed, within the contract.
    pub(crate) fn has_forgotten(&self, group: &str) -> bool {
        self.groups.last_loss(&self.view, group).is_some()
    }

    /// Whether members of a group may have been told less than what is committed: its coordinator lost
    /// that within the contract, or a deposed one that did not know it answered.
    pub(crate) fn may_read_again(&self, group: &str) -> bool {
        self.has_forgotten(group) || self.groups.is_misled(group)
    }

    /// Since when faults have left hosts and links alone.
    pub(crate) fn calm(&self) -> &Calm {
        &self.calm
    }

    /// Whether the last fault has ended.
    pub(crate) fn has_healed(&self) -> bool {
        self.healed
    }

    /// From now on, faults touch these hosts and links. Returns whether they touched others before.
    pub(super) fn touched(&mut self, at: Instant, touched: Touched) -> bool {
        self.calm.set(at, touched)
    }

    /// Whether faults touch a client itself, or cut it off from every broker.
    pub(super) fn is_cut_off(&self, client: HostId) -> bool {
        self.calm.is_cut_off(client, self.hosts.iter().map(|(host, _)| host))
    }

    /// The files of compacted topics.
    pub(crate) fn compacted(&self) -> &CompactedFiles {
        &self.compacted
    }

    /// The metadata log and its copies.
    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Committed states, roles, processes and positions.
    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    /// The promises of a partition.
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

    /// The configuration of a topic.
    pub(crate) fn promise(&self, topic: &str) -> TopicPromise {
        self.setup.promise(topic)
    }

    /// Whether a topic is compacted.
    pub(crate) fn is_compacted(&self, topic: &str) -> bool {
        self.setup.promise(topic).compacted
    }

    /// The partition of a file of clients' data.
    pub(crate) fn partition_of(&self, path: &str) -> Option<TopicPartition> {
        files::partition_of_file(path)
    }

    /// Whether a path is of a compacted topic's log.
    pub(crate) fn is_compacted_path(&self, path: &str) -> bool {
        is_compacted_path(&self.setup, path)
    }

    /// `delete.retention.ms`.
    pub(crate) fn delete_retention(&self, topic: &str) -> Duration {
        self.setup.promise(topic).delete_retention
    }

    /// Whether compaction may have removed a record: its key has a later one that was not aborted, or
    /// it is a tombstone.
    pub(crate) fn is_superseded(&self, send: &Send) -> bool {
        let (promise, name) = (self.setup.promise(&send.partition.topic), &send.partition);
        let Some(key) = promise.key_of(send.value).filter(|_| promise.compacted) else {
            return false;
        };
        let mut later =
            send.offset().into_iter().flat_map(|at| self.clients.later_of(name, key, at));
        send.value & TopicPromise::TOMBSTONE != 0 || later.any(|value| !self.is_aborted(value))
    }

    /// Whether a record is of a transaction that is not committed for sure, and has not lost its marker.
    fn is_aborted(&self, value: u64) -> bool {
        let Some(send) = self.clients.send_of(value) else { return false };
        let txn = send.txn.and_then(|txn| self.transactions.get(send.producer, txn));
        let aborted =
            matches!(txn.map(Transaction::fate), Some(Fate::Aborted(_) | Fate::NeverAsked));
        let lost = send.offset().and_then(|offset| self.lost_outcome(&send.partition, offset));
        aborted && lost.is_none()
    }

    /// Copies that a partition's acknowledged records must have: `min.insync.replicas`, as far as
    /// there are replicas.
    pub(crate) fn copies_needed(&self, name: &TopicPartition) -> usize {
        let replicas = self.view.partition(name).map_or(usize::MAX, |p| p.state().replicas.len());
        self.setup.promise(&name.topic).min_insync_replicas.min(replicas)
    }

    /// Takes the next observation into the view only.
    pub(crate) fn fold(&mut self, seen: &Observation) {
        self.view.fold(seen);
    }

    /// Takes the next observation in, and appends what it changed.
    pub(crate) fn observe(&mut self, seen: &Observation, changes: &mut Vec<Change>) {
        self.view.fold(seen);
        let Observation { at, host, what } = seen;
        if !self.losing_power.is_empty() {
            self.settle_power_losses(*host, what);
        }
        self.calm.observe(*at, *host, what);
        self.metadata.observe(seen, changes);
        self.compacted.observe(seen, |path| is_compacted_path(&self.setup, path));
        let folded = self.view.lend_changes();
        for change in &folded {
            self.follow(*at, *host, what, change, changes);
        }
        match what {
            What::Client(event) => {
                match event {
                    ClientEvent::Member(event) => {
                        self.groups.observe(*at, *host, event);
                        if let MemberEvent::Recalling { consumer }
                        | MemberEvent::Recalled { consumer, .. } = event
                        {
                            self.groups.recalls(&self.view, *consumer);
                        }
                    }
                    ClientEvent::Consumer(ConsumerEvent::Polled {
                        consumer,
                        partition,
                        records,
                        ..
                    }) => {
                        if let Some((last, _)) = records.last() {
                            self.groups.read(*at, *consumer, partition, last.next());
                        }
                    }
                    _ => {}
                }
                let known = &mut self.transactions;
                let partitions = &self.partitions;
                self.clients.observe((*at, *host), event, &self.view, &folded, partitions, known);
                self.keyed(event);
            }
            What::Probe(Probe::Replica(
                probe @ (ReplicaProbe::BecameLeader { partition, topic_id, .. }
                | ReplicaProbe::BecameFollower { partition, topic_id, .. }),
            )) => {
                if let Some(host) = self.hosts.get_mut(*host) {
                    let replica = host.replicas.entry(partition.clone()).or_default();
                    replica.topic_id = Some(*topic_id);
                }
                if matches!(probe, ReplicaProbe::BecameLeader { .. }) {
                    self.began_to_lead(*at, *host, partition);
                }
            }
            What::Probe(Probe::Storage(StorageProbe::Damaged { partition, offset })) => {
                if let Some(host) = self.hosts.get_mut(*host) {
                    host.tells_damage(partition, *offset);
                }
            }
            What::Probe(Probe::Storage(StorageProbe::Hosted { partition, dir })) => {
                self.hosted(*host, partition, dir, changes);
            }
            What::Booted => {
                if let Some(host) = self.hosts.get_mut(*host) {
                    host.replicas.values_mut().for_each(|replica| replica.told_damage.clear());
                }
            }
            What::Probe(Probe::Replica(ReplicaProbe::Expired { partition, start })) => {
                self.expired(*at, *host, partition, *start);
            }
            What::Wrote { path, offset, bytes } => {
                self.wrote(*at, *host, path, *offset, bytes, changes);
            }
            What::Cut { path, len } => self.cut(*host, path, *len, changes),
            What::Removed { path } => self.removed(*at, *host, path, changes),
            What::Renamed { from, to } => self.renamed(*at, *host, from, to, changes),
            What::Survived { path, bytes } => {
                self.survived(*host, path, bytes);
            }
            What::Replaced { files } => self.replaced(*host, files, changes),
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
            What::Probe(_)
            | What::PowerLost { .. }
            | What::Killed
            | What::Ended
            | What::Paused
            | What::Resumed
            | What::Damaged { .. } => {}
        }
        self.view.give_back(folded);
    }

    /// Takes a change of the view in.
    fn follow(
        &mut self,
        at: Instant,
        on: HostId,
        what: &What,
        change: &Folded,
        changes: &mut Vec<Change>,
    ) {
        match change {
            Folded::Committed(committed) => {
                let name = &committed.partition;
                if !self.partitions.contains_key(name) {
                    self.partitions.insert(name.clone(), Partition::default());
                }
                self.forgive_power_losses(name);
            }
            Folded::Gone { partition } => self.gone(partition),
            Folded::Down(down) => {
                self.clients.ended(on);
                self.groups.died(at, on);
                self.transactions.ended(on);
                if let Some(host) = self.hosts.get_mut(on) {
                    host.eligible_at_end.clone_from(&down.eligible);
                }
                if matches!(what, What::PowerLost { .. }) {
                    self.power_lost(on, &down.eligible);
                }
            }
            Folded::Exposed { epoch, upto, .. } => {
                let What::Probe(Probe::Replica(
                    ReplicaProbe::HighWatermark { partition, .. }
                    | ReplicaProbe::AcknowledgedAll { partition, .. },
                )) = what
                else {
                    return;
                };
                self.exposed(at, on, partition, *epoch, *upto, changes);
            }
            Folded::Admitted { .. }
            | Folded::Fenced { .. }
            | Folded::TookOver { .. }
            | Folded::Answered { .. }
            | Folded::Jumped { .. }
            | Folded::Passed { .. }
            | Folded::SetBack
            | Folded::Stopped { .. } => {}
        }
    }

    /// Notes where the latest record of each key is, as clients learn it.
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
                self.clients.keyed(&partition, key, (offset, value));
            }
        }
    }

    /// A partition's promises ended with its topic.
    fn gone(&mut self, name: &TopicPartition) {
        self.partitions.remove(name);
        self.clients.forget(name);
        self.groups.gone(name);
        for host in self.hosts.iter_mut() {
            if let Some(replica) = host.replicas.get_mut(name) {
                replica.agreed.set(0);
                replica.lost.clear();
            }
        }
    }
}

/// Whether a path is of a compacted topic's log; `__transaction_state` always is one.
fn is_compacted_path(setup: &Setup, path: &str) -> bool {
    if !path.contains(".log") {
        return false;
    }
    let any = setup.topics.values().any(|promise| promise.compacted);
    path.contains(topics::TRANSACTION_STATE)
        || any
            && files::partition_of_file(path)
                .is_some_and(|name| setup.promise(&name.topic).compacted)
}
