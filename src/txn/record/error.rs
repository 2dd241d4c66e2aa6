//! Bytes that are not a record of `__transaction_state`.

use crate::wire::messages::DecodeError;

/// Why a key or a value can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// No record of Kafka's lacks a key.
    #[error("record without a key; every record of __transaction_state has one")]
    NoKey,
    /// A key that is not `TransactionLogKey`.
    #[error("unknown type {0} of a key: this log was written by a newer broker")]
    Type(i16),
    /// The key ends early, or contradicts itself.
    #[error("malformed TransactionLogKey: {0}")]
    Key(DecodeError),
    /// A version of the value that 4.3.1 does not have.
    #[error("unknown version {0} of TransactionLogValue: this log was written by a newer broker")]
    Version(i16),
    /// The value ends early, or contradicts itself.
    #[error("malformed TransactionLogValue: {0}")]
    Value(DecodeError),
    /// A state that is not stored, or that Kafka does not have.
    #[error("no stored transaction has the state {0}")]
    State(i8),
    /// A level of `transaction.version` that Kafka does not have.
    #[error("unknown client transaction version {0}")]
    ClientVersion(i16),
    /// A stored producer has an id and an epoch.
    #[error("producer id {producer} and epoch {epoch} are not those of a producer")]
    Producer {
        /// The producer id.
        producer: i64,
        /// Its epoch.
        epoch: i16,
    },
    /// A transaction with an outcome or a beginning lists its partitions, though there be none.
    #[error("a transaction in state {0} lacks its list of partitions")]
    NoPartitions(&'static str),
}
