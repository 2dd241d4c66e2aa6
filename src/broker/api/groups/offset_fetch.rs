//! OffsetFetch: how far groups have read. One group up to version 7, several since version 8
//! (KIP-709), and topics by id since version 10.

use std::sync::Arc;

use crate::base::TopicId;
use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::controller::Image;
use crate::decide::{Decision, Machine};
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use crate::wire::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use crate::wire::messages::{OffsetFetchRequest, OffsetFetchResponse, StrBytes, Uuid, message};

/// From here on an error may concern all of a group.
const GROUP_ERRORS: i16 = 2;

/// From here on a request has several groups.
const SEVERAL_GROUPS: i16 = 8;

/// From here on topics are named by id.
const TOPIC_IDS: i16 = 10;

pub(in crate::broker) struct OffsetFetch;

impl<W: World> Handler<Broker<W>> for OffsetFetch {
    type Request = OffsetFetchRequest;
    type Response = OffsetFetchResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: OffsetFetchRequest,
        context: Context<'_>,
    ) -> OffsetFetchResponse {
        let (version, stable) = (context.version, request.require_stable);
        if version < SEVERAL_GROUPS {
            let topics = request.topics.map(|topics| topics.into_iter().map(renamed).collect());
            let group = message!(OffsetFetchRequestGroup {
                group_id: request.group_id,
                member_epoch: -1,
                topics: topics,
            });
            return alone(fetch(broker, group, version, stable).await, version);
        }
        let mut groups = Vec::with_capacity(request.groups.len());
        for group in request.groups {
            groups.push(fetch(broker, group, version, stable).await);
        }
        message!(OffsetFetchResponse { groups: groups })
    }
}

/// A topic of an old request as one of a new request.
fn renamed(topic: OffsetFetchRequestTopic) -> OffsetFetchRequestTopics {
    let OffsetFetchRequestTopic { name, partition_indexes, .. } = topic;
    message!(OffsetFetchRequestTopics { name: name, partition_indexes: partition_indexes })
}

/// A group of a new response as an old response.
fn alone(group: OffsetFetchResponseGroup, version: i16) -> OffsetFetchResponse {
    let topics = group.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            message!(OffsetFetchResponsePartition {
                partition_index: partition.partition_index,
                committed_offset: partition.committed_offset,
                committed_leader_epoch: partition.committed_leader_epoch,
                metadata: partition.metadata,
                error_code: partition.error_code,
            })
        });
        message!(OffsetFetchResponseTopic { name: topic.name, partitions: partitions.collect() })
    });
    message!(OffsetFetchResponse {
        topics: topics.collect(),
        error_code: if version < GROUP_ERRORS { 0 } else { group.error_code },
    })
}

async fn fetch<W: World>(
    broker: &Arc<Broker<W>>,
    mut group: OffsetFetchRequestGroup,
    version: i16,
    stable: bool,
) -> OffsetFetchResponseGroup {
    let by_id = version >= TOPIC_IDS;
    let image = broker.image();
    let asked = group.clone();
    let unknown = if by_id { name_topics(&image, &mut group) } else { Vec::new() };
    let fetched = match stable {
        // What is appended counts, and the answer waits until it is committed (KIP-447).
        true => {
            let fetch = broker.groups.decide(&group.group_id, |machine, _, _| {
                Decision::only(machine.state().fetch_offsets(true, &group))
            });
            fetch.await
        }
        false => broker.groups.read(&group.group_id, |groups| groups.fetch_offsets(false, &group)),
    };
    let mut response = match fetched {
        Ok(response) => response,
        Err(error) => return refused(&asked, error, version),
    };
    if response.error_code != 0 {
        return refused(&asked, ErrorCode::from_code(response.error_code), version);
    }
    if by_id {
        identify(&image, &mut response);
    }
    response.topics.extend(unknown);
    response
}

/// Names the topics that are asked for by id. Those that don't exist are answered.
fn name_topics(
    image: &Image,
    group: &mut OffsetFetchRequestGroup,
) -> Vec<OffsetFetchResponseTopics> {
    let Some(asked) = group.topics.take() else { return Vec::new() };
    let (mut known, mut unknown) = (Vec::with_capacity(asked.len()), Vec::new());
    for mut topic in asked {
        match image.topic_by_id(TopicId::from(topic.topic_id)) {
            Some(found) => {
                topic.name = (&*found.name).into();
                known.push(topic);
            }
            None => unknown.push(without_offsets(&topic, ErrorCode::UnknownTopicId)),
        }
    }
    group.topics = Some(known);
    unknown
}

/// Gives topics their ids in place of their names. A topic without one can't be named any more: it
/// was deleted, and its offsets soon will be.
fn identify(image: &Image, response: &mut OffsetFetchResponseGroup) {
    response.topics.retain_mut(|topic| {
        if topic.topic_id == Uuid::ZERO {
            let found = image.topic(&topic.name);
            topic.topic_id = found.map_or(TopicId::ZERO, |found| found.id).into();
        }
        topic.name = StrBytes::default();
        topic.topic_id != Uuid::ZERO
    });
}

/// An error of a whole group; before there was one, each partition has it.
fn refused(
    asked: &OffsetFetchRequestGroup,
    error: ErrorCode,
    version: i16,
) -> OffsetFetchResponseGroup {
    let mut response = message!(OffsetFetchResponseGroup {
        group_id: asked.group_id.clone(),
        error_code: error.code(),
    });
    if version < GROUP_ERRORS {
        let topics = asked.topics.iter().flatten();
        response.topics = topics.map(|topic| without_offsets(topic, error)).collect();
    }
    response
}

fn without_offsets(
    topic: &OffsetFetchRequestTopics,
    error: ErrorCode,
) -> OffsetFetchResponseTopics {
    let partitions = topic.partition_indexes.iter().map(|index| {
        message!(OffsetFetchResponsePartitions {
            partition_index: *index,
            committed_offset: -1,
            committed_leader_epoch: -1,
            metadata: Some(StrBytes::default()),
            error_code: error.code(),
        })
    });
    message!(OffsetFetchResponseTopics {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: partitions.collect(),
    })
}
