//! How the batches of one partition are numbered.
//!
//! A broker accepts a batch only right after the one with the number before, and recognizes the last
//! five of a producer (KIP-98, KIP-185). So a batch that may have been stored is sent again under its
//! own number, or not at all. When numbers no longer fit, the producer raises its epoch and numbers
//! the batches that were *certainly* never stored from 0 (KIP-360); Kafka's producer renumbers all,
//! and can double a record that way.

use std::collections::VecDeque;

use super::batch::{Batch, Number};
use super::granted::GrantedId;
use crate::base::{ProducerEpoch, ProducerId};
use crate::wire::batch::add_to_sequence;

/// The numbers of one partition.
#[derive(Debug)]
pub(super) struct Sequences {
    /// Under which identity; another than the producer's until the partition's batches are judged.
    owner: GrantedId,
    /// Of the next batch.
    next: i32,
    /// After the last batch that was acknowledged.
    acknowledged: i32,
    /// A batch that may be stored was given up: whether its number was used shows when those
    /// after it are judged.
    unresolved: bool,
    /// A number will never be used: no batch after it would be accepted.
    broken: bool,
    /// It started over beside batches of an earlier epoch, which only a flawed producer does.
    mixed: bool,
}

impl Sequences {
    /// Batches that a broker recognizes. Source: Kafka's `ProducerStateEntry`.
    pub(super) const WINDOW: usize = 5;

    /// Those of a partition that no batch was sent to.
    pub(super) fn new() -> Self {
        Self::of((ProducerId::NONE, ProducerEpoch::NONE))
    }

    /// From 0 on, under this identity.
    pub(super) fn of(owner: GrantedId) -> Self {
        Self { owner, next: 0, acknowledged: 0, unresolved: false, broken: false, mixed: false }
    }

    pub(super) fn owner(&self) -> GrantedId {
        self.owner
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether a new batch may get a number under `identity`, besides `sent` that have one.
    pub(super) fn may_number(&self, identity: GrantedId, sent: usize) -> bool {
        let is_open = !self.unresolved && !self.broken;
        is_open && sent < Self::WINDOW && (self.owner == identity || sent == 0)
    }

    /// The number for a batch of `count` records under `identity`.
    pub(super) fn number(&mut self, identity: GrantedId, count: i32) -> Number {
        if self.owner != identity {
            *self = Self::of(identity);
        }
        let (producer, epoch) = self.owner;
        let number = Number { producer, epoch, sequence: self.next };
        self.next = add_to_sequence(self.next, count);
        number
    }

    /// Starts over under this identity, whatever is under way.
    pub(super) fn start_over(&mut self, identity: GrantedId) {
        *self = Self { mixed: true, ..Self::of(identity) };
    }

    pub(super) fn is_ours(&self, number: Number) -> bool {
        number.sequence >= 0 && (number.producer, number.epoch) == self.owner
    }

    /// A batch of these numbers was acknowledged.
    pub(super) fn acknowledge(&mut self, number: Number, count: i32) {
        let after = add_to_sequence(number.sequence, count);
        let ahead = after.wrapping_sub(self.acknowledged) & i32::MAX;
        if self.is_ours(number) && ahead < i32::MAX / 2 {
            self.acknowledged = after;
        }
    }

    /// A batch was given up.
    pub(super) fn lost(&mut self, batch: &Batch) {
        if !self.is_ours(batch.number()) {
            return;
        }
        if batch.may_be_stored() || batch.is_outstanding() {
            self.unresolved = true;
        } else {
            self.broken = true;
        }
    }

    /// A broker misses a number that will never come.
    pub(super) fn set_broken(&mut self) {
        self.broken = true;
    }

    /// No batch is sent and unjudged any more: it is known which numbers were used.
    pub(super) fn resolve(&mut self) {
        if self.unresolved {
            self.unresolved = false;
            self.broken |= self.acknowledged != self.next;
        }
    }

    /// Panics unless the batches that were sent have numbers in order, of one identity, and below the
    /// next one.
    pub(super) fn check(&self, sent: &VecDeque<Batch>) {
        if self.mixed {
            return;
        }
        let mut next: Option<Number> = None;
        for batch in sent {
            let number = batch.number();
            let owned = number == Number::NONE || self.is_ours(number);
            assert!(owned, "{number:?} is not of {:?}", self.owner);
            let (from, to) = (next.map_or(number.sequence, |next| next.sequence), number.sequence);
            assert!(is_reached(from, to), "sequence {to} follows one that ends before {from}");
            next = Some(number.after(batch.count()));
        }
        let end = next.map_or(self.next, |next| next.sequence);
        let reaches = end == -1 || is_reached(end, self.next);
        assert!(reaches, "batches are numbered up to {end}, and the next is {}", self.next);
    }
}

/// Whether counting up from one sequence leads to the other, across the wrap if need be.
fn is_reached(from: i32, to: i32) -> bool {
    from == to || (to.wrapping_sub(from) & i32::MAX) < i32::MAX / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::config::Compression;
    use crate::base::{Instant, Timestamp};
    use crate::wire::batch::BatchBuilder;

    const OWNER: GrantedId = (ProducerId(7), ProducerEpoch(0));

    fn batch(number: Number) -> Batch {
        let mut builder = BatchBuilder::new(Compression::None, Timestamp(1));
        builder.append(Timestamp(1), None, Some(b"x"), &[]);
        let mut batch = Batch::new(builder, Instant::START, 16384);
        batch.seal(number);
        batch
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let mut sequences = Sequences { next: i32::MAX, ..Sequences::of(OWNER) };
        let sent: Vec<_> = (0..3).map(|_| sequences.number(OWNER, 1)).collect();
        assert_eq!(sent.iter().map(|n| n.sequence).collect::<Vec<_>>(), [i32::MAX, 0, 1]);
        sequences.check(&sent.into_iter().map(batch).collect());
    }

    #[test]
    #[should_panic(expected = "sequence 0 follows one that ends before 2")]
    fn batches_out_of_order_trip_the_check() {
        let mut sequences = Sequences::of(OWNER);
        let first = sequences.number(OWNER, 1);
        let second = sequences.number(OWNER, 1);
        sequences.check(&[second, first].into_iter().map(batch).collect());
    }
}
