//! Watches a run for situations. It sees what the judge sees, after it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::{Feature, Reached, Situation};
use crate::base::{
    BrokerEpoch, BrokerId, ControllerProbe, Instant, LeaderEpoch, NodeProbe, Offset,
    PartitionCommitted, PartitionEpoch, Probe, ReplicaProbe, Request, StorageProbe, TopicPartition,
};
use crate::check::Ghost;
use crate::sim::{ClientEvent, ConsumerEvent, HostId, Observation, Outcome, ProducerEvent, What};

/// A situation counts as one under a fault for so long after the fault struck: within it fall
/// sessions, lag and retries as scenarios set them.
const WAKE: Duration = Duration::from_secs(8);
/// The kind of fault where there was none.
const CALM: &str = "calm";

/// Where something happens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Partition(TopicPartition),
    Host(HostId),
}

/// A partition as the controller last committed it, and who believes to lead it.
#[derive(Debug, Default)]
struct Told {
    version: Option<PartitionEpoch>,
    leader: Option<BrokerId>,
    epoch: LeaderEpoch,
    isr: Vec<BrokerId>,
    /// The epoch in which a leader last appended.
    written: Option<LeaderEpoch>,
    /// Who leads, as far as they know.
    leading: BTreeMap<HostId, LeaderEpoch>,
    /// A leader that has just taken over, until it says where its high watermark is.
    fresh: Option<HostId>,
}

#[derive(Debug, Default)]
struct Node {
    up: bool,
    ready: bool,
    failed: bool,
}

/// Collects what a run reaches.
#[derive(Debug)]
pub(crate) struct Lookout {
    min_insync: usize,
    brokers: BTreeMap<BrokerId, HostId>,
    /// Nothing before this counts: a cluster that comes up is no event.
    began: bool,
    partitions: BTreeMap<TopicPartition, Told>,
    nodes: BTreeMap<HostId, Node>,
    controllers: u64,
    /// A controller tells again what it reads from its log.
    retelling: Option<HostId>,
    /// Which start of each broker was admitted last.
    admitted: BTreeMap<BrokerId, BrokerEpoch>,
    /// Where each consumer would read next.
    positions: BTreeMap<(u32, TopicPartition), Offset>,
    strikes: VecDeque<(Instant, &'static str)>,
    latest: BTreeMap<Place, Situation>,
    reached: Reached,
}

impl Lookout {
    /// Nothing seen yet.
    pub fn new(min_insync: usize, brokers: impl IntoIterator<Item = (BrokerId, HostId)>) -> Self {
        Self {
            min_insync,
            brokers: brokers.into_iter().collect(),
            began: false,
            partitions: BTreeMap::new(),
            nodes: BTreeMap::new(),
            controllers: 0,
            retelling: None,
            admitted: BTreeMap::new(),
            positions: BTreeMap::new(),
            strikes: VecDeque::new(),
            latest: BTreeMap::new(),
            reached: Reached::default(),
        }
    }

    /// The cluster is there; from now on everything counts.
    pub fn began(&mut self) {
        self.began = true;
    }

    /// A fault struck.
    pub fn struck(&mut self, at: Instant, kind: &'static str) {
        self.strikes.push_back((at, kind));
    }

    /// What was reached; `lost` if committed records are gone by permission.
    pub fn finish(mut self, now: Instant, lost: bool) -> Reached {
        if lost {
            self.note(now, Situation::PermittedLoss, None);
        }
        self.reached
    }

    /// Looks at the next thing that happened.
    pub fn see(&mut self, seen: &Observation, ghost: &Ghost) {
        let (at, host) = (seen.at, seen.host);
        let here = || Some(Place::Host(host));
        match &seen.what {
            What::Probe(probe) => self.probe(at, host, probe, ghost),
            What::Client(event) => self.client(at, event),
            What::Wrote { path, offset: 0, .. } if is_later_segment(path) => {
                self.note(at, Situation::SegmentRolled, here());
            }
            What::Booted => {
                self.nodes.insert(host, Node { up: true, ..Node::default() });
            }
            What::Killed | What::PowerLost { .. } => {
                let node = self.nodes.get(&host);
                let recovers = node.is_some_and(|node| node.up && !node.ready);
                self.down(host);
                if recovers {
                    self.note(at, Situation::DiedRecovering, here());
                }
                if matches!(seen.what, What::PowerLost { lost_pages } if lost_pages > 0) {
                    self.note(at, Situation::DirtyPagesLost, here());
                }
            }
            What::Ended => {
                let closed = self.nodes.get(&host).is_some_and(|node| node.ready && !node.failed);
                self.down(host);
                if closed {
                    self.note(at, Situation::CleanShutdown, here());
                }
            }
            What::Resumed => {
                let deposed = self.partitions.iter().filter(|(_, told)| {
                    told.leading.get(&host).is_some_and(|epoch| *epoch < told.epoch)
                });
                let names: Vec<_> = deposed.map(|(name, _)| name.clone()).collect();
                for name in names {
                    self.note(at, Situation::WokeDeposed, Some(Place::Partition(name)));
                }
            }
            _ => {}
        }
    }

    fn down(&mut self, host: HostId) {
        self.nodes.insert(host, Node::default());
        // A session that ends later is that of a process which is gone.
        let brokers = &self.brokers;
        self.admitted.retain(|id, _| brokers.get(id) != Some(&host));
        for told in self.partitions.values_mut() {
            told.leading.remove(&host);
        }
    }

    fn probe(&mut self, at: Instant, host: HostId, probe: &Probe, ghost: &Ghost) {
        let of = |name: &TopicPartition| Some(Place::Partition(name.clone()));
        match probe {
            Probe::Node(NodeProbe::Ready) => {
                self.nodes.entry(host).or_default().ready = true;
                self.retelling.take_if(|controller| *controller == host);
            }
            Probe::Controller(ControllerProbe::PartitionCommitted(PartitionCommitted {
                partition,
                ..
            })) => {
                for situation in self.committed(probe, ghost) {
                    self.note(at, situation, of(partition));
                }
            }
            Probe::Replica(ReplicaProbe::BecameLeader { partition, epoch, .. }) => {
                let told = self.partitions.entry(partition.clone()).or_default();
                told.leading.insert(host, *epoch);
                told.fresh = Some(host);
                if told.leading.len() > 1 {
                    self.note(at, Situation::TwoLeaders, of(partition));
                }
            }
            Probe::Replica(ReplicaProbe::BecameFollower { partition, .. }) => {
                if let Some(told) = self.partitions.get_mut(partition) {
                    told.leading.remove(&host);
                }
            }
            Probe::Replica(ReplicaProbe::LeaderAppended { partition, epoch, .. }) => {
                let told = self.partitions.entry(partition.clone()).or_default();
                told.written = told.written.max(Some(*epoch));
                if *epoch < told.epoch {
                    self.note(at, Situation::DeposedAppend, of(partition));
                }
            }
            Probe::Replica(ReplicaProbe::HighWatermark {
                partition, leads: true, offset, ..
            }) => {
                let Some(told) = self.partitions.get_mut(partition) else { return };
                let first = told.fresh.take_if(|fresh| *fresh == host).is_some();
                if first && *offset < ghost.exposed_below(partition) {
                    self.note(at, Situation::HighWatermarkBehind, of(partition));
                }
            }
            Probe::Replica(ReplicaProbe::Truncated { partition, end }) => {
                self.note(at, Situation::Truncated, of(partition));
                if *end < ghost.exposed_below(partition) {
                    self.note(at, Situation::TruncatedExposed, of(partition));
                }
            }
            Probe::Controller(ControllerProbe::BecameController { .. }) => {
                self.controllers += 1;
                self.retelling = Some(host);
                if self.controllers > 1 {
                    self.note(at, Situation::ControllerRestart, Some(Place::Host(host)));
                }
            }
            Probe::Controller(ControllerProbe::BrokerUnfenced { broker, epoch }) => {
                self.admitted.insert(*broker, *epoch);
            }
            // Not one that registers anew, which is fenced at first.
            Probe::Controller(ControllerProbe::BrokerFenced { broker, epoch }) => {
                let fenced = self.brokers.get(broker).copied();
                let told = self.retelling.is_none() && self.admitted.get(broker) == Some(epoch);
                let node = fenced.and_then(|id| self.nodes.get(&id));
                let runs = told && node.is_some_and(|node| node.up);
                if let (true, Some(id)) = (runs, fenced) {
                    self.note(at, Situation::FencedAlive, Some(Place::Host(id)));
                }
            }
            Probe::Storage(StorageProbe::Damaged { partition, .. }) => {
                self.note(at, Situation::Damaged, of(partition));
            }
            Probe::Storage(StorageProbe::Failed { partition, full }) => {
                let situation = if *full { Situation::DiskFull } else { Situation::SyncFailed };
                self.nodes.entry(host).or_default().failed |= !full;
                self.note(at, situation, of(partition));
            }
            other => self.said(at, other),
        }
    }

    /// What a probe says by itself.
    fn said(&mut self, at: Instant, probe: &Probe) {
        let (partition, situations) = match probe {
            Probe::Replica(ReplicaProbe::StartedOver { partition, .. }) => {
                (partition, vec![Situation::StartedOver])
            }
            Probe::Replica(ReplicaProbe::Duplicate { partition, .. }) => {
                (partition, vec![Situation::DuplicateBatch])
            }
            Probe::Replica(ReplicaProbe::EpochAnswered {
                partition,
                by_request,
                asked,
                answered,
                ..
            }) => {
                let older = answered < asked;
                let situations = match by_request {
                    true => vec![Situation::EpochAnswered],
                    false if older => vec![Situation::Diverging, Situation::DivergingOlder],
                    false => vec![Situation::Diverging],
                };
                (partition, situations)
            }
            // Nobody ever closes the metadata log.
            Probe::Storage(StorageProbe::Recovered { partition, cut, short })
                if !partition.topic.starts_with("__") =>
            {
                let mut situations = vec![Situation::UncleanRecovery];
                situations.extend((*cut > 0).then_some(Situation::TornTail));
                situations.extend(short.then_some(Situation::ShortLog));
                (partition, situations)
            }
            Probe::Replica(ReplicaProbe::Refused { partition, request, error }) => {
                (partition, refusal(*request, error).into_iter().collect())
            }
            _ => return,
        };
        for situation in situations {
            self.note(at, situation, Some(Place::Partition(partition.clone())));
        }
    }

    /// What the controller's decision amounts to.
    fn committed(&mut self, probe: &Probe, ghost: &Ghost) -> Vec<Situation> {
        let Probe::Controller(ControllerProbe::PartitionCommitted(PartitionCommitted {
            partition,
            leader,
            leader_epoch,
            partition_epoch,
            replicas,
            isr,
            unclean,
            ..
        })) = probe
        else {
            return Vec::new();
        };
        let told = self.partitions.entry(partition.clone()).or_default();
        // A controller that boots tells again what it reads from its log.
        if told.version.is_some_and(|known| known >= *partition_epoch) {
            return Vec::new();
        }
        let mut found = Vec::new();
        let new = told.version.replace(*partition_epoch).is_none();
        let elected = !new && *leader_epoch > told.epoch;
        if elected {
            let silent = told.leader.is_some() && told.written.is_none_or(|w| w < told.epoch);
            found.extend(silent.then_some(Situation::SilentEpoch));
            found.push(match leader {
                None => Situation::Leaderless,
                Some(id) if told.isr.contains(id) => Situation::IsrElection,
                Some(_) if !unclean => Situation::ElrElection,
                Some(_) if ghost.is_last_known_leader(partition, *leader_epoch) => {
                    Situation::LastKnownLeader
                }
                Some(_) => Situation::UncleanElection,
            });
        }
        let min = self.min_insync.min(replicas.len());
        if isr.len() < told.isr.len() {
            found.push(Situation::IsrShrunk);
            let below = isr.len() < min && told.isr.len() >= min;
            found.extend(below.then_some(Situation::IsrBelowMin));
            found.extend(isr.is_empty().then_some(Situation::IsrEmpty));
        } else if !new && isr.len() > told.isr.len() {
            found.push(Situation::IsrGrown);
        }
        (told.leader, told.epoch) = (*leader, *leader_epoch);
        told.isr.clone_from(isr);
        found
    }

    fn client(&mut self, at: Instant, event: &ClientEvent) {
        match event {
            ClientEvent::Producer(ProducerEvent::Told {
                outcome: Outcome::Unknown { .. }, ..
            }) => {
                self.note(at, Situation::Unknown, None);
            }
            ClientEvent::Consumer(ConsumerEvent::Polled { consumer, partition, records }) => {
                if let Some((last, _)) = records.last() {
                    let position = (*consumer, partition.clone());
                    self.positions.insert(position, last.next());
                }
            }
            ClientEvent::Consumer(ConsumerEvent::Positioned { consumer, partition, offset }) => {
                let position = (*consumer, partition.clone());
                let before = self.positions.insert(position, *offset);
                if before.is_some_and(|before| *offset < before) {
                    let place = Some(Place::Partition(partition.clone()));
                    self.note(at, Situation::SetBack, place);
                }
            }
            _ => {}
        }
    }

    fn note(&mut self, at: Instant, situation: Situation, place: Option<Place>) {
        if !self.began {
            return;
        }
        while self.strikes.front().is_some_and(|(struck, _)| *struck + WAKE < at) {
            self.strikes.pop_front();
        }
        self.reached.situations.insert(situation);
        let kinds: BTreeSet<&'static str> = self.strikes.iter().map(|(_, kind)| *kind).collect();
        let calm = kinds.is_empty().then_some(CALM);
        for kind in kinds.into_iter().chain(calm) {
            self.reached.features.insert(Feature::Under(situation, kind));
        }
        let Some(place) = place else { return };
        let before = self.latest.insert(place, situation);
        if let Some(before) = before.filter(|before| *before != situation) {
            self.reached.features.insert(Feature::Then(before, situation));
        }
    }
}

/// Which situation a refusal is, if it has a name of its own.
fn refusal(request: Request, error: &str) -> Option<Situation> {
    Some(match (request, error) {
        (Request::AlterPartition, _) => Situation::IsrRefused,
        (Request::Produce, "NOT_LEADER_OR_FOLLOWER") => Situation::NotLeader,
        (Request::Produce, "NOT_ENOUGH_REPLICAS") => Situation::NotEnough,
        (Request::Produce, "NOT_ENOUGH_REPLICAS_AFTER_APPEND") => Situation::NotEnoughAfter,
        (Request::Produce, "OUT_OF_ORDER_SEQUENCE_NUMBER") => Situation::OutOfOrder,
        (Request::Produce, "INVALID_PRODUCER_EPOCH") => Situation::ProducerFenced,
        (Request::Fetch, "FENCED_LEADER_EPOCH") => Situation::FencedEpoch,
        (Request::Fetch, "UNKNOWN_LEADER_EPOCH") => Situation::UnknownEpoch,
        (Request::Fetch, "OFFSET_OUT_OF_RANGE") => Situation::OutOfRange,
        _ => return None,
    })
}

/// Whether a file is a segment of clients' data that is not its log's first.
fn is_later_segment(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    let (file, dir) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let base = file.strip_suffix(".log").and_then(|base| base.parse::<u64>().ok());
    base.is_some_and(|base| base > 0) && !dir.starts_with("__")
}
