//! OffsetCommit: how far a group has read, by name of the topic or, since version 10, by its id.

use std::sync::Arc;

use super::committing::{Answer, Answers};
use crate::base::TopicId;
use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::controller::{Image, Topic};
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
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
            return response(answers, by_id);
        }
        // Unlike with members, a group without a name may commit: old clients do.
        let committed = broker.groups.decide(&request.group_id, |machine, now, wall| {
            machine.commit_offsets(now, wall, context.version, &request)
        });
        match committed.await {
            Ok(response) => answers.merge(response.topics.into_iter().map(answer)),
            Err(error) => {
                request.topics.iter().for_each(|topic| refuse(&mut answers, topic, error));
            }
        }
        response(answers, by_id)
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
        refuse(answers, &topic, if by_id { ErrorCode::UnknownTopicId } else { unknown });
        return None;
    };
    topic.name = (&*found.name).into();
    topic.topic_id = found.id.into();
    let partitions = std::mem::take(&mut topic.partitions);
    topic.partitions = answers.existing(
        found,
        (&topic.name, topic.topic_id),
        partitions,
        |partition: &OffsetCommitRequestPartition| partition.partition_index,
    );
    (!topic.partitions.is_empty()).then_some(topic)
}

fn refuse(answers: &mut Answers, topic: &OffsetCommitRequestTopic, error: ErrorCode) {
    let partitions = topic.partitions.iter().map(|partition| partition.partition_index);
    answers.refuse((&topic.name, topic.topic_id), partitions, error);
}

fn answer(topic: OffsetCommitResponseTopic) -> Answer {
    let partitions = topic.partitions.iter();
    Answer {
        name: topic.name,
        id: topic.topic_id,
        partitions: partitions.map(|it| (it.partition_index, it.error_code)).collect(),
    }
}

/// The response names topics by name or by id, as the client asked.
fn response(answers: Answers, by_id: bool) -> OffsetCommitResponse {
    let topics = answers.into_topics().into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|(index, error)| {
            message!(OffsetCommitResponsePartition { partition_index: index, error_code: error })
        });
        message!(OffsetCommitResponseTopic {
            name: if by_id { StrBytes::default() } else { topic.name },
            topic_id: if by_id { topic.id } else { Uuid::ZERO },
            partitions: partitions.collect(),
        })
    });
    message!(OffsetCommitResponse { topics: topics.collect() })
}
