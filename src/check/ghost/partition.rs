//! The promises that leaders made of a partition, and which of them were lost.

use std::collections::BTreeMap;

use super::hosts::Crew;
use super::segment::Batch;
use super::stability::{Stability, Step};
use crate::base::{BrokerId, Instant, LeaderEpoch, Offset};

/// A batch that a leader has exposed: no later leader may lack it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promised {
    /// The batch, as it lay on the leader.
    pub batch: Batch,
    /// The leader that exposed it first.
    pub by: BrokerId,
    /// The epoch in which it was exposed. Its own epoch may be older.
    pub in_epoch: LeaderEpoch,
    pub at: Instant,
    /// When any broker first wrote it, if it is part of a transaction; otherwise as `at`.
    pub(super) written: Instant,
    /// All brokers that may have been in sync then, as far as the leader knew.
    pub(super) isr: Crew,
    /// All brokers that had held a copy by then.
    pub(super) holders: Crew,
}

impl Promised {
    /// How many had ever held a copy when it was exposed.
    pub fn copies(&self) -> usize {
        self.holders.len()
    }
}

/// Offsets that the newest leader lacked, though they had been promised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    pub from: Offset,
    /// Of the leader without them.
    pub(super) epoch: LeaderEpoch,
    /// When that leader was found to lack them.
    pub at: Instant,
}

/// Identity of a batch in the shape in which it was appended: base offset, epoch and hash.
type Copied = (i64, i32, u64);

/// Identity of a batch in whatever shape a cleaner left it: base offset and epoch.
type Placed = (i64, i32);

/// The promises of one creation of a partition. Its committed state is in the view.
#[derive(Debug, Default)]
pub(crate) struct Partition {
    /// Everything exposed and not lost, in order.
    pub promised: Vec<Promised>,
    /// The frontier when the last fault ended, less what was lost since.
    pub exposed_at_heal: Option<Offset>,
    /// The last stable offset when the last fault ended, less what was lost since.
    pub stable_at_heal: Option<Offset>,
    /// Below this, records were deleted because retention was due.
    pub deleted_below: Offset,
    /// Below this, some replica has cleaned its log: batches may be there in another shape.
    pub cleaned_below: Offset,
    /// Everything that was lost, by permission or not, in order of time.
    pub losses: Vec<Loss>,
    /// Its transactions.
    pub stability: Stability,
    /// Brokers that have ever held the batches at or above the frontier.
    copies: BTreeMap<Copied, Crew>,
    /// When any broker first wrote each batch of a transaction, whatever became of it since.
    written: BTreeMap<Placed, Instant>,
}

impl Partition {
    /// Where the promises end.
    pub fn frontier(&self) -> Offset {
        self.promised.last().map_or(Offset::ZERO, |last| last.batch.next)
    }

    /// A broker writes a batch.
    pub fn wrote(&mut self, at: Instant, batch: &Batch, by: Crew) {
        if batch.stamp.is_transactional() {
            self.written.entry(placed(batch)).or_insert(at);
        }
        self.copied(batch, by);
    }

    /// A broker holds a batch.
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

    /// Whether a record was committed or aborted by a marker that was lost since.
    pub fn lost_outcome(&self, offset: Offset) -> Option<bool> {
        let promised = self.promise_of(offset)?;
        let marker = self.stability.lost_marker(&promised.batch, promised.written)?;
        Some(marker.commit)
    }

    /// A leader exposes a batch that begins at or above the frontier. `cleaned`: brokers whose logs
    /// may have held it before they were cleaned.
    pub fn promise(
        &mut self,
        batch: Batch,
        by: BrokerId,
        in_epoch: LeaderEpoch,
        at: Instant,
        isr: Crew,
        cleaned: Crew,
    ) -> Option<Step> {
        let mut holders = self.copies.remove(&copied(&batch)).unwrap_or_default();
        holders |= cleaned;
        let written = self.written.get(&placed(&batch)).copied().unwrap_or(at);
        self.promised.push(Promised { batch, by, in_epoch, at, written, isr, holders });
        self.stability.promise(at, written, &batch)
    }

    /// Retention was due for the records below an offset, and deleted them.
    pub fn delete(&mut self, below: Offset) {
        if below > self.deleted_below {
            self.deleted_below = below;
            self.settle_deleted();
        }
    }

    fn settle_deleted(&mut self) {
        let (start, end) = (self.deleted_below, self.frontier());
        let gone = self.promised.partition_point(|promised| promised.batch.next <= start);
        let left = self.promised[gone..].iter().map(|promised| &promised.batch);
        self.stability.delete(start, left, end);
    }

    /// Batches below the frontier that were not promised are of no interest any more.
    pub fn forget_rivals(&mut self) {
        let frontier = self.frontier().0;
        while let Some(first) = self.copies.first_entry().filter(|first| first.key().0 < frontier) {
            first.remove();
        }
    }

    /// The leader of `epoch` lacks everything from this promise on: they are promises no more.
    pub fn lose(&mut self, index: usize, epoch: LeaderEpoch, at: Instant) {
        let Some(first) = self.promised.get(index) else { return };
        let from = first.batch.base;
        self.losses.push(Loss { from, epoch, at });
        for lost in self.promised.drain(index..) {
            self.copies.insert(copied(&lost.batch), lost.holders);
        }
        self.stability.restart(from);
        for kept in &self.promised {
            self.stability.promise(kept.at, kept.written, &kept.batch);
        }
        self.settle_deleted();
        // A transaction whose marker was lost is open again.
        let stable = self.stability.last_stable(from);
        let at_heal = [(&mut self.exposed_at_heal, from), (&mut self.stable_at_heal, stable)];
        for (known, kept) in at_heal {
            *known = known.map(|known| known.min(kept));
        }
    }
}

fn copied(batch: &Batch) -> Copied {
    (batch.base.0, batch.epoch.0, batch.hash)
}

fn placed(batch: &Batch) -> Placed {
    (batch.base.0, batch.epoch.0)
}
