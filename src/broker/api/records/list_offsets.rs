//! ListOffsets: the offset of a moment, or of the beginning or the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{LeaderEpoch, Offset, Timestamp};
use crate::broker::context::Broker;
use crate::broker::partition::{Isolation, Partition};
use crate::broker::serve::handler::{Context, Handler};
use crate::io::World;
use crate::log::{LogError, RecordPosition};
use crate::wire::ErrorCode;
use crate::wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use crate::wire::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use crate::wire::messages::{ListOffsetsRequest, ListOffsetsResponse, message};

/// Special timestamps. Source: Kafka's `ListOffsetsRequest`.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
/// KIP-734: the record with the largest timestamp.
const MAX_TIMESTAMP: i64 = -3;
/// KIP-405, KIP-1005: without tiers, the local log is the log, and nothing is in a tier.
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
/// KIP-1023: the first record that is to be copied to a tier.
const EARLIEST_PENDING: i64 = -6;

/// The first version that knows a timestamp; `None` if no version does.
fn known_since(timestamp: i64) -> Option<i16> {
    match timestamp {
        LATEST | EARLIEST | 0.. => Some(0),
        MAX_TIMESTAMP => Some(7),
        EARLIEST_LOCAL => Some(8),
        LATEST_TIERED => Some(9),
        EARLIEST_PENDING => Some(11),
        _ => None,
    }
}

/// A replica that asks sees its leader's log end; a consumer what its isolation level shows.
const CONSUMER: i32 = -1;

/// From here on an answer tells the leader epoch of its offset (KIP-320).
const LEADER_EPOCHS: i16 = 4;

type Found = (Offset, Timestamp, LeaderEpoch);

pub(in crate::broker) struct ListOffsets;

impl<W: World> Handler<Broker<W>> for ListOffsets {
    type Request = ListOffsetsRequest;
    type Response = ListOffsetsResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: ListOffsetsRequest,
        context: Context<'_>,
    ) -> ListOffsetsResponse {
        let version = context.version;
        let consumer = request.replica_id == CONSUMER;
        let isolation = consumer.then(|| Isolation::from_level(request.isolation_level));
        // Kafka answers UNKNOWN_SERVER_ERROR.
        let unknown_isolation = consumer && !(0..=1).contains(&request.isolation_level);
        let mut times = BTreeMap::new();
        for topic in &request.topics {
            for partition in &topic.partitions {
                let name = (topic.name.clone(), partition.partition_index);
                *times.entry(name).or_insert(0) += 1;
            }
        }
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for asked in &topic.partitions {
                // Kafka refuses a partition that is named twice, once.
                let name = (topic.name.clone(), asked.partition_index);
                let Some(times) = times.remove(&name) else { continue };
                let since = known_since(asked.timestamp);
                let mut answer = if since.is_none_or(|since| version < since) {
                    answered(asked, Err(ErrorCode::UnsupportedVersion))
                } else if times > 1 || unknown_isolation {
                    answered(asked, Err(ErrorCode::InvalidRequest))
                } else {
                    partition_answer(broker, &topic, asked, isolation)
                };
                if version < LEADER_EPOCHS {
                    answer.leader_epoch = LeaderEpoch::NONE.0;
                }
                partitions.push(answer);
            }
            topics.push(message!(ListOffsetsTopicResponse {
                name: topic.name,
                partitions: partitions,
            }));
        }
        message!(ListOffsetsResponse { topics: topics })
    }
}

fn partition_answer<W: World>(
    broker: &Arc<Broker<W>>,
    topic: &ListOffsetsTopic,
    asked: &ListOffsetsPartition,
    consumer: Option<Isolation>,
) -> ListOffsetsPartitionResponse {
    let image = broker.image();
    let found = image.topic(&topic.name).ok_or(ErrorCode::UnknownTopicOrPartition);
    let answer = found
        .and_then(|topic| broker.replica_of(topic, asked.partition_index))
        .and_then(|partition| look_up(&partition, asked, consumer));
    answered(asked, answer)
}

fn answered(
    asked: &ListOffsetsPartition,
    answer: Result<Found, ErrorCode>,
) -> ListOffsetsPartitionResponse {
    let (error, (offset, timestamp, epoch)) = match answer {
        Ok(found) => (ErrorCode::None, found),
        Err(error) => (error, (Offset::NONE, Timestamp::NONE, LeaderEpoch::NONE)),
    };
    message!(ListOffsetsPartitionResponse {
        partition_index: asked.partition_index,
        error_code: error.code(),
        timestamp: timestamp.0,
        offset: offset.0,
        leader_epoch: epoch.0,
    })
}

fn look_up<W: World>(
    partition: &Partition<W>,
    asked: &ListOffsetsPartition,
    consumer: Option<Isolation>,
) -> Result<Found, ErrorCode> {
    partition.with_leader_log(LeaderEpoch(asked.current_leader_epoch), |log, leader, stable| {
        let end = match consumer {
            Some(Isolation::ReadUncommitted) => leader.high_watermark(),
            Some(Isolation::ReadCommitted) => stable,
            None => log.log_end(),
        };
        let nothing = (Offset::NONE, Timestamp::NONE, LeaderEpoch::NONE);
        let epoch_at = |offset| log.epochs().at(offset);
        // KIP-207: a new leader's high watermark may still be below what its predecessor exposed.
        if consumer.is_some()
            && asked.timestamp != EARLIEST
            && !leader.has_caught_up_with_its_past()
        {
            return Err(ErrorCode::OffsetNotAvailable);
        }
        let by_time = |found: Result<Option<RecordPosition>, LogError>| {
            let found = found.map_err(|error| {
                tracing::error!(partition = %partition.name, %error, "can't look a time up");
                match error {
                    LogError::Corrupt { .. } => ErrorCode::CorruptMessage,
                    _ => ErrorCode::KafkaStorageError,
                }
            })?;
            Ok(match found {
                Some(found) if found.offset < end => (found.offset, found.timestamp, found.epoch),
                _ => nothing,
            })
        };
        match asked.timestamp {
            LATEST => Ok((end, Timestamp::NONE, leader.epoch())),
            EARLIEST | EARLIEST_LOCAL => {
                Ok((log.log_start(), Timestamp::NONE, epoch_at(log.log_start())))
            }
            LATEST_TIERED | EARLIEST_PENDING => Ok(nothing),
            MAX_TIMESTAMP => by_time(log.max_timestamp()),
            time if time >= 0 => by_time(log.offset_for_timestamp(Timestamp(time))),
            _ => Err(ErrorCode::UnsupportedVersion),
        }
    })
}
