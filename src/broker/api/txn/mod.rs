//! Transactions: their producers, their partitions, and their outcome.
//!
//! Each request goes to the coordinator of its transactional id (`broker/txn`), which is a machine in
//! `txn`. Source of the checks before that: Kafka's `KafkaApis`.

mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod describe_transactions;
mod end_txn;
mod init_producer_id;
mod list_transactions;

pub(in crate::broker) use add_offsets_to_txn::AddOffsetsToTxn;
pub(in crate::broker) use add_partitions_to_txn::AddPartitionsToTxn;
pub(in crate::broker) use describe_transactions::DescribeTransactions;
pub(in crate::broker) use end_txn::EndTxn;
pub(in crate::broker) use init_producer_id::InitProducerId;
pub(in crate::broker) use list_transactions::ListTransactions;

use crate::wire::ErrorCode;

/// A fenced producer as versions before `since` name it: they do not have PRODUCER_FENCED (KIP-588).
fn known_to(version: i16, since: i16, error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::ProducerFenced if version < since => ErrorCode::InvalidProducerEpoch,
        error => error,
    }
}
