//! Records the situations that a run reaches, from what the view makes of each observation.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::transactions::Coordinated;
use super::{Feature, Reached, Situation};
use crate::base::{
    ControllerProbe, Instant, LeaderEpoch, Probe, ReplicaProbe, Request, StorageProbe,
    TopicPartition,
};
use crate::check::Ghost;
use crate::sim::{ClientEvent, ConsumerEvent, HostId, Observation, Outcome, ProducerEvent, What};
use crate::view::{Change, Committed, Down, Election, Partition, View};

/// How long after a fault a situation counts as being under it; longer than sessions, lag and
/// retries in the scenarios.
const WAKE: Duration = Duration::from_secs(8);
/// The kind of fault if there was none.
const CALM: &str = "calm";

/// The place of a situation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Partition(TopicPartition),
    Host(HostId),
}

/// Collects the situations that a run reaches.
#[derive(Debug)]
pub(crate) struct CoverageObserver {
    min_insync: usize,
    /// Nothing before the load counts: the startup of a cluster is not an event.
    began: bool,
    strikes: VecDeque<(Instant, &'static str)>,
    latest: BTreeMap<Place, Situation>,
    transactions: Coordinated,
    reached: Reached,
}

impl CoverageObserver {
    /// Nothing reached yet.
    pub fn new(min_insync: usize) -> Self {
        Self {
            min_insync,
            began: false,
            strikes: VecDeque::new(),
            latest: BTreeMap::new(),
            transactions: Coordinated::default(),
            reached: Reached::default(),
        }
    }

    /// The cluster has started: everything counts from now on.
    pub fn began(&mut self) {
        self.began = true;
    }

    /// A fault struck.
    pub fn struck(&mut self, at: Instant, kind: &'static str) {
        self.strikes.push_back((at, kind));
    }

    /// Everything that was reached; `lost` if committed records are gone as permitted.
    pub fn finish(mut self, now: Instant, lost: bool) -> Reached {
        if lost {
            self.note(now, Situation::PermittedLoss, None);
        }
        self.reached
    }

    /// Takes the next observation, which the ghost has seen.
    pub fn see(&mut self, seen: &Observation, ghost: &Ghost) {
        let view = ghost.view();
        for (situation, place) in self.transactions.see(seen, ghost) {
            self.note(seen.at, situation, place.map(Place::Partition));
        }
        for change in view.changes() {
            self.changed(seen, change, view);
        }
        let at = seen.at;
        match &seen.what {
            What::Probe(Probe::Replica(probe)) => self.replica(at, probe, view),
            What::Probe(Probe::Storage(probe)) => self.storage(at, probe),
            What::Probe(Probe::Controller(ControllerProbe::BecameController { .. }))
                if view.controllers() > 1 =>
            {
                self.note(at, Situation::ControllerRestart, Some(Place::Host(seen.host)));
            }
            What::Client(ClientEvent::Producer(ProducerEvent::Told {
                outcome: Outcome::Unknown { .. },
                ..
            })) => self.note(at, Situation::Unknown, None),
            What::Wrote { path, offset: 0, .. } if is_later_segment(path) => {
                self.note(at, Situation::SegmentRolled, Some(Place::Host(seen.host)));
            }
            What::Resumed => {
                let roles = view.node(seen.host).map(|node| &node.roles);
                for (name, role) in roles.into_iter().flatten() {
                    if role.leads && is_deposed(view.partition(name), role.epoch) {
                        self.note(at, Situation::WokeDeposed, place(name));
                    }
                }
            }
            _ => {}
        }
    }

    fn changed(&mut self, seen: &Observation, change: &Change, view: &View) {
        let at = seen.at;
        match (change, &seen.what) {
            (Change::Committed(committed), _) => {
                for situation in self.committed(committed, view) {
                    self.note(at, situation, place(&committed.partition));
                }
            }
            (Change::Down(down), what) => self.down(at, seen.host, down, what),
            (Change::Fenced { host }, _) => {
                self.note(at, Situation::FencedAlive, Some(Place::Host(*host)));
            }
            (
                Change::Exposed { behind: true, .. },
                What::Probe(Probe::Replica(ReplicaProbe::HighWatermark { partition, .. })),
            ) => self.note(at, Situation::HighWatermarkBehind, place(partition)),
            (
                Change::SetBack,
                What::Client(ClientEvent::Consumer(ConsumerEvent::Positioned {
                    partition, ..
                })),
            ) => self.note(at, Situation::SetBack, place(partition)),
            _ => {}
        }
    }

    fn down(&mut self, at: Instant, host: HostId, down: &Down, what: &What) {
        let here = || Some(Place::Host(host));
        if matches!(what, What::Ended) {
            if down.ready && !down.failed {
                self.note(at, Situation::CleanShutdown, here());
            }
            return;
        }
        if down.up && !down.ready {
            self.note(at, Situation::DiedRecovering, here());
        }
        if matches!(what, What::PowerLost { lost_pages } if *lost_pages > 0) {
            self.note(at, Situation::DirtyPagesLost, here());
        }
    }

    fn replica(&mut self, at: Instant, probe: &ReplicaProbe, view: &View) {
        match probe {
            ReplicaProbe::BecameLeader { partition, .. } if view.leaders(partition) > 1 => {
                self.note(at, Situation::TwoLeaders, place(partition));
            }
            ReplicaProbe::LeaderAppended { partition, epoch, .. }
                if is_deposed(view.partition(partition), *epoch) =>
            {
                self.note(at, Situation::DeposedAppend, place(partition));
            }
            ReplicaProbe::Truncated { partition, end } => {
                self.note(at, Situation::Truncated, place(partition));
                if *end < view.exposed_below(partition) {
                    self.note(at, Situation::TruncatedExposed, place(partition));
                }
            }
            ReplicaProbe::StartedOver { partition, .. } => {
                self.note(at, Situation::StartedOver, place(partition));
            }
            ReplicaProbe::Duplicate { partition, .. } => {
                self.note(at, Situation::DuplicateBatch, place(partition));
            }
            ReplicaProbe::EpochAnswered { partition, by_request, asked, answered, .. } => {
                if *by_request {
                    self.note(at, Situation::EpochAnswered, place(partition));
                    return;
                }
                self.note(at, Situation::Diverging, place(partition));
                if answered < asked {
                    self.note(at, Situation::DivergingOlder, place(partition));
                }
            }
            ReplicaProbe::Refused { partition, request, error } => {
                if let Some(situation) = refusal(*request, error) {
                    self.note(at, situation, place(partition));
                }
            }
            _ => {}
        }
    }

    fn storage(&mut self, at: Instant, probe: &StorageProbe) {
        match probe {
            StorageProbe::Damaged { partition, .. } => {
                self.note(at, Situation::Damaged, place(partition));
            }
            StorageProbe::Failed { partition, full } => {
                let situation = if *full { Situation::DiskFull } else { Situation::SyncFailed };
                self.note(at, situation, place(partition));
            }
            // The metadata log is never closed cleanly.
            StorageProbe::Recovered { partition, cut, short }
                if !partition.topic.starts_with("__") =>
            {
                self.note(at, Situation::UncleanRecovery, place(partition));
                if *cut > 0 {
                    self.note(at, Situation::TornTail, place(partition));
                }
                if *short {
                    self.note(at, Situation::ShortLog, place(partition));
                }
            }
            StorageProbe::Recovered { .. } | StorageProbe::Hosted { .. } => {}
        }
    }

    /// The situations that a committed state shows.
    fn committed(&self, committed: &Committed, view: &View) -> Vec<Situation> {
        let Some(partition) = view.partition(&committed.partition) else { return Vec::new() };
        let (Some(before), state) = (&committed.before, partition.state()) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        if let Some(election) = committed.election {
            let silent = before.leader.is_some() && !partition.is_written_in(before.leader_epoch);
            found.extend(silent.then_some(Situation::SilentEpoch));
            found.push(match election {
                Election::Leaderless => Situation::Leaderless,
                Election::Isr => Situation::IsrElection,
                Election::Elr => Situation::ElrElection,
                Election::LastKnownLeader => Situation::LastKnownLeader,
                Election::Unclean => Situation::UncleanElection,
            });
        }
        let min = self.min_insync.min(state.replicas.len());
        let (old, new) = (before.isr.len(), state.isr.len());
        if new < old {
            found.push(Situation::IsrShrunk);
            found.extend((new < min && old >= min).then_some(Situation::IsrBelowMin));
            found.extend((new == 0).then_some(Situation::IsrEmpty));
        } else if new > old {
            found.push(Situation::IsrGrown);
        }
        found
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

fn place(partition: &TopicPartition) -> Option<Place> {
    Some(Place::Partition(partition.clone()))
}

/// Whether the controller has elected another leader since `epoch`.
fn is_deposed(partition: Option<&Partition>, epoch: LeaderEpoch) -> bool {
    partition.is_some_and(|partition| epoch < partition.state().leader_epoch)
}

/// The situation of a refused request, if it has its own name.
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

/// Whether a file is a segment of client data other than the first of its log.
fn is_later_segment(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    let (file, dir) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let base = file.strip_suffix(".log").and_then(|base| base.parse::<u64>().ok());
    base.is_some_and(|base| base > 0) && !dir.starts_with("__")
}
