//! The requests of a transaction, and their answers.

use std::collections::BTreeSet;

use super::{Asking, Kind};
use crate::base::{ProducerEpoch, ProducerId, TopicPartition};
use crate::client::GroupMetadata;
use crate::client::group::Offsets;
use crate::client::producer::granted::GrantedId;
use crate::io::Address;
use crate::wire::ErrorCode;
use crate::wire::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use crate::wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use crate::wire::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse, EndTxnRequest, EndTxnResponse, InitProducerIdRequest,
    InitProducerIdResponse, TxnOffsetCommitRequest, TxnOffsetCommitResponse, message,
};

/// The last version of AddPartitionsToTxn for clients; later ones are for brokers (KIP-890).
const ADD_PARTITIONS_OF_CLIENTS: i16 = 3;
/// The last version of EndTxn that leaves the producer its epoch (KIP-890).
const END_WITHOUT_BUMP: i16 = 4;
/// The first version of EndTxn whose answer carries the next id and epoch.
const END_WITH_BUMP: i16 = 5;
/// The last version of TxnOffsetCommit before which AddOffsetsToTxn is needed.
const OFFSETS_AFTER_ADD: i16 = 4;
/// The last version of TxnOffsetCommit that names topics.
const OFFSETS_BY_NAME: i16 = 5;

/// A request to a coordinator.
#[derive(Clone, Debug)]
pub(in crate::client) enum Request {
    Init(InitProducerIdRequest),
    AddPartitions(AddPartitionsToTxnRequest),
    AddOffsets(AddOffsetsToTxnRequest),
    CommitOffsets(TxnOffsetCommitRequest),
    End(EndTxnRequest),
}

/// What became of it.
#[derive(Debug)]
pub(in crate::client) enum Answer {
    Init(InitProducerIdResponse),
    AddPartitions(AddPartitionsToTxnResponse),
    AddOffsets(AddOffsetsToTxnResponse),
    CommitOffsets(TxnOffsetCommitResponse),
    End(EndTxnResponse),
    /// None came.
    Lost {
        may_have_reached: bool,
    },
    /// The coordinator does not speak it.
    Unsupported,
}

/// A request to be carried out, and answered by its ticket.
#[derive(Clone, Debug)]
pub(in crate::client) struct Order {
    pub(in crate::client) ticket: u64,
    pub(in crate::client) to: Address,
    pub(in crate::client) request: Request,
    /// The newest version that may be used.
    pub(in crate::client) max_version: Option<i16>,
}

impl Answer {
    /// The pause for which it asks before the next request.
    pub(in crate::client) fn throttle_ms(&self) -> i32 {
        match self {
            Self::Init(answer) => answer.throttle_time_ms,
            Self::AddPartitions(answer) => answer.throttle_time_ms,
            Self::AddOffsets(answer) => answer.throttle_time_ms,
            Self::CommitOffsets(answer) => answer.throttle_time_ms,
            Self::End(answer) => answer.throttle_time_ms,
            Self::Lost { .. } | Self::Unsupported => 0,
        }
    }

    /// The error that decides what becomes of a request of this kind, or the grant of an id; an
    /// answer that lacks a partition, or is of another kind, is as good as none.
    pub(super) fn read(&self, kind: Kind, asked: &Asking) -> Result<Option<GrantedId>, ErrorCode> {
        let granted = |id: i64, epoch: i16| {
            (id >= 0 && epoch >= 0).then_some((ProducerId(id), ProducerEpoch(epoch)))
        };
        match (self, kind) {
            (Self::Init(answer), Kind::Init) => {
                ErrorCode::from_code(answer.error_code).check()?;
                let granted = granted(answer.producer_id, answer.producer_epoch);
                Ok(Some(granted.ok_or(ErrorCode::UnknownServerError)?))
            }
            (Self::AddPartitions(answer), Kind::AddPartitions) => {
                worst(&asked.partitions, |partition| added(answer, partition)).map(|()| None)
            }
            (Self::AddOffsets(answer), Kind::AddOffsets) => {
                ErrorCode::from_code(answer.error_code).check().map(|()| None)
            }
            (Self::CommitOffsets(answer), Kind::CommitOffsets) => {
                worst(&asked.partitions, |partition| committed(answer, partition)).map(|()| None)
            }
            (Self::End(answer), Kind::End { .. }) => {
                ErrorCode::from_code(answer.error_code).check()?;
                Ok(granted(answer.producer_id, answer.producer_epoch))
            }
            (Self::Unsupported, _) => Err(ErrorCode::UnsupportedVersion),
            _ => Err(ErrorCode::NetworkException),
        }
    }
}

/// The error that decides for all partitions: one that no retry can change before one that may pass.
fn worst(
    partitions: &BTreeSet<TopicPartition>,
    error_of: impl Fn(&TopicPartition) -> Option<i16>,
) -> Result<(), ErrorCode> {
    let errors = partitions.iter().map(|partition| match error_of(partition) {
        Some(code) => ErrorCode::from_code(code),
        None => ErrorCode::NetworkException,
    });
    let errors: Vec<_> = errors.filter(|error| !error.is_none()).collect();
    // Others of an atomic request are only not attempted.
    let is_final =
        |error: &&ErrorCode| !error.is_retriable() && **error != ErrorCode::OperationNotAttempted;
    let may_pass = |error: &&ErrorCode| error.is_retriable();
    match errors.iter().find(is_final).or(errors.iter().find(may_pass)).or(errors.first()) {
        Some(error) => Err(*error),
        None => Ok(()),
    }
}

fn added(answer: &AddPartitionsToTxnResponse, partition: &TopicPartition) -> Option<i16> {
    let mut topics = answer.results_by_topic_v3_and_below.iter();
    let topic = topics.find(|topic| topic.name.as_str() == &*partition.topic)?;
    let mut rows = topic.results_by_partition.iter();
    let row = rows.find(|row| row.partition_index == partition.partition)?;
    Some(row.partition_error_code)
}

fn committed(answer: &TxnOffsetCommitResponse, partition: &TopicPartition) -> Option<i16> {
    let topic = answer.topics.iter().find(|topic| topic.name.as_str() == &*partition.topic)?;
    let mut rows = topic.partitions.iter();
    Some(rows.find(|row| row.partition_index == partition.partition)?.error_code)
}

/// Asks for the id and epoch; `current`: those that are to be followed by a newer epoch (KIP-360).
pub(super) fn init(id: &str, timeout_ms: i32, current: Option<GrantedId>) -> Request {
    let (producer, epoch) = current.unwrap_or((ProducerId::NONE, ProducerEpoch::NONE));
    Request::Init(message!(InitProducerIdRequest {
        transactional_id: Some(id.into()),
        transaction_timeout_ms: timeout_ms,
        producer_id: producer.0,
        producer_epoch: epoch.0,
    }))
}

pub(super) fn add_partitions(
    id: &str,
    (producer, epoch): GrantedId,
    partitions: &BTreeSet<TopicPartition>,
) -> (Request, Option<i16>) {
    let mut topics: Vec<AddPartitionsToTxnTopic> = Vec::new();
    for partition in partitions {
        match topics.last_mut().filter(|topic| topic.name.as_str() == &*partition.topic) {
            Some(topic) => topic.partitions.push(partition.partition),
            None => topics.push(message!(AddPartitionsToTxnTopic {
                name: (&*partition.topic).into(),
                partitions: vec![partition.partition],
            })),
        }
    }
    let request = message!(AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: id.into(),
        v3_and_below_producer_id: producer.0,
        v3_and_below_producer_epoch: epoch.0,
        v3_and_below_topics: topics,
    });
    (Request::AddPartitions(request), Some(ADD_PARTITIONS_OF_CLIENTS))
}

pub(super) fn add_offsets(id: &str, (producer, epoch): GrantedId, group: &str) -> Request {
    Request::AddOffsets(message!(AddOffsetsToTxnRequest {
        transactional_id: id.into(),
        producer_id: producer.0,
        producer_epoch: epoch.0,
        group_id: group.into(),
    }))
}

/// `implicit`: the coordinator of the group adds them to the transaction itself (KIP-890).
pub(super) fn commit_offsets(
    id: &str,
    (producer, epoch): GrantedId,
    group: &GroupMetadata,
    offsets: &Offsets,
    implicit: bool,
) -> (Request, Option<i16>) {
    let mut topics: Vec<TxnOffsetCommitRequestTopic> = Vec::new();
    for (partition, committed) in offsets {
        let row = message!(TxnOffsetCommitRequestPartition {
            partition_index: partition.partition,
            committed_offset: committed.offset.0,
            committed_leader_epoch: committed.leader_epoch.0,
            committed_metadata: Some(committed.metadata.as_str().into()),
        });
        match topics.last_mut().filter(|topic| topic.name.as_str() == &*partition.topic) {
            Some(topic) => topic.partitions.push(row),
            None => topics.push(message!(TxnOffsetCommitRequestTopic {
                name: (&*partition.topic).into(),
                partitions: vec![row],
            })),
        }
    }
    let request = message!(TxnOffsetCommitRequest {
        transactional_id: id.into(),
        group_id: group.group.as_str().into(),
        producer_id: producer.0,
        producer_epoch: epoch.0,
        generation_id_or_member_epoch: group.generation,
        member_id: group.member.as_str().into(),
        group_instance_id: group.instance.as_deref().map(Into::into),
        topics: topics,
    });
    let max_version = if implicit { OFFSETS_BY_NAME } else { OFFSETS_AFTER_ADD };
    (Request::CommitOffsets(request), Some(max_version))
}

/// `bumps`: the answer carries the next id and epoch.
pub(super) fn end(
    id: &str,
    (producer, epoch): GrantedId,
    commits: bool,
    bumps: bool,
) -> (Request, Option<i16>) {
    let request = message!(EndTxnRequest {
        transactional_id: id.into(),
        producer_id: producer.0,
        producer_epoch: epoch.0,
        committed: commits,
    });
    (Request::End(request), Some(if bumps { END_WITH_BUMP } else { END_WITHOUT_BUMP }))
}
