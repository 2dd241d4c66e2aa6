//! Records of Kafka decode, and encoded records equal Kafka's.
//!
//! The bytes below were written by Kafka 4.3.1's `MetadataRecordSerde`.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::base::{Address, SecurityProtocol};

const T: TopicId = TopicId([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);

fn directory() -> DirectoryId {
    DirectoryId(std::array::from_fn(|at| 17 + at as u8))
}

fn ids(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().map(|id| BrokerId(*id)).collect()
}

fn bytes(hex: &str) -> Bytes {
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

fn registration() -> RegisterBroker {
    RegisterBroker {
        broker: BrokerId(1),
        incarnation: T.into(),
        epoch: BrokerEpoch(77),
        listeners: vec![Listener::new("PLAINTEXT", Address::new("b1", 59092))],
        features: vec![Feature { name: "metadata.version".into(), min: 7, max: 25 }],
        rack: Some("r1".into()),
        fenced: true,
        in_controlled_shutdown: false,
        log_dirs: vec![directory()],
    }
}

fn partition() -> PartitionRecord {
    PartitionRecord {
        partition: 2,
        topic: T,
        replicas: ids(&[1, 2, 3]),
        isr: ids(&[1]),
        removing: Vec::new(),
        adding: Vec::new(),
        leader: Some(BrokerId(1)),
        recovering: true,
        leader_epoch: LeaderEpoch(5),
        partition_epoch: PartitionEpoch(9),
        directories: vec![directory(), directory(), DirectoryId::UNASSIGNED],
        elr: ids(&[2]),
        last_known_elr: ids(&[3]),
    }
}

fn change() -> PartitionChange {
    PartitionChange { partition: 2, topic: T, ..PartitionChange::default() }
}

fn broker_change() -> BrokerChange {
    BrokerChange::of(BrokerId(1), BrokerEpoch(77))
}

#[rustfmt::skip]
fn as_kafka_writes_them() -> Vec<(Record, &'static str)> {
    let setting = |resource_type, resource: &str, value: Option<&str>| {
        Record::Config(ConfigRecord {
            resource_type,
            resource: resource.into(),
            name: "min.insync.replicas".into(),
            value: value.map(Into::into),
        })
    };
    let fencing = Fencing { broker: BrokerId(1), epoch: BrokerEpoch(77) };
    let pids = ProducerIds { broker: BrokerId(1), epoch: BrokerEpoch(77), next: ProducerId(3000) };
    vec![
        (Record::RegisterBroker(registration()), "01000300000001000102030405060708090a0b0c0d0e0f10000000000000004d020a504c41494e54455854036231e6d400000002116d657461646174612e76657273696f6e00070019000372310100010011021112131415161718191a1b1c1d1e1f20"),
        (Record::Topic(TopicRecord { name: "orders".into(), id: T }), "010200076f72646572730102030405060708090a0b0c0d0e0f1000"),
        (Record::Partition(partition()), "010302000000020102030405060708090a0b0c0d0e0f100400000001000000020000000302000000010101000000010000000500000009041112131415161718191a1b1c1d1e1f201112131415161718191a1b1c1d1e1f2000000000000000000000000000000000030001010105020000000202050200000003"),
        (setting(ConfigRecord::TOPIC, "orders", Some("2")), "01040002076f7264657273146d696e2e696e73796e632e7265706c69636173023200"),
        (setting(ConfigRecord::BROKER, "", None), "0104000401146d696e2e696e73796e632e7265706c696361730000"),
        (Record::PartitionChange(PartitionChange {
            isr: Some(ids(&[1, 3])),
            leader: Some(Some(BrokerId(3))),
            recovering: Some(true),
            directories: Some(vec![directory()]),
            elr: Some(ids(&[2])),
            last_known_elr: Some(Vec::new()),
            ..change()
        }), "010502000000020102030405060708090a0b0c0d0e0f10060009030000000100000003010400000003050101060502000000020701010811021112131415161718191a1b1c1d1e1f20"),
        (Record::PartitionChange(PartitionChange {
            partition: 0,
            replicas: Some(ids(&[4])),
            removing: Some(ids(&[5])),
            adding: Some(Vec::new()),
            ..change()
        }), "010502000000000102030405060708090a0b0c0d0e0f10030205020000000403050200000005040101"),
        (Record::FenceBroker(fencing), "01070000000001000000000000004d00"),
        (Record::UnfenceBroker(fencing), "01080000000001000000000000004d00"),
        (Record::RemoveTopic(T), "0109000102030405060708090a0b0c0d0e0f1000"),
        (Record::FeatureLevel(FeatureLevel { name: "metadata.version".into(), level: 25 }), "010c00116d657461646174612e76657273696f6e001900"),
        (Record::ProducerIds(pids), "010f0000000001000000000000004d0000000000000bb800"),
        (Record::BrokerChange(BrokerChange { fenced: Some(true), ..broker_change() }), "01110200000001000000000000004d01000101"),
        (Record::BrokerChange(BrokerChange {
            fenced: Some(false),
            in_controlled_shutdown: true,
            log_dirs: Some(vec![directory()]),
            ..broker_change()
        }), "01110200000001000000000000004d030001ff0101010211021112131415161718191a1b1c1d1e1f20"),
        (Record::NoOp, "01140000"),
        (Record::BeginTransaction(Some("boot".into())), "01170001000505626f6f74"),
        (Record::EndTransaction, "01180000"),
        (Record::AbortTransaction(None), "01190000"),
    ]
}

#[test]
fn records_encode_and_decode_as_kafka_writes_them() {
    for (record, hex) in as_kafka_writes_them() {
        assert_eq!(record.encode(), bytes(hex), "{}", record.name());
        assert_eq!(Record::decode(&bytes(hex)).unwrap(), record);
    }
}

#[test]
fn older_record_versions_decode() {
    let old = RegisterBroker { rack: None, fenced: false, log_dirs: Vec::new(), ..registration() };
    let hex = "010000000000010102030405060708090a0b0c0d0e0f10000000000000004d020a504c41494e54455854036231e6d400000002116d657461646174612e76657273696f6e0007001900000000";
    assert_eq!(Record::decode(&bytes(hex)).unwrap(), Record::RegisterBroker(old));
    let old = PartitionRecord {
        replicas: ids(&[1]),
        leader: None,
        recovering: false,
        directories: Vec::new(),
        elr: Vec::new(),
        last_known_elr: Vec::new(),
        ..partition()
    };
    let hex = "010300000000020102030405060708090a0b0c0d0e0f10020000000102000000010101ffffffff000000050000000900";
    assert_eq!(Record::decode(&bytes(hex)).unwrap(), Record::Partition(old));
    let old = PartitionChange { leader: Some(None), recovering: Some(false), ..change() };
    let hex = "010500000000020102030405060708090a0b0c0d0e0f10020104ffffffff050100";
    assert_eq!(Record::decode(&bytes(hex)).unwrap(), Record::PartitionChange(old));
}

#[test]
fn unknown_record_is_named_by_key_and_version() {
    let error = Record::decode(&bytes("01060000")).unwrap_err();
    let told = "unknown metadata record: api key 6, version 0";
    assert_eq!(error.to_string(), told);
    // Kafka has this record, but this controller does not.
    let error = Record::decode(&bytes("011b0000")).unwrap_err();
    let told = "unknown metadata record: RegisterControllerRecord (api key 27), version 0";
    assert_eq!(error.to_string(), told);
    let error = Record::decode(&bytes("01020100")).unwrap_err();
    assert_eq!(error, RecordError::Unknown { api_key: 2, version: 1 });
    assert_eq!(Record::decode(&bytes("02140000")).unwrap_err(), RecordError::Frame(2));
}

#[test]
fn truncated_or_overlong_record_is_malformed() {
    for (record, hex) in as_kafka_writes_them() {
        let whole = bytes(hex);
        for end in 0..whole.len() {
            assert!(Record::decode(&whole.slice(..end)).is_err(), "{} cut at {end}", record.name());
        }
        let longer: Bytes = whole.iter().copied().chain([0]).collect();
        assert!(Record::decode(&longer).is_err(), "{}", record.name());
    }
}

#[test]
fn array_length_beyond_the_input_allocates_nothing() {
    // A partition record with an array length of two billion.
    let hex = "010302000000020102030405060708090a0b0c0d0e0f10ffffffff07";
    let error = Record::decode(&bytes(hex)).unwrap_err();
    assert!(error.to_string().starts_with("malformed PartitionRecord: "), "{error}");
}

fn text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9._-]{0,200}"
}

fn brokers() -> impl Strategy<Value = Vec<BrokerId>> {
    proptest::collection::vec(any::<i32>().prop_map(BrokerId), 0..200)
}

fn uuids() -> impl Strategy<Value = Vec<DirectoryId>> {
    proptest::collection::vec(any::<[u8; 16]>().prop_map(DirectoryId), 0..20)
}

fn maybe<S: Strategy>(strategy: S) -> impl Strategy<Value = Option<S::Value>> {
    proptest::option::of(strategy)
}

/// No leader is `-1`, "unchanged" is `-2`: neither is a broker.
fn leader() -> impl Strategy<Value = Option<BrokerId>> {
    maybe((0..i32::MAX).prop_map(BrokerId))
}

fn any_registration() -> impl Strategy<Value = Record> {
    let listener = (text(), text(), any::<u16>(), any::<i16>());
    let listener = listener.prop_map(|(name, host, port, protocol)| Listener {
        name,
        address: Address { host, port },
        protocol: SecurityProtocol(protocol),
    });
    let feature = (text(), any::<i16>(), any::<i16>());
    let feature = feature.prop_map(|(name, min, max)| Feature { name, min, max });
    let lists = (
        proptest::collection::vec(listener, 0..5),
        proptest::collection::vec(feature, 0..5),
        uuids(),
    );
    let rest = (any::<i32>(), any::<[u8; 16]>(), any::<i64>(), maybe(text()));
    (lists, rest, any::<bool>(), any::<bool>()).prop_map(|(lists, rest, fenced, leaving)| {
        Record::RegisterBroker(RegisterBroker {
            broker: BrokerId(rest.0),
            incarnation: Uuid::from_bytes(rest.1),
            epoch: BrokerEpoch(rest.2),
            listeners: lists.0,
            features: lists.1,
            rack: rest.3,
            fenced,
            in_controlled_shutdown: leaving,
            log_dirs: lists.2,
        })
    })
}

fn any_partition() -> impl Strategy<Value = Record> {
    let numbers = (any::<i32>(), any::<[u8; 16]>(), any::<i32>(), any::<i32>());
    let lists = (brokers(), brokers(), brokers(), brokers(), brokers(), brokers(), uuids());
    (numbers, lists, leader(), any::<bool>()).prop_map(|(numbers, lists, leader, recovering)| {
        Record::Partition(PartitionRecord {
            partition: numbers.0,
            topic: TopicId(numbers.1),
            replicas: lists.0,
            isr: lists.1,
            removing: lists.2,
            adding: lists.3,
            leader,
            recovering,
            leader_epoch: LeaderEpoch(numbers.2),
            partition_epoch: PartitionEpoch(numbers.3),
            directories: lists.6,
            elr: lists.4,
            last_known_elr: lists.5,
        })
    })
}

fn any_change() -> impl Strategy<Value = Record> {
    let lists = (
        maybe(brokers()),
        maybe(brokers()),
        maybe(brokers()),
        maybe(brokers()),
        maybe(brokers()),
        maybe(brokers()),
        maybe(uuids()),
    );
    let rest = (any::<i32>(), any::<[u8; 16]>(), maybe(leader()), maybe(any::<bool>()));
    (lists, rest).prop_map(|(lists, rest)| {
        Record::PartitionChange(PartitionChange {
            partition: rest.0,
            topic: TopicId(rest.1),
            isr: lists.0,
            leader: rest.2,
            replicas: lists.1,
            removing: lists.2,
            adding: lists.3,
            recovering: rest.3,
            directories: lists.6,
            elr: lists.4,
            last_known_elr: lists.5,
        })
    })
}

fn any_other() -> impl Strategy<Value = Record> {
    let config = (any::<i8>(), text(), text(), maybe(text()));
    let config = config.prop_map(|(resource_type, resource, name, value)| {
        Record::Config(ConfigRecord { resource_type, resource, name, value })
    });
    let numbers = (any::<i32>(), any::<i64>(), any::<i64>());
    let pids = numbers.prop_map(|(broker, epoch, next)| {
        Record::ProducerIds(ProducerIds {
            broker: BrokerId(broker),
            epoch: BrokerEpoch(epoch),
            next: ProducerId(next),
        })
    });
    // An empty list of directories can't be distinguished from "no change".
    let dirs = maybe(uuids().prop_filter("not empty", |dirs| !dirs.is_empty()));
    let broker = (any::<i32>(), any::<i64>(), maybe(any::<bool>()), any::<bool>(), dirs);
    let broker = broker.prop_map(|(id, epoch, fenced, leaving, log_dirs)| {
        let change = BrokerChange::of(BrokerId(id), BrokerEpoch(epoch));
        Record::BrokerChange(BrokerChange {
            fenced,
            in_controlled_shutdown: leaving,
            log_dirs,
            ..change
        })
    });
    prop_oneof![config, pids, broker]
}

proptest! {
    #[test]
    fn every_record_decodes_to_what_was_encoded(
        record in prop_oneof![any_registration(), any_partition(), any_change(), any_other()],
    ) {
        prop_assert_eq!(Record::decode(&record.encode()).unwrap(), record);
    }

    #[test]
    fn arbitrary_bytes_never_panic_the_decoder(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        key in 0u8..26,
        version in 0u8..4,
    ) {
        let _ = Record::decode(&bytes.clone().into());
        let framed: Vec<u8> = [1, key, version].into_iter().chain(bytes).collect();
        let _ = Record::decode(&framed.into());
    }
}
