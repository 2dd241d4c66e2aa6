//! Subscriptions and assignments as members exchange them through the coordinator.
//!
//! A newer version is read as far as this one knows it: Kafka adds fields at the end only.
//!
//! Source: Kafka's `ConsumerProtocol`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::base::TopicPartition;
use crate::client::assignor::Member;
use crate::wire::messages::{
    ApiVersion, ConsumerProtocolAssignment, ConsumerProtocolSubscription, DecodeError,
    DecodeLimits, Decoder, EncodeError, KafkaDecode, consumer_protocol_assignment,
    consumer_protocol_subscription, encode_consumer_protocol_assignment,
    encode_consumer_protocol_subscription, message,
};

/// The newest version of both.
const VERSION: i16 = 3;

/// Partitions by topic, in order.
fn by_topic<'a>(
    partitions: impl IntoIterator<Item = &'a TopicPartition>,
) -> BTreeMap<&'a str, Vec<i32>> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition);
    }
    topics.values_mut().for_each(|partitions| partitions.sort_unstable());
    topics
}

pub(super) fn write_subscription(member: &Member) -> Result<Bytes, EncodeError> {
    let owned = by_topic(&member.owned).into_iter().map(|(topic, partitions)| {
        message!(consumer_protocol_subscription::TopicPartition {
            topic: topic.into(),
            partitions: partitions,
        })
    });
    let subscription = message!(ConsumerProtocolSubscription {
        topics: member.topics.iter().map(|topic| (&**topic).into()).collect(),
        user_data: member.user_data.clone(),
        owned_partitions: owned.collect(),
        generation_id: member.generation.unwrap_or(-1),
        rack_id: member.rack.as_ref().map(|rack| (&**rack).into()),
    });
    let mut bytes = BytesMut::new();
    encode_consumer_protocol_subscription(&mut bytes, &subscription, ApiVersion::new(VERSION))?;
    Ok(bytes.freeze())
}

/// Reads what another member wrote. Its instance is not in it.
pub(in crate::client) fn read_subscription(bytes: Bytes) -> Result<Member, DecodeError> {
    let read: ConsumerProtocolSubscription = read(bytes)?;
    let owned = read.owned_partitions.iter();
    let owned = owned.flat_map(|topic| partitions(topic.topic.as_str(), &topic.partitions));
    Ok(Member {
        instance: None,
        topics: read.topics.iter().map(|topic| topic.as_str().into()).collect(),
        owned: owned.collect(),
        generation: Some(read.generation_id).filter(|generation| *generation >= 0),
        user_data: read.user_data,
        rack: read.rack_id.map(|rack| rack.as_str().into()),
    })
}

pub(super) fn write_assignment(share: &[TopicPartition]) -> Result<Bytes, EncodeError> {
    let assigned = by_topic(share).into_iter().map(|(topic, partitions)| {
        message!(consumer_protocol_assignment::TopicPartition {
            topic: topic.into(),
            partitions: partitions,
        })
    });
    let assignment =
        message!(ConsumerProtocolAssignment { assigned_partitions: assigned.collect() });
    let mut bytes = BytesMut::new();
    encode_consumer_protocol_assignment(&mut bytes, &assignment, ApiVersion::new(VERSION))?;
    Ok(bytes.freeze())
}

pub(in crate::client) fn read_assignment(bytes: Bytes) -> Result<Vec<TopicPartition>, DecodeError> {
    let read: ConsumerProtocolAssignment = read(bytes)?;
    let assigned = read.assigned_partitions.iter();
    let assigned = assigned.flat_map(|topic| partitions(topic.topic.as_str(), &topic.partitions));
    Ok(assigned.collect())
}

fn read<M: KafkaDecode>(bytes: Bytes) -> Result<M, DecodeError> {
    let mut decoder = Decoder::new(bytes, DecodeLimits::default())?;
    let version = decoder.read_i16()?;
    M::decode(&mut decoder, ApiVersion::new(version.min(VERSION)))
}

fn partitions<'a>(
    topic: &str,
    indexes: &'a [i32],
) -> impl Iterator<Item = TopicPartition> + use<'a> {
    let topic: Arc<str> = topic.into();
    indexes.iter().map(move |index| TopicPartition::new(Arc::clone(&topic), *index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member() -> Member {
        Member {
            instance: None,
            topics: ["a", "b"].map(Into::into).into(),
            owned: [("a", 1), ("b", 0)].map(|(t, p)| TopicPartition::new(t, p)).into(),
            generation: Some(7),
            user_data: Some(Bytes::from_static(b"u")),
            rack: Some("x".into()),
        }
    }

    #[test]
    fn subscription_is_read_back() {
        let written = write_subscription(&member()).unwrap();
        assert_eq!(read_subscription(written.clone()).unwrap(), member());
        let kafka = b"\0\x03\0\0\0\x02\0\x01a\0\x01b\0\0\0\x01u\0\0\0\x02\0\x01a\0\0\0\x01\0\0\0\x01\0\x01b\0\0\0\x01\0\0\0\0\0\0\0\x07\0\x01x";
        assert_eq!(&written[..], kafka);
    }

    #[test]
    fn newer_version_is_read_as_far_as_it_is_known() {
        let mut bytes = BytesMut::from(&write_subscription(&member()).unwrap()[..]);
        bytes[1] = 9;
        bytes.extend_from_slice(b"more");
        assert_eq!(read_subscription(bytes.freeze()).unwrap(), member());
    }

    #[test]
    fn assignment_is_read_back_and_damage_is_an_error() {
        let share = member().owned;
        let written = write_assignment(&share).unwrap();
        assert_eq!(read_assignment(written.clone()).unwrap(), share);
        for length in 0..written.len() {
            assert!(read_assignment(written.slice(..length)).is_err(), "{length}");
        }
    }
}
