//! Keeps everything that a picture may need of a run, in order. Nothing is decided here: the shown
//! part is chosen when the run is over and the record that matters is known.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::coordinator::{Coordinators, partition_in};
use super::ledger::{Fact, Ledger, Verified, is_of_coordinator};
use super::messages::{Message, Messages};
use crate::base::{BrokerId, Instant, LeaderEpoch, Offset, Probe, ReplicaProbe, TopicPartition};
use crate::check::{Ghost, Violation};
use crate::run::{Lane, Observer};
use crate::sim::{
    ClientEvent, ConsumerEvent, HostId, MemberEvent, Observation, Outcome, ProducerEvent, Shot,
    What,
};
use crate::view::{Change, View};

/// An event of a host's process, or an operation on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Operation {
    pub at: Instant,
    pub host: HostId,
    pub other: Option<HostId>,
    pub what: OperationKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OperationKind {
    Killed,
    PowerLost {
        /// Dirty pages that are gone or torn.
        pages: u64,
    },
    Ended,
    Booted,
    Paused,
    Resumed,
    /// An operation that only the driver reports: `cut`, `heal`, `hold`, `clock`, …
    Driver(String),
}

/// A partition's state, as the controller committed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    pub at: Instant,
    pub host: HostId,
    pub leader: Option<BrokerId>,
    pub epoch: LeaderEpoch,
    pub isr: Vec<BrokerId>,
    pub unclean: bool,
    /// Not in sync, but the last leader, when all eligible replicas had lost data (KIP-966).
    pub last_known: bool,
}

/// A replica's log end, from this moment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub at: Instant,
    pub end: Offset,
    /// Epoch of its last batch.
    pub epoch: LeaderEpoch,
}

/// Everything kept of one partition.
#[derive(Clone, Debug, Default)]
pub(super) struct Track {
    pub commits: Vec<Commit>,
    pub ends: BTreeMap<HostId, Vec<End>>,
    /// Leaders' high watermarks, in order of time.
    pub watermarks: Vec<(Instant, HostId, Offset)>,
    /// Roles that replicas took: whether each leads (`true`) or follows.
    pub roles: Vec<(Instant, HostId, LeaderEpoch, bool)>,
    pub truncated: Vec<(Instant, HostId, Offset)>,
}

/// A record that a producer tried to send.
#[derive(Clone, Debug)]
pub(super) struct Send {
    pub at: Instant,
    pub host: HostId,
    pub producer: u32,
    pub op: u64,
    pub partition: TopicPartition,
    pub value: u64,
    pub acks: &'static str,
    /// The number of its transaction, of its producer's.
    pub txn: Option<u64>,
    pub told: Option<(Instant, Outcome)>,
}

/// A record that a consumer got.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub at: Instant,
    pub host: HostId,
    pub partition: TopicPartition,
    pub offset: Offset,
    pub value: u64,
}

/// What a member of a group reported.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub at: Instant,
    pub host: HostId,
    pub event: MemberEvent,
}

/// Watches one run.
#[derive(Debug, Default)]
pub struct Recorder {
    pub(super) lanes: Vec<Lane>,
    pub(super) began: Option<Instant>,
    pub(super) healed: Option<Instant>,
    pub(super) now: Instant,
    pub(super) operations: Vec<Operation>,
    pub(super) tracks: BTreeMap<TopicPartition, Track>,
    /// In the order of sending.
    pub(super) sends: Vec<Send>,
    by_op: BTreeMap<(u32, u64), usize>,
    pub(super) reads: Vec<Read>,
    /// Everything that members of groups reported, in order.
    pub(super) said: Vec<Said>,
    pub(super) coordinators: Coordinators,
    pub(super) ledger: Ledger,
    pub(super) violations: Vec<Violation>,
    pub(super) messages: Messages,
    paths: BTreeMap<Arc<str>, Option<TopicPartition>>,
    /// Hosts whose logs are not yet known after a power loss, and since when.
    powerless: Vec<(HostId, Instant)>,
}

impl Observer for Recorder {
    fn lanes(&self) -> usize {
        self.lanes.len()
    }

    fn hosts(&mut self, hosts: Vec<Lane>) {
        self.lanes = hosts;
    }

    fn began(&mut self, at: Instant) {
        self.began = Some(at);
    }

    fn healed(&mut self, at: Instant) {
        self.healed = Some(at);
    }

    fn judged(&mut self, violations: &[Violation]) {
        self.violations = violations.to_vec();
    }

    fn roll(&mut self, now: Instant, film: Vec<Shot>) {
        self.now = now;
        for shot in film {
            match shot {
                Shot::Action { at, name, host, other } => {
                    // These are observed as well, with more to say.
                    if !["kill", "power-loss", "boot", "pause", "resume", "ended"]
                        .contains(&name.as_str())
                    {
                        self.operations.push(Operation {
                            at,
                            host,
                            other,
                            what: OperationKind::Driver(name),
                        });
                    }
                }
                Shot::Arrived { .. } => self.messages.arrived(&shot),
            }
        }
    }

    fn see(&mut self, seen: &Observation, ghost: &Ghost) {
        self.now = seen.at;
        self.find_survivors(seen, ghost);
        self.coordinated(seen, ghost.view());
        let (at, host) = (seen.at, seen.host);
        for change in ghost.view().changes() {
            if let Change::Committed(committed) = change {
                self.committed(at, host, &committed.partition, ghost.view());
            }
        }
        let mut operation = |what| self.operations.push(Operation { at, host, other: None, what });
        if matches!(seen.what, What::Killed | What::Ended | What::PowerLost { .. }) {
            self.ledger.add(at, host, Fact::Ended);
        }
        match &seen.what {
            What::Killed => operation(OperationKind::Killed),
            What::Ended => operation(OperationKind::Ended),
            What::Booted => operation(OperationKind::Booted),
            What::Paused => operation(OperationKind::Paused),
            What::Resumed => operation(OperationKind::Resumed),
            What::PowerLost { lost_pages } => {
                operation(OperationKind::PowerLost { pages: *lost_pages });
                self.powerless.push((host, at));
            }
            What::Wrote { path, .. } | What::Cut { path, .. } | What::Removed { path } => {
                if let Some(partition) = self.partition_of(path) {
                    self.ledger.wrote(at, host, &partition, ghost);
                    // Only clients' data are drawn as curves.
                    if !partition.topic.starts_with("__") {
                        self.measure(at, host, &partition, ghost);
                    }
                }
            }
            What::Probe(probe) => {
                self.probe(at, host, probe);
                if let Probe::Replica(ReplicaProbe::HighWatermark {
                    partition, leads: true, ..
                }) = probe
                {
                    self.ledger.exposed(at, partition, ghost);
                }
            }
            What::Client(event) => self.client(at, host, event),
            _ => {}
        }
    }
}

impl Recorder {
    /// What leaders asked coordinators of transactions.
    pub(super) fn verified(&self) -> &[Verified] {
        self.messages.verified()
    }

    /// Everything that was said between hosts.
    pub(super) fn messages(&self) -> &[Message] {
        self.messages.all()
    }

    /// Once all surviving files of a host that lost power were seen, its logs are known again.
    fn find_survivors(&mut self, seen: &Observation, ghost: &Ghost) {
        if self.powerless.is_empty() || matches!(seen.what, What::Survived { .. }) {
            return;
        }
        for (host, at) in std::mem::take(&mut self.powerless) {
            let names: Vec<_> = self.tracks.keys().cloned().collect();
            for name in names {
                self.measure(at, host, &name, ghost);
            }
        }
    }

    /// The partition whose log a path belongs to, unless it is that of the metadata, or of
    /// coordinators of transactions, whose records are in none.
    fn partition_of(&mut self, path: &Arc<str>) -> Option<TopicPartition> {
        if let Some(known) = self.paths.get(path) {
            return known.clone();
        }
        let named = partition_in(path).filter(|name| {
            name.topic.as_ref() != "__cluster_metadata"
                && name.topic.as_ref() != "__transaction_state"
        });
        self.paths.insert(path.clone(), named.clone());
        named
    }

    /// What a coordinator writes to its log is the state of its groups, or of its transactional ids.
    fn coordinated(&mut self, seen: &Observation, view: &View) {
        let What::Wrote { path, bytes, .. } = &seen.what else { return };
        let of_groups = Coordinators::partition_of(path);
        let of =
            of_groups.clone().or_else(|| is_of_coordinator(path).then(|| partition_in(path))?);
        let Some(partition) = of else { return };
        if view.leader(&partition).is_none_or(|(_, leader)| leader != seen.host) {
            return;
        }
        if of_groups.is_some() {
            self.coordinators.wrote(seen.at, seen.host, &partition, bytes);
        } else {
            self.ledger.decided(seen.at, seen.host, &partition, bytes);
        }
    }

    fn measure(&mut self, at: Instant, host: HostId, partition: &TopicPartition, ghost: &Ghost) {
        let replica = ghost.replica(host, partition);
        let end = replica.map_or(Offset::ZERO, |replica| replica.end());
        let epoch = replica.and_then(|replica| replica.last()).map(|last| last.epoch);
        let epoch = epoch.unwrap_or(LeaderEpoch(-1));
        if !self.tracks.contains_key(partition) {
            self.tracks.insert(partition.clone(), Track::default());
        }
        let Some(track) = self.tracks.get_mut(partition) else { return };
        let ends = track.ends.entry(host).or_default();
        let known = ends.last().map_or(Offset::ZERO, |last| last.end);
        // One write may bring batches of several epochs: each is told, so that a record's own
        // epoch is known.
        if let Some(replica) = replica
            && end > known
        {
            let mut before: Option<LeaderEpoch> = None;
            for batch in replica.batches_from(known).filter(|batch| batch.base >= known) {
                if let Some(epoch) = before.filter(|epoch| *epoch != batch.epoch) {
                    ends.push(End { at, end: batch.base, epoch });
                }
                before = Some(batch.epoch);
            }
        }
        if ends.last().is_none_or(|last| (last.end, last.epoch) != (end, epoch)) {
            ends.push(End { at, end, epoch });
        }
    }

    fn probe(&mut self, at: Instant, host: HostId, probe: &Probe) {
        match probe {
            Probe::Replica(ReplicaProbe::BecameLeader { partition, epoch, .. }) => {
                let track = self.tracks.entry(partition.clone()).or_default();
                track.roles.push((at, host, *epoch, true));
            }
            Probe::Replica(ReplicaProbe::BecameFollower { partition, epoch, .. }) => {
                let track = self.tracks.entry(partition.clone()).or_default();
                track.roles.push((at, host, *epoch, false));
            }
            Probe::Replica(ReplicaProbe::HighWatermark {
                partition, leads: true, offset, ..
            }) => {
                let track = self.tracks.entry(partition.clone()).or_default();
                track.watermarks.push((at, host, *offset));
            }
            Probe::Replica(ReplicaProbe::Truncated { partition, end }) => {
                let track = self.tracks.entry(partition.clone()).or_default();
                track.truncated.push((at, host, *end));
            }
            _ => {}
        }
    }

    fn committed(&mut self, at: Instant, host: HostId, name: &TopicPartition, view: &View) {
        let Some(partition) = view.partition(name) else { return };
        let state = partition.state();
        let track = self.tracks.entry(name.clone()).or_default();
        let last_known = partition.last_known() == Some(state.leader_epoch);
        let next = Commit {
            at,
            host,
            leader: state.leader,
            epoch: state.leader_epoch,
            isr: state.isr.clone(),
            unclean: state.unclean,
            last_known: state.unclean && last_known,
        };
        // Changes of other fields do not show.
        let same = track.commits.last().is_some_and(|last| {
            (last.leader, last.epoch, &last.isr) == (next.leader, next.epoch, &next.isr)
        });
        if !same {
            track.commits.push(next);
        }
    }

    fn client(&mut self, at: Instant, host: HostId, event: &ClientEvent) {
        match event {
            ClientEvent::Producer(ProducerEvent::Sent {
                producer,
                op,
                partition,
                value,
                acks,
                txn,
                ..
            }) => {
                if let (producer, Some(txn)) = (*producer, *txn) {
                    self.ledger.add(at, host, Fact::Sent { producer, txn });
                }
                self.by_op.insert((*producer, *op), self.sends.len());
                self.sends.push(Send {
                    at,
                    host,
                    producer: *producer,
                    op: *op,
                    partition: partition.clone(),
                    value: *value,
                    acks: super::words::acks(*acks),
                    txn: *txn,
                    told: None,
                });
            }
            ClientEvent::Producer(ProducerEvent::Told { producer, op, outcome }) => {
                let index = self.by_op.remove(&(*producer, *op));
                if let Some(send) = index.and_then(|index| self.sends.get_mut(index)) {
                    send.told = Some((at, outcome.clone()));
                }
            }
            ClientEvent::Consumer(ConsumerEvent::Polled { partition, records, .. }) => {
                self.reads.extend(records.iter().map(|(offset, value)| Read {
                    at,
                    host,
                    partition: partition.clone(),
                    offset: *offset,
                    value: *value,
                }));
            }
            ClientEvent::Transaction(event) => {
                self.ledger.add(at, host, Fact::Said(event.clone()));
            }
            ClientEvent::Member(event) => {
                self.said.push(Said { at, host, event: event.clone() });
            }
            _ => {}
        }
    }
}
