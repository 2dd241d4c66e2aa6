//! What the state of transactions means for records, and what records mean for transactions.

use super::{Began, State, Transactions, Version};
use crate::base::TopicPartition;
use crate::client::{ErrorClass, ProduceCause, TransactionCause, TransactionError};
use crate::wire::ErrorCode;

impl Transactions {
    /// The reason why no record is taken now, if there is one.
    pub(in crate::client::producer) fn refuses_records(&self) -> Option<ProduceCause> {
        match &self.state {
            State::InTransaction if self.pending.is_none() => None,
            State::Abortable(error) | State::Fatal(error) => Some(cause_of(error)),
            _ => Some(ProduceCause::NoTransaction),
        }
    }

    /// Whether a first batch may leave for this partition; if not, the coordinator is told of it.
    pub(in crate::client::producer) fn admits(&mut self, partition: &TopicPartition) -> bool {
        match (&self.state, self.version) {
            (State::InTransaction | State::Committing, Version::Two) => true,
            (State::InTransaction | State::Committing, Version::One) => {
                let is_added = self.added.contains(partition);
                if !is_added && !self.adding.contains(partition) {
                    self.wanted.insert(partition.clone());
                }
                is_added
            }
            _ => false,
        }
    }

    /// A batch leaves: the leader may add its partition.
    pub(in crate::client::producer) fn leaves(&mut self, partition: &TopicPartition) {
        if self.version == Version::Two {
            self.began = self.began.max(Began::Perhaps);
            self.added.insert(partition.clone());
        }
    }

    /// A batch is stored.
    pub(in crate::client::producer) fn stored(&mut self) {
        self.began = Began::Yes;
    }

    /// A record or batch failed; its partition is -1 if it had none yet. `numbered`: its number may be
    /// lost.
    pub(in crate::client::producer) fn record_failed(
        &mut self,
        partition: &TopicPartition,
        cause: ProduceCause,
        numbered: bool,
    ) {
        if matches!(self.state, State::Fatal(_)) {
            return;
        }
        self.bump |= numbered;
        let fatal = match cause {
            ProduceCause::Broker(error) => match error {
                ErrorCode::ProducerFenced
                | ErrorCode::InvalidProducerIdMapping
                | ErrorCode::TransactionalIdAuthorizationFailed
                | ErrorCode::ClusterAuthorizationFailed => Some(ErrorClass::of(error)),
                _ => None,
            },
            ProduceCause::UnsupportedVersion => Some(ErrorClass::InvalidConfiguration),
            _ => None,
        };
        let class = fatal.unwrap_or(ErrorClass::Abortable);
        let (topic, index) = (partition.topic.to_string(), partition.partition);
        let partition = (index >= 0).then_some(index);
        let cause = TransactionCause::Record { cause, topic, partition };
        let error = TransactionError { cause, class };
        match fatal {
            Some(_) => self.fail(error),
            None => self.fail_transaction(error),
        }
    }

    /// The numbers of a partition no longer fit.
    pub(in crate::client::producer) fn numbers_broken(&mut self, partition: &TopicPartition) {
        let cause = ProduceCause::Broker(ErrorCode::OutOfOrderSequenceNumber);
        self.record_failed(partition, cause, true);
    }

    /// Why batches that never left fail now, if they do.
    pub(in crate::client::producer) fn drops_fresh(&self) -> Option<ProduceCause> {
        match &self.state {
            State::Abortable(error) => Some(cause_of(error)),
            State::Aborting => Some(ProduceCause::TransactionAborted),
            _ => None,
        }
    }

    /// Why all batches fail now, if they do.
    pub(in crate::client::producer) fn drops_all(&self) -> Option<ProduceCause> {
        match &self.state {
            State::Fatal(error) => Some(cause_of(error)),
            _ => None,
        }
    }

    /// Whether nothing lingers.
    pub(in crate::client::producer) fn is_completing(&self) -> bool {
        matches!(self.state, State::Committing | State::Aborting)
    }

    /// Whether a transaction is open that nothing ends yet.
    pub(in crate::client::producer) fn is_open(&self) -> bool {
        matches!(self.state, State::InTransaction | State::Abortable(_))
    }

    /// Whether no transaction is open, and records can't be part of one.
    pub(in crate::client::producer) fn is_outside(&self) -> bool {
        matches!(self.state, State::Uninitialised | State::Initialising | State::Ready)
    }

    /// Whether there is nothing to wait for.
    pub(in crate::client::producer) fn is_settled(&self) -> bool {
        matches!(self.state, State::Uninitialised | State::Ready | State::Fatal(_))
    }
}

/// The error as that of a record.
fn cause_of(error: &TransactionError) -> ProduceCause {
    match &error.cause {
        TransactionCause::Broker { error, .. } | TransactionCause::CommitFailed { error, .. } => {
            ProduceCause::Broker(*error)
        }
        TransactionCause::Record { cause, .. } => *cause,
        TransactionCause::UnsupportedVersion { .. } => ProduceCause::UnsupportedVersion,
        TransactionCause::Closed => ProduceCause::Closed,
        _ => ProduceCause::TransactionAborted,
    }
}
