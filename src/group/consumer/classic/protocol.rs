//! Subscriptions and assignments as the classic protocol embeds them: bytes that only consumers
//! used to read.

use bytes::{Bytes, BytesMut};

use super::super::partitions::Owned;
use crate::base::TopicId;
use crate::controller::Image;
use crate::wire::messages::consumer_group_heartbeat_request::TopicPartitions as Reported;
use crate::wire::messages::consumer_protocol_assignment::TopicPartition;
use crate::wire::messages::{
    ApiVersion, ConsumerProtocolAssignment, DecodeLimits, decode_consumer_protocol_assignment,
    decode_consumer_protocol_subscription, encode_consumer_protocol_assignment, message,
};

/// What a consumer subscribes to.
pub(super) struct Subscription {
    /// The version of its bytes; its assignments have the same.
    pub(super) version: ApiVersion,
    pub(super) topics: Vec<String>,
    pub(super) rack: Option<String>,
    /// What it reports to own. Nothing, if it gives everything up before it joins.
    pub(super) owned: Vec<Reported>,
    /// An assignor of its own may depend on this.
    pub(super) has_user_data: bool,
}

/// Reads a subscription.
pub(super) fn read_subscription(bytes: &Bytes, image: &Image) -> Option<Subscription> {
    let decoded = decode_consumer_protocol_subscription(bytes.clone(), DecodeLimits::default());
    let (version, read) = decoded.ok()?;
    let mut topics: Vec<String> = read.topics.iter().map(ToString::to_string).collect();
    topics.sort_unstable();
    topics.dedup();
    let owned = read.owned_partitions.into_iter().filter_map(|owned| {
        let topic = image.topic(&owned.topic)?;
        Some(message!(Reported { topic_id: topic.id.into(), partitions: owned.partitions }))
    });
    Some(Subscription {
        version,
        topics,
        rack: read.rack_id.as_deref().filter(|rack| !rack.is_empty()).map(str::to_owned),
        owned: owned.collect(),
        has_user_data: read.user_data.is_some_and(|data| !data.is_empty()),
    })
}

/// Reads an assignment. No bytes are an empty one; topics that do not exist are left out.
pub(super) fn read_assignment(bytes: &Bytes, image: &Image) -> Option<Vec<(TopicId, i32)>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let decoded = decode_consumer_protocol_assignment(bytes.clone(), DecodeLimits::default());
    let (_, read) = decoded.ok()?;
    let partitions = read.assigned_partitions.into_iter().flat_map(|assigned| {
        let topic = image.topic(&assigned.topic).map(|topic| topic.id);
        let partitions = assigned.partitions.into_iter();
        partitions.filter_map(move |partition| Some((topic?, partition)))
    });
    Some(partitions.collect())
}

/// An assignment as bytes of this version. Topics that no longer exist are left out.
pub(super) fn write_assignment(owned: &Owned, version: ApiVersion, image: &Image) -> Bytes {
    let topics = owned.topics().filter_map(|(topic, partitions)| {
        let name = &image.topic_by_id(topic)?.name;
        Some(message!(TopicPartition { topic: (&**name).into(), partitions: partitions }))
    });
    let assignment = message!(ConsumerProtocolAssignment { assigned_partitions: topics.collect() });
    let mut bytes = BytesMut::new();
    // Names of topics are short, and the version is one that was read: this does not fail.
    match encode_consumer_protocol_assignment(&mut bytes, &assignment, version) {
        Ok(_) => bytes.freeze(),
        Err(_) => Bytes::new(),
    }
}
