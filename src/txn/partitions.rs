//! AddPartitionsToTxn, AddOffsetsToTxn, and the question whether a partition is in a transaction.

use std::collections::BTreeSet;
use std::time::Duration;

use super::TransactionalId;
use super::machine::{Decision, TxnCoordinator, check_id};
use super::soft::SoftEffect;
use super::status::TransactionState;
use super::transaction::Transaction;
use super::version::TransactionVersion;
use crate::base::{Flaw, Instant, ProducerEpoch, ProducerId, Timestamp, TopicPartition};
use crate::wire::ErrorCode;

/// Partitions of a producer's transaction.
#[derive(Clone, Copy, Debug)]
pub struct AddRequest<'a> {
    /// The transactional id.
    pub id: &'a str,
    /// The producer.
    pub producer: (ProducerId, ProducerEpoch),
    /// The partitions that it writes to.
    pub partitions: &'a BTreeSet<TopicPartition>,
    /// The protocol that it speaks.
    pub version: TransactionVersion,
}

/// Whether each partition is in the transaction, in the order of the partitions.
pub type Verified = Result<Vec<(TopicPartition, ErrorCode)>, ErrorCode>;

impl TxnCoordinator {
    /// AddPartitionsToTxn for one transactional id, and AddOffsetsToTxn: the transaction begins, or
    /// touches more partitions.
    ///
    /// Source: Kafka's `TransactionCoordinator.handleAddPartitionsToTransaction`.
    pub fn add_partitions(
        &self,
        now: Instant,
        wall: Timestamp,
        request: AddRequest<'_>,
    ) -> Decision<ErrorCode> {
        match self.check_add(&request) {
            Ok((id, known)) => self.add(now, wall, &id, known, &request),
            Err(error) => Decision::only(error),
        }
    }

    fn check_add<'a>(
        &'a self,
        request: &AddRequest<'_>,
    ) -> Result<(TransactionalId, &'a Transaction), ErrorCode> {
        let id = check_id(request.id)?;
        let known = self.state.get(request.id)?.ok_or(ErrorCode::InvalidProducerIdMapping)?;
        // First: the client may have the producer of the time after the completion already.
        let waits = known.state.pending().is_some();
        if waits && !self.settings.flaws.has(Flaw::NextWhileCompleting) {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        check_producer(known, request.producer)?;
        Ok((id, known))
    }

    fn add(
        &self,
        now: Instant,
        wall: Timestamp,
        id: &TransactionalId,
        known: &Transaction,
        request: &AddRequest<'_>,
    ) -> Decision<ErrorCode> {
        let is_ongoing = known.state == TransactionState::Ongoing;
        if is_ongoing && request.partitions.is_subset(&known.partitions) {
            return Decision::only(ErrorCode::None);
        }
        let after = known.with_partitions(request.partitions, request.version, wall);
        let begins = !is_ongoing && after.has_timeout();
        let decision = self.store(id, after, ErrorCode::None);
        match begins {
            true => {
                let deadline = now + timeout(known);
                decision.with(SoftEffect::Began(id.clone(), deadline).into())
            }
            false => decision,
        }
    }

    /// AddPartitionsToTxn that only asks (KIP-890, part 1): whether partitions are in the ongoing
    /// transaction of a producer. It reads what may not be committed yet, as Kafka's does not: the
    /// answer waits for that.
    ///
    /// Source: Kafka's `TransactionCoordinator.handleVerifyPartitionsInTransaction`.
    pub fn verify_partitions(&self, request: AddRequest<'_>) -> Decision<Verified> {
        Decision::only(self.verify(&request))
    }

    fn verify(&self, request: &AddRequest<'_>) -> Verified {
        check_id(request.id)?;
        let known = self.state.get(request.id)?.ok_or(ErrorCode::InvalidProducerIdMapping)?;
        check_producer(known, request.producer)?;
        if known.state.pending().is_some() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        let verdict = |partition: &TopicPartition| match known.partitions.contains(partition) {
            true => (partition.clone(), ErrorCode::None),
            false => (partition.clone(), ErrorCode::TransactionAbortable),
        };
        Ok(request.partitions.iter().map(verdict).collect())
    }
}

fn check_producer(
    known: &Transaction,
    (producer, epoch): (ProducerId, ProducerEpoch),
) -> Result<(), ErrorCode> {
    if known.producer != producer {
        Err(ErrorCode::InvalidProducerIdMapping)
    } else if known.epoch != epoch {
        Err(ErrorCode::ProducerFenced)
    } else {
        Ok(())
    }
}

/// How long a transaction of this id may be ongoing. Kafka lets the last millisecond pass.
pub(super) fn timeout(of: &Transaction) -> Duration {
    Duration::from_millis(u64::try_from(of.timeout_ms).unwrap_or(0) + 1)
}
