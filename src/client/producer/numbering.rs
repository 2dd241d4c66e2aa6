//! Idempotence: who the producer is to brokers, and how its batches are numbered.
//!
//! A broker accepts a batch only right after the one with the number before, and knows the last
//! five of a producer again (KIP-98, KIP-185). So a batch that may have been stored is sent again
//! under its own number, or not at all. When numbers no longer fit, the producer raises its epoch
//! and numbers the batches that were *certainly* never stored from 0 (KIP-360); Kafka's producer
//! renumbers all, and can double a record that way.

use super::batch::{Batch, Number};
use super::core::{Core, Effect};
use crate::base::{Flaw, Instant, ProducerEpoch, ProducerId};
use crate::client::ProduceCause;
use crate::client::kernel::Kernel;
use crate::io::Address;
use crate::wire::ErrorCode;
use crate::wire::batch::add_to_sequence;

/// The producer's id and epoch, and how it gets them.
#[derive(Debug)]
pub(super) struct Identity {
    idempotent: bool,
    current: Option<(ProducerId, ProducerEpoch)>,
    /// Somebody needs it.
    wanted: bool,
    outstanding: bool,
    not_before: Instant,
    failures: u32,
}

impl Identity {
    pub(super) fn new(idempotent: bool) -> Self {
        Self {
            idempotent,
            current: None,
            wanted: false,
            outstanding: false,
            not_before: Instant::START,
            failures: 0,
        }
    }

    pub(super) fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    pub(super) fn failed(&mut self, now: Instant, kernel: &mut Kernel) {
        self.outstanding = false;
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + kernel.pause(self.failures);
    }

    /// Raises the epoch; at the last one, the producer needs another id.
    fn raise(&mut self) {
        self.current = self.current.and_then(|(id, epoch)| {
            epoch.0.checked_add(1).filter(|e| *e < i16::MAX).map(|e| (id, ProducerEpoch(e)))
        });
    }
}

/// The numbers of one partition.
#[derive(Debug)]
pub(super) struct Sequences {
    /// Under which identity; another than the producer's until the partition's batches are judged.
    owner: (ProducerId, ProducerEpoch),
    /// Of the next batch.
    next: i32,
    /// After the last batch that was acknowledged.
    acknowledged: i32,
    /// A batch that may be stored was given up: whether its number was used shows when those
    /// after it are judged.
    unresolved: bool,
    /// A number will never be used: nothing after it would be accepted.
    broken: bool,
}

impl Default for Sequences {
    fn default() -> Self {
        Self {
            owner: (ProducerId::NONE, ProducerEpoch::NONE),
            next: 0,
            acknowledged: 0,
            unresolved: false,
            broken: false,
        }
    }
}

impl Sequences {
    /// Batches that a broker knows again, by Kafka's `ProducerStateEntry`.
    pub(super) const WINDOW: usize = 5;

    /// A batch of these numbers was acknowledged.
    pub(super) fn acknowledge(&mut self, number: Number, count: i32) {
        let after = add_to_sequence(number.sequence, count);
        let ahead = after.wrapping_sub(self.acknowledged) & i32::MAX;
        let ours = number.sequence >= 0 && (number.producer, number.epoch) == self.owner;
        if ours && ahead < i32::MAX / 2 {
            self.acknowledged = after;
        }
    }

    /// A batch was given up.
    pub(super) fn lost(&mut self, batch: &Batch) {
        if batch.number.sequence < 0 || (batch.number.producer, batch.number.epoch) != self.owner {
            return;
        }
        if batch.promise.may_be_stored {
            self.unresolved = true;
        } else {
            self.broken = true;
        }
    }

    /// A broker misses a number that will never come.
    pub(super) fn set_broken(&mut self) {
        self.broken = true;
    }
}

impl Core {
    /// Takes over the answer to a question for a producer id.
    pub(super) fn take_identity(
        &mut self,
        now: Instant,
        from: &Address,
        answer: Result<(ProducerId, ProducerEpoch), ErrorCode>,
    ) {
        match answer {
            Ok(identity) => {
                self.kernel.contact_answered(from);
                self.identity.current = Some(identity);
                self.identity.wanted = false;
                self.identity.outstanding = false;
                self.identity.failures = 0;
            }
            Err(error) => {
                self.kernel.contact_failed(now, from);
                self.identity.failed(now, &mut self.kernel);
                if error == ErrorCode::ClusterAuthorizationFailed {
                    self.abandon(ProduceCause::Broker(error));
                }
            }
        }
    }

    /// Asks for a producer id, if one is needed.
    pub(super) fn identify(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if !self.identity.wanted || self.identity.outstanding {
            return;
        }
        if now < self.identity.not_before {
            self.wake = self.wake.min(self.identity.not_before);
            return;
        }
        self.identity.outstanding = true;
        let ask = self.kernel.next_contact(now);
        effects.push(Effect::Identify { ask });
    }

    /// Settles what is open about a partition's numbers, as far as that is possible now. Says
    /// whether batches that have a number may be sent.
    pub(super) fn mend(&mut self, index: usize) -> bool {
        if !self.identity.idempotent {
            return true;
        }
        let partition = &mut self.partitions[index];
        let sequences = &mut partition.sequences;
        if sequences.unresolved && partition.sent.is_empty() {
            sequences.unresolved = false;
            sequences.broken |= sequences.acknowledged != sequences.next;
        }
        if !sequences.broken {
            return true;
        }
        let owner = sequences.owner;
        if partition.has_outstanding() {
            return false;
        }
        if self.identity.current == Some(owner) {
            self.identity.raise();
        }
        let Some(identity) = self.identity.current else {
            self.identity.wanted = true;
            return false;
        };
        self.renumber(index, identity);
        true
    }

    /// Numbers the batches that were never stored from 0, and gives up the others.
    fn renumber(&mut self, index: usize, identity: (ProducerId, ProducerEpoch)) {
        let partition = &mut self.partitions[index];
        partition.sequences = Sequences { owner: identity, ..Sequences::default() };
        let sent = std::mem::take(&mut partition.sent);
        for mut batch in sent {
            // Kafka's producer numbers all anew.
            let all_anew = self.flaws.has(Flaw::OneBatchWindow);
            if batch.promise.may_be_stored && !all_anew {
                self.memory.release(batch.memory);
                batch.promise.failed(batch.last_problem);
                continue;
            }
            batch.seal(partition.sequences.number(batch.count));
            partition.sent.push_back(batch);
        }
        self.retire(index);
    }

    /// Whether a batch that was never sent may get a number now.
    pub(super) fn may_number(&mut self, index: usize) -> bool {
        if !self.identity.idempotent {
            return true;
        }
        let Some(identity) = self.identity.current else {
            self.identity.wanted = true;
            return false;
        };
        let partition = &self.partitions[index];
        let sequences = &partition.sequences;
        !sequences.unresolved
            && !sequences.broken
            && partition.sent.len() < Sequences::WINDOW
            && (sequences.owner == identity || partition.sent.is_empty())
    }

    /// The number of a partition's next batch. Only if it may get one.
    pub(super) fn number(&mut self, index: usize, count: i32) -> Number {
        let Some(identity) = self.identity.current.filter(|_| self.identity.idempotent) else {
            return Number::NONE;
        };
        let sequences = &mut self.partitions[index].sequences;
        if sequences.owner != identity {
            *sequences = Sequences { owner: identity, ..Sequences::default() };
        }
        sequences.number(count)
    }
}

impl Sequences {
    fn number(&mut self, count: i32) -> Number {
        let (producer, epoch) = self.owner;
        let number = Number { producer, epoch, sequence: self.next };
        self.next = add_to_sequence(self.next, count);
        number
    }
}
