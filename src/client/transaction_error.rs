//! Errors of transactions, each with its class: what the application does next (KIP-1050).

#![warn(missing_docs, reason = "in the prelude")]

use super::ProduceCause;
use crate::wire::ErrorCode;

/// What an application does after an error of a transactional call (KIP-1050).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The same call may succeed later: make it again.
    Retriable,
    /// As `Retriable`, once the client has refreshed what it knows of the cluster, which it does by
    /// itself.
    RefreshRetriable,
    /// The transaction can't be committed: abort it, and repeat its work in another one.
    Abortable,
    /// This producer can't go on, a new one with the same `transactional.id` can. A program that
    /// consumes, transforms and produces reads again from its group's committed offsets.
    ApplicationRecoverable,
    /// A setting or a permission is wrong: no retry helps before it is changed.
    InvalidConfiguration,
    /// The call does not fit the state of the producer. It changed nothing.
    Misuse,
    /// Unexpected: this producer can't go on.
    Fatal,
}

impl ErrorClass {
    /// The class of a broker's error. Source: KIP-1050, and the exceptions of Kafka 4.3.
    pub const fn of(error: ErrorCode) -> Self {
        match error {
            ErrorCode::TransactionAbortable
            | ErrorCode::UnknownProducerId
            | ErrorCode::OutOfOrderSequenceNumber => Self::Abortable,
            ErrorCode::ProducerFenced
            | ErrorCode::InvalidProducerEpoch
            | ErrorCode::InvalidProducerIdMapping
            | ErrorCode::FencedInstanceId
            | ErrorCode::IllegalGeneration
            | ErrorCode::UnknownMemberId => Self::ApplicationRecoverable,
            ErrorCode::TransactionalIdAuthorizationFailed
            | ErrorCode::ClusterAuthorizationFailed
            | ErrorCode::TopicAuthorizationFailed
            | ErrorCode::GroupAuthorizationFailed
            | ErrorCode::InvalidTransactionTimeout
            | ErrorCode::UnsupportedVersion
            | ErrorCode::UnsupportedForMessageFormat
            | ErrorCode::InvalidRequiredAcks
            | ErrorCode::InvalidGroupId => Self::InvalidConfiguration,
            error if error.is_stale_metadata() => Self::RefreshRetriable,
            error if error.is_retriable() => Self::Retriable,
            _ => Self::Fatal,
        }
    }

    /// What to do, in words.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Retriable | Self::RefreshRetriable => "make the same call again",
            Self::Abortable => "abort the transaction, then repeat its work in another one",
            Self::ApplicationRecoverable => {
                "close this producer, and go on with a new one that calls init_transactions"
            }
            Self::InvalidConfiguration => "change the setting or the permission, then start again",
            Self::Misuse => "it changed nothing",
            Self::Fatal => "close this producer",
        }
    }
}

/// The reason why a transactional call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactionCause {
    /// A coordinator refused.
    #[error("{error} in {request}")]
    Broker {
        /// The coordinator's error.
        error: ErrorCode,
        /// The name of the request.
        request: &'static str,
    },
    /// A record of the transaction failed.
    #[error("a record for {topic}{} failed with {cause}",
        .partition.map_or_else(String::new, |partition| format!("-{partition}")))]
    Record {
        /// The cause of its failure.
        cause: ProduceCause,
        /// Its topic.
        topic: String,
        /// Its partition, if it had one.
        partition: Option<i32>,
    },
    /// The consumer that read the offsets is no longer a member of its group in this generation:
    /// others may read its partitions (KIP-447).
    #[error("COMMIT_FAILED: {error} in TxnOffsetCommit: group {group} has moved on")]
    CommitFailed {
        /// The group.
        group: String,
        /// The coordinator's error.
        error: ErrorCode,
    },
    /// `max.block.ms` passed. The call continues, and its outcome is open.
    #[error("TIMEOUT: {call} did not end within max.block.ms; it continues")]
    TimedOut {
        /// The call.
        call: &'static str,
    },
    /// The transaction was aborted before this was done.
    #[error("TRANSACTION_ABORTED")]
    Aborted,
    /// A broker supports no usable version of a request.
    #[error("UNSUPPORTED_VERSION of {request}")]
    UnsupportedVersion {
        /// The name of the request.
        request: &'static str,
    },
    /// The call does not fit the state of the producer.
    #[error("INVALID_STATE: {call}: {problem}")]
    Misuse {
        /// The call.
        call: &'static str,
        /// The defect, and what to do instead.
        problem: String,
    },
    /// The producer is closed, or was dropped.
    #[error("PRODUCER_CLOSED")]
    Closed,
}

/// A transactional call that failed, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}: {}", .class.remedy())]
pub struct TransactionError {
    /// The reason.
    pub cause: TransactionCause,
    /// What to do next.
    pub class: ErrorClass,
}

impl TransactionError {
    /// Kafka's name of the error, or the client's own.
    pub const fn name(&self) -> &'static str {
        match &self.cause {
            TransactionCause::Broker { error, .. } => error.name(),
            TransactionCause::Record { cause, .. } => cause.name(),
            TransactionCause::CommitFailed { .. } => "COMMIT_FAILED",
            TransactionCause::TimedOut { .. } => "TIMEOUT",
            TransactionCause::Aborted => "TRANSACTION_ABORTED",
            TransactionCause::UnsupportedVersion { .. } => "UNSUPPORTED_VERSION",
            TransactionCause::Misuse { .. } => "INVALID_STATE",
            TransactionCause::Closed => "PRODUCER_CLOSED",
        }
    }

    /// Whether the same call may succeed later.
    pub const fn is_retriable(&self) -> bool {
        matches!(self.class, ErrorClass::Retriable | ErrorClass::RefreshRetriable)
    }

    /// Whether the transaction has to be aborted; the producer can continue.
    pub const fn is_abortable(&self) -> bool {
        matches!(self.class, ErrorClass::Abortable)
    }

    /// Whether another producer with the same `transactional.id` has taken over.
    pub const fn is_fenced(&self) -> bool {
        matches!(
            self.cause,
            TransactionCause::Broker {
                error: ErrorCode::ProducerFenced | ErrorCode::InvalidProducerEpoch,
                ..
            } | TransactionCause::Record {
                cause: ProduceCause::Broker(ErrorCode::ProducerFenced),
                ..
            }
        )
    }

    pub(in crate::client) fn broker(
        error: ErrorCode,
        request: &'static str,
        class: ErrorClass,
    ) -> Self {
        Self { cause: TransactionCause::Broker { error, request }, class }
    }

    pub(in crate::client) fn misuse(call: &'static str, problem: impl Into<String>) -> Self {
        let problem = problem.into();
        Self { cause: TransactionCause::Misuse { call, problem }, class: ErrorClass::Misuse }
    }

    pub(in crate::client) fn timed_out(call: &'static str) -> Self {
        Self { cause: TransactionCause::TimedOut { call }, class: ErrorClass::Retriable }
    }

    pub(crate) fn closed() -> Self {
        Self { cause: TransactionCause::Closed, class: ErrorClass::Fatal }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_the_class_of_kafka() {
        for (error, class) in [
            (ErrorCode::ConcurrentTransactions, ErrorClass::Retriable),
            (ErrorCode::CoordinatorLoadInProgress, ErrorClass::Retriable),
            (ErrorCode::NotLeaderOrFollower, ErrorClass::RefreshRetriable),
            (ErrorCode::TransactionAbortable, ErrorClass::Abortable),
            (ErrorCode::ProducerFenced, ErrorClass::ApplicationRecoverable),
            (ErrorCode::InvalidProducerIdMapping, ErrorClass::ApplicationRecoverable),
            (ErrorCode::TransactionalIdAuthorizationFailed, ErrorClass::InvalidConfiguration),
            (ErrorCode::InvalidTxnState, ErrorClass::Fatal),
        ] {
            assert_eq!(ErrorClass::of(error), class, "{error}");
        }
    }

    #[test]
    fn message_names_the_request_and_the_remedy() {
        let class = ErrorClass::ApplicationRecoverable;
        let error = TransactionError::broker(ErrorCode::ProducerFenced, "EndTxn", class);
        assert_eq!(
            error.to_string(),
            "PRODUCER_FENCED in EndTxn: close this producer, and go on with a new one that calls \
             init_transactions"
        );
        assert!(error.is_fenced() && !error.is_abortable());
    }
}
