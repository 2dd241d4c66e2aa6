//! Creation, extension, deletion and description of topics: messages built and read.

use super::attempts::Verdict;
use super::description::{PartitionDescription, TopicDescription};
use crate::base::{BrokerId, LeaderEpoch};
use crate::client::AdminError;
use crate::wire::ErrorCode;
use crate::wire::messages::create_partitions_request::CreatePartitionsTopic;
use crate::wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use crate::wire::messages::delete_topics_request::DeleteTopicState;
use crate::wire::messages::metadata_request::MetadataRequestTopic;
use crate::wire::messages::metadata_response::MetadataResponseTopic;
use crate::wire::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, MetadataRequest, MetadataResponse, message,
};

pub(super) fn creation(
    name: &str,
    partitions: i32,
    replication_factor: i16,
    configs: &[(&str, &str)],
    timeout_ms: i32,
) -> CreateTopicsRequest {
    let mut topic = CreatableTopic::default();
    topic.name = name.into();
    topic.num_partitions = partitions;
    topic.replication_factor = replication_factor;
    for (key, value) in configs {
        let mut config = CreatableTopicConfig::default();
        config.name = (*key).into();
        config.value = Some((*value).into());
        topic.configs.push(config);
    }
    let mut request = CreateTopicsRequest::default();
    request.topics.push(topic);
    request.timeout_ms = timeout_ms;
    request
}

/// A topic that exists after an attempt without an answer is the one that was to be created.
pub(super) fn created(name: &str, answer: &CreateTopicsResponse, in_doubt: bool) -> Verdict<()> {
    let Some(told) = answer.topics.iter().find(|topic| topic.name.as_str() == name) else {
        return Verdict::Refused(AdminError::Incomplete(format!("topic `{name}`")));
    };
    match ErrorCode::from_code(told.error_code) {
        ErrorCode::None => Verdict::Done(()),
        ErrorCode::TopicAlreadyExists if in_doubt => Verdict::Done(()),
        error => Verdict::from_error(error, told.error_message.as_ref().map(|m| m.to_string())),
    }
}

/// A topic is to have this many partitions.
pub(super) fn extension(name: &str, count: i32, timeout_ms: i32) -> CreatePartitionsRequest {
    let topic =
        message!(CreatePartitionsTopic { name: name.into(), count: count, assignments: None });
    message!(CreatePartitionsRequest { topics: vec![topic], timeout_ms: timeout_ms })
}

/// A topic that has as many partitions after an attempt without an answer was extended by it.
pub(super) fn extended(
    name: &str,
    answer: &CreatePartitionsResponse,
    in_doubt: bool,
) -> Verdict<()> {
    let Some(told) = answer.results.iter().find(|topic| topic.name.as_str() == name) else {
        return Verdict::Refused(AdminError::Incomplete(format!("topic `{name}`")));
    };
    let message = told.error_message.as_ref().map(|message| message.to_string());
    match ErrorCode::from_code(told.error_code) {
        ErrorCode::None => Verdict::Done(()),
        ErrorCode::InvalidPartitions if in_doubt && already(message.as_deref()) => {
            Verdict::Done(())
        }
        // The controller says so, not a stale broker: the topic does not exist.
        error @ ErrorCode::UnknownTopicOrPartition => {
            Verdict::Refused(AdminError::Broker { error, message })
        }
        error => Verdict::from_error(error, message),
    }
}

/// Whether the controller refuses because the topic has this number of partitions, not a larger one.
fn already(message: Option<&str>) -> bool {
    message.is_some_and(|message| message.contains("already has"))
}

pub(super) fn deletion(name: &str, timeout_ms: i32) -> DeleteTopicsRequest {
    let mut request = DeleteTopicsRequest::default();
    // By name in two places: before version 6, and since.
    request.topic_names.push(name.into());
    let mut topic = DeleteTopicState::default();
    topic.name = Some(name.into());
    request.topics.push(topic);
    request.timeout_ms = timeout_ms;
    request
}

/// A topic that is gone after an attempt without an answer is the one that was to be deleted.
pub(super) fn deleted(name: &str, answer: &DeleteTopicsResponse, in_doubt: bool) -> Verdict<()> {
    let is_it = |told: &Option<crate::wire::messages::StrBytes>| {
        told.as_ref().is_some_and(|told| told.as_str() == name)
    };
    let Some(told) = answer.responses.iter().find(|topic| is_it(&topic.name)) else {
        return Verdict::Refused(AdminError::Incomplete(format!("topic `{name}`")));
    };
    let message = || told.error_message.as_ref().map(|message| message.to_string());
    match ErrorCode::from_code(told.error_code) {
        ErrorCode::None => Verdict::Done(()),
        ErrorCode::UnknownTopicOrPartition if in_doubt => Verdict::Done(()),
        // The controller says so, not a stale broker: the topic does not exist.
        error @ ErrorCode::UnknownTopicOrPartition => {
            Verdict::Refused(AdminError::Broker { error, message: message() })
        }
        error => Verdict::from_error(error, message()),
    }
}

/// Asks for these topics, or for all.
pub(super) fn question(topics: Option<&[&str]>) -> MetadataRequest {
    let mut request = MetadataRequest::default();
    request.allow_auto_topic_creation = false;
    request.topics = topics.map(|topics| {
        let topics = topics.iter().map(|name| {
            let mut topic = MetadataRequestTopic::default();
            topic.name = Some((*name).into());
            topic
        });
        topics.collect()
    });
    request
}

pub(super) fn described(answer: &MetadataResponse) -> Verdict<Vec<TopicDescription>> {
    if answer.brokers.is_empty() {
        // A broker that has not caught up with the cluster yet.
        return Verdict::Again(ErrorCode::BrokerNotAvailable);
    }
    let mut topics = Vec::new();
    for told in &answer.topics {
        let Some(name) = &told.name else { continue };
        match ErrorCode::from_code(told.error_code) {
            ErrorCode::None | ErrorCode::LeaderNotAvailable => {
                topics.push(topic(name.as_str(), told));
            }
            error => {
                let message = Some(format!("topic `{name}`"));
                return Verdict::Refused(AdminError::Broker { error, message });
            }
        }
    }
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    Verdict::Done(topics)
}

fn topic(name: &str, told: &MetadataResponseTopic) -> TopicDescription {
    let brokers = |ids: &[i32]| ids.iter().map(|id| BrokerId(*id)).collect();
    let partitions = told.partitions.iter().map(|told| PartitionDescription {
        partition: told.partition_index,
        leader: (told.leader_id >= 0).then_some(BrokerId(told.leader_id)),
        leader_epoch: LeaderEpoch(told.leader_epoch),
        replicas: brokers(&told.replica_nodes),
        isr: brokers(&told.isr_nodes),
        elr: Vec::new(),
        last_known_elr: Vec::new(),
    });
    let mut partitions: Vec<_> = partitions.collect();
    partitions.sort_by_key(|partition| partition.partition);
    TopicDescription { name: name.to_owned(), id: told.topic_id.into(), partitions }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::kernel::metadata;
    use crate::wire::messages::create_topics_response::CreatableTopicResult;

    fn answer(error: ErrorCode) -> CreateTopicsResponse {
        let mut told = CreatableTopicResult::default();
        told.name = "orders".into();
        told.error_code = error.code();
        let mut answer = CreateTopicsResponse::default();
        answer.topics.push(told);
        answer
    }

    #[test]
    fn existing_topic_is_refused_unless_an_attempt_may_have_created_it() {
        let exists = answer(ErrorCode::TopicAlreadyExists);
        assert!(matches!(created("orders", &exists, false), Verdict::Refused(_)));
        assert!(matches!(created("orders", &exists, true), Verdict::Done(())));
        let moved = answer(ErrorCode::NotController);
        assert!(matches!(created("orders", &moved, false), Verdict::Again(_)));
        assert!(matches!(created("other", &moved, false), Verdict::Refused(_)));
    }

    #[test]
    fn unknown_topic_is_an_error_and_offline_partitions_are_not() {
        let mut told = metadata(2, "orders", 7, &[(1, 5), (-1, 6)]);
        let Verdict::Done(topics) = described(&told) else { panic!("not described") };
        let leaders: Vec<_> = topics[0].partitions.iter().map(|p| p.leader).collect();
        assert_eq!(leaders, [Some(BrokerId(1)), None]);
        told.topics[0].error_code = ErrorCode::UnknownTopicOrPartition.code();
        assert!(matches!(described(&told), Verdict::Refused(_)));
        assert!(matches!(described(&MetadataResponse::default()), Verdict::Again(_)));
    }
}
