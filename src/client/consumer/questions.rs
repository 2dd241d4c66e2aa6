//! Requests to partitions' leaders, built.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::plan::Asked;
use super::position::Position;
use super::sessions::{Fetching, Key};
use crate::base::LeaderEpoch;
use crate::base::config::ConsumerConfig;
use crate::client::group;
use crate::rpc::SessionRequest;
use crate::wire::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use crate::wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use crate::wire::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use crate::wire::messages::{
    FetchRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest, message,
};

/// "A consumer, not a replica."
const NO_REPLICA: i32 = -1;

/// A question to a broker.
#[derive(Debug)]
pub(in crate::client) enum Question {
    Fetch(FetchRequest),
    List(ListOffsetsRequest),
    Validate(OffsetForLeaderEpochRequest),
    /// To the coordinator of the group.
    Group(group::Request),
}

pub(super) fn fetch(
    request: SessionRequest<Key, Fetching>,
    config: &ConsumerConfig,
    read_committed: bool,
) -> Question {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for ((id, partition), fetch) in request.fetch {
        let asked = message!(FetchPartition {
            partition: partition.partition,
            current_leader_epoch: fetch.leader_epoch.0,
            fetch_offset: fetch.offset.0,
            last_fetched_epoch: LeaderEpoch::NONE.0,
            log_start_offset: -1,
            partition_max_bytes: config.max_partition_fetch_bytes,
        });
        // A broker answers a topic that occurs twice only once.
        match topics.iter_mut().rev().find(|topic| topic.topic.as_str() == &*partition.topic) {
            Some(topic) => topic.partitions.push(asked),
            None => topics.push(message!(FetchTopic {
                topic: (&*partition.topic).into(),
                topic_id: id.into(),
                partitions: vec![asked],
            })),
        }
    }
    let mut forgotten: Vec<ForgottenTopic> = Vec::new();
    for (id, partition) in request.forget {
        match forgotten.iter_mut().rev().find(|topic| topic.topic_id == id.into()) {
            Some(topic) => topic.partitions.push(partition.partition),
            None => forgotten.push(message!(ForgottenTopic {
                topic: (&*partition.topic).into(),
                topic_id: id.into(),
                partitions: vec![partition.partition],
            })),
        }
    }
    Question::Fetch(message!(FetchRequest {
        replica_id: NO_REPLICA,
        max_wait_ms: i32::try_from(config.fetch_max_wait.as_millis()).unwrap_or(i32::MAX),
        min_bytes: config.fetch_min_bytes,
        max_bytes: config.fetch_max_bytes,
        isolation_level: i8::from(read_committed),
        session_id: request.session_id,
        session_epoch: request.session_epoch,
        topics: topics,
        forgotten_topics_data: forgotten,
        rack_id: config.client_rack.as_str().into(),
    }))
}

pub(super) fn list(asked: &[(Asked, i64)], read_committed: bool) -> Question {
    let topics = by_topic(asked).into_iter().map(|(name, asked)| {
        let partitions = asked.into_iter().map(|(asked, timestamp)| {
            message!(ListOffsetsPartition {
                partition_index: asked.partition.partition,
                current_leader_epoch: asked.leader_epoch.0,
                timestamp: *timestamp,
            })
        });
        message!(ListOffsetsTopic { name: (&*name).into(), partitions: partitions.collect() })
    });
    Question::List(message!(ListOffsetsRequest {
        replica_id: NO_REPLICA,
        isolation_level: i8::from(read_committed),
        topics: topics.collect(),
    }))
}

pub(super) fn validate(asked: &[(Asked, Position)]) -> Question {
    let topics = by_topic(asked).into_iter().map(|(name, asked)| {
        let partitions = asked.into_iter().map(|(asked, position)| {
            message!(OffsetForLeaderPartition {
                partition: asked.partition.partition,
                current_leader_epoch: asked.leader_epoch.0,
                leader_epoch: position.epoch().0,
            })
        });
        message!(OffsetForLeaderTopic { topic: (&*name).into(), partitions: partitions.collect() })
    });
    Question::Validate(message!(OffsetForLeaderEpochRequest {
        replica_id: NO_REPLICA,
        topics: topics.collect(),
    }))
}

/// A topic's name and its partitions in a request.
type InTopic<'a, T> = (Arc<str>, Vec<&'a (Asked, T)>);

/// Partitions by topic, in their order. A broker answers a topic that occurs twice only once.
fn by_topic<T>(asked: &[(Asked, T)]) -> Vec<InTopic<'_, T>> {
    let mut topics: Vec<InTopic<'_, T>> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for one in asked {
        let name = &one.0.partition.topic;
        let place = *places.entry(name).or_insert_with(|| {
            topics.push((Arc::clone(name), Vec::new()));
            topics.len() - 1
        });
        topics[place].1.push(one);
    }
    topics
}
