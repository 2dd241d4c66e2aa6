//! What became of a request for records, and what that means for each batch in it.

use super::batch::Number;
use crate::base::{BrokerId, LeaderEpoch, Offset, Timestamp, TopicPartition};
use crate::client::kernel::{Cluster, Kernel};
use crate::wire::ErrorCode;
use crate::wire::messages::ProduceResponse;
use crate::wire::messages::produce_response::PartitionProduceResponse;

/// What became of a request for records.
#[derive(Debug)]
pub(in crate::client) enum Outcome {
    /// A broker answered.
    Answered(Box<ProduceResponse>),
    /// It was written to the stream, and no answer is due (`acks=0`).
    Written,
    /// There will be no answer.
    Lost { may_have_reached: bool },
    /// The broker does not speak it.
    Unsupported,
}

/// A batch in a request. It may have been given up since.
#[derive(Debug)]
pub(super) struct Sent {
    /// Its partition's place in the accumulator.
    pub(super) partition: usize,
    pub(super) number: Number,
    pub(super) count: i32,
}

/// What became of one batch in one request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    Stored { base: Option<Offset>, append_time: Option<Timestamp> },
    Refused { error: ErrorCode, before_append: bool },
    Lost { may_have_reached: bool },
    Unsupported,
}

impl Fate {
    /// Whether it says that the metadata is old.
    pub(super) fn is_stale_metadata(&self) -> bool {
        matches!(self, Self::Refused { error, .. } if error.is_stale_metadata())
    }
}

impl Outcome {
    /// What became of the request's batch for this partition.
    pub(super) fn fate(&self, partition: &TopicPartition, cluster: &Cluster) -> Fate {
        match self {
            Self::Answered(answer) => match answer_for(answer, partition, cluster) {
                Some(answer) => fate(answer),
                // An answer that does not mention the batch is as good as none.
                None => Fate::Lost { may_have_reached: true },
            },
            Self::Written => Fate::Stored { base: None, append_time: None },
            Self::Lost { may_have_reached } => Fate::Lost { may_have_reached: *may_have_reached },
            Self::Unsupported => Fate::Unsupported,
        }
    }
}

fn fate(answer: &PartitionProduceResponse) -> Fate {
    match ErrorCode::from_code(answer.error_code) {
        ErrorCode::None => {
            let (base, append_time) = (answer.base_offset, answer.log_append_time_ms);
            Fate::Stored {
                base: (base >= 0).then_some(Offset(base)),
                append_time: (append_time >= 0).then_some(Timestamp(append_time)),
            }
        }
        ErrorCode::DuplicateSequenceNumber => Fate::Stored { base: None, append_time: None },
        error => Fate::Refused { error, before_append: refused_before_append(error) },
    }
}

fn answer_for<'a>(
    answer: &'a ProduceResponse,
    partition: &TopicPartition,
    cluster: &Cluster,
) -> Option<&'a PartitionProduceResponse> {
    let topic = answer.responses.iter().find(|topic| {
        if topic.name.is_empty() {
            cluster.name(topic.topic_id.into()) == Some(&partition.topic)
        } else {
            topic.name.as_str() == &*partition.topic
        }
    })?;
    topic.partition_responses.iter().find(|answer| answer.index == partition.partition)
}

/// Takes over the leaders that a refusing broker names (KIP-951).
pub(super) fn learn_leaders(answer: &ProduceResponse, kernel: &mut Kernel) {
    for topic in &answer.responses {
        let refused = topic.partition_responses.iter().filter(|answer| answer.error_code != 0);
        for answer in refused {
            let name = match kernel.cluster().name(topic.topic_id.into()) {
                Some(name) => name.clone(),
                None => topic.name.as_str().into(),
            };
            let leader = BrokerId(answer.current_leader.leader_id);
            let epoch = LeaderEpoch(answer.current_leader.leader_epoch);
            kernel.learn_leader(&TopicPartition::new(name, answer.index), leader, epoch);
        }
    }
}

/// Whether a leader gives this answer only before it appends. Others may follow an append: the
/// leader changed, or the topic was deleted, while it waited for followers.
///
/// Source: Kafka's `ReplicaManager.appendRecordsToLeader` and `DelayedProduce`.
fn refused_before_append(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::CorruptMessage
            | ErrorCode::MessageTooLarge
            | ErrorCode::InvalidTopicException
            | ErrorCode::RecordListTooLarge
            | ErrorCode::NotEnoughReplicas
            | ErrorCode::InvalidRequiredAcks
            | ErrorCode::TopicAuthorizationFailed
            | ErrorCode::ClusterAuthorizationFailed
            | ErrorCode::InvalidTimestamp
            | ErrorCode::UnsupportedVersion
            | ErrorCode::InvalidRequest
            | ErrorCode::UnsupportedForMessageFormat
            | ErrorCode::PolicyViolation
            | ErrorCode::OutOfOrderSequenceNumber
            | ErrorCode::InvalidProducerEpoch
            | ErrorCode::InvalidTxnState
            | ErrorCode::ConcurrentTransactions
            | ErrorCode::TransactionAbortable
            | ErrorCode::TransactionalIdAuthorizationFailed
            | ErrorCode::InvalidProducerIdMapping
            | ErrorCode::UnknownProducerId
            | ErrorCode::UnsupportedCompressionType
            | ErrorCode::InvalidRecord
            | ErrorCode::ProducerFenced
            | ErrorCode::UnknownTopicId
            | ErrorCode::InconsistentTopicId
    )
}
