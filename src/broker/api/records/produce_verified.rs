//! Produce in a transaction: before the first batch of a transaction is appended to a partition, its
//! coordinator is asked whether the partition belongs to it, or is made to add it.
//!
//! Source: Kafka's `ReplicaManager.handleProduceAppend` (KIP-890).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::base::{Flaw, ProducerEpoch, ProducerId, TopicPartition};
use crate::broker::context::Broker;
use crate::broker::partition::{Partition, Refusal, Verifying};
use crate::broker::verifying::{Operation, Question};
use crate::io::World;
use crate::log::TransactionalWrite;
use crate::wire::ErrorCode;
use crate::wire::batch::BatchHeader;

/// Records that may be written to a partition.
pub(super) struct Ready<W: World> {
    pub(super) partition: Arc<Partition<W>>,
    pub(super) records: Bytes,
    /// Set once their transaction is verified.
    pub(super) verified: Option<Verifying>,
}

impl<W: World> Ready<W> {
    pub(super) fn new(partition: Arc<Partition<W>>, records: Bytes) -> Self {
        Self { partition, records, verified: None }
    }

    /// The batch, if it is part of a transaction.
    fn in_transaction(&self) -> Option<BatchHeader> {
        let header = BatchHeader::read(&self.records).ok()?;
        (header.is_transactional() && header.has_producer()).then_some(header)
    }
}

/// One partition of a request: what is to be written, or why it is not.
pub(super) type Prepared<W> = Result<Ready<W>, Refusal>;

/// Verifies the transaction of a request. Partitions that it does not have are refused.
pub(super) async fn verify<W: World>(
    broker: &Arc<Broker<W>>,
    version: i16,
    transactional_id: Option<&str>,
    prepared: &mut [&mut Prepared<W>],
) {
    let batches = prepared.iter().enumerate().filter_map(|(place, one)| {
        let header = one.as_ref().ok()?.in_transaction()?;
        Some((place, header))
    });
    let batches: Vec<(usize, BatchHeader)> = batches.collect();
    let producers: BTreeSet<_> =
        batches.iter().map(|(_, header)| (header.producer_id, header.producer_epoch)).collect();
    let (Some((producer, epoch)), Some(id)) = (producers.first().copied(), transactional_id) else {
        return;
    };
    if producers.len() > 1 {
        for one in prepared.iter_mut() {
            **one = Err(ErrorCode::InvalidProducerIdMapping.into());
        }
        return;
    }
    let operation = Operation::of_produce(version);
    let skipped = !broker.settings().txn.transaction_partition_verification_enable
        || broker.flaws.has(Flaw::UnverifiedTransaction);
    if skipped && operation != Operation::Add {
        return;
    }
    let transaction = Transaction { id, producer, epoch, operation, batches };
    for (place, verified) in transaction.verify(broker, prepared).await {
        let Some(one) = prepared.get_mut(place) else { continue };
        match (verified, &mut **one) {
            (Ok(verifying), Ok(ready)) => ready.verified = verifying,
            (Err(error), one) => *one = Err(refusal(error, operation)),
            (Ok(_), Err(_)) => {}
        }
    }
}

/// The transaction of a request.
struct Transaction<'a> {
    id: &'a str,
    producer: ProducerId,
    epoch: ProducerEpoch,
    operation: Operation,
    /// Its batches, each with its place among the request's partitions.
    batches: Vec<(usize, BatchHeader)>,
}

/// By place: how a partition was verified, `None` if it did not have to be.
type Results = BTreeMap<usize, Result<Option<Verifying>, ErrorCode>>;

impl Transaction<'_> {
    /// Verifies, and repeats for a while that the transaction before is being completed: the client
    /// would wait longer, and send all records again (KAFKA-18654).
    async fn verify<W: World>(
        &self,
        broker: &Arc<Broker<W>>,
        prepared: &[&mut Prepared<W>],
    ) -> Results {
        let settings = broker.settings();
        let backoff = settings.txn.add_partitions_to_txn_retry_backoff;
        let until = broker.world.now() + settings.txn.add_partitions_to_txn_retry_backoff_max;
        loop {
            let results = self.attempt(broker, prepared).await;
            let concurrent =
                results.values().any(|of| *of == Err(ErrorCode::ConcurrentTransactions));
            let now = broker.world.now();
            if !self.operation.bumps_epoch() || !concurrent || now >= until {
                return results;
            }
            broker.world.sleep_until(now + backoff).await;
        }
    }

    async fn attempt<W: World>(
        &self,
        broker: &Arc<Broker<W>>,
        prepared: &[&mut Prepared<W>],
    ) -> Results {
        let mut results = Results::new();
        let mut asked: BTreeMap<TopicPartition, usize> = BTreeMap::new();
        for (place, header) in &self.batches {
            let Some(Ok(ready)) = prepared.get(*place).map(|one| &**one) else { continue };
            let begun = ready.partition.begin_verification(&TransactionalWrite {
                producer: self.producer,
                epoch: self.epoch,
                sequence: header.base_sequence,
                bumps_epoch: self.operation.bumps_epoch(),
            });
            if matches!(begun, Ok(Some(_))) {
                asked.insert(ready.partition.name.clone(), *place);
            }
            results.insert(*place, begun);
        }
        if asked.is_empty() {
            return results;
        }
        let unverified = broker.verify(Question {
            transactional_id: self.id.to_owned(),
            producer: self.producer,
            epoch: self.epoch,
            operation: self.operation,
            partitions: asked.keys().cloned().collect(),
        });
        for (partition, error) in unverified.await {
            if let Some(place) = asked.get(&partition) {
                results.insert(*place, Err(error));
            }
        }
        results
    }
}

/// Maps the error of a verification to the one in the response. Older producers don't know some errors of
/// coordinators: they retry NOT_ENOUGH_REPLICAS instead.
fn refusal(error: ErrorCode, operation: Operation) -> Refusal {
    let unknown = |error: ErrorCode| {
        let message = format!("can't verify that the transaction has the partition: {error}");
        Refusal::telling(ErrorCode::NotEnoughReplicas, message)
    };
    match error {
        ErrorCode::InvalidTxnState => {
            let message = "the partition was not added to the transaction";
            Refusal::telling(error, message.to_owned())
        }
        ErrorCode::NetworkException
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator => unknown(error),
        ErrorCode::ConcurrentTransactions if !operation.bumps_epoch() => unknown(error),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinators_that_cannot_answer_make_producers_retry() {
        let code = |error, operation| refusal(error, operation).code;
        for error in [
            ErrorCode::NetworkException,
            ErrorCode::CoordinatorLoadInProgress,
            ErrorCode::CoordinatorNotAvailable,
            ErrorCode::NotCoordinator,
        ] {
            assert_eq!(code(error, Operation::Verify), ErrorCode::NotEnoughReplicas);
            assert_eq!(code(error, Operation::Add), ErrorCode::NotEnoughReplicas);
        }
        let concurrent = ErrorCode::ConcurrentTransactions;
        assert_eq!(code(concurrent, Operation::Verify), ErrorCode::NotEnoughReplicas);
        assert_eq!(code(concurrent, Operation::Add), concurrent);
        for error in [
            ErrorCode::InvalidTxnState,
            ErrorCode::InvalidProducerEpoch,
            ErrorCode::TransactionAbortable,
        ] {
            assert_eq!(code(error, Operation::Add), error);
        }
    }
}
