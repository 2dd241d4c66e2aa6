//! The settings of the transaction coordinator.

use std::time::Duration;

use super::bounds::Bounds::{Any, AtLeast, Between};
use super::bounds::INT;
use super::foreign::{Foreign, TRANSACTIONS, harmless, relied};
use super::{Bounds, Kind, settings};

settings! {
    /// The settings of the transaction coordinator, and of partitions with producers. Source: Kafka's
    /// `TransactionLogConfig`, `ProducerStateManagerConfig` and `AddPartitionsToTxnConfig`.
    pub struct TxnConfig, foreign [FOREIGN] {
        transaction_state_log_replication_factor: i16 = "3", "transaction.state.log.replication.factor", AtLeast(1),
            "The replication factor of `__transaction_state`";
        transaction_state_log_min_isr: i32 = "2", "transaction.state.log.min.isr", AtLeast(1),
            "The `min.insync.replicas` of `__transaction_state`";
        transaction_partition_verification_enable: bool = "true", "transaction.partition.verification.enable", Any,
            "Whether a partition asks the coordinator of a transaction before it takes its first record";
        add_partitions_to_txn_retry_backoff: Duration = "20", "add.partitions.to.txn.retry.backoff.ms", Between(1, INT),
            "The time between two attempts to add a partition to a transaction while the one before is completed";
        add_partitions_to_txn_retry_backoff_max: Duration = "100", "add.partitions.to.txn.retry.backoff.max.ms", Between(0, INT),
            "The longest time for which a broker repeats such attempts";
        producer_id_expiration: Duration = "86400000", "producer.id.expiration.ms", Between(1, INT),
            "The time after which a partition forgets a silent producer";
        producer_id_expiration_check_interval: Duration = "600000", "producer.id.expiration.check.interval.ms", Between(1, INT),
            "The time between two searches for silent producers";
    }
}

/// Keys of Kafka for transactions, which are not served here.
pub(super) const FOREIGN: &[Foreign] = &[
    harmless("transaction.state.log.load.buffer.size", "5242880")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("transaction.state.log.num.partitions", "50").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("transaction.state.log.segment.bytes", "104857600")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("transactional.id.expiration.ms", "604800000").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("transaction.max.timeout.ms", "900000").typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("transaction.abort.timed.out.transaction.cleanup.interval.ms", "10000")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("transaction.remove.expired.transaction.cleanup.interval.ms", "3600000")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    relied("transaction.two.phase.commit.enable", "false", TRANSACTIONS)
        .typed(Kind::Boolean, Bounds::Any),
];
