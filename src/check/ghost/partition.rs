//! What was decided about a partition, and what was promised of it.

use std::collections::BTreeMap;

use super::hosts::Crew;
use super::segment::Batch;
use crate::base::{BrokerId, Instant, LeaderEpoch, Offset, PartitionEpoch, TopicId};
use crate::sim::HostId;

/// A batch that a leader has exposed: no later leader may lack it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promised {
    /// The batch, as it lay on the leader.
    pub batch: Batch,
    /// Who exposed it.
    pub by: BrokerId,
    /// In which epoch. Its own epoch may be older.
    pub in_epoch: LeaderEpoch,
    /// When.
    pub at: Instant,
    /// Who was in sync then, for all that its leader may have known.
    pub(super) isr: Crew,
    /// Who had ever held a copy then.
    pub(super) holders: Crew,
}

impl Promised {
    /// How many had ever held a copy when it was exposed.
    pub fn copies(&self) -> usize {
        self.holders.len()
    }
}

/// The newest state that the controller committed.
#[derive(Clone, Debug)]
pub(crate) struct Committed {
    pub topic_id: TopicId,
    pub replicas: Vec<BrokerId>,
    pub leader: Option<BrokerId>,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    pub isr: Vec<BrokerId>,
    /// Nothing changed since the leader was elected: it knows its ISR.
    pub as_elected: bool,
}

impl Committed {
    /// Whether there is a leader and everybody is in sync.
    pub fn is_full(&self) -> bool {
        self.leader.is_some() && self.replicas.iter().all(|id| self.isr.contains(id))
    }
}

/// Offsets that the newest leader lacked, though they had been promised.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loss {
    pub from: Offset,
    /// Of the leader without them.
    pub epoch: LeaderEpoch,
}

/// Identity of a batch that was not promised yet.
type Copied = (i64, i32, u64);

/// One creation of one partition.
#[derive(Debug)]
pub(crate) struct Partition {
    pub committed: Committed,
    /// Whoever was in sync in each leader's epoch: it may not know yet who left, nor that another
    /// leads.
    isrs: BTreeMap<LeaderEpoch, Vec<BrokerId>>,
    /// Who left the ISR when it became smaller than `min.insync.replicas`, and has run since. While
    /// the ISR is that small, nothing is committed that they do not have (KIP-966).
    pub elr: Vec<BrokerId>,
    /// Since when it has had a leader and a full ISR.
    pub full_since: Option<Instant>,
    /// The newest leader that took over, with its epoch.
    pub led: Option<(LeaderEpoch, HostId)>,
    /// Everything exposed and not lost, in order.
    pub promised: Vec<Promised>,
    /// What was ever exposed, lost or not, lies below.
    pub exposed: Offset,
    /// What had been exposed when the last fault ended, less what was lost since.
    pub exposed_at_heal: Option<Offset>,
    /// Below this, records were deleted because retention was due.
    pub deleted_below: Offset,
    /// Below this, somebody has cleaned its log: batches need not be there as they were promised.
    pub cleaned_below: Offset,
    /// The latest epoch that an unclean election began.
    pub unclean: Option<LeaderEpoch>,
    /// The latest epoch that began with the last known leader, because everybody eligible had lost
    /// unsynced data (KIP-966). Kafka marks it as it marks an unclean election, but asks no switch.
    pub last_known: Option<LeaderEpoch>,
    /// Who led last, while nobody does.
    last_leader: Option<BrokerId>,
    /// What was lost, by permission or not.
    pub(super) losses: Vec<Loss>,
    /// Who has ever held the batches at or above the frontier.
    copies: BTreeMap<Copied, Crew>,
}

impl Partition {
    pub fn new(committed: Committed, at: Instant) -> Self {
        let full_since = committed.is_full().then_some(at);
        Self {
            isrs: [(committed.leader_epoch, committed.isr.clone())].into(),
            elr: Vec::new(),
            committed,
            full_since,
            led: None,
            promised: Vec::new(),
            exposed: Offset::ZERO,
            exposed_at_heal: None,
            deleted_below: Offset::ZERO,
            cleaned_below: Offset::ZERO,
            unclean: None,
            last_known: None,
            last_leader: None,
            losses: Vec::new(),
            copies: BTreeMap::new(),
        }
    }

    /// The controller committed a newer state. Kafka keeps saying "recovering" after an unclean
    /// election until the ISR next changes; only the election itself permits a loss.
    pub fn commit(&mut self, mut next: Committed, unclean: bool, min_insync: usize, at: Instant) {
        let elected = next.leader_epoch > self.committed.leader_epoch;
        next.as_elected = elected;
        self.last_leader = self.committed.leader.or(self.last_leader);
        if unclean && elected && next.leader.is_some_and(|id| !self.committed.isr.contains(&id)) {
            // With nobody eligible left, the last leader is asked first, switch or not.
            let none_eligible = self.committed.isr.is_empty() && self.elr.is_empty();
            if none_eligible && next.leader == self.last_leader {
                self.last_known = Some(next.leader_epoch);
            } else {
                self.unclean = Some(next.leader_epoch);
            }
        }
        let isr = self.isrs.entry(next.leader_epoch).or_default();
        for id in &next.isr {
            if !isr.contains(id) {
                isr.push(*id);
            }
        }
        self.elr.extend(&self.committed.isr);
        self.elr.retain(|id| !next.isr.contains(id) && next.isr.len() < min_insync);
        if !next.is_full() {
            self.full_since = None;
        } else if self.full_since.is_none() {
            self.full_since = Some(at);
        }
        self.committed = next;
    }

    /// Whoever was in sync in a leader's epoch.
    pub(super) fn isr_of(&self, epoch: LeaderEpoch) -> &[BrokerId] {
        self.isrs.get(&epoch).map_or(&[], Vec::as_slice)
    }

    /// The latest epoch whose leader may lack what was promised before: it was neither in the ISR
    /// nor in the ELR.
    pub fn lossy_epoch(&self) -> Option<LeaderEpoch> {
        self.unclean.max(self.last_known)
    }

    /// Whether a broker is in the ISR or the ELR.
    pub fn may_lead(&self, broker: BrokerId) -> bool {
        self.committed.isr.contains(&broker) || self.elr.contains(&broker)
    }

    /// Where the promises end.
    pub fn frontier(&self) -> Offset {
        self.promised.last().map_or(Offset::ZERO, |last| last.batch.next)
    }

    /// Somebody holds a batch.
    pub fn copied(&mut self, batch: &Batch, by: Crew) {
        if batch.base >= self.frontier() {
            *self.copies.entry(copied(batch)).or_default() |= by;
        }
    }

    /// The promise that holds an offset.
    pub fn promise_of(&self, offset: Offset) -> Option<&Promised> {
        let after = self.promised.partition_point(|promised| promised.batch.base <= offset);
        self.promised.get(after.checked_sub(1)?).filter(|promised| promised.batch.next > offset)
    }

    /// A leader exposes a batch that begins at or above the frontier.
    pub fn promise(
        &mut self,
        batch: Batch,
        by: BrokerId,
        in_epoch: LeaderEpoch,
        at: Instant,
        isr: Crew,
    ) {
        let holders = self.copies.remove(&copied(&batch)).unwrap_or_default();
        self.promised.push(Promised { batch, by, in_epoch, at, isr, holders });
    }

    /// Batches below the frontier that were not promised are of no interest any more.
    pub fn forget_rivals(&mut self) {
        let frontier = self.frontier().0;
        while let Some(first) = self.copies.first_entry().filter(|first| first.key().0 < frontier) {
            first.remove();
        }
    }

    /// The leader of `epoch` lacks everything from this promise on: they are promises no more.
    pub fn lose(&mut self, index: usize, epoch: LeaderEpoch) {
        let Some(first) = self.promised.get(index) else { return };
        let from = first.batch.base;
        self.losses.push(Loss { from, epoch });
        for lost in self.promised.drain(index..) {
            self.copies.insert(copied(&lost.batch), lost.holders);
        }
        if let Some(exposed) = &mut self.exposed_at_heal {
            *exposed = (*exposed).min(from);
        }
    }
}

fn copied(batch: &Batch) -> Copied {
    (batch.base.0, batch.epoch.0, batch.hash)
}
