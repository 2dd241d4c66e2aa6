//! Transactions in a coordinator's log: decisions that count once their transaction is committed, and
//! the markers that end it.
//!
//! A marker is replayed by the machine in order with its decisions, and acknowledged once it is
//! committed: a request that follows sees what the transaction has changed (KAFKA-17507).
//! Source: Kafka's `CoordinatorRuntime.scheduleTransactionalWriteOperation` and
//! `scheduleTransactionCompletion`.

use super::journal::{AppendFailure, Written};
use super::partition::{OnPartition, PartitionJournal};
use super::serve::{DecisionOf, Refused, committed};
use crate::base::{Instant, Offset, ProducerEpoch, ProducerId};
use crate::broker::partition::{Produced, Refusal, Verifying};
use crate::decide::Machine;
use crate::io::World;
use crate::log::{TransactionEnd, TransactionalWrite};
use crate::wire::ErrorCode;

/// A producer whose transaction is written to, verified if it had to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InTransaction {
    pub(crate) producer: ProducerId,
    pub(crate) epoch: ProducerEpoch,
    pub(crate) verified: Option<Verifying>,
}

impl<W: World, M: Machine> OnPartition<W, M> {
    /// Begins to verify that this partition belongs to a producer's transaction: see
    /// [`crate::broker::partition::Partition::begin_verification`].
    pub(crate) fn begin_verification(
        &self,
        write: &TransactionalWrite,
    ) -> Result<Option<Verifying>, ErrorCode> {
        self.journal().partition().begin_verification(write)
    }

    /// Decides as part of a transaction. Returns once the records are committed; they count once the
    /// transaction is.
    pub(crate) async fn decide_in_transaction<T>(
        &self,
        of: InTransaction,
        handler: impl FnOnce(&M, Instant, Offset) -> DecisionOf<M, T>,
    ) -> Result<T, ErrorCode> {
        let mut refusal = None;
        let append = |journal: &PartitionJournal<W>, batch| {
            noted(journal.append_in_transaction(batch, of.verified), &mut refusal)
        };
        let decided = self.decide_by(Some((of.producer, of.epoch)), append, handler);
        let (response, waiter) = decided.map_err(|refused| told(&refused, refusal))?;
        committed(waiter).await.map_err(|refused| refused.code())?;
        Ok(response)
    }

    /// Ends a producer's transaction in this partition. Returns once the marker is committed, and the
    /// machine's committed state has what follows from it.
    pub(crate) async fn end_transaction(&self, end: &TransactionEnd) -> Result<(), ErrorCode> {
        let mut refusal = None;
        let append =
            |journal: &PartitionJournal<W>| noted(journal.append_marker(end), &mut refusal);
        let ended = self.end_by(end.producer, end.commit, append);
        let waiter = ended.map_err(|refused| refusal.unwrap_or_else(|| refused.code()))?;
        committed(waiter).await.map_err(|refused| refused.code())
    }

    /// Appends the marker of a transaction behind the machine's back: only for a flaw.
    pub(crate) async fn append_marker(&self, end: &TransactionEnd) -> Result<Produced, Refusal> {
        self.journal().partition().append_marker(end).await
    }

    /// Replays the marker of a transaction that was appended without this machine's knowledge.
    pub(crate) fn note_end(&self, end: &TransactionEnd) {
        let there = |_: &PartitionJournal<W>| Ok(Written { base: Offset::ZERO, end: Offset::ZERO });
        drop(self.end_by(end.producer, end.commit, there));
    }
}

/// Keeps the code of an append that was refused.
fn noted(
    appended: Result<Written, AppendFailure<ErrorCode>>,
    refusal: &mut Option<ErrorCode>,
) -> Result<Written, AppendFailure<ErrorCode>> {
    appended.inspect_err(|failure| {
        if let AppendFailure::Refused(code) = failure {
            *refusal = Some(*code);
        }
    })
}

/// Maps a refused decision to the error of the request: an error of the transaction comes from the log,
/// any other is a coordinator's.
fn told(refused: &Refused, refusal: Option<ErrorCode>) -> ErrorCode {
    let of_transaction = refusal.filter(|code| {
        matches!(
            code,
            ErrorCode::InvalidTxnState
                | ErrorCode::InvalidProducerEpoch
                | ErrorCode::TransactionCoordinatorFenced
        )
    });
    of_transaction.unwrap_or_else(|| refused.code())
}
