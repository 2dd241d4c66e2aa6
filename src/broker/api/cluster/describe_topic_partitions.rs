//! DescribeTopicPartitions: topics with their partitions and ELR, page by page (KIP-966).
//!
//! Source: Kafka's `DescribeTopicPartitionsRequestHandler`, `KRaftMetadataCache`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{NO_OPERATIONS, TOPIC_OPERATIONS};
use crate::base::{BrokerId, TopicId, topics};
use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::controller::{Image, PartitionState, Topic};
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use crate::wire::messages::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, StrBytes, message,
};

pub(in crate::broker) struct DescribeTopicPartitions;

impl<W: World> Handler<Broker<W>> for DescribeTopicPartitions {
    type Request = DescribeTopicPartitionsRequest;
    type Response = DescribeTopicPartitionsResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: DescribeTopicPartitionsRequest,
        _: Context<'_>,
    ) -> DescribeTopicPartitionsResponse {
        let image = broker.image();
        let most = broker.config.node.max_request_partition_size_limit;
        // A page has one partition at least, so that each request comes nearer to the end.
        let room = request.response_partition_limit.min(most).max(1);
        page(&image, &request, usize::try_from(room).unwrap_or(1))
    }
}

/// As many partitions as there is room for, from the cursor on, in order of names and indexes.
fn page(
    image: &Image,
    request: &DescribeTopicPartitionsRequest,
    mut room: usize,
) -> DescribeTopicPartitionsResponse {
    let mut response = DescribeTopicPartitionsResponse::default();
    let (from, mut first) = match &request.cursor {
        Some(cursor) => (cursor.topic_name.as_str(), cursor.partition_index),
        None => ("", 0),
    };
    // Without names, all topics are asked for: one that is deleted between two pages is no error.
    let all = request.topics.is_empty();
    let names: BTreeSet<&str> = match all {
        true => image.topics().map(|topic| &*topic.name).collect(),
        false => request.topics.iter().map(|topic| topic.name.as_str()).collect(),
    };
    // A cursor comes from an earlier answer to this question: it is at one of these topics.
    if first < 0 || (request.cursor.is_some() && !all && !names.contains(from)) {
        response.topics = request.topics.iter().map(|topic| refused(&topic.name)).collect();
        return response;
    }
    for name in names.range(from..) {
        if room == 0 {
            response.next_cursor = Some(cursor(name, 0));
            break;
        }
        if *name != from {
            first = 0;
        }
        let Some(topic) = image.topic(name) else {
            response.topics.push(unknown(name));
            continue;
        };
        let mut partitions = topic.partitions.iter().filter(|(index, _)| **index >= first);
        let shown = partitions.by_ref().take(room);
        let shown: Vec<_> = shown.map(|(index, state)| partition(image, *index, state)).collect();
        room -= shown.len();
        response.topics.push(known(topic, shown));
        if let Some((index, _)) = partitions.next() {
            response.next_cursor = Some(cursor(name, *index));
            break;
        }
    }
    response
}

fn cursor(topic: &str, partition: i32) -> Cursor {
    message!(Cursor { topic_name: topic.into(), partition_index: partition })
}

fn refused(name: &StrBytes) -> DescribeTopicPartitionsResponseTopic {
    message!(DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::InvalidRequest.code(),
        name: Some(name.clone()),
        topic_authorized_operations: NO_OPERATIONS,
    })
}

fn unknown(name: &str) -> DescribeTopicPartitionsResponseTopic {
    let error = match topics::check_name(name) {
        Ok(()) => ErrorCode::UnknownTopicOrPartition,
        Err(_) => ErrorCode::InvalidTopicException,
    };
    message!(DescribeTopicPartitionsResponseTopic {
        error_code: error.code(),
        name: Some(name.into()),
        topic_id: TopicId::ZERO.into(),
        is_internal: topics::is_internal(name),
        topic_authorized_operations: TOPIC_OPERATIONS,
    })
}

fn known(
    topic: &Topic,
    partitions: Vec<DescribeTopicPartitionsResponsePartition>,
) -> DescribeTopicPartitionsResponseTopic {
    message!(DescribeTopicPartitionsResponseTopic {
        name: Some((&*topic.name).into()),
        topic_id: topic.id.into(),
        is_internal: topics::is_internal(&topic.name),
        partitions: partitions,
        topic_authorized_operations: TOPIC_OPERATIONS,
    })
}

fn partition(
    image: &Image,
    index: i32,
    state: &PartitionState,
) -> DescribeTopicPartitionsResponsePartition {
    let ids = |of: &[BrokerId]| of.iter().map(|id| id.0).collect::<Vec<_>>();
    let error =
        if state.leader.is_none() { ErrorCode::LeaderNotAvailable } else { ErrorCode::None };
    let offline = state.replicas.iter().filter(|id| !image.is_alive(**id));
    message!(DescribeTopicPartitionsResponsePartition {
        error_code: error.code(),
        partition_index: index,
        leader_id: state.leader.unwrap_or(BrokerId::NONE).0,
        leader_epoch: state.leader_epoch.0,
        replica_nodes: ids(&state.replicas),
        isr_nodes: ids(&state.isr),
        eligible_leader_replicas: Some(ids(&state.elr)),
        last_known_elr: Some(ids(&state.last_known_elr)),
        offline_replicas: offline.map(|id| id.0).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{LeaderEpoch, Offset, PartitionEpoch};
    use crate::controller::{PartitionRecord, Record, TopicRecord};
    use crate::wire::messages::describe_topic_partitions_request::{Cursor as From, TopicRequest};

    /// Topics with this many partitions.
    fn image(topics: &[(&str, i32)]) -> Image {
        let mut image = Image::default();
        let mut replay = |record| {
            let at = image.offset().map_or(Offset::ZERO, Offset::next);
            image.replay(at, &record, &mut Vec::new()).unwrap();
        };
        for (number, (name, count)) in (1..).zip(topics) {
            let id = TopicId([number; 16]);
            replay(Record::Topic(TopicRecord { name: (*name).to_owned(), id }));
            for partition in 0..*count {
                replay(Record::Partition(PartitionRecord {
                    partition,
                    topic: id,
                    replicas: vec![BrokerId(1), BrokerId(2)],
                    isr: vec![BrokerId(1)],
                    removing: Vec::new(),
                    adding: Vec::new(),
                    leader: Some(BrokerId(1)),
                    recovering: false,
                    leader_epoch: LeaderEpoch(0),
                    partition_epoch: PartitionEpoch(0),
                    directories: Vec::new(),
                    elr: vec![BrokerId(2)],
                    last_known_elr: Vec::new(),
                }));
            }
        }
        image
    }

    fn ask(image: &Image, topics: &[&str], room: usize) -> Vec<Vec<(String, i32)>> {
        let topic = |name: &&str| message!(TopicRequest { name: (*name).into() });
        let mut request =
            message!(DescribeTopicPartitionsRequest { topics: topics.iter().map(topic).collect() });
        let mut pages = Vec::new();
        loop {
            let answer = page(image, &request, room);
            let shown = answer.topics.iter().flat_map(|topic| {
                let name = topic.name.as_ref().map(ToString::to_string).unwrap_or_default();
                topic.partitions.iter().map(move |told| (name.clone(), told.partition_index))
            });
            pages.push(shown.collect());
            let Some(next) = answer.next_cursor else { return pages };
            request.cursor = Some(message!(From {
                topic_name: next.topic_name,
                partition_index: next.partition_index,
            }));
        }
    }

    #[test]
    fn each_partition_is_on_one_page_whatever_the_size() {
        let image = image(&[("b", 2), ("a", 3), ("c", 1)]);
        let all: Vec<_> = [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1), ("c", 0)]
            .map(|(name, index)| (name.to_owned(), index))
            .into();
        for room in 1..8 {
            let pages = ask(&image, &[], room);
            assert!(pages.iter().all(|page| page.len() <= room), "{room}: {pages:?}");
            assert_eq!(pages.concat(), all, "{room}");
        }
        assert_eq!(ask(&image, &["c", "a"], 2).concat(), [&all[..3], &all[5..]].concat());
    }

    #[test]
    fn cursor_at_no_topic_of_the_question_is_refused() {
        let image = image(&[("a", 1), ("c", 1)]);
        let at = |topics: &[&str], name: &str, partition| {
            let topic = |name: &&str| message!(TopicRequest { name: (*name).into() });
            let request = message!(DescribeTopicPartitionsRequest {
                topics: topics.iter().map(topic).collect(),
                cursor: Some(message!(From {
                    topic_name: name.into(),
                    partition_index: partition,
                })),
            });
            let topics = page(&image, &request, 9).topics.into_iter();
            topics.map(|topic| ErrorCode::from_code(topic.error_code)).collect::<Vec<_>>()
        };
        let (fine, refused) = (ErrorCode::None, ErrorCode::InvalidRequest);
        assert_eq!(at(&["a", "c"], "b", 0), [refused, refused]);
        assert_eq!(at(&["a"], "a", -1), [refused]);
        assert_eq!(at(&["a", "c"], "c", 0), [fine]);
        assert_eq!(at(&[], "b", 0), [fine], "it may have been deleted since");
    }

    #[test]
    fn unknown_topics_take_no_room() {
        let image = image(&[("a", 1)]);
        let topic = |name: &str| message!(TopicRequest { name: name.into() });
        let request = message!(DescribeTopicPartitionsRequest {
            topics: vec![topic("none"), topic("a"), topic("a b")],
        });
        let answer = page(&image, &request, 1);
        let errors = answer.topics.iter().map(|topic| ErrorCode::from_code(topic.error_code));
        assert_eq!(errors.collect::<Vec<_>>(), [ErrorCode::None]);
        let next = answer.next_cursor.unwrap();
        assert_eq!((next.topic_name.as_str(), next.partition_index), ("a b", 0));
        let answer = page(&image, &request, 5);
        let errors = answer.topics.iter().map(|topic| ErrorCode::from_code(topic.error_code));
        let expected =
            [ErrorCode::None, ErrorCode::InvalidTopicException, ErrorCode::UnknownTopicOrPartition];
        assert_eq!(errors.collect::<Vec<_>>(), expected);
    }
}
