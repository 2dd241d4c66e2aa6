//! A transactional id with its producer and its transaction.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::status::{Outcome, TransactionState};
use super::version::TransactionVersion;
use crate::base::{Flaw, Flaws, ProducerEpoch, ProducerId, Timestamp, TopicPartition};

/// The partitions of a transaction.
pub type Partitions = Arc<BTreeSet<TopicPartition>>;

/// The timeout of a producer that commits in two phases (KIP-939): its transactions have none.
pub const NO_TIMEOUT: i32 = i32::MAX;

/// Everything that is stored about a transactional id. Each transition is a method, which returns the
/// transaction as it will be.
///
/// Source: Kafka's `TransactionMetadata`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The producer that may use the transactional id.
    pub producer: ProducerId,
    /// The producer before the last transition: another one after a rotation.
    pub previous: ProducerId,
    /// The producer after this transaction, if the epochs of this one are exhausted.
    pub next: ProducerId,
    /// The epoch of the producer, or of its transaction's markers. Any other epoch is fenced.
    pub epoch: ProducerEpoch,
    /// How long a transaction may be ongoing, in milliseconds.
    pub timeout_ms: i32,
    /// What becomes of the transaction.
    pub state: TransactionState,
    /// The partitions that the transaction touches, until all of them know its outcome.
    pub partitions: Partitions,
    /// When the id changed last.
    pub updated: Timestamp,
    /// When the transaction began; -1 while there was none.
    pub started: Timestamp,
    /// The protocol in which the client added partitions or ended the transaction.
    pub client_version: TransactionVersion,
}

impl Transaction {
    /// The last epoch that a client gets of a producer id: one is left to fence it.
    pub const LAST_EPOCH: ProducerEpoch = ProducerEpoch(i16::MAX - 1);

    /// A producer that has no epoch yet. It is not stored in this state.
    pub fn new(producer: ProducerId) -> Self {
        Self {
            producer,
            previous: ProducerId::NONE,
            next: ProducerId::NONE,
            epoch: ProducerEpoch::NONE,
            timeout_ms: 0,
            state: TransactionState::Empty,
            partitions: Partitions::default(),
            updated: Timestamp::NONE,
            started: Timestamp::NONE,
            client_version: TransactionVersion::V0,
        }
    }

    /// Whether a client may not get another epoch of this producer id.
    pub fn is_exhausted(&self) -> bool {
        self.epoch >= Self::LAST_EPOCH
    }

    /// Whether a transaction of this id never times out.
    pub fn has_timeout(&self) -> bool {
        self.timeout_ms != NO_TIMEOUT
    }

    /// The state after a transition, with everything else as it is.
    fn to(&self, state: TransactionState, updated: Timestamp) -> Self {
        Self { previous: self.producer, state, updated, ..self.clone() }
    }

    fn idle(&self, updated: Timestamp, timeout_ms: i32) -> Self {
        Self {
            timeout_ms,
            partitions: Partitions::default(),
            started: Timestamp::NONE,
            ..self.to(TransactionState::Empty, updated)
        }
    }

    /// InitProducerId: the producer begins at this epoch.
    #[must_use]
    pub fn initialised(&self, epoch: ProducerEpoch, timeout_ms: i32, wall: Timestamp) -> Self {
        Self { epoch, ..self.idle(wall, timeout_ms) }
    }

    /// InitProducerId when the epochs are exhausted: another producer id, from its first epoch on.
    #[must_use]
    pub fn rotated(&self, producer: ProducerId, timeout_ms: i32, wall: Timestamp) -> Self {
        Self { producer, epoch: ProducerEpoch(0), ..self.idle(wall, timeout_ms) }
    }

    /// Partitions are added; the transaction begins with the first.
    #[must_use]
    pub fn with_partitions(
        &self,
        added: &BTreeSet<TopicPartition>,
        client_version: TransactionVersion,
        wall: Timestamp,
    ) -> Self {
        let started = if self.state.is_idle() { wall } else { self.started };
        let partitions = Arc::new(self.partitions.union(added).cloned().collect());
        let ongoing = self.to(TransactionState::Ongoing, wall);
        Self { started, partitions, client_version, ..ongoing }
    }

    /// The outcome is decided. `epoch` is that of the markers, `next` the producer after them.
    #[must_use]
    pub fn prepared(
        &self,
        outcome: Outcome,
        (epoch, next): (ProducerEpoch, ProducerId),
        client_version: TransactionVersion,
        wall: Timestamp,
    ) -> Self {
        // A version 2 client may abort before it has added a partition (KIP-890).
        let started = if self.state.is_idle() { wall } else { self.started };
        Self { epoch, next, client_version, started, ..self.to(outcome.prepared(), wall) }
    }

    /// The producer and epoch of the client once the transaction is complete.
    pub fn afterwards(&self, flaws: Flaws) -> (ProducerId, ProducerEpoch) {
        let rotates = self.client_version.bumps_epoch() && self.next != ProducerId::NONE;
        match rotates && !flaws.has(Flaw::WrongIdAtOverflow) {
            true => (self.next, ProducerEpoch(0)),
            false => (self.producer, self.epoch),
        }
    }

    /// All partitions know the outcome.
    #[must_use]
    pub fn completed(&self, outcome: Outcome, wall: Timestamp) -> Self {
        let (producer, epoch) = self.afterwards(Flaws::default());
        Self {
            producer,
            epoch,
            next: ProducerId::NONE,
            partitions: Partitions::default(),
            ..self.to(outcome.completed(), wall)
        }
    }
}
