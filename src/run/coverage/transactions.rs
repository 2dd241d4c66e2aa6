//! The situations of transactions: what producers are told, and what coordinators log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Situation;
use crate::base::{Instant, Probe, ReplicaProbe, TopicPartition, topics};
use crate::check::{Ghost, TransactionState};
use crate::sim::{ClientEvent, Ended, HostId, Observation, Outcome, TransactionEvent, What};
use crate::txn;
use crate::view::Change;

/// A situation, and the partition that it is about, if there is one.
type Found = (Situation, Option<TopicPartition>);

/// What is known of transactional ids, as their coordinators have committed it.
#[derive(Debug, Default)]
pub(super) struct Coordinated {
    /// The state of each, since when, and whether it was said to be forgotten.
    known: BTreeMap<Arc<str>, Known>,
    /// How much of what the ghost says was touched it has looked at.
    seen: usize,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    state: TransactionState,
    since: Instant,
    forgotten: bool,
}

impl Coordinated {
    /// The situations that an observation shows, which the ghost has seen.
    pub fn see(&mut self, seen: &Observation, ghost: &Ghost) -> Vec<Found> {
        let mut found = Vec::new();
        match &seen.what {
            What::Client(ClientEvent::Transaction(said)) => found.extend(told(said)),
            What::Probe(Probe::Replica(ReplicaProbe::HighWatermark { partition, .. }))
                if *partition.topic == *topics::TRANSACTION_STATE =>
            {
                self.look(seen.at, ghost, &mut found);
            }
            What::PowerLost { .. } | What::Killed => self.lost(seen.host, ghost, &mut found),
            _ => {}
        }
        // The first election of a partition is none.
        let moved = ghost.view().changes().iter().filter_map(|change| match change {
            Change::Committed(committed)
                if committed.election.is_some()
                    && committed.before.is_some()
                    && *committed.partition.topic == *topics::TRANSACTION_STATE =>
            {
                Some(&committed.partition)
            }
            _ => None,
        });
        for partition in moved {
            found.extend(self.moved(partition, ghost));
        }
        found
    }

    /// What coordinators have logged since the last look.
    fn look(&mut self, now: Instant, ghost: &Ghost, found: &mut Vec<Found>) {
        let log = ghost.transaction_log();
        let touched = log.touched();
        let since: BTreeSet<&Arc<str>> = touched.iter().skip(self.seen).collect();
        self.seen = touched.len();
        for id in &since {
            let Some(logged) = log.logged(id) else { continue };
            let state = logged.value.state;
            let before = self.known.get(*id).copied();
            if before.is_some_and(|before| before.state == state) {
                continue;
            }
            let forgotten = before.is_some_and(|before| before.forgotten);
            let known = Known { state, since: logged.at, forgotten };
            self.known.insert(Arc::clone(*id), known);
            let opened = before.filter(|before| before.state == TransactionState::Ongoing);
            let aborts = state == TransactionState::Prepared { commit: false };
            if let Some(opened) = opened.filter(|_| aborts && !is_asked(ghost, id)) {
                let timed_out = now.since(opened.since) >= logged.value.timeout;
                let situation = match timed_out {
                    true => Situation::TransactionTimedOut,
                    false => Situation::TransactionTakenOver,
                };
                found.push((situation, coordinator(ghost, id)));
            }
        }
        for id in since {
            let known = self.known.get_mut(id).filter(|known| !known.forgotten);
            if let Some(known) = known.filter(|_| log.has_forgotten(id)) {
                known.forgotten = true;
                found.push((Situation::TransactionForgotten, coordinator(ghost, id)));
            }
        }
    }

    /// A coordinator's partition has another leader, or none.
    fn moved(&self, partition: &TopicPartition, ghost: &Ghost) -> Option<Found> {
        let here = |id: &str| coordinator(ghost, id).as_ref() == Some(partition);
        let states = self.known.iter().filter(|(id, _)| here(id)).map(|(_, known)| known.state);
        let states: Vec<_> = states.collect();
        let completing = states.iter().any(|state| is_completing(*state));
        let situation = match completing {
            true => Situation::CoordinatorMovedCompleting,
            false if states.contains(&TransactionState::Ongoing) => Situation::CoordinatorMovedOpen,
            false => return None,
        };
        Some((situation, Some(partition.clone())))
    }

    /// A process is gone: it may have led a partition that waits for its marker.
    fn lost(&self, host: HostId, ghost: &Ghost, found: &mut Vec<Found>) {
        let completing = self.known.iter().filter(|(_, known)| is_completing(known.state));
        for (id, _) in completing {
            let Some(logged) = ghost.transaction_log().logged(id) else { continue };
            // Its own role is over, and the controller does not know that yet.
            let led = |name: &&TopicPartition| {
                let leader = ghost.view().partition(name).and_then(|one| one.state().leader);
                let leader = leader.and_then(|leader| ghost.view().node_of(leader));
                leader.is_some_and(|(leader, _)| leader == host)
            };
            if let Some(partition) = logged.value.partitions.iter().find(led) {
                found.push((Situation::ParticipantDown, Some(partition.clone())));
            }
        }
    }
}

fn is_completing(state: TransactionState) -> bool {
    matches!(state, TransactionState::Prepared { .. })
}

/// Whether a producer asked for an abort of the transaction that a transactional id has.
fn is_asked(ghost: &Ghost, id: &Arc<str>) -> bool {
    let mut of_id = ghost.transactions().all().filter(|one| one.transactional_id() == Some(id));
    of_id.any(|one| one.ended.is_none() && one.asked.is_some_and(|(_, commit)| !commit))
}

/// The partition whose leader coordinates a transactional id.
fn coordinator(ghost: &Ghost, id: &str) -> Option<TopicPartition> {
    let of_topic = |name: &&TopicPartition| *name.topic == *topics::TRANSACTION_STATE;
    let all = ghost.view().partitions().map(|(name, _)| name).filter(of_topic);
    let count = i32::try_from(all.count()).ok().filter(|count| *count > 0)?;
    Some(TopicPartition::new(topics::TRANSACTION_STATE, txn::partition_of(id, count)))
}

/// What a producer was told.
fn told(said: &TransactionEvent) -> Option<Found> {
    let situation = match said {
        TransactionEvent::Ended { outcome: Ended::Aborted, .. } => Situation::TransactionAborted,
        TransactionEvent::Ended { outcome: Ended::Fenced { .. }, .. } => {
            Situation::TransactionFenced
        }
        TransactionEvent::Ended { outcome: Ended::Unknown { .. }, .. } => {
            Situation::TransactionInDoubt
        }
        TransactionEvent::SentOffsets { outcome: Outcome::Ok { .. }, .. } => {
            Situation::OffsetsInTransaction
        }
        TransactionEvent::SentOffsets { .. } => Situation::OffsetsRefused,
        _ => return None,
    };
    Some((situation, None))
}
