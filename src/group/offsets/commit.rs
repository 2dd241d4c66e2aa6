//! OffsetCommit.

use super::subscriber::{Committer, Scope, Subscriber};
use crate::base::{Offset, Timestamp, TopicId};
use crate::decide::Decision;
use crate::group::record::{CommittedOffset, OffsetKey, Record};
use crate::wire::ErrorCode;
use crate::wire::messages::message;
use crate::wire::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition,
};
use crate::wire::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};

/// The version since which a group that does not exist has an error of its own.
const GROUP_ID_NOT_FOUND_VERSION: i16 = 9;

/// Decides a commit of offsets for a group, or for a simple one if the group does not exist.
///
/// Topics have their names and, as far as the broker knows them, their ids, whatever the client
/// named. `longest_metadata` is `offset.metadata.max.bytes`: Kafka counts UTF-16 units. A commit by
/// a member of a classic group that is stable or prepares a rebalance counts as a heartbeat; that
/// is left to the caller.
pub fn commit<E>(
    group: Option<&dyn Subscriber>,
    now: Timestamp,
    version: i16,
    request: &OffsetCommitRequest,
    longest_metadata: usize,
) -> Decision<Record, OffsetCommitResponse, E> {
    match records(group, now, version, request, longest_metadata) {
        Ok(records) => Decision::new(
            records,
            response(request, |partition| {
                let too_large =
                    is_too_large(partition.committed_metadata.as_deref(), longest_metadata);
                if too_large { ErrorCode::OffsetMetadataTooLarge } else { ErrorCode::None }
            }),
        ),
        Err(error) => Decision::only(response(request, |_| error)),
    }
}

/// The offsets to commit, without those whose metadata is too large.
fn records(
    group: Option<&dyn Subscriber>,
    now: Timestamp,
    version: i16,
    request: &OffsetCommitRequest,
    longest_metadata: usize,
) -> Result<Vec<Record>, ErrorCode> {
    let committer = Committer {
        member: &request.member_id,
        instance: request.group_instance_id.as_deref(),
        epoch: request.generation_id_or_member_epoch,
        is_transactional: false,
        version,
    };
    let scope = match group {
        Some(group) => group.validate_commit(&committer)?,
        None if committer.epoch < 0 => Scope::Everything,
        None if version >= GROUP_ID_NOT_FOUND_VERSION => return Err(ErrorCode::GroupIdNotFound),
        None => return Err(ErrorCode::IllegalGeneration),
    };
    let expires = expires(now, request.retention_time_ms);
    let mut records = Vec::new();
    for topic in &request.topics {
        let id = TopicId::from(topic.topic_id);
        for partition in &topic.partitions {
            if is_too_large(partition.committed_metadata.as_deref(), longest_metadata) {
                continue;
            }
            if let (Some(group), Scope::Partitions) = (group, scope) {
                group.validate_partition(&committer, id, partition.partition_index)?;
            }
            let key = OffsetKey {
                group: request.group_id.as_str().into(),
                topic: topic.name.to_string(),
                partition: partition.partition_index,
            };
            let record = Record::Offset { key, value: Some(offset(partition, id, now, expires)) };
            if !record.is_writable() {
                return Err(ErrorCode::UnknownServerError);
            }
            records.push(record);
        }
    }
    Ok(records)
}

/// What is written. An offset that expires has neither a leader epoch nor a topic id: its version
/// of the record has no place for them.
fn offset(
    partition: &OffsetCommitRequestPartition,
    topic: TopicId,
    now: Timestamp,
    expires: Timestamp,
) -> CommittedOffset {
    let is_bare = expires != Timestamp::NONE;
    let metadata = partition.committed_metadata.as_deref().unwrap_or_default();
    CommittedOffset {
        offset: Offset(partition.committed_offset),
        leader_epoch: if is_bare { -1 } else { partition.committed_leader_epoch },
        metadata: metadata.to_owned(),
        committed: now,
        expires,
        topic_id: if is_bare { TopicId::ZERO } else { topic },
    }
}

/// Versions 2 to 4 may name a retention time. Kafka's sum wraps, so that an offset to be kept
/// forever is gone at once; here it is kept.
fn expires(now: Timestamp, retention_ms: i64) -> Timestamp {
    match retention_ms {
        -1 => Timestamp::NONE,
        retention => Timestamp(now.0.saturating_add(retention)),
    }
}

pub(super) fn is_too_large(metadata: Option<&str>, longest: usize) -> bool {
    let metadata = metadata.unwrap_or_default();
    // Never fewer bytes than UTF-16 units.
    metadata.len() > longest && metadata.encode_utf16().count() > longest
}

fn response(
    request: &OffsetCommitRequest,
    error: impl Fn(&OffsetCommitRequestPartition) -> ErrorCode,
) -> OffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            message!(OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: error(partition).code(),
            })
        });
        message!(OffsetCommitResponseTopic {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions: partitions.collect(),
        })
    });
    message!(OffsetCommitResponse { topics: topics.collect() })
}
