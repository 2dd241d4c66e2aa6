//! Our administrator changes brokers, groups and topics of `serve` while they are in use.
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use brokerquake::base::config::{AdminConfig, Compression, Config, ConsumerConfig};
use brokerquake::base::{BrokerId, Offset, TopicPartition};
use brokerquake::client::{
    Admin, AdminError, ConfigChange, ConfigEntry, ConfigResource, ConfigSource, Consumer,
    MemberToRemove, OffsetSpec,
};
use brokerquake::group;
use brokerquake::io::real::RealWorld;
use brokerquake::wire::ErrorCode;
use brokerquake::wire::batch::{self, BatchBuilder};
use bytes::BytesMut;

use super::clients::clients::member::wait_until;
use super::clients::clients::server::Server;
use super::clients::clients::traffic::{Load, Sent, produce};

const PATIENCE: Duration = Duration::from_secs(30);

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(4 * PATIENCE, test).await.expect("in time") })
}

fn admin(server: &Server) -> Admin<RealWorld> {
    let mut config = AdminConfig::default();
    config.set("bootstrap.servers", &server.bootstrap()).unwrap();
    Admin::new(RealWorld::new(), config).unwrap()
}

fn send(server: &Server, first: u64, size: usize) -> bool {
    let load = Load { topic: "orders", codec: "none", acks: "all", first, count: 5, partitions: 1 };
    produce(&server.bootstrap(), &load, |_| size).iter().all(Sent::is_acknowledged)
}

fn set(value: &str) -> ConfigChange {
    ConfigChange::Set(value.to_owned())
}

/// A refused change, by its error.
fn refused(result: Result<(), AdminError>) -> ErrorCode {
    match result {
        Err(AdminError::Broker { error, .. }) => error,
        other => panic!("not refused: {other:?}"),
    }
}

/// A setting, once the broker has heard of its change.
async fn shown(
    admin: &Admin<RealWorld>,
    resource: &ConfigResource,
    key: &str,
    source: ConfigSource,
) -> ConfigEntry {
    loop {
        let entry = admin.describe_configs(resource).await.unwrap().remove(key).unwrap();
        if entry.source == source {
            return entry;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn setting_of_one_broker_counts_at_once_and_after_a_restart() {
    let mut server = Server::start();
    server.create_topic("orders", 1, 1, &[]);
    assert!(send(&server, 0, 5000));
    let (one, all) = (ConfigResource::Broker(BrokerId(1)), ConfigResource::AllBrokers);
    run(async {
        let admin = admin(&server);
        let key = "message.max.bytes";
        admin.incremental_alter_configs(&all, &[(key, set("900000"))]).await.unwrap();
        admin.incremental_alter_configs(&one, &[(key, set("3000"))]).await.unwrap();
        let shown = shown(&admin, &one, key, ConfigSource::Broker).await;
        assert_eq!(shown.value.as_deref(), Some("3000"));
        assert!(!send(&server, 10, 5000), "its broker counts more than all brokers");
        let sources: Vec<_> = shown.synonyms.iter().map(|synonym| synonym.source).collect();
        assert_eq!(
            sources,
            [ConfigSource::Broker, ConfigSource::AllBrokers, ConfigSource::Default]
        );
        let topic = ConfigResource::Topic("orders".into());
        let own = [("max.message.bytes", set("500000"))];
        admin.incremental_alter_configs(&topic, &own).await.unwrap();
        self::shown(&admin, &topic, "max.message.bytes", ConfigSource::Topic).await;
        assert!(send(&server, 20, 5000), "and the topic counts more than its broker");
        let gone = [("max.message.bytes", ConfigChange::Delete)];
        admin.incremental_alter_configs(&topic, &gone).await.unwrap();
        let none = admin.incremental_alter_configs(&one, &[("num.partitions", set("2"))]).await;
        assert_eq!(refused(none), ErrorCode::InvalidRequest);
        let memory = [("log.cleaner.threads", set("500"))];
        let none = admin.incremental_alter_configs(&one, &memory).await;
        assert_eq!(refused(none), ErrorCode::InvalidRequest, "more than twice as many");
        admin.incremental_alter_configs(&one, &[("log.cleaner.threads", set("2"))]).await.unwrap();
    });
    server.terminate();
    server.restart();
    assert!(!send(&server, 30, 5000), "it is in the metadata log");
    run(async {
        let admin = admin(&server);
        let gone = [("message.max.bytes", ConfigChange::Delete)];
        admin.incremental_alter_configs(&one, &gone).await.unwrap();
        shown(&admin, &one, "message.max.bytes", ConfigSource::AllBrokers).await;
        assert!(send(&server, 40, 5000), "all brokers have more");
    });
}

#[test]
fn connections_are_limited_from_the_change_on() {
    let server = Server::start();
    let connect = || TcpStream::connect(server.bootstrap()).unwrap();
    let is_open = |stream: &TcpStream| {
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut byte = [0; 1];
        let read = std::io::Read::read(&mut &*stream, &mut byte);
        read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    };
    let kept: Vec<_> = (0..5).map(|_| connect()).collect();
    run(async {
        let admin = admin(&server);
        let one = ConfigResource::Broker(BrokerId(1));
        let limit = [("max.connections.per.ip", set("3"))];
        admin.incremental_alter_configs(&one, &limit).await.unwrap();
        wait_until("one too many is closed", || !is_open(&connect()));
        assert!(kept.iter().all(is_open), "those of before stay");
        admin
            .incremental_alter_configs(&one, &[("max.connections.per.ip", ConfigChange::Delete)])
            .await
            .unwrap();
        wait_until("there is room again", || is_open(&connect()));
    });
}

/// A member that has its partitions.
async fn member(server: &Server, group: &str) -> Consumer<RealWorld> {
    let mut config = ConsumerConfig::default();
    let bootstrap = server.bootstrap();
    let pairs = [
        ("bootstrap.servers", bootstrap.as_str()),
        ("group.id", group),
        ("auto.offset.reset", "earliest"),
    ];
    config.set_all(pairs).unwrap();
    let mut consumer = Consumer::new(RealWorld::new(), config).unwrap();
    consumer.subscribe(["orders"]).unwrap();
    while consumer.assignment().is_empty() {
        consumer.poll(Duration::from_millis(50)).await.unwrap();
    }
    consumer
}

#[test]
fn member_is_removed_and_its_group_has_settings_of_its_own() {
    let server = Server::start_with(
        "group.consumer.min.heartbeat.interval.ms=1000\ngroup.initial.rebalance.delay.ms=0\n",
    );
    server.create_topic("orders", 1, 1, &[]);
    run(async {
        let admin = admin(&server);
        let group = ConfigResource::Group("shop".into());
        let key = "consumer.heartbeat.interval.ms";
        let beyond = admin.incremental_alter_configs(&group, &[(key, set("999"))]).await;
        assert_eq!(refused(beyond), ErrorCode::InvalidConfig);
        admin.incremental_alter_configs(&group, &[(key, set("1000"))]).await.unwrap();
        let shown = shown(&admin, &group, key, ConfigSource::Group).await;
        assert_eq!(shown.value.as_deref(), Some("1000"));

        let consumer = member(&server, "shop").await;
        let members = async || admin.describe_group("shop").await.unwrap().members;
        let id = members().await[0].id.clone();
        let unknown = [MemberToRemove::Instance("none".into())];
        let none = admin.remove_members_from_group("shop", Some(&unknown), "test").await;
        assert_eq!(refused(none), ErrorCode::UnknownMemberId);
        let removed = [MemberToRemove::Id(id)];
        admin.remove_members_from_group("shop", Some(&removed), "test").await.unwrap();
        assert!(members().await.is_empty());
        let none = admin.remove_members_from_group("shop", Some(&removed), "test").await;
        assert_eq!(refused(none), ErrorCode::UnknownMemberId, "it is gone");
        assert_eq!(admin.remove_members_from_group("shop", None, "test").await, Ok(()));
        drop(consumer);
    });
}

#[test]
fn topic_is_extended_described_and_its_offsets_are_listed() {
    let server = Server::start();
    server.create_topic("orders", 1, 1, &[]);
    assert!(send(&server, 0, 100));
    run(async {
        let admin = admin(&server);
        admin.create_partitions("orders", 3).await.unwrap();
        // The broker may hear of it a little later than its client.
        let described = loop {
            let topics = admin.describe_topic_partitions(Some(&["orders"])).await.unwrap();
            if topics[0].partitions.len() == 3 {
                break topics;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(described[0].partitions.iter().all(|p| p.isr == [BrokerId(1)] && p.elr.is_empty()));
        let unknown = admin.describe_topic_partitions(Some(&["none"])).await.map(drop);
        assert_eq!(refused(unknown), ErrorCode::UnknownTopicOrPartition);
        let zero = TopicPartition::new("orders", 0);
        let list = async |spec| {
            let listed = admin.list_offsets(&[(zero.clone(), spec)]).await.unwrap();
            listed[&zero].offset
        };
        assert_eq!(list(OffsetSpec::Earliest).await, Some(Offset(0)));
        assert_eq!(list(OffsetSpec::Latest).await, Some(Offset(5)));
        assert_eq!(list(OffsetSpec::EarliestLocal).await, Some(Offset(0)));
        assert!(list(OffsetSpec::MaxTimestamp).await.is_some());
        assert_eq!(list(OffsetSpec::LatestTiered).await, None, "nothing is tiered");
        assert_eq!(list(OffsetSpec::EarliestPendingUpload).await, None);
        let two = BTreeMap::from([(zero.clone(), Offset(2))]);
        admin.set_group_offsets("shop", &two).await.unwrap();
        assert_eq!(admin.group_offsets("shop").await.unwrap()[&zero].offset, Offset(2));
        admin.delete_group_offsets("shop", std::slice::from_ref(&zero)).await.unwrap();
        assert!(admin.group_offsets("shop").await.unwrap().is_empty());
        let cluster = admin.describe_cluster().await.unwrap();
        assert_eq!(cluster.brokers.len(), 1);
    });
}

/// Appends a batch that is intact, with a record that no coordinator can read.
fn append_unreadable(log: &Path) {
    let mut bytes = fs::read(log).unwrap();
    let last = batch::batches(&bytes).last().unwrap().unwrap().0;
    let mut builder = BatchBuilder::new(Compression::None, last.max_timestamp);
    // The key of an offset, version 1, which ends within the name of its group.
    builder.append(last.max_timestamp, Some(&[0, 1, 0, 9, b's']), Some(&[0, 3]), &[]);
    let mut batch = BytesMut::from(&builder.finish_plain()[..]);
    batch::assign(&mut batch, last.next_offset(), last.leader_epoch);
    bytes.extend_from_slice(&batch);
    fs::write(log, bytes).unwrap();
}

#[test]
fn corrupt_record_of_a_group_costs_its_partition_and_no_other() {
    let mut server = Server::start_with("offsets.topic.num.partitions=5\n");
    server.create_topic("orders", 1, 1, &[]);
    let zero = TopicPartition::new("orders", 0);
    let of = |group: &str| group::partition_of(group, 5);
    let (broken, whole) = ("shop", "stall");
    assert_ne!(of(broken), of(whole), "they have different coordinators");
    let commit = BTreeMap::from([(zero.clone(), Offset(2))]);
    run(async {
        let admin = admin(&server);
        for group in [broken, whole] {
            admin.set_group_offsets(group, &commit).await.unwrap();
        }
    });
    server.kill();
    let name = format!("__consumer_offsets-{}/00000000000000000000.log", of(broken));
    append_unreadable(&server.data().join(name));
    server.restart();
    run(async {
        let mut config = AdminConfig::default();
        let bootstrap = server.bootstrap();
        let pairs = [("bootstrap.servers", bootstrap.as_str()), ("default.api.timeout.ms", "3000")];
        config.set_all(pairs).unwrap();
        config.set("request.timeout.ms", "1000").unwrap();
        let admin = Admin::new(RealWorld::new(), config).unwrap();
        let read = admin.group_offsets(whole).await.unwrap();
        assert_eq!(read[&zero].offset, Offset(2));
        admin.set_group_offsets(whole, &commit).await.unwrap();
        let refused = admin.group_offsets(broken).await;
        assert_eq!(refused, Err(AdminError::TimedOut { last: "NOT_COORDINATOR".into() }));
    });
}
