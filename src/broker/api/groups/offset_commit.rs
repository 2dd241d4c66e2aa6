//! OffsetCommit: how far a group has read, by name of the topic or, since version 10, by its id.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::TopicId;
use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::controller::{Image, Topic};
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::offset_commit_request::OffsetCommitRequestTopic;
use crate::wire::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use crate::wire::messages::{OffsetCommitRequest, OffsetCommitResponse, StrBytes, Uuid, message};

/// From here on topics are named by id.
const TOPIC_IDS: i16 = 10;

pub(in crate::broker) struct OffsetCommit;

impl<W: World> Handler<Broker<W>> for OffsetCommit {
    type Request = OffsetCommitRequest;
    type Response = OffsetCommitResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        mut request: OffsetCommitRequest,
        context: Context<'_>,
    ) -> OffsetCommitResponse {
        let by_id = context.version >= TOPIC_IDS;
        let mut answers = Answers::default();
        let topics = std::mem::take(&mut request.topics);
        let image = broker.image();
        let known =
            topics.into_iter().filter_map(|topic| known(&image, topic, by_id, &mut answers));
        request.topics = known.collect();
        if request.topics.is_empty() {
            return answers.into_response(by_id);
        }
        // Unlike with members, a group without a name may commit: old clients do.
        let committed = broker.groups.decide(&request.group_id, |machine, now, wall| {
            machine.commit_offsets(now, wall, context.version, &request)
        });
        match committed.await {
            Ok(response) => answers.merge(response.topics),
            Err(error) => request.topics.iter().for_each(|topic| answers.refuse(topic, error)),
        }
        answers.into_response(by_id)
    }
}

/// What the metadata have of a topic: its existing partitions are to be committed, the others are
/// refused here.
fn known(
    image: &Image,
    mut topic: OffsetCommitRequestTopic,
    by_id: bool,
    answers: &mut Answers,
) -> Option<OffsetCommitRequestTopic> {
    let found: Option<&Topic> = match by_id {
        true => image.topic_by_id(TopicId::from(topic.topic_id)),
        false => image.topic(&topic.name),
    };
    let Some(found) = found else {
        let unknown = ErrorCode::UnknownTopicOrPartition;
        answers.refuse(&topic, if by_id { ErrorCode::UnknownTopicId } else { unknown });
        return None;
    };
    topic.name = (&*found.name).into();
    topic.topic_id = found.id.into();
    let exists = |index: i32| found.partitions.contains_key(&index);
    let (partitions, missing) =
        std::mem::take(&mut topic.partitions).into_iter().partition(|p| exists(p.partition_index));
    topic.partitions = missing;
    answers.refuse(&topic, ErrorCode::UnknownTopicOrPartition);
    topic.partitions = partitions;
    (!topic.partitions.is_empty()).then_some(topic)
}

/// The answers to the partitions of a request, by topic in the order in which these were answered
/// first: those that are refused at once come before those that a coordinator answers.
#[derive(Default)]
struct Answers {
    topics: Vec<OffsetCommitResponseTopic>,
    at: BTreeMap<(StrBytes, [u8; 16]), usize>,
}

impl Answers {
    fn of(&mut self, name: &StrBytes, id: Uuid) -> &mut OffsetCommitResponseTopic {
        let next = self.topics.len();
        let at = *self.at.entry((name.clone(), id.to_bytes())).or_insert(next);
        if at == next {
            let topic = message!(OffsetCommitResponseTopic { name: name.clone(), topic_id: id });
            self.topics.push(topic);
        }
        &mut self.topics[at]
    }

    fn refuse(&mut self, topic: &OffsetCommitRequestTopic, error: ErrorCode) {
        if topic.partitions.is_empty() {
            return;
        }
        let partitions = topic.partitions.iter().map(|partition| {
            message!(OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: error.code(),
            })
        });
        self.of(&topic.name, topic.topic_id).partitions.extend(partitions);
    }

    /// Adds what the coordinator has answered. With nothing to add it to, it stays as it is: each
    /// topic as often as it was named.
    fn merge(&mut self, topics: Vec<OffsetCommitResponseTopic>) {
        if self.topics.is_empty() {
            self.topics = topics;
            return;
        }
        for topic in topics {
            self.of(&topic.name, topic.topic_id).partitions.extend(topic.partitions);
        }
    }

    /// With names or with ids, as the client asked.
    fn into_response(mut self, by_id: bool) -> OffsetCommitResponse {
        for topic in &mut self.topics {
            match by_id {
                true => topic.name = StrBytes::default(),
                false => topic.topic_id = Uuid::ZERO,
            }
        }
        message!(OffsetCommitResponse { topics: self.topics })
    }
}
