//! ListOffsets: the offset of a moment, or of the beginning or the end.

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
        let topics = request.topics.into_iter().map(|topic| {
            let answer = |partition| {
                let mut answer = partition_answer(broker, &topic, partition, isolation);
                if version < LEADER_EPOCHS {
                    answer.leader_epoch = LeaderEpoch::NONE.0;
                }
                answer
            };
            let partitions = topic.partitions.iter().map(answer).collect();
            message!(ListOffsetsTopicResponse { name: topic.name.clone(), partitions: partitions })
        });
        message!(ListOffsetsResponse { topics: topics.collect() })
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
            LATEST_TIERED => Ok(nothing),
            MAX_TIMESTAMP => by_time(log.max_timestamp()),
            time if time >= 0 => by_time(log.offset_for_timestamp(Timestamp(time))),
            _ => Err(ErrorCode::InvalidRequest),
        }
    })
}
