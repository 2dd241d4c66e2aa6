//! The settings of the transaction coordinator.

use std::time::Duration;

use super::bounds::Bounds::{Any, AtLeast, Between};
use super::bounds::INT;
use super::foreign::{Foreign, TWO_PHASE_COMMIT, harmless, relied};
use super::{Bounds, Kind, settings};

settings! {
    /// The settings of the transaction coordinator, and of partitions with producers. Source: Kafka's
    /// `TransactionLogConfig`, `TransactionStateManagerConfig`, `ProducerStateManagerConfig` and
    /// `AddPartitionsToTxnConfig`.
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
        transaction_state_log_num_partitions: i32 = "50", "transaction.state.log.num.partitions", AtLeast(1),
            "The number of partitions of `__transaction_state`";
        transaction_state_log_segment_bytes: i32 = "104857600", "transaction.state.log.segment.bytes", AtLeast(1),
            "The `segment.bytes` of `__transaction_state`";
        transaction_max_timeout: Duration = "900000", "transaction.max.timeout.ms", Between(1, INT),
            "The longest timeout that a transactional producer may ask for";
        transactional_id_expiration: Duration = "604800000", "transactional.id.expiration.ms", Between(1, INT),
            "A transactional id without a transaction is kept for this time";
        transaction_remove_expired_interval: Duration = "3600000", "transaction.remove.expired.transaction.cleanup.interval.ms", Between(1, INT),
            "The time between two searches for expired transactional ids";
        transaction_first_producer_epoch: i32 = "0", "transaction.first.producer.epoch", Between(0, 32_766),
            "The epoch that a new transactional id begins with (beyond Kafka): what happens when epochs run out is seen near 32766";
    }
}

/// Keys of Kafka for transactions, which are not served here.
pub(super) const FOREIGN: &[Foreign] = &[
    harmless("transaction.state.log.load.buffer.size", "5242880")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    harmless("transaction.abort.timed.out.transaction.cleanup.interval.ms", "10000")
        .typed(Kind::Int, Bounds::AtLeast(1)),
    relied("transaction.two.phase.commit.enable", "false", TWO_PHASE_COMMIT)
        .typed(Kind::Boolean, Bounds::Any),
];
