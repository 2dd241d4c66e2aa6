//! Any record is read back as it was written, and the schema decoder of tools sees the same in it.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::*;
use crate::decide::LogRecord;
use crate::wire::schema::{Family, Json, Schema};

/// Key and value as the independent decoder of tools should show them.
fn shown(record: &Record) -> (Value, Value) {
    let value = |value: Option<Value>| value.unwrap_or(Value::Null);
    match record {
        Record::Offset { key, value: v } => (
            json!({"group": key.group.as_str(), "topic": key.topic, "partition": key.partition}),
            value(v.as_ref().map(shown_offset)),
        ),
        Record::ClassicGroup { group, value: v } => {
            (json!({"group": group.as_str()}), value(v.as_ref().map(shown_classic)))
        }
        Record::ConsumerGroup { group, value: v } => (
            json!({"groupId": group.as_str()}),
            value(v.map(|v| tagged(json!({"epoch": v.epoch}), "metadataHash", v.metadata_hash))),
        ),
        Record::Member { group, member, value: v } => {
            (member_key(group, member), value(v.as_ref().map(shown_member)))
        }
        Record::TargetEpoch { group, value: v } => (
            json!({"groupId": group.as_str()}),
            value(v.map(|v| {
                tagged(json!({"assignmentEpoch": v.epoch}), "assignmentTimestamp", v.computed.0)
            })),
        ),
        Record::TargetMember { group, member, value: v } => (
            member_key(group, member),
            value(v.as_ref().map(|v| {
                json!({"topicPartitions": v.partitions.iter().map(shown_partitions).collect::<Vec<_>>()})
            })),
        ),
        Record::CurrentAssignment { group, member, value: v } => {
            let all = |of: &[TopicPartitions]| of.iter().map(shown_owned).collect::<Vec<_>>();
            let v = v.as_ref().map(|v| {
                json!({"memberEpoch": v.epoch, "previousMemberEpoch": v.previous_epoch,
                    "state": v.state, "assignedPartitions": all(&v.assigned),
                    "partitionsPendingRevocation": all(&v.pending_revocation)})
            });
            (member_key(group, member), value(v))
        }
        Record::RegularExpression { group, pattern, value: v } => (
            json!({"groupId": group.as_str(), "regularExpression": pattern}),
            value(v.as_ref().map(|v| {
                json!({"topics": v.topics, "version": v.version, "timestamp": v.resolved.0})
            })),
        ),
        Record::Foreign(_) => unreachable!("not drawn"),
    }
}

fn member_key(group: &GroupId, member: &MemberId) -> Value {
    json!({"groupId": group.as_str(), "memberId": member.as_str()})
}

fn tagged(mut object: Value, name: &str, number: i64) -> Value {
    if number != 0 {
        object[name] = number.into();
    }
    object
}

fn shown_offset(v: &CommittedOffset) -> Value {
    if v.expires != Timestamp::NONE {
        return json!({"offset": v.offset.0, "metadata": v.metadata,
            "commitTimestamp": v.committed.0, "expireTimestamp": v.expires.0});
    }
    let mut shown = json!({"offset": v.offset.0, "leaderEpoch": v.leader_epoch,
        "metadata": v.metadata, "commitTimestamp": v.committed.0});
    if v.topic_id != TopicId::ZERO {
        shown["topicId"] = v.topic_id.to_string().into();
    }
    shown
}

fn shown_classic(v: &ClassicGroupValue) -> Value {
    let members = v.members.iter().map(|m| {
        json!({"memberId": m.member.as_str(), "groupInstanceId": m.instance,
            "clientId": m.client_id, "clientHost": m.client_host,
            "rebalanceTimeout": m.rebalance_timeout_ms, "sessionTimeout": m.session_timeout_ms,
            "subscription": base64(&m.subscription), "assignment": base64(&m.assignment)})
    });
    json!({"protocolType": v.protocol_type, "generation": v.generation, "protocol": v.protocol,
        "leader": v.leader, "currentStateTimestamp": v.state_since.0,
        "members": members.collect::<Vec<_>>()})
}

fn shown_member(v: &MemberValue) -> Value {
    let mut shown = json!({"instanceId": v.instance, "rackId": v.rack, "clientId": v.client_id,
        "clientHost": v.client_host, "subscribedTopicNames": v.topics,
        "subscribedTopicRegex": v.pattern, "rebalanceTimeoutMs": v.rebalance_timeout_ms,
        "serverAssignor": v.assignor});
    match &v.classic {
        None => shown["classicMemberMetadata"] = Value::Null,
        Some(classic) if *classic == ClassicMemberMetadata::default() => {}
        Some(classic) => {
            let protocols = classic.protocols.iter();
            let protocols = protocols.map(|(n, m)| json!({"name": n, "metadata": base64(m)}));
            shown["classicMemberMetadata"] = json!({"sessionTimeoutMs": classic.session_timeout_ms,
                "supportedProtocols": protocols.collect::<Vec<_>>()});
        }
    }
    shown
}

fn shown_partitions(v: &TopicPartitions) -> Value {
    json!({"topicId": v.topic.to_string(), "partitions": v.partitions})
}

/// With the epochs, unless they are the default.
fn shown_owned(v: &TopicPartitions) -> Value {
    let mut shown = shown_partitions(v);
    if v.epochs != Some(Vec::new()) {
        shown["assignmentEpochs"] = json!(v.epochs);
    }
    shown
}

fn base64(bytes: &Bytes) -> Value {
    serde_json::from_str(&Json::Binary(bytes.to_vec()).to_string()).unwrap()
}

/// Reads what follows the leading number of a key or a value.
fn read(family: Family, api_key: i16, bytes: &Bytes) -> Value {
    let (number, rest) = bytes.split_at(2);
    let number = i16::from_be_bytes(number.try_into().unwrap());
    // A key begins with its type, and has version 0.
    let version = if family == Family::GroupKey { 0 } else { number };
    let (json, len) = Schema::of(family, api_key).unwrap().read(rest, version).unwrap();
    assert_eq!(len, rest.len(), "{} is longer than its schema", json);
    serde_json::from_str(&json.to_string()).unwrap()
}

fn text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9é\"\n._-]{0,40}"
}

fn maybe_text() -> impl Strategy<Value = Option<String>> {
    option::of(text())
}

fn blob() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn topic_id() -> impl Strategy<Value = TopicId> {
    prop_oneof![Just(TopicId::ZERO), any::<[u8; 16]>().prop_map(TopicId)]
}

fn offset_value() -> impl Strategy<Value = CommittedOffset> {
    let expires = prop_oneof![Just(-1), any::<i64>()];
    (any::<i64>(), any::<i32>(), text(), any::<i64>(), expires, topic_id()).prop_map(
        |(offset, leader_epoch, metadata, committed, expires, topic_id)| {
            let bare = expires != -1;
            CommittedOffset {
                offset: Offset(offset),
                leader_epoch: if bare { -1 } else { leader_epoch },
                metadata,
                committed: Timestamp(committed),
                expires: Timestamp(expires),
                topic_id: if bare { TopicId::ZERO } else { topic_id },
            }
        },
    )
}

fn classic_member() -> impl Strategy<Value = ClassicMemberValue> {
    let texts = (text(), maybe_text(), text(), text());
    (texts, any::<i32>(), any::<i32>(), blob(), blob()).prop_map(
        |(texts, rebalance_timeout_ms, session_timeout_ms, subscription, assignment)| {
            ClassicMemberValue {
                member: texts.0.into(),
                instance: texts.1,
                client_id: texts.2,
                client_host: texts.3,
                rebalance_timeout_ms,
                session_timeout_ms,
                subscription,
                assignment,
            }
        },
    )
}

fn classic_value() -> impl Strategy<Value = ClassicGroupValue> {
    let texts = (text(), maybe_text(), maybe_text());
    (texts, any::<i32>(), any::<i64>(), vec(classic_member(), 0..5)).prop_map(
        |(texts, generation, state_since, members)| ClassicGroupValue {
            protocol_type: texts.0,
            generation,
            protocol: texts.1,
            leader: texts.2,
            state_since: Timestamp(state_since),
            members,
        },
    )
}

fn member_value() -> impl Strategy<Value = MemberValue> {
    let classic = (0..3i32, vec((text(), blob()), 0..3));
    let classic = classic.prop_map(|(session_timeout_ms, protocols)| ClassicMemberMetadata {
        session_timeout_ms,
        protocols,
    });
    let texts = (maybe_text(), maybe_text(), text(), text(), maybe_text(), maybe_text());
    (texts, vec(text(), 0..5), any::<i32>(), option::of(classic)).prop_map(
        |(texts, topics, rebalance_timeout_ms, classic)| MemberValue {
            instance: texts.0,
            rack: texts.1,
            client_id: texts.2,
            client_host: texts.3,
            topics,
            pattern: texts.4,
            rebalance_timeout_ms,
            assignor: texts.5,
            classic,
        },
    )
}

fn owned(with_epochs: bool) -> impl Strategy<Value = Vec<TopicPartitions>> {
    let of = (topic_id(), vec(any::<i32>(), 0..5), option::of(vec(any::<i32>(), 0..5)));
    let of = of.prop_map(move |(topic, partitions, epochs)| TopicPartitions {
        topic,
        partitions,
        epochs: epochs.filter(|_| with_epochs),
    });
    vec(of, 0..4)
}

fn current_value() -> impl Strategy<Value = CurrentAssignmentValue> {
    (any::<i32>(), any::<i32>(), any::<i8>(), owned(true), owned(true)).prop_map(
        |(epoch, previous_epoch, state, assigned, pending_revocation)| CurrentAssignmentValue {
            epoch,
            previous_epoch,
            state,
            assigned,
            pending_revocation,
        },
    )
}

fn any_record() -> impl Strategy<Value = Record> {
    let ids = (text().prop_map(GroupId::from), text().prop_map(MemberId::from), text());
    let number = prop_oneof![Just(0), any::<i64>()];
    let values = (
        (offset_value(), any::<i32>()),
        classic_value(),
        (any::<i32>(), number),
        member_value(),
        owned(false),
        current_value(),
        vec(text(), 0..5),
    );
    (ids, values, 0..8, any::<bool>()).prop_map(
        |((group, member, word), values, kind, tombstone)| {
            let (offset, classic, (epoch, number), of_member, partitions, current, topics) = values;
            fn unless<T>(tombstone: bool, value: T) -> Option<T> {
                (!tombstone).then_some(value)
            }
            match kind {
                0 => Record::Offset {
                    key: OffsetKey { group, topic: word, partition: offset.1 },
                    value: unless(tombstone, offset.0),
                },
                1 => Record::ClassicGroup { group, value: unless(tombstone, classic) },
                2 => {
                    let value = ConsumerGroupValue { epoch, metadata_hash: number };
                    Record::ConsumerGroup { group, value: unless(tombstone, value) }
                }
                3 => Record::Member { group, member, value: unless(tombstone, of_member) },
                4 => {
                    let value = TargetEpochValue { epoch, computed: Timestamp(number) };
                    Record::TargetEpoch { group, value: unless(tombstone, value) }
                }
                5 => {
                    let value = TargetMemberValue { partitions };
                    Record::TargetMember { group, member, value: unless(tombstone, value) }
                }
                6 => Record::CurrentAssignment { group, member, value: unless(tombstone, current) },
                _ => {
                    let version = i64::from(epoch);
                    let value =
                        RegularExpressionValue { topics, version, resolved: Timestamp(number) };
                    Record::RegularExpression {
                        group,
                        pattern: word,
                        value: unless(tombstone, value),
                    }
                }
            }
        },
    )
}

proptest! {
    #[test]
    fn every_record_is_read_back_and_agrees_with_its_schema(record in any_record()) {
        let bytes = record.encode();
        prop_assert_eq!(Record::decode(bytes.clone()), Ok(record.clone()));
        let key = bytes.key.unwrap();
        let api_key = i16::from_be_bytes([key[0], key[1]]);
        let value = bytes.value.map(|value| read(Family::GroupValue, api_key, &value));
        let seen = (read(Family::GroupKey, api_key, &key), value.unwrap_or(Value::Null));
        prop_assert_eq!(seen, shown(&record));
    }

    #[test]
    fn arbitrary_bytes_never_panic_the_decoder(
        key in vec(any::<u8>(), 0..60),
        value in vec(any::<u8>(), 0..300),
        api_key in 0u8..18,
        version in 0u8..5,
    ) {
        let of = |key: Vec<u8>, value: Vec<u8>| KeyValue {
            key: Some(key.into()),
            value: Some(value.into()),
        };
        if let Ok(record) = Record::decode(of(key.clone(), value.clone())) {
            prop_assert_eq!(Record::decode(record.encode()), Ok(record));
        }
        // An intact key, so that the value is read.
        let short_strings = [0, api_key, 0, 1, b'g', 0, 1, b'm'];
        let key = match api_key {
            2 | 3 | 6 => short_strings[..5].to_vec(),
            0 | 1 => [&short_strings[..], &[0, 0, 0, 1]].concat(),
            _ => short_strings.to_vec(),
        };
        let value = [&[0, version][..], &value].concat();
        let read = Record::decode(of(key.clone(), value));
        if let Ok(record) = &read {
            prop_assert_eq!(&Record::decode(record.encode()).unwrap(), record);
        }
        let is_value = |error: &RecordError| error.to_string().contains("Value");
        prop_assert!(read.as_ref().err().is_none_or(is_value), "{:?} for key {:?}", read, key);
    }
}
