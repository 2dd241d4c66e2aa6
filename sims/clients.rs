//! librdkafka against `serve`, over real sockets, files and signals.
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

pub mod clients {
    pub mod member;
    pub mod server;
    pub mod tracer;
    pub mod traffic;
}

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use clients::server::{Cluster, Server, delete_records};
use clients::tracer::Tracer;
use clients::traffic::{Load, Sent, consume_all, produce, record};

/// Records of sizes that a batch treats differently: empty, tiny, and occasionally larger than
/// `batch.size`.
fn mixed(key: u64) -> usize {
    match key % 100 {
        0 => 40_000,
        rest => [0, 1, 17, 300, 2_000][rest as usize % 5],
    }
}

#[test]
fn records_of_each_codec_come_back_equal() {
    let server = Server::start();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("all-sizes-{codec}");
        server.create_topic(&topic, 3, 1, &[]);
        let load =
            Load { topic: &topic, codec, acks: "all", first: 0, count: 100_000, partitions: 3 };
        let sent = produce(&server.bootstrap(), &load, mixed);
        assert!(sent.iter().all(Sent::is_acknowledged), "{codec}: every record is acknowledged");
        let read = consume_all(&server.bootstrap(), &topic, 3);
        assert_eq!(read.len(), 100_000, "{codec}");
        for (key, value) in read {
            assert!(value == record(key, mixed(key)), "{codec}: record {key} came back changed");
        }
    }
}

/// Reads further than 16 MiB from the log end are verified, so their bytes are read once. Needs
/// strace and permission to trace a child process.
#[test]
fn fetched_bytes_go_by_sendfile_and_never_through_user_space() {
    const COUNT: u64 = 12_000;
    const SIZE: usize = 1_000;
    let server = Server::start();
    server.create_topic("whole", 1, 1, &[]);
    let load =
        Load { topic: "whole", codec: "none", acks: "all", first: 0, count: COUNT, partitions: 1 };
    assert!(produce(&server.bootstrap(), &load, |_| SIZE).iter().all(Sent::is_acknowledged));
    let tracer = match Tracer::attach(server.pid()) {
        Ok(tracer) => tracer,
        Err(why) => return eprintln!("system calls are not traced: {why}"),
    };
    assert_eq!(consume_all(&server.bootstrap(), "whole", 1).len(), COUNT as usize);
    let moved = tracer.detach();
    let records = COUNT * SIZE as u64;
    assert!(moved.sent >= records, "{moved:?}");
    // Finding a batch reads its header.
    assert!(!moved.mapped && moved.copied < records / 50, "{moved:?}");
    eprintln!("{moved:?}");
}

#[test]
fn metadata_for_all_topics_lists_all_brokers_and_topics() {
    let server = Server::start();
    server.create_topic("one", 1, 1, &[]);
    server.create_topic("two", 2, 1, &[]);
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", server.bootstrap()).create().unwrap();
    let metadata = consumer.fetch_metadata(None, Duration::from_secs(10)).unwrap();
    assert_eq!(metadata.brokers().len(), 1);
    let mut topics: Vec<_> = metadata.topics().iter().map(|topic| topic.name()).collect();
    topics.sort_unstable();
    assert_eq!(topics, ["one", "two"]);
}

#[test]
fn broker_killed_under_load_keeps_acknowledged_records() {
    let mut server = Server::start();
    server.create_topic("orders", 2, 1, &[]);
    let load =
        Load { topic: "orders", codec: "lz4", acks: "all", first: 0, count: 20_000, partitions: 2 };
    let before = produce(&server.bootstrap(), &load, |_| 200);
    assert!(before.iter().all(Sent::is_acknowledged));

    let load = Load { first: 20_000, count: 200_000, ..load };
    let killer = server.kill_after(Duration::from_millis(400));
    let during = produce(&server.bootstrap(), &load, |_| 200);
    killer.join().unwrap();
    let acknowledged = during.iter().filter(|sent| sent.is_acknowledged()).count();
    assert!(acknowledged < during.len(), "the kill came too late to matter");

    server.restart();
    let read = consume_all(&server.bootstrap(), "orders", 2);
    for sent in before.iter().chain(&during).filter(|sent| sent.is_acknowledged()) {
        assert!(read.contains_key(&sent.key), "record {} was acknowledged and is gone", sent.key);
    }
}

/// The first records of a topic with one partition.
fn payments(count: u64) -> Load<'static> {
    Load { topic: "payments", codec: "none", acks: "all", first: 0, count, partitions: 1 }
}

#[test]
fn three_processes_survive_the_death_of_a_leader() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic("payments", 1, 3, &[("min.insync.replicas", "2")]);
    let load = payments(5_000);
    let before = produce(&cluster.bootstrap(), &load, |_| 100);
    assert!(before.iter().all(Sent::is_acknowledged));

    let leader = cluster.leader("payments", 0);
    cluster.kill(leader);
    let load = Load { first: 5_000, count: 5_000, ..load };
    let after = produce(&cluster.bootstrap(), &load, |_| 100);
    assert!(after.iter().all(Sent::is_acknowledged), "the two others continue");
    assert_ne!(cluster.leader("payments", 0), leader);

    let read = consume_all(&cluster.bootstrap(), "payments", 1);
    for sent in before.iter().chain(&after) {
        assert!(read.contains_key(&sent.key), "record {} was acknowledged and is gone", sent.key);
    }

    // The killed broker comes back, and is in sync again.
    cluster.revive(leader);
    wait_until_in_sync(&cluster, "payments");
}

/// Until all three replicas of its partition are.
fn wait_until_in_sync(cluster: &Cluster, topic: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while cluster.in_sync(topic, 0).len() < 3 {
        assert!(Instant::now() < deadline, "in sync: {:?}", cluster.in_sync(topic, 0));
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn leader_whose_disk_is_replaced_fetches_everything_before_it_counts() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic("payments", 1, 3, &[("min.insync.replicas", "2")]);
    let load = payments(5_000);
    let sent = produce(&cluster.bootstrap(), &load, |_| 100);
    assert!(sent.iter().all(Sent::is_acknowledged));

    // One disk after the other, so that at the end no broker has its first one.
    for _ in 0..3 {
        let leader = cluster.leader("payments", 0);
        cluster.replace_disk(leader);
        wait_until_in_sync(&cluster, "payments");
        assert_eq!(consume_all(&cluster.bootstrap(), "payments", 1).len(), 5_000);
    }
}

#[test]
fn deleted_records_are_gone_from_all_replicas() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic("payments", 1, 3, &[("min.insync.replicas", "2")]);
    let load = payments(1_000);
    assert!(produce(&cluster.bootstrap(), &load, |_| 100).iter().all(Sent::is_acknowledged));
    assert!(delete_records(&cluster.bootstrap(), "payments", 1_001).is_err(), "beyond the end");
    assert_eq!(delete_records(&cluster.bootstrap(), "payments", 400), Ok(400));
    assert_eq!(delete_records(&cluster.bootstrap(), "payments", 300), Ok(400), "nothing to do");

    // The next leader had deleted them before the response.
    let leader = cluster.leader("payments", 0);
    cluster.kill(leader);
    let deadline = Instant::now() + Duration::from_secs(30);
    while cluster.leader("payments", 0) == leader {
        assert!(Instant::now() < deadline, "no other leader");
        std::thread::sleep(Duration::from_millis(100));
    }
    let read = consume_all(&cluster.bootstrap(), "payments", 1);
    let keys: Vec<u64> = read.into_keys().collect();
    assert_eq!(keys, (400..1_000).collect::<Vec<_>>());

    cluster.create_topic("latest", 1, 3, &[("cleanup.policy", "compact")]);
    let load = Load { topic: "latest", ..load };
    produce(&cluster.bootstrap(), &load, |_| 10);
    let refused = delete_records(&cluster.bootstrap(), "latest", 10).unwrap_err();
    assert!(refused.to_lowercase().contains("policy"), "{refused}");
}

#[test]
fn broker_stops_cleanly_on_sigterm_and_starts_without_recovery() {
    let mut server = Server::start();
    server.create_topic("clean", 1, 1, &[]);
    let load =
        Load { topic: "clean", codec: "zstd", acks: "1", first: 0, count: 1_000, partitions: 1 };
    produce(&server.bootstrap(), &load, |_| 50);
    server.terminate();
    assert!(server.data().join(".kafka_cleanshutdown").exists());
    server.restart();
    assert_eq!(consume_all(&server.bootstrap(), "clean", 1).len(), 1_000);
}
