//! A node and its disks: the number of syncs per acknowledgement, several log directories, clean
//! shutdown, and restart.
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

mod storage {
    pub mod directories;
    pub mod newcomers;
    pub mod old_readers;
}

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use brokerquake::base::config::{AdminConfig, Compression, Config, NodeConfig};
use brokerquake::base::{Instant, Listener, Seed, Timestamp};
use brokerquake::broker::{Node, NodeOptions, RecoveryObserver, RecoveryProgress};
use brokerquake::client::Admin;
use brokerquake::io::real::RealWorld;
use brokerquake::io::{Address, World};
use brokerquake::rpc::Connection;
use brokerquake::sim::leap::{Leap, LeapWorld};
use brokerquake::sim::{Boot, Engine, HostId, Link, TraceHash};
use brokerquake::wire::batch::BatchBuilder;
use brokerquake::wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use brokerquake::wire::messages::{DescribeLogDirsRequest, ProduceRequest, ProduceResponse};

use storage::directories::two_directories;

fn config(settings: &[(&str, &str)]) -> NodeConfig {
    let mut config = NodeConfig::default();
    config.set_all(settings.iter().copied()).unwrap();
    config
}

async fn admin<W: World>(world: &W, address: &str) -> Admin<W> {
    let mut config = AdminConfig::default();
    config.set("bootstrap.servers", address).unwrap();
    Admin::new(world.clone(), config).unwrap()
}

fn request(topic: &str, index: i32, now: Timestamp) -> ProduceRequest {
    let mut builder = BatchBuilder::new(Compression::None, now);
    builder.append(now, None, Some(&[7; 100]), &[]);
    let mut partition = PartitionProduceData::default();
    partition.index = index;
    partition.records = Some(builder.finish_plain());
    let mut topic_data = TopicProduceData::default();
    topic_data.name = topic.into();
    topic_data.partition_data = vec![partition];
    let mut request = ProduceRequest::default();
    request.acks = -1;
    request.timeout_ms = 10_000;
    request.topic_data = vec![topic_data];
    request
}

async fn produce<W: World>(
    world: &W,
    connection: &Connection<W>,
    request: &ProduceRequest,
) -> ProduceResponse {
    let deadline = world.now() + Duration::from_secs(10);
    // Version 12 is the last that identifies topics by name.
    connection.call(request, Some(12), deadline).await.unwrap()
}

/// Runs one node and several producers with one record in flight each, for a few simulated seconds.
/// Returns the syncs of the node's disk, and the acknowledged records.
fn syncs_and_acknowledgements(producers: u64, settings: &'static [(&str, &str)]) -> (u64, u64) {
    let mut engine = Leap::new(Seed(1), Link::default());
    let node: Boot<LeapWorld> = Arc::new(move |world| {
        Box::pin(async move {
            let mut config = config(settings);
            config.node.log_dirs = vec!["/data".into()];
            config.set("listeners", "PLAINTEXT://b1:9092,CONTROLLER://b1:9093").unwrap();
            let node = Node::start(world.clone(), config).await.unwrap();
            admin(&world, "b1:9092").await.create_topic("t", 1, 1, &[]).await.unwrap();
            node.run().await.unwrap();
        })
    });
    let broker: HostId = engine.add_host("b1", node);
    engine.run_until(Instant::from_secs(5));
    let acknowledged = Arc::new(AtomicU64::new(0));
    for number in 0..producers {
        let acknowledged = acknowledged.clone();
        let producer: Boot<LeapWorld> = Arc::new(move |world| {
            let acknowledged = acknowledged.clone();
            Box::pin(async move {
                let (to, deadline) =
                    (Address::new("b1", 9092), world.now() + Duration::from_secs(5));
                let connection = Connection::open(&world, &to, "p", deadline).await.unwrap();
                loop {
                    let request = request("t", 0, world.wall_clock());
                    let answer = produce(&world, &connection, &request).await;
                    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        engine.add_host(&format!("p{number}"), producer);
    }
    let before = engine.disk(broker).stats().syncs;
    engine.run_until(Instant::from_secs(8));
    (engine.disk(broker).stats().syncs - before, acknowledged.load(Ordering::Relaxed))
}

#[test]
fn appends_that_wait_at_the_same_time_share_one_sync() {
    let before_ack = &[("log.flush.before.ack", "true")];
    let (syncs, alone) = syncs_and_acknowledgements(1, before_ack);
    assert!(syncs >= alone && alone > 100, "{syncs} syncs for {alone} records of one producer");
    let (syncs, together) = syncs_and_acknowledgements(16, before_ack);
    // During one sync, all producers that the previous one answered send again and wait for the
    // next.
    assert!(together > 7 * alone, "{together} records of 16 producers, {alone} of one");
    assert!(syncs * 4 < together, "{syncs} syncs for {together} records");
    let (syncs, _) = syncs_and_acknowledgements(16, &[]);
    assert!(syncs < 20, "{syncs} syncs without a flush policy");
}

#[test]
fn flush_ms_needs_a_scheduler_interval() {
    let (syncs, _) = syncs_and_acknowledgements(1, &[("log.flush.scheduler.interval.ms", "100")]);
    assert!((25..60).contains(&syncs), "{syncs} syncs in three seconds");
    let (syncs, _) = syncs_and_acknowledgements(1, &[("log.flush.interval.ms", "100")]);
    assert!(syncs < 20, "{syncs} syncs, although flush.ms has no effect");
}

/// A node on real files; it is dropped with the runtime.
async fn serve(dirs: &[&Path], more: &[(&str, &str)]) -> Result<(RealWorld, String), String> {
    serve_with(dirs, more, NodeOptions::default()).await
}

async fn serve_with(
    dirs: &[&Path],
    more: &[(&str, &str)],
    options: NodeOptions,
) -> Result<(RealWorld, String), String> {
    let mut config = config(more);
    config.node.log_dirs = dirs.iter().map(|dir| dir.display().to_string()).collect();
    config.set("listeners", "PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0").unwrap();
    let world = RealWorld::new();
    let node = Node::start_with(world.clone(), config, options).await;
    let node = node.map_err(|error| error.to_string())?;
    let address = node.addresses()[0].to_string();
    drop(tokio::spawn(node.run()));
    Ok((world, address))
}

/// Names of the directories of partitions of topic `t`.
fn partitions(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| name.starts_with("t-"));
    names.sort();
    names
}

/// Runs a node; its tasks end with the runtime, and nothing is closed.
fn one_life<T>(life: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.unwrap().block_on(life)
}

/// Produces to one partition, and returns the offset.
async fn write<W: World>(world: &W, connection: &Connection<W>, request: &ProduceRequest) -> i64 {
    let patience = world.now() + Duration::from_secs(10);
    loop {
        let answer = produce(world, connection, request).await;
        let told = &answer.responses[0].partition_responses[0];
        // UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER: the broker does not know the topic or
        // its role yet.
        if matches!(told.error_code, 3 | 6) && world.now() < patience {
            world.sleep_until(world.now() + Duration::from_millis(10)).await;
            continue;
        }
        assert_eq!(told.error_code, 0);
        return told.base_offset;
    }
}

/// Writes a record to each of four partitions, and returns their offsets.
async fn write_to_all(world: &RealWorld, connection: &Connection<RealWorld>) -> Vec<i64> {
    let mut offsets = Vec::new();
    for index in 0..4 {
        let request = request("t", index, world.wall_clock());
        offsets.push(write(world, connection, &request).await);
    }
    offsets
}

async fn connect(world: &RealWorld, address: &str) -> Connection<RealWorld> {
    let deadline = world.now() + Duration::from_secs(10);
    Connection::open(world, &address.parse().unwrap(), "p", deadline).await.unwrap()
}

#[test]
fn partitions_spread_over_log_dirs_and_are_found_again() {
    let (_place, a, b) = two_directories();
    assert_eq!((partitions(&a).len(), partitions(&b).len()), (2, 2));
    assert!(a.join("__cluster_metadata-0").exists() && !b.join("__cluster_metadata-0").exists());
    let id = |dir: &Path| {
        let text = std::fs::read_to_string(dir.join("meta.properties")).unwrap();
        text.lines().find(|line| line.starts_with("directory.id")).unwrap().to_owned()
    };
    assert_ne!(id(&a), id(&b));
    // The same directories, in another order: the metadata log is still in `a`.
    let metadata = a.display().to_string();
    one_life(async {
        let (world, address) = serve(&[&b, &a], &[("metadata.log.dir", &metadata)]).await.unwrap();
        let connection = connect(&world, &address).await;
        assert_eq!(write_to_all(&world, &connection).await, [1; 4]);
        let mut request = DescribeLogDirsRequest::default();
        request.topics = None;
        let deadline = world.now() + Duration::from_secs(10);
        let described = connection.call(&request, None, deadline).await.unwrap();
        assert_eq!(described.results.len(), 2);
        for result in &described.results {
            assert_eq!((result.error_code, result.topics[0].partitions.len()), (0, 2));
            assert!(result.topics[0].partitions.iter().all(|told| told.partition_size > 200));
        }
    });
    assert_eq!((partitions(&a).len(), partitions(&b).len()), (2, 2));
}

#[test]
fn copied_log_dir_and_duplicate_partition_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let (a, b) = (place.path().join("a"), place.path().join("b"));
    let refused = |dirs: &[&Path]| one_life(serve(dirs, &[])).unwrap_err();
    let twice = refused(&[&a, &a]);
    assert!(twice.contains("names") && twice.contains("twice"), "{twice}");
    one_life(serve(&[&a], &[])).unwrap();
    std::fs::create_dir(&b).unwrap();
    std::fs::copy(a.join("meta.properties"), b.join("meta.properties")).unwrap();
    let copied = refused(&[&a, &b]);
    assert!(copied.contains("same directory.id"), "{copied}");
    std::fs::remove_file(b.join("meta.properties")).unwrap();
    one_life(serve(&[&a, &b], &[])).unwrap();
    std::fs::create_dir_all(a.join("t-0")).unwrap();
    std::fs::create_dir_all(b.join("t-0")).unwrap();
    let twice = refused(&[&a, &b]);
    assert!(twice.starts_with("t-0 is in "), "{twice}");
}

/// A node that starts another one on the same directory of its host; what the other one is told.
fn told_second_node(engine: &mut Leap) -> (HostId, Arc<parking_lot::Mutex<Vec<String>>>) {
    let told = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let heard = told.clone();
    let node: Boot<LeapWorld> = Arc::new(move |world| {
        let heard = heard.clone();
        Box::pin(async move {
            let start = |first: u16| {
                let mut config = config(&[]);
                config.node.log_dirs = vec!["/data".into()];
                let listeners = format!("PLAINTEXT://b1:{first},CONTROLLER://b1:{}", first + 1);
                config.set("listeners", &listeners).unwrap();
                Node::start(world.clone(), config)
            };
            let first = start(9092).await.unwrap();
            let second = start(9192).await.err().map(|error| error.to_string());
            heard.lock().push(second.unwrap_or_default());
            first.run().await.unwrap();
            drop(start(9292).await.unwrap());
            heard.lock().push("started after the first had ended".into());
        })
    });
    (engine.add_host("b1", node), told)
}

#[test]
fn simulated_lock_of_a_directory_goes_away_with_its_process() {
    let mut engine = Leap::new(Seed(1), Link::default());
    let (host, told) = told_second_node(&mut engine);
    engine.run_until(Instant::from_secs(5));
    assert_eq!(
        std::mem::take(&mut *told.lock()),
        ["/data: process 1 is using this directory; stop it, or name another directory"]
    );
    engine.kill(host);
    engine.boot(host);
    engine.run_until(Instant::from_secs(20));
    engine.power_loss(host, brokerquake::sim::Survival::Everything);
    engine.boot(host);
    engine.run_until(Instant::from_secs(40));
    engine.terminate(host);
    engine.run_until(Instant::from_secs(80));
    let told = told.lock();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[..2].iter().all(|told| told.contains("is using this directory")), "{told:?}");
    assert_eq!(told[2], "started after the first had ended");
}

/// Runs a controller and a broker, on separate nodes or one, for five simulated seconds, then stops
/// them, the broker first. Returns their disks, and how many stopped cleanly.
fn stopped_cluster(nodes: &[(&'static str, &'static str)]) -> (Leap, Vec<HostId>, u64) {
    let mut engine = Leap::new(Seed(1), Link::default());
    let ended_well = Arc::new(AtomicU64::new(0));
    let mut hosts = Vec::new();
    for (number, (name, roles)) in nodes.iter().copied().enumerate() {
        let ended_well = ended_well.clone();
        let alone = nodes.len() == 1;
        let node: Boot<LeapWorld> = Arc::new(move |world| {
            let ended_well = ended_well.clone();
            Box::pin(async move {
                let id = number.to_string();
                let mut config = config(&[("node.id", &id), ("process.roles", roles)]);
                config.node.log_dirs = vec!["/data".into()];
                let listener = |kind: &str, port| Listener::new(kind, Address::new(name, port));
                let kinds = [("broker", "PLAINTEXT", 9092), ("controller", "CONTROLLER", 9093)];
                let has = |role: &str| roles.split(',').any(|other| other == role);
                let of_roles = kinds.into_iter().filter(|(role, ..)| has(role));
                config.node.listeners =
                    of_roles.map(|(_, kind, port)| listener(kind, port)).collect();
                if !alone {
                    config.quorum.controller_quorum_voters = vec!["1@c1:9093".into()];
                }
                let node = Node::start(world.clone(), config).await.unwrap();
                if has("broker") {
                    let admin = admin(&world, &format!("{name}:9092")).await;
                    admin.create_topic("t", 1, 1, &[]).await.unwrap();
                }
                node.run().await.unwrap();
                ended_well.fetch_add(1, Ordering::Relaxed);
            })
        });
        hosts.push(engine.add_host(name, node));
    }
    engine.run_until(Instant::from_secs(5));
    for (seconds, host) in (10..).step_by(30).zip(&hosts) {
        engine.terminate(*host);
        engine.run_until(Instant::from_secs(seconds));
    }
    (engine, hosts, ended_well.load(Ordering::Relaxed))
}

/// Checks that its indexes are truncated to their entries, its final producer snapshot exists, and
/// everything is on the platter.
fn assert_metadata_closed(engine: &Leap, host: HostId) {
    let disk = engine.disk(host);
    let dir = "/data/__cluster_metadata-0/";
    let names: Vec<_> = disk.files().into_iter().filter(|path| path.starts_with(dir)).collect();
    let of = |end: &str| names.iter().find(|name| name.ends_with(end)).expect(end).to_string();
    for (end, longest) in [(".index", 8 * 8), (".timeindex", 8 * 12)] {
        let index = disk.peek_stable(of(end)).unwrap();
        assert!(index.len() <= longest, "{end}: {} bytes", index.len());
    }
    let log = disk.peek(of(".log")).unwrap();
    assert!(log.len() > 500, "{} bytes", log.len());
    assert_eq!(disk.peek_stable(of(".log")).unwrap(), log);
    assert!(!disk.peek_stable(of(".snapshot")).unwrap().is_empty());
}

#[test]
fn stopped_node_closes_its_metadata_log() {
    let (engine, hosts, ended_well) = stopped_cluster(&[("n1", "broker,controller")]);
    assert_eq!(ended_well, 1);
    assert_metadata_closed(&engine, hosts[0]);
    assert!(engine.disk(hosts[0]).peek_stable("/data/.kafka_cleanshutdown").is_ok());

    let (engine, hosts, ended_well) = stopped_cluster(&[("b0", "broker"), ("c1", "controller")]);
    assert_eq!(ended_well, 2);
    assert_metadata_closed(&engine, hosts[0]);
    assert_metadata_closed(&engine, hosts[1]);
    assert!(engine.disk(hosts[0]).peek_stable("/data/.kafka_cleanshutdown").is_ok());
}

/// Records all progress reports.
#[derive(Default)]
struct Heard(parking_lot::Mutex<Vec<RecoveryProgress>>);

impl RecoveryObserver for Heard {
    fn progressed(&self, progress: &RecoveryProgress) {
        self.0.lock().push(progress.clone());
    }
}

/// A directory with four logs after a kill.
fn used() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    one_life(async {
        let (world, address) = serve(&[place.path()], &[]).await.unwrap();
        admin(&world, &address).await.create_topic("t", 4, 1, &[]).await.unwrap();
        let connection = connect(&world, &address).await;
        write_to_all(&world, &connection).await;
    });
    place
}

#[test]
fn recovery_reports_its_progress() {
    let place = used();
    let bytes = |name: &String| {
        std::fs::metadata(place.path().join(name).join("00000000000000000000.log")).unwrap().len()
    };
    let written: u64 = partitions(place.path()).iter().map(bytes).sum();
    let heard = Arc::new(Heard::default());
    let observer = heard.clone();
    one_life(async {
        let mut config = config(&[("num.recovery.threads.per.data.dir", "2")]);
        config.node.log_dirs = vec![place.path().display().to_string()];
        config.set("listeners", "PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0").unwrap();
        let options = NodeOptions { observer, ..NodeOptions::default() };
        Node::start_with(RealWorld::new(), config, options).await.unwrap();
    });
    let heard = heard.0.lock();
    let at = |number: usize| {
        let told = &heard[number];
        assert_eq!((told.dir.as_path(), told.logs), (place.path(), 4));
        (told.remaining_logs, told.remaining_segments, told.remaining_bytes, told.recovered_bytes)
    };
    assert_eq!(at(0), (4, 0, 0, 0), "at the beginning");
    assert_eq!(at(heard.len() - 1), (0, 0, 0, written), "at the end");
    let left: Vec<_> = heard.iter().map(|told| told.remaining_logs).collect();
    assert!(left.is_sorted_by(|a, b| a >= b), "{left:?}");
    assert!(heard.iter().any(|told| told.remaining_segments > 0 && told.remaining_bytes > 0));
    assert!(heard.iter().all(|told| told.remaining_segments <= 2), "two logs at a time");
}

/// Runs a node with slow cleaners and four dirty logs: the largest number of logs cleaned at a
/// time, the logs that are clean after a while, and the trace.
fn logs_cleaned_at_a_time(threads: &'static str) -> (usize, String, TraceHash) {
    let mut engine = Leap::new(Seed(1), Link::default());
    let node: Boot<LeapWorld> = Arc::new(move |world| {
        Box::pin(async move {
            let mut config = config(&[
                ("log.cleaner.threads", threads),
                ("log.cleaner.io.max.bytes.per.second", "30000"),
                ("log.cleaner.backoff.ms", "100"),
            ]);
            config.node.log_dirs = vec!["/data".into()];
            config.set("listeners", "PLAINTEXT://b1:9092,CONTROLLER://b1:9093").unwrap();
            let node = Node::start(world.clone(), config).await.unwrap();
            let compacted = [("cleanup.policy", "compact"), ("internal.segment.bytes", "16384")];
            let admin = admin(&world, "b1:9092").await;
            admin.create_topic("t", 4, 1, &compacted).await.unwrap();
            let (to, deadline) = (Address::new("b1", 9092), world.now() + Duration::from_secs(5));
            let connection = Connection::open(&world, &to, "p", deadline).await.unwrap();
            for round in 0..40 {
                let mut request = request("t", round % 4, world.wall_clock());
                let mut builder = BatchBuilder::new(Compression::None, world.wall_clock());
                for key in 0..40u8 {
                    builder.append(world.wall_clock(), Some(&[key]), Some(&[7; 100]), &[]);
                }
                request.topic_data[0].partition_data[0].records = Some(builder.finish_plain());
                write(&world, &connection, &request).await;
            }
            node.run().await.unwrap();
        })
    });
    let broker = engine.add_host("b1", node);
    let mut most = 0;
    for tick in 1..600 {
        engine.run_until(Instant::from_millis(tick * 50));
        let files = engine.disk(broker).files();
        let dirs = files.iter().filter(|path| path.ends_with(".log.cleaned"));
        let dirs: Vec<_> = dirs.map(|path| path.rsplit_once('/').unwrap().0).collect();
        assert!(dirs.is_sorted_by(|a, b| a < b), "two cleaners work on one log: {dirs:?}");
        most = most.max(dirs.len());
    }
    let clean = engine.disk(broker).peek("/data/cleaner-offset-checkpoint").unwrap_or_default();
    (most, String::from_utf8(clean).unwrap(), engine.trace())
}

#[test]
fn each_log_is_cleaned_by_one_of_the_cleaner_threads() {
    let (alone, all, _) = logs_cleaned_at_a_time("1");
    let (together, same, trace) = logs_cleaned_at_a_time("3");
    assert_eq!((alone, together), (1, 3));
    assert!(all.starts_with("0\n4\n"), "all are clean at the end: {all}");
    assert_eq!(all, same);
    assert_eq!(trace, logs_cleaned_at_a_time("3").2, "a run is the same each time");
    assert_eq!(logs_cleaned_at_a_time("0").1, "", "no cleaner runs");
}
