//! Group commit: 64 producers, each with one record at a time, at a broker that acknowledges only
//! what is synced, beside a sync per append of the same bytes on the same disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use brokerquake::base::Timestamp;
use brokerquake::base::config::{AdminConfig, BrokerConfig, Compression, Config};
use brokerquake::broker::Node;
use brokerquake::client::Admin;
use brokerquake::io::real::{RealDisk, RealWorld};
use brokerquake::io::{Address, Disk, File, Open, World};
use brokerquake::rpc::Connection;
use brokerquake::wire::batch::BatchBuilder;
use brokerquake::wire::messages::ProduceRequest;
use brokerquake::wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use bytes::Bytes;

use super::{median, place, told};

const PRODUCERS: usize = 64;
const ROUND: Duration = Duration::from_secs(3);
const ROUNDS: usize = 3;

fn batch() -> Bytes {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = Timestamp(since.expect("after 1970").as_millis() as i64);
    let mut builder = BatchBuilder::new(Compression::None, now);
    builder.append(now, None, Some(&[7; 100]), &[]);
    builder.finish_plain()
}

/// Appends per second with a sync after each.
async fn one_by_one(file: &impl File, from: &mut u64) -> f64 {
    let (bytes, start) = (batch(), Instant::now());
    let mut appends = 0;
    while start.elapsed() < ROUND {
        file.write_at(&bytes, *from).expect("there is room");
        *from += bytes.len() as u64;
        file.sync().await.expect("it is synced");
        appends += 1;
    }
    f64::from(appends) / start.elapsed().as_secs_f64()
}

fn request() -> ProduceRequest {
    let mut partition = PartitionProduceData::default();
    partition.records = Some(batch());
    let mut topic = TopicProduceData::default();
    topic.name = "t".into();
    topic.partition_data = vec![partition];
    let mut request = ProduceRequest::default();
    request.acks = -1;
    request.timeout_ms = 30_000;
    request.topic_data = vec![topic];
    request
}

/// Acknowledged records per second, of all producers together.
async fn together(world: &RealWorld, connections: &[Connection<RealWorld>]) -> f64 {
    let (acknowledged, start) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let mut producers = Vec::new();
    for connection in connections {
        let (world, connection) = (world.clone(), connection.clone());
        let acknowledged = acknowledged.clone();
        producers.push(tokio::spawn(async move {
            let request = request();
            while start.elapsed() < ROUND {
                let deadline = world.now() + Duration::from_secs(30);
                // Version 12 is the last that names topics by their names.
                let answer =
                    connection.call(&request, Some(12), deadline).await.expect("an answer");
                let told = &answer.responses[0].partition_responses[0];
                assert_eq!(told.error_code, 0, "{:?}", told.error_message);
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    for producer in producers {
        producer.await.expect("a producer ends");
    }
    acknowledged.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64()
}

async fn start(world: &RealWorld, dir: &std::path::Path) -> Address {
    let (mut config, mut topics) = (BrokerConfig::default(), Default::default());
    config.log_dirs = vec![dir.display().to_string()];
    config.listeners = vec!["PLAINTEXT://127.0.0.1:0".into(), "CONTROLLER://127.0.0.1:0".into()];
    let set = config.set_with_topic_defaults(&mut topics, "log.flush.before.ack", "true");
    set.expect("a known key");
    let node = Node::start(world.clone(), config, topics).await.expect("the node starts");
    let address = node.addresses()[0].clone();
    drop(tokio::spawn(node.run()));
    let mut admin = AdminConfig::default();
    admin.set("bootstrap.servers", &address.to_string()).expect("an address");
    let admin = Admin::new(world.clone(), admin).expect("sound settings");
    admin.create_topic("t", 1, 1, &[]).await.expect("the topic is created");
    address
}

async fn run() {
    let (place, world) = (place(), RealWorld::new());
    let address = start(&world, &place.path().join("data")).await;
    let mut connections = Vec::new();
    for _ in 0..PRODUCERS {
        let deadline = world.now() + Duration::from_secs(10);
        let connection = Connection::open(&world, &address, "bench", deadline).await;
        connections.push(connection.expect("the broker listens"));
    }
    let file = RealDisk.open(&place.path().join("plain"), Open::New).expect("a new file");
    let (mut end, mut single, mut group, mut ratios) = (0, Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let alone = one_by_one(&file, &mut end).await;
        let shared = together(&world, &connections).await;
        single.push(alone);
        group.push(shared);
        ratios.push(shared / alone);
    }
    let ratio = median(ratios);
    let figure = format!(
        "{:.0} acknowledged/s, a sync each {:.0}/s: {ratio:.1} times",
        median(group),
        median(single)
    );
    told("group commit, 64 producers", figure, "at least 20 times", ratio >= 20.0);
}

/// See the module.
pub fn group_commit() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(run());
}
