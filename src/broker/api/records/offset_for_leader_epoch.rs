//! OffsetForLeaderEpoch: where an epoch ends on the leader (KIP-101, KIP-279, KIP-320).

use std::sync::Arc;

use crate::base::{LeaderEpoch, Offset};
use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use crate::wire::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use crate::wire::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, message};

pub(in crate::broker) struct OffsetForLeaderEpoch;

impl<W: World> Handler<Broker<W>> for OffsetForLeaderEpoch {
    type Request = OffsetForLeaderEpochRequest;
    type Response = OffsetForLeaderEpochResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: OffsetForLeaderEpochRequest,
        _: Context<'_>,
    ) -> OffsetForLeaderEpochResponse {
        let topics = request.topics.into_iter().map(|topic| {
            let answer = |partition| partition_answer(broker, &topic, partition);
            let partitions = topic.partitions.iter().map(answer).collect();
            message!(OffsetForLeaderTopicResult {
                topic: topic.topic.clone(),
                partitions: partitions
            })
        });
        message!(OffsetForLeaderEpochResponse { topics: topics.collect() })
    }
}

fn partition_answer<W: World>(
    broker: &Arc<Broker<W>>,
    topic: &OffsetForLeaderTopic,
    asked: &OffsetForLeaderPartition,
) -> EpochEndOffset {
    let image = broker.image();
    let found = image.topic(&topic.topic).ok_or(ErrorCode::UnknownTopicOrPartition);
    let answer = found.and_then(|topic| broker.replica_of(topic, asked.partition)).and_then(|p| {
        p.epoch_end(LeaderEpoch(asked.current_leader_epoch), LeaderEpoch(asked.leader_epoch))
    });
    let (error, epoch, end) = match answer {
        Ok((epoch, end)) => (ErrorCode::None, epoch, end),
        Err(error) => (error, LeaderEpoch::NONE, Offset::NONE),
    };
    message!(EpochEndOffset {
        error_code: error.code(),
        partition: asked.partition,
        leader_epoch: epoch.0,
        end_offset: end.0,
    })
}
