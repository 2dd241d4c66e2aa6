//! The records of `__transaction_state` in Kafka's format.
//!
//! | file | contents |
//! |---|---|
//! | `codec` | keys and values as bytes |
//! | `error` | why bytes are not a record |
//!
//! Source: Kafka's `TransactionLog`, and the schemas `TransactionLogKey` and `TransactionLogValue`.

mod codec;
mod error;
#[cfg(test)]
mod tests;

pub use error::RecordError;

use super::transaction::Transaction;
use super::version::TransactionVersion;
use super::{TransactionState, TransactionalId};
use crate::base::ProducerId;
use crate::decide::KeyValue;

/// One fact about a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A transactional id as it is from now on.
    Stored {
        /// Which id.
        id: TransactionalId,
        /// The version of the value: 0, or 1 with tagged fields.
        version: i16,
        /// What is stored.
        transaction: Transaction,
    },
    /// A tombstone: the transactional id has expired.
    Expired(TransactionalId),
    /// The value can't be read. The transactional id is offline until a later record replaces it.
    Corrupt {
        /// Which id.
        id: TransactionalId,
        /// What is wrong with the value.
        error: RecordError,
        /// As it was read.
        bytes: KeyValue,
    },
    /// The key can't be read, so the record belongs to no transactional id. It changes nothing.
    Unreadable {
        /// What is wrong with the key.
        error: RecordError,
        /// As it was read.
        bytes: KeyValue,
    },
}

impl Record {
    /// The record that stores a transactional id at a level of `transaction.version`.
    ///
    /// Version 0 of the value has neither the producers before and after nor the client's version. A
    /// transaction that needs them is stored in version 1 at any level: Kafka fails such a request.
    pub fn stored(
        id: TransactionalId,
        level: TransactionVersion,
        transaction: Transaction,
    ) -> Self {
        let needs_tags = transaction.next != ProducerId::NONE
            || transaction.client_version != TransactionVersion::V0;
        if level >= TransactionVersion::V1 || needs_tags {
            return Self::Stored { id, version: 1, transaction };
        }
        let transaction = Transaction { previous: ProducerId::NONE, ..transaction };
        Self::Stored { id, version: 0, transaction }
    }

    /// The transactional id of the record, unless its key can't be read.
    pub fn id(&self) -> Option<&TransactionalId> {
        match self {
            Self::Stored { id, .. } | Self::Expired(id) | Self::Corrupt { id, .. } => Some(id),
            Self::Unreadable { .. } => None,
        }
    }

    /// The bytes of its key and value, about.
    pub fn size(&self) -> usize {
        let (id, partitions) = match self {
            Self::Stored { id, transaction, .. } => (id, transaction.partitions.iter()),
            Self::Expired(id) => return id.as_str().len() + 16,
            Self::Corrupt { bytes, .. } | Self::Unreadable { bytes, .. } => {
                let length = |part: &Option<bytes::Bytes>| part.as_ref().map_or(0, |p| p.len());
                return length(&bytes.key) + length(&bytes.value);
            }
        };
        id.as_str().len() + partitions.map(|one| one.topic.len() + 12).sum::<usize>() + 96
    }
}
