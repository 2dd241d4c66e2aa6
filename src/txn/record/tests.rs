//! Records of Kafka decode, and encoded records equal Kafka's.
//!
//! The bytes below were written by Kafka 4.3.1's `TransactionLog`.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::base::{ProducerEpoch, Timestamp, TopicPartition};
use crate::decide::LogRecord;
use crate::wire::schema::{Family, Schema};

const KEY: &str = "0000000574782dc3a9";

fn bytes(hex: &str) -> Bytes {
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

fn record(value: &str) -> KeyValue {
    KeyValue { key: Some(bytes(KEY)), value: Some(bytes(value)) }
}

fn ongoing() -> Transaction {
    Transaction {
        previous: ProducerId(7),
        epoch: ProducerEpoch(5),
        timeout_ms: 60_000,
        state: TransactionState::Ongoing,
        partitions: Arc::new([TopicPartition::new("orders", 3)].into()),
        updated: Timestamp(1000),
        started: Timestamp(900),
        ..Transaction::new(ProducerId(7))
    }
}

fn empty() -> Transaction {
    Transaction {
        previous: ProducerId::NONE,
        epoch: ProducerEpoch(0),
        state: TransactionState::Empty,
        partitions: Arc::default(),
        started: Timestamp::NONE,
        ..ongoing()
    }
}

fn prepared() -> Transaction {
    Transaction {
        next: ProducerId(8),
        epoch: ProducerEpoch(i16::MAX),
        state: TransactionState::PrepareCommit,
        client_version: TransactionVersion::V2,
        ..ongoing()
    }
}

fn completed() -> Transaction {
    Transaction {
        producer: ProducerId(8),
        next: ProducerId::NONE,
        epoch: ProducerEpoch(0),
        state: TransactionState::CompleteCommit,
        partitions: Arc::default(),
        ..prepared()
    }
}

/// A level of the feature, a transaction, and the value that Kafka writes at that level.
fn as_kafka_writes_them() -> Vec<(TransactionVersion, Transaction, &'static str)> {
    let second = Transaction { client_version: TransactionVersion::V2, ..ongoing() };
    let (v0, v1, v2) = (TransactionVersion::V0, TransactionVersion::V1, TransactionVersion::V2);
    vec![
        (v0, empty(), "0000000000000000000700000000ea6000ffffffff00000000000003e8ffffffffffffffff"),
        (
            v0,
            Transaction { previous: ProducerId::NONE, ..ongoing() },
            "0000000000000000000700050000ea60010000000100066f7264657273000000010000000300000000000003e80000000000000384",
        ),
        (v1, empty(), "0001000000000000000700000000ea60000000000000000003e8ffffffffffffffff00"),
        (
            v1,
            ongoing(),
            "0001000000000000000700050000ea600102076f726465727302000000030000000000000003e800000000000003840100080000000000000007",
        ),
        (
            v2,
            second,
            "0001000000000000000700050000ea600102076f726465727302000000030000000000000003e80000000000000384020008000000000000000702020002",
        ),
        (
            v2,
            prepared(),
            "000100000000000000077fff0000ea600202076f726465727302000000030000000000000003e8000000000000038403000800000000000000070108000000000000000802020002",
        ),
        (
            v2,
            completed(),
            "0001000000000000000800000000ea60040100000000000003e80000000000000384020008000000000000000702020002",
        ),
    ]
}

#[test]
fn records_have_the_bytes_of_kafka() {
    for (level, transaction, value) in as_kafka_writes_them() {
        let stored = Record::stored("tx-é".into(), level, transaction);
        assert_eq!(stored.encode(), record(value), "{stored:?}");
        assert_eq!(Record::decode(record(value)), Ok(stored));
    }
    let tombstone = KeyValue { key: Some(bytes(KEY)), value: None };
    assert_eq!(Record::Expired("tx-é".into()).encode(), tombstone);
    assert_eq!(Record::decode(tombstone), Ok(Record::Expired("tx-é".into())));
}

#[test]
fn version_0_is_written_unless_the_transaction_needs_the_tags_of_version_1() {
    let version =
        |transaction| match Record::stored("t".into(), TransactionVersion::V0, transaction) {
            Record::Stored { version, .. } => version,
            other => panic!("{other:?}"),
        };
    assert_eq!(version(ongoing()), 0);
    assert_eq!(version(Transaction { next: ProducerId(9), ..ongoing() }), 1);
    assert_eq!(version(completed()), 1, "the client speaks version 2");
}

#[test]
fn value_that_cannot_be_read_is_about_its_transactional_id() {
    let whole = "0001000000000000000700050000ea600102076f726465727302000000030000000000000003e800000000000003840100080000000000000007";
    let damaged =
        |at: usize, hex: &str| format!("{}{hex}{}", &whole[..at], &whole[at + hex.len()..]);
    for (value, expected) in [
        (damaged(0, "0002"), "unknown version 2 of TransactionLogValue"),
        (damaged(0, "ffff"), "unknown version -1 of TransactionLogValue"),
        (damaged(32, "06"), "no stored transaction has the state 6"),
        (damaged(32, "07"), "no stored transaction has the state 7"),
        (damaged(32, "ff"), "no stored transaction has the state -1"),
        (damaged(4, "ff"), "are not those of a producer"),
        (damaged(20, "ffff"), "are not those of a producer"),
        (damaged(34, "ff"), "malformed TransactionLogValue"),
        (whole[..40].to_owned(), "malformed TransactionLogValue"),
        (format!("{whole}00"), "malformed TransactionLogValue"),
        (String::new(), "malformed TransactionLogValue"),
    ] {
        let bytes = record(&value);
        let Ok(Record::Corrupt { id, error, bytes: kept }) = Record::decode(bytes.clone()) else {
            panic!("{value} was read");
        };
        assert_eq!((id.as_str(), &kept), ("tx-é", &bytes));
        assert!(error.to_string().contains(expected), "{error} for {value}");
    }
}

#[test]
fn client_version_and_list_of_partitions_are_checked() {
    let unknown = "0001000000000000000700050000ea600102076f726465727302000000030000000000000003e8000000000000038401020200ff";
    let nothing = "0001000000000000000700050000ea60010000000000000003e8000000000000038400";
    for (value, expected) in [
        (unknown, RecordError::ClientVersion(255)),
        (nothing, RecordError::NoPartitions("Ongoing")),
    ] {
        match Record::decode(record(value)) {
            Ok(Record::Corrupt { error, .. }) => assert_eq!(error, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn key_that_cannot_be_read_is_about_no_transactional_id() {
    for key in ["0001000174", "00000005", "", "00000001747400"] {
        let read = Record::decode(KeyValue { key: Some(bytes(key)), value: None });
        assert!(matches!(read, Ok(Record::Unreadable { .. })), "{key}: {read:?}");
    }
    let read = Record::decode(KeyValue { key: None, value: None }).unwrap();
    assert!(matches!(read, Record::Unreadable { error: RecordError::NoKey, .. }));
    assert_eq!(read.id(), None);
}

fn transaction() -> impl Strategy<Value = Transaction> {
    let state = (0..6i8).prop_map(|id| TransactionState::stored(id).unwrap());
    let version = (0..=2i16).prop_map(|level| TransactionVersion::of(level).unwrap());
    let partition = ("[a-zé]{1,4}", any::<i32>());
    let partition = partition.prop_map(|(topic, index)| TopicPartition::new(topic, index));
    let partitions = proptest::collection::btree_set(partition, 0..6);
    let times = (any::<i64>(), any::<i64>(), any::<i32>());
    let producers = (0..i64::MAX, -1..i64::MAX, -1..i64::MAX, 0..i16::MAX);
    (state, version, partitions, times, producers).prop_map(
        |(state, client_version, partitions, times, producers)| Transaction {
            producer: ProducerId(producers.0),
            previous: ProducerId(producers.1),
            next: ProducerId(producers.2),
            epoch: ProducerEpoch(producers.3),
            timeout_ms: times.2,
            state,
            partitions: match state {
                TransactionState::Empty => Arc::default(),
                _ => Arc::new(partitions),
            },
            updated: Timestamp(times.0),
            started: Timestamp(times.1),
            client_version,
        },
    )
}

/// The value as the independent decoder of tools should show it.
fn shown(version: i16, of: &Transaction) -> Value {
    let mut topics: Vec<(&str, Vec<i32>)> = Vec::new();
    for partition in &*of.partitions {
        match topics.last_mut().filter(|(topic, _)| *topic == &*partition.topic) {
            Some((_, indexes)) => indexes.push(partition.partition),
            None => topics.push((&partition.topic, vec![partition.partition])),
        }
    }
    let topics: Vec<_> = topics
        .into_iter()
        .map(|(topic, indexes)| json!({"topic": topic, "partitionIds": indexes}))
        .collect();
    let mut value = json!({
        "producerId": of.producer.0,
        "producerEpoch": of.epoch.0,
        "transactionTimeoutMs": of.timeout_ms,
        "transactionStatus": of.state.id(),
        "transactionPartitions": topics,
        "transactionLastUpdateTimestampMs": of.updated.0,
        "transactionStartTimestampMs": of.started.0,
    });
    if of.state == TransactionState::Empty {
        value["transactionPartitions"] = Value::Null;
    }
    let tags = [
        ("previousProducerId", of.previous.0, -1),
        ("nextProducerId", of.next.0, -1),
        ("clientTransactionVersion", i64::from(of.client_version.level()), 0),
    ];
    for (name, number, default) in tags.into_iter().filter(|_| version > 0) {
        if number != default {
            value[name] = json!(number);
        }
    }
    value
}

proptest! {
    #[test]
    fn any_transaction_is_read_as_it_was_written(
        id in "[a-zé]{1,9}",
        level in 0..=2i16,
        transaction in transaction(),
    ) {
        let level = TransactionVersion::of(level).unwrap();
        let stored = Record::stored(id.as_str().into(), level, transaction);
        let KeyValue { key, value } = stored.encode();
        let bytes = KeyValue { key: key.clone(), value: value.clone() };
        prop_assert_eq!(Record::decode(bytes), Ok(stored.clone()));
        let Record::Stored { version, transaction, .. } = stored else { unreachable!() };
        let shown_by_tools = decoded_by_tools(&value.unwrap());
        let ours = shown(version, &transaction);
        for (name, expected) in ours.as_object().unwrap() {
            prop_assert_eq!(&shown_by_tools[name], expected, "{} in {}", name, shown_by_tools);
        }
    }

    #[test]
    fn any_bytes_are_read_without_an_error(
        key in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)),
        value in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..80)),
        readable in any::<bool>(),
    ) {
        let key = if readable { Some(bytes(KEY)) } else { key.map(Bytes::from) };
        let read = Record::decode(KeyValue { key, value: value.map(Bytes::from) });
        prop_assert!(read.is_ok());
    }
}

/// A value as the decoder of tools reads it by its schema.
fn decoded_by_tools(value: &Bytes) -> Value {
    let version = i16::from_be_bytes([value[0], value[1]]);
    let schema = Schema::of(Family::TransactionValue, 0).unwrap();
    let (json, length) = schema.read(&value[2..], version).unwrap();
    assert_eq!(length, value.len() - 2, "it reads everything");
    serde_json::from_str(&json.to_string()).unwrap()
}
