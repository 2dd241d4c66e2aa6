//! DescribeProducers: who has written to a partition lately, and which transactions are open (KIP-664).

use std::sync::Arc;

use crate::base::topics::check_name;
use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::controller::Image;
use crate::io::World;
use crate::log::Producer;
use crate::wire::ErrorCode;
use crate::wire::messages::describe_producers_request::TopicRequest;
use crate::wire::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use crate::wire::messages::{DescribeProducersRequest, DescribeProducersResponse, message};

pub(in crate::broker) struct DescribeProducers;

impl<W: World> Handler<Broker<W>> for DescribeProducers {
    type Request = DescribeProducersRequest;
    type Response = DescribeProducersResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: DescribeProducersRequest,
        _: Context<'_>,
    ) -> DescribeProducersResponse {
        let image = broker.image();
        let topics = request.topics.into_iter().map(|topic| {
            let invalid = check_name(&topic.name).err();
            let partitions = topic.partition_indexes.iter().map(|index| match &invalid {
                Some(problem) => {
                    let mut refused = refusal(*index, ErrorCode::InvalidTopicException);
                    refused.error_message = Some(problem.as_str().into());
                    refused
                }
                None => describe(broker, &image, &topic, *index),
            });
            let partitions = partitions.collect();
            message!(TopicResponse { name: topic.name.clone(), partitions: partitions })
        });
        message!(DescribeProducersResponse { topics: topics.collect() })
    }
}

/// The producers of one partition. Any replica answers, as in Kafka.
fn describe<W: World>(
    broker: &Broker<W>,
    image: &Image,
    topic: &TopicRequest,
    index: i32,
) -> PartitionResponse {
    let Some(found) = image.topic(&topic.name) else {
        let mut refused = refusal(index, ErrorCode::UnknownTopicOrPartition);
        refused.error_message = Some("This server does not host this topic-partition.".into());
        return refused;
    };
    match broker.replica_of(found, index).and_then(|replica| replica.producers()) {
        Ok(producers) => {
            let producers = producers.into_iter().map(|(id, producer)| state(id.0, &producer));
            message!(PartitionResponse {
                partition_index: index,
                active_producers: producers.collect(),
            })
        }
        Err(error) => refusal(index, error),
    }
}

fn refusal(index: i32, error: ErrorCode) -> PartitionResponse {
    message!(PartitionResponse { partition_index: index, error_code: error.code() })
}

fn state(id: i64, producer: &Producer) -> ProducerState {
    message!(ProducerState {
        producer_id: id,
        producer_epoch: producer.epoch.0.into(),
        last_sequence: producer.batches.back().map_or(-1, |last| last.last_sequence),
        last_timestamp: producer.last_timestamp.0,
        coordinator_epoch: producer.coordinator_epoch,
        current_txn_start_offset: producer.transaction_start.map_or(-1, |start| start.0),
    })
}
