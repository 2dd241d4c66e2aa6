//! Metadata: brokers, topics, partitions and who leads them, as this broker's image has them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{CLUSTER_OPERATIONS, NO_OPERATIONS, TOPIC_OPERATIONS};
use crate::base::{BrokerId, TopicId, topics};
use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::controller::{Image, Topic};
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::metadata_request::MetadataRequestTopic;
use crate::wire::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use crate::wire::messages::{MetadataRequest, MetadataResponse, StrBytes, message};

/// From here on a topic's name in the response may be null.
const NULL_NAMES: i16 = 12;

pub(in crate::broker) struct Metadata;

impl<W: World> Handler<Broker<W>> for Metadata {
    type Request = MetadataRequest;
    type Response = MetadataResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: MetadataRequest,
        context: Context<'_>,
    ) -> MetadataResponse {
        let version = context.version;
        // Version 0 has no way to ask for no topic: an empty list asks for all, as null does later.
        let asked = request.topics.filter(|topics| version > 0 || !topics.is_empty());
        let image = broker.image();
        let mut topics: Vec<MetadataResponseTopic> = match asked {
            None => image.topics().map(|topic| known(&image, topic)).collect(),
            Some(asked) if asked.iter().any(|topic| topic.topic_id != TopicId::ZERO.into()) => {
                by_id(&image, asked, version)
            }
            Some(asked) => {
                let (mut topics, mut seen) = (Vec::with_capacity(asked.len()), BTreeSet::new());
                for MetadataRequestTopic { name, .. } in asked {
                    if seen.insert(name.clone()) {
                        let may_create = request.allow_auto_topic_creation;
                        topics.push(by_name(broker, &image, name, may_create));
                    }
                }
                topics
            }
        };
        if request.include_topic_authorized_operations {
            let known = topics.iter_mut().filter(|topic| topic.error_code == 0);
            known.for_each(|topic| topic.topic_authorized_operations = TOPIC_OPERATIONS);
        }
        let cluster_operations = match request.include_cluster_authorized_operations {
            true => CLUSTER_OPERATIONS,
            false => NO_OPERATIONS,
        };
        let alive = image.brokers().filter(|(_, registered)| !registered.fenced);
        let brokers = alive.filter_map(|(id, registered)| {
            let address = image.address(id, context.session.listener())?;
            Some(message!(MetadataResponseBroker {
                node_id: id.0,
                host: address.host.as_str().into(),
                port: i32::from(address.port),
                rack: registered.rack.as_deref().map(Into::into),
            }))
        });
        message!(MetadataResponse {
            brokers: brokers.collect(),
            cluster_id: Some(broker.cluster_id.as_str().into()),
            controller_id: broker.some_broker(&image).0,
            topics: topics,
            cluster_authorized_operations: cluster_operations,
        })
    }
}

/// Each topic once. Where one is named by its id, those named otherwise are left out, as in Kafka.
fn by_id(
    image: &Image,
    asked: Vec<MetadataRequestTopic>,
    version: i16,
) -> Vec<MetadataResponseTopic> {
    let ids = asked.into_iter().map(|topic| TopicId::from(topic.topic_id));
    let mut seen = BTreeSet::from([TopicId::ZERO]);
    let ids = ids.filter(|id| seen.insert(*id));
    // Before, a response had no way to say that the name is not known.
    let nameless = (version < NULL_NAMES).then(StrBytes::default);
    let topic = |id| match image.topic_by_id(id) {
        Some(topic) => known(image, topic),
        None => unknown(nameless.clone(), id, ErrorCode::UnknownTopicId),
    };
    ids.map(topic).collect()
}

fn by_name<W: World>(
    broker: &Arc<Broker<W>>,
    image: &Image,
    name: Option<StrBytes>,
    may_create: bool,
) -> MetadataResponseTopic {
    // A null name is an empty one, and so invalid.
    let name = name.unwrap_or_default();
    if let Some(topic) = image.topic(&name) {
        return known(image, topic);
    }
    if topics::check_name(&name).is_err() {
        return unknown(Some(name), TopicId::ZERO, ErrorCode::InvalidTopicException);
    }
    if may_create && broker.config.node.auto_create_topics {
        broker.auto_topics.create(&name);
    }
    // Once the topic is created the client finds it: retriable, as in Kafka.
    unknown(Some(name), TopicId::ZERO, ErrorCode::UnknownTopicOrPartition)
}

fn unknown(name: Option<StrBytes>, id: TopicId, error: ErrorCode) -> MetadataResponseTopic {
    message!(MetadataResponseTopic {
        error_code: error.code(),
        is_internal: name.as_deref().is_some_and(topics::is_internal),
        name: name,
        topic_id: id.into(),
        topic_authorized_operations: NO_OPERATIONS,
    })
}

fn known(image: &Image, topic: &Topic) -> MetadataResponseTopic {
    let partitions = topic.partitions.iter().map(|(index, state)| {
        let leader = state.leader.unwrap_or(BrokerId::NONE);
        let error =
            if state.leader.is_none() { ErrorCode::LeaderNotAvailable } else { ErrorCode::None };
        let offline = state.replicas.iter().filter(|id| !image.is_alive(**id));
        message!(MetadataResponsePartition {
            error_code: error.code(),
            partition_index: *index,
            leader_id: leader.0,
            leader_epoch: state.leader_epoch.0,
            replica_nodes: state.replicas.iter().map(|id| id.0).collect(),
            isr_nodes: state.isr.iter().map(|id| id.0).collect(),
            offline_replicas: offline.map(|id| id.0).collect(),
        })
    });
    message!(MetadataResponseTopic {
        name: Some((&*topic.name).into()),
        topic_id: topic.id.into(),
        is_internal: topics::is_internal(&topic.name),
        partitions: partitions.collect(),
        topic_authorized_operations: NO_OPERATIONS,
    })
}
