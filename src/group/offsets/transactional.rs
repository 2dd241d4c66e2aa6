//! TxnOffsetCommit: offsets that a transaction commits together with its records (KIP-447).

use super::commit::is_too_large;
use super::subscriber::{Committer, Scope, Subscriber};
use crate::base::{Offset, Timestamp, TopicId};
use crate::decide::Decision;
use crate::group::record::{CommittedOffset, OffsetKey, Record};
use crate::wire::ErrorCode;
use crate::wire::messages::message;
use crate::wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition,
};
use crate::wire::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};

/// Whether the client may commit these offsets: a member of the group in its generation, or a client
/// that is not a member. An error concerns the whole request.
///
/// Topics have their ids, as far as the broker knows them. A member of the consumer protocol in an
/// older epoch may commit the partitions that it had then. Source: Kafka's
/// `OffsetMetadataManager.validateTransactionalOffsetCommit`.
pub fn check_transactional(
    group: Option<&dyn Subscriber>,
    version: i16,
    request: &TxnOffsetCommitRequest,
) -> Result<(), ErrorCode> {
    let committer = Committer {
        member: &request.member_id,
        instance: request.group_instance_id.as_deref(),
        epoch: request.generation_id_or_member_epoch,
        is_transactional: true,
        version,
    };
    let group = match group {
        Some(group) => group,
        None if committer.epoch < 0 => return Ok(()),
        None => return Err(ErrorCode::IllegalGeneration),
    };
    // Clients of this request know only of generations.
    let stale = |error| match error {
        ErrorCode::StaleMemberEpoch => ErrorCode::IllegalGeneration,
        other => other,
    };
    if group.validate_commit(&committer).map_err(stale)? == Scope::Partitions {
        for topic in &request.topics {
            let id = TopicId::from(topic.topic_id);
            for partition in &topic.partitions {
                let checked = group.validate_partition(&committer, id, partition.partition_index);
                checked.map_err(stale)?;
            }
        }
    }
    Ok(())
}

/// Decides the commit of offsets in a transaction. They are pending until the transaction ends.
///
/// Whether the client may commit them was checked. `longest_metadata` is
/// `offset.metadata.max.bytes`.
pub fn commit_transactional<E>(
    now: Timestamp,
    request: &TxnOffsetCommitRequest,
    longest_metadata: usize,
) -> Decision<Record, TxnOffsetCommitResponse, E> {
    let too_large = |partition: &TxnOffsetCommitRequestPartition| {
        is_too_large(partition.committed_metadata.as_deref(), longest_metadata)
    };
    let mut records = Vec::new();
    for topic in &request.topics {
        for partition in topic.partitions.iter().filter(|partition| !too_large(partition)) {
            let key = OffsetKey {
                group: request.group_id.as_str().into(),
                topic: topic.name.to_string(),
                partition: partition.partition_index,
            };
            let record = Record::Offset { key, value: Some(offset(partition, now)) };
            if !record.is_writable() {
                let error = ErrorCode::UnknownServerError;
                return Decision::only(refuse_transactional(request, error));
            }
            records.push(record);
        }
    }
    let response = response(request, |partition| match too_large(partition) {
        true => ErrorCode::OffsetMetadataTooLarge,
        false => ErrorCode::None,
    });
    Decision::new(records, response)
}

/// The same error for each partition.
pub fn refuse_transactional(
    request: &TxnOffsetCommitRequest,
    error: ErrorCode,
) -> TxnOffsetCommitResponse {
    response(request, |_| error)
}

/// What is written. Kafka writes no topic id here.
fn offset(partition: &TxnOffsetCommitRequestPartition, now: Timestamp) -> CommittedOffset {
    CommittedOffset {
        offset: Offset(partition.committed_offset),
        leader_epoch: partition.committed_leader_epoch,
        metadata: partition.committed_metadata.as_deref().unwrap_or_default().to_owned(),
        committed: now,
        expires: Timestamp::NONE,
        topic_id: TopicId::ZERO,
    }
}

fn response(
    request: &TxnOffsetCommitRequest,
    error: impl Fn(&TxnOffsetCommitRequestPartition) -> ErrorCode,
) -> TxnOffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            message!(TxnOffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: error(partition).code(),
            })
        });
        message!(TxnOffsetCommitResponseTopic {
            name: topic.name.clone(),
            partitions: partitions.collect(),
        })
    });
    message!(TxnOffsetCommitResponse { topics: topics.collect() })
}
