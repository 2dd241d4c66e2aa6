//! Records of Kafka decode, and encoded records equal Kafka's.
//!
//! The bytes below were written by Kafka 4.3.1's `GroupCoordinatorRecordSerde`.

mod random;

use bytes::Bytes;

use super::*;
use crate::decide::LogRecord;

const T: TopicId = TopicId([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);

const OFFSET_KEY: &str = "000100016700066f726465727300000003";

fn bytes(hex: &str) -> Bytes {
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

fn record(key: &str, value: Option<&str>) -> KeyValue {
    KeyValue { key: Some(bytes(key)), value: value.map(bytes) }
}

fn g() -> GroupId {
    "g".into()
}

fn m() -> MemberId {
    "m".into()
}

fn offset(value: Option<CommittedOffset>) -> Record {
    let key = OffsetKey { group: g(), topic: "orders".into(), partition: 3 };
    Record::Offset { key, value }
}

fn committed() -> CommittedOffset {
    CommittedOffset {
        offset: Offset(42),
        leader_epoch: 7,
        metadata: "né".into(),
        committed: Timestamp(1000),
        expires: Timestamp::NONE,
        topic_id: T,
    }
}

fn classic_group() -> ClassicGroupValue {
    let first = ClassicMemberValue {
        member: "m-1".into(),
        instance: Some("i1".into()),
        client_id: "c".into(),
        client_host: "/10.0.0.1".into(),
        rebalance_timeout_ms: 300_000,
        session_timeout_ms: 45_000,
        subscription: Bytes::from_static(&[1, 2, 3]),
        assignment: Bytes::new(),
    };
    let second = ClassicMemberValue { member: "m-2".into(), instance: None, ..first.clone() };
    ClassicGroupValue {
        protocol_type: "consumer".into(),
        generation: 5,
        protocol: Some("range".into()),
        leader: Some("m-1".into()),
        state_since: Timestamp(1234),
        members: vec![first, second],
    }
}

fn member() -> MemberValue {
    MemberValue {
        instance: None,
        rack: Some("r1".into()),
        client_id: "c".into(),
        client_host: "/h".into(),
        topics: vec!["a".into(), "orders".into()],
        pattern: Some(String::new()),
        rebalance_timeout_ms: 300_000,
        assignor: Some("uniform".into()),
        classic: None,
    }
}

fn classic_member() -> MemberValue {
    let protocols = vec![("range".into(), Bytes::from_static(&[9, 8]))];
    MemberValue {
        instance: Some("i".into()),
        assignor: None,
        pattern: None,
        classic: Some(ClassicMemberMetadata { session_timeout_ms: 45_000, protocols }),
        ..member()
    }
}

fn partitions(partitions: &[i32], epochs: Option<&[i32]>) -> TopicPartitions {
    let epochs = epochs.map(<[i32]>::to_vec);
    TopicPartitions { topic: T, partitions: partitions.to_vec(), epochs }
}

fn current_assignment() -> CurrentAssignmentValue {
    CurrentAssignmentValue {
        epoch: 4,
        previous_epoch: 3,
        state: 1,
        assigned: vec![partitions(&[0, 2], Some(&[3, 4]))],
        pending_revocation: vec![partitions(&[5], None), partitions(&[], Some(&[]))],
    }
}

/// A record with the key and value that Kafka writes.
type Golden = (Record, &'static str, Option<&'static str>);

fn as_kafka_writes_them() -> impl Iterator<Item = Golden> {
    let groups = classic_groups().into_iter().chain(consumer_groups());
    groups.chain(members()).chain(assignments())
}

/// Offsets and groups of the classic protocol.
fn classic_groups() -> Vec<Golden> {
    let bare = CommittedOffset {
        leader_epoch: -1,
        metadata: String::new(),
        topic_id: TopicId::ZERO,
        ..committed()
    };
    let expiring = CommittedOffset {
        leader_epoch: -1,
        topic_id: TopicId::ZERO,
        expires: Timestamp(2000),
        ..committed()
    };
    let empty = ClassicGroupValue { state_since: Timestamp::NONE, ..ClassicGroupValue::default() };
    let group = |value| Record::ClassicGroup { group: g(), value };
    vec![
        (
            offset(Some(committed())),
            OFFSET_KEY,
            Some(
                "0004000000000000002a00000007046ec3a900000000000003e80100100102030405060708090a0b0c0d0e0f10",
            ),
        ),
        (offset(Some(bare)), OFFSET_KEY, Some("0004000000000000002affffffff0100000000000003e800")),
        (
            offset(Some(expiring)),
            OFFSET_KEY,
            Some("0001000000000000002a00036ec3a900000000000003e800000000000007d0"),
        ),
        (offset(None), OFFSET_KEY, None),
        (
            group(Some(classic_group())),
            "0002000167",
            Some(
                "00030008636f6e73756d657200000005000572616e676500036d2d3100000000000004d20000000200036d2d310002693100016300092f31302e302e302e31000493e00000afc8000000030102030000000000036d2d32ffff00016300092f31302e302e302e31000493e00000afc80000000301020300000000",
            ),
        ),
        (
            group(Some(empty)),
            "0002000167",
            Some("0003000000000000ffffffffffffffffffffffff00000000"),
        ),
        (group(None), "0002000167", None),
    ]
}

fn consumer_groups() -> Vec<Golden> {
    let consumer = |epoch, metadata_hash| Record::ConsumerGroup {
        group: g(),
        value: Some(ConsumerGroupValue { epoch, metadata_hash }),
    };
    let epoch = |epoch, computed| Record::TargetEpoch {
        group: g(),
        value: Some(TargetEpochValue { epoch, computed: Timestamp(computed) }),
    };
    let pattern = |value| Record::RegularExpression { group: g(), pattern: "or.*".into(), value };
    let resolved = RegularExpressionValue {
        topics: vec!["a".into(), "orders".into()],
        version: 12,
        resolved: Timestamp(77),
    };
    vec![
        (consumer(9, -5), "0003000167", Some("000000000009010008fffffffffffffffb")),
        (consumer(9, 0), "0003000167", Some("00000000000900")),
        (Record::ConsumerGroup { group: g(), value: None }, "0003000167", None),
        (Record::no_partition_metadata(&g()), "0004000167", None),
        (epoch(4, 99), "0006000167", Some("0000000000040100080000000000000063")),
        (epoch(4, 0), "0006000167", Some("00000000000400")),
        (Record::TargetEpoch { group: g(), value: None }, "0006000167", None),
        (
            pattern(Some(resolved)),
            "001000016700046f722e2a",
            Some("0000030261076f7264657273000000000000000c000000000000004d00"),
        ),
        (pattern(None), "001000016700046f722e2a", None),
    ]
}

fn members() -> Vec<Golden> {
    let member_of = |value| Record::Member { group: g(), member: m(), value };
    let classic_default =
        MemberValue { classic: Some(ClassicMemberMetadata::default()), ..member() };
    vec![
        (
            member_of(Some(member())),
            "000500016700016d",
            Some("0000000372310263032f68030261076f726465727301000493e008756e69666f726d01000100"),
        ),
        (
            member_of(Some(classic_default)),
            "000500016700016d",
            Some("0000000372310263032f68030261076f726465727301000493e008756e69666f726d00"),
        ),
        (
            member_of(Some(classic_member())),
            "000500016700016d",
            Some(
                "000002690372310263032f68030261076f726465727300000493e000010011010000afc8020672616e67650309080000",
            ),
        ),
        (member_of(None), "000500016700016d", None),
    ]
}

fn assignments() -> Vec<Golden> {
    let target = |value| Record::TargetMember { group: g(), member: m(), value };
    let owned = TargetMemberValue { partitions: vec![partitions(&[0, 2], None)] };
    let current = |value| Record::CurrentAssignment { group: g(), member: m(), value };
    vec![
        (
            target(Some(owned)),
            "000700016700016d",
            Some("0000020102030405060708090a0b0c0d0e0f100300000000000000020000"),
        ),
        (target(None), "000700016700016d", None),
        (
            current(Some(current_assignment())),
            "000800016700016d",
            Some(
                "0000000000040000000301020102030405060708090a0b0c0d0e0f10030000000000000002010009030000000300000004030102030405060708090a0b0c0d0e0f100200000005010001000102030405060708090a0b0c0d0e0f10010000",
            ),
        ),
        (current(None), "000800016700016d", None),
    ]
}

#[test]
fn records_are_written_and_read_as_kafka_does() {
    for (expected, key, value) in as_kafka_writes_them() {
        assert_eq!(Record::decode(record(key, value)).unwrap(), expected);
        assert_eq!(expected.encode(), record(key, value), "{expected:?}");
        assert!(expected.is_writable());
    }
}

#[test]
fn older_and_newer_versions_of_values_are_read() {
    let plain = CommittedOffset { leader_epoch: -1, topic_id: TopicId::ZERO, ..committed() };
    let old = "00036ec3a900000000000003e8";
    for version in ["0000", "0002"] {
        let value = format!("{version}000000000000002a{old}");
        let read = Record::decode(record(OFFSET_KEY, Some(&value))).unwrap();
        assert_eq!(read, offset(Some(plain.clone())));
    }
    let value = format!("0003000000000000002a00000007{old}");
    let with_epoch = CommittedOffset { leader_epoch: 7, ..plain };
    let read = Record::decode(record(OFFSET_KEY, Some(&value))).unwrap();
    assert_eq!(read, offset(Some(with_epoch)));

    let mut old = classic_group();
    let read = |value: &str| Record::decode(record("0002000167", Some(value))).unwrap();
    let group =
        |value: &ClassicGroupValue| Record::ClassicGroup { group: g(), value: Some(value.clone()) };
    let newest = read(
        "000409636f6e73756d6572000000050672616e6765046d2d3100000000000004d203046d2d3103693102630a2f31302e302e302e31000493e00000afc8040102030100046d2d320002630a2f31302e302e302e31000493e00000afc804010203010000",
    );
    assert_eq!(newest, group(&old));
    for member in &mut old.members {
        member.instance = None;
    }
    let second = read(
        "00020008636f6e73756d657200000005000572616e676500036d2d3100000000000004d20000000200036d2d3100016300092f31302e302e302e31000493e00000afc8000000030102030000000000036d2d3200016300092f31302e302e302e31000493e00000afc80000000301020300000000",
    );
    assert_eq!(second, group(&old));
    old.state_since = Timestamp::NONE;
    let first = read(
        "00010008636f6e73756d657200000005000572616e676500036d2d310000000200036d2d3100016300092f31302e302e302e31000493e00000afc8000000030102030000000000036d2d3200016300092f31302e302e302e31000493e00000afc80000000301020300000000",
    );
    assert_eq!(first, group(&old));
    for member in &mut old.members {
        member.rebalance_timeout_ms = -1;
    }
    let zeroth = read(
        "00000008636f6e73756d657200000005000572616e676500036d2d310000000200036d2d3100016300092f31302e302e302e310000afc8000000030102030000000000036d2d3200016300092f31302e302e302e310000afc80000000301020300000000",
    );
    assert_eq!(zeroth, group(&old));
}

#[test]
fn legacy_offset_is_read_as_an_offset() {
    let legacy = record(
        "000000016700066f726465727300000003",
        Some("0000000000000000002a00016d00000000000003e8"),
    );
    let expected = CommittedOffset {
        leader_epoch: -1,
        metadata: "m".into(),
        topic_id: TopicId::ZERO,
        ..committed()
    };
    assert_eq!(Record::decode(legacy).unwrap(), offset(Some(expected)));
    let newer = record("000000016700066f726465727300000003", Some("0001"));
    let told = "unknown version 1 of LegacyOffsetCommitValue in group `g`: this log was written by a newer broker";
    assert_eq!(Record::decode(newer).unwrap_err().to_string(), told);
}

#[test]
fn records_of_other_groups_are_kept_as_they_are() {
    let records = [
        record("000b000173", Some("000000000002000000000000000300")),
        record("0011000173", Some("000000000002000000000000000300")),
        record(
            "0004000167",
            Some("0000020102030405060708090a0b0c0d0e0f10076f726465727300000002010000"),
        ),
        record("7fff", None),
    ];
    for bytes in records {
        let read = Record::decode(bytes.clone()).unwrap();
        assert_eq!(read, Record::Foreign(bytes.clone()));
        assert_eq!(read.encode(), bytes);
    }
}

#[test]
fn malformed_record_is_named() {
    let error = |key: &str, value: Option<&str>| {
        Record::decode(record(key, value)).unwrap_err().to_string()
    };
    let no_key = Record::decode(KeyValue { key: None, value: None });
    assert_eq!(no_key, Err(RecordError::NoKey));
    let damaged = |value| Record::decode(record(OFFSET_KEY, Some(value))).unwrap_err();
    assert_eq!(damaged("00").group(), Some(&g()));
    assert_eq!(damaged("0005").group(), Some(&g()));
    assert_eq!(Record::decode(record("00", None)).unwrap_err().group(), None);
    assert!(error("00", None).starts_with("malformed record type: "));
    assert!(error("0001000167", None).starts_with("malformed OffsetCommitKey: "));
    assert!(error("000200016700", None).starts_with("malformed GroupMetadataKey: "));
    assert!(
        error(OFFSET_KEY, Some("00")).starts_with("malformed OffsetCommitValue in group `g`: ")
    );
    let told = "unknown version 5 of OffsetCommitValue in group `g`: this log was written by a newer broker";
    assert_eq!(error(OFFSET_KEY, Some("0005")), told);
    assert!(error(OFFSET_KEY, Some("ffff")).starts_with("unknown version -1 of OffsetCommitValue"));
    // Two billion members.
    let value = "0003000000000000ffffffffffffffffffffffff7fffffff";
    assert!(
        error("0002000167", Some(value)).starts_with("malformed GroupMetadataValue in group `g`: ")
    );
}

#[test]
fn truncated_or_overlong_record_is_malformed() {
    for (of, key, value) in as_kafka_writes_them() {
        let whole = record(key, value);
        if matches!(of, Record::Foreign(_)) {
            continue;
        }
        let key = whole.key.clone().unwrap();
        for end in 0..key.len() {
            let cut = KeyValue { key: Some(key.slice(..end)), ..whole.clone() };
            assert!(Record::decode(cut).is_err(), "{of:?}: key cut at {end}");
        }
        let Some(value) = value.map(bytes) else { continue };
        for end in 0..value.len() {
            let cut = KeyValue { value: Some(value.slice(..end)), ..whole.clone() };
            assert!(Record::decode(cut).is_err(), "{of:?}: value cut at {end}");
        }
        let longer: Bytes = value.iter().copied().chain([0]).collect();
        let longer = KeyValue { value: Some(longer), ..whole };
        assert!(Record::decode(longer).is_err(), "{of:?}");
    }
}

#[test]
fn string_longer_than_kafka_can_write_is_reported() {
    let mut of = OffsetKey { group: "g".repeat(32_767).into(), topic: "t".into(), partition: 0 };
    let writable = |key: &OffsetKey| {
        let record = Record::Offset { key: key.clone(), value: None };
        let decodes = Record::decode(record.encode()).unwrap() == record;
        assert_eq!(decodes, record.is_writable());
        decodes
    };
    assert!(writable(&of));
    of.group = "g".repeat(32_768).into();
    assert!(!writable(&of));
    of.group = "é".repeat(16_384).into();
    assert!(!writable(&of), "32,768 bytes, and none of its characters is cut in two");
    let mut value = classic_group();
    value.members[0].client_host = "h".repeat(40_000);
    assert!(!Record::ClassicGroup { group: g(), value: Some(value) }.is_writable());
    let flexible = MemberValue { client_id: "c".repeat(40_000), ..member() };
    assert!(Record::Member { group: g(), member: m(), value: Some(flexible) }.is_writable());
}
