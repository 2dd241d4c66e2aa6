//! The settings of the transaction coordinator.

use super::bounds::Bounds::AtLeast;
use super::foreign::{Foreign, PRODUCER_EXPIRATION, TRANSACTIONS, harmless, relied};
use super::{Bounds, Kind, settings};

settings! {
    /// The settings of the transaction coordinator. Source: Kafka's `TransactionLogConfig`.
    pub struct TxnConfig, foreign [FOREIGN] {
        transaction_state_log_replication_factor: i16 = "3", "transaction.state.log.replication.factor", AtLeast(1),
            "The replication factor of `__transaction_state`";
        transaction_state_log_min_isr: i32 = "2", "transaction.state.log.min.isr", AtLeast(1),
            "The `min.insync.replicas` of `__transaction_state`";
    }
}

/// Keys of Kafka for transactions, which are not served here.
pub(super) const FOREIGN: &[Foreign] = &[
    harmless("transaction.state.log.load.buffer.size", "5242880")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("transaction.state.log.num.partitions", "50").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("transaction.state.log.segment.bytes", "104857600")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("transaction.partition.verification.enable", "true").typed(Kind::Boolean, Bounds::Any),
    relied("producer.id.expiration.ms", "86400000", PRODUCER_EXPIRATION)
        .typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("producer.id.expiration.check.interval.ms", "600000")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("transactional.id.expiration.ms", "604800000").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("transaction.max.timeout.ms", "900000").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("transaction.abort.timed.out.transaction.cleanup.interval.ms", "10000")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("transaction.remove.expired.transaction.cleanup.interval.ms", "3600000")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    relied("transaction.two.phase.commit.enable", "false", TRANSACTIONS)
        .typed(Kind::Boolean, Bounds::Any),
    harmless("add.partitions.to.txn.retry.backoff.max.ms", "100")
        .typed(Kind::Int, Bounds::AtLeast(0)),
    harmless("add.partitions.to.txn.retry.backoff.ms", "20").typed(Kind::Int, Bounds::AtLeast(1)),
];
