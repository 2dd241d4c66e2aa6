//! The two protocols of transactions, and the feature that switches between them.

/// The feature that chooses how transactions are stored and ended.
pub const TRANSACTION_VERSION: &str = "transaction.version";

/// A level of `transaction.version`.
///
/// Source: Kafka's `TransactionVersion`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransactionVersion(i16);

impl TransactionVersion {
    /// One epoch for all transactions of a producer (KIP-98), stored without tagged fields.
    pub const V0: Self = Self(0);
    /// The same, stored with tagged fields.
    pub const V1: Self = Self(1);
    /// An epoch for each transaction (KIP-890, part 2).
    pub const V2: Self = Self(2);

    /// The version of a level; `None` for a level that Kafka 4.3 does not have.
    pub fn of(level: i16) -> Option<Self> {
        (Self::V0.0..=Self::V2.0).contains(&level).then_some(Self(level))
    }

    /// Its level.
    pub fn level(self) -> i16 {
        self.0
    }

    /// Whether each transaction has an epoch of its own.
    pub fn bumps_epoch(self) -> bool {
        self >= Self::V2
    }

    /// The version of a client that adds partitions with this version of AddPartitionsToTxn.
    pub fn of_add_partitions(api_version: i16) -> Self {
        if api_version > 3 { Self::V2 } else { Self::V0 }
    }

    /// The version of a client that ends its transaction with this version of EndTxn.
    pub fn of_end_txn(api_version: i16) -> Self {
        if api_version > 4 { Self::V2 } else { Self::V0 }
    }
}
