//! Group commit: 64 producers, each with one record at a time, at a broker that acknowledges only
//! what is synced, beside a sync per append of the same bytes on the same disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use brokerquake::base::Timestamp;
use brokerquake::base::config::{AdminConfig, Compression, Config, NodeConfig};
use brokerquake::broker::Node;
use brokerquake::client::Admin;
use brokerquake::io::real::{RealDisk, RealWorld};
use brokerquake::io::{Address, Disk, File, Open};
use brokerquake::rpc::Frames;
use brokerquake::wire::batch::BatchBuilder;
use brokerquake::wire::frame;
use brokerquake::wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use brokerquake::wire::messages::{ProduceRequest, ProduceResponse};
use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

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

/// The last version that names topics by their names.
const VERSION: i16 = 12;

/// A producer that costs as little as can be: what is measured is the broker.
struct Producer {
    answers: Frames<TcpStream>,
    request: Bytes,
}

impl Producer {
    async fn connect(address: &Address) -> Self {
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await;
        let stream = stream.expect("the broker listens");
        stream.set_nodelay(true).expect("it is a TCP socket");
        let request = frame::encode_request(1, "bench", VERSION, &request());
        let request = request.expect("a sound request").freeze();
        Self { answers: Frames::new(stream, 1 << 20), request }
    }

    /// Sends a record; says which error it was answered with.
    async fn produce(&mut self) -> i16 {
        self.answers.stream().write_all(&self.request).await.expect("the broker reads");
        let answer = self.answers.next().await.expect("the broker answers").expect("a frame");
        let answer = frame::decode_response::<ProduceResponse>(answer, VERSION);
        answer.expect("a sound answer").1.responses[0].partition_responses[0].error_code
    }
}

/// Acknowledged records per second, of all producers together.
async fn together(producers: Vec<Producer>) -> (f64, Vec<Producer>) {
    let (acknowledged, start) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let mut tasks = Vec::new();
    for mut producer in producers {
        let acknowledged = acknowledged.clone();
        tasks.push(tokio::spawn(async move {
            while start.elapsed() < ROUND {
                assert_eq!(producer.produce().await, 0, "it is acknowledged");
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            producer
        }));
    }
    let mut producers = Vec::new();
    for task in tasks {
        producers.push(task.await.expect("a producer ends"));
    }
    let speed = acknowledged.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64();
    (speed, producers)
}

async fn start(world: &RealWorld, dir: &std::path::Path) -> Address {
    let mut config = NodeConfig::default();
    config.node.log_dirs = vec![dir.display().to_string()];
    config.set("listeners", "PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0").unwrap();
    let set = config.set("log.flush.before.ack", "true");
    set.expect("a known key");
    let node = Node::start(world.clone(), config).await.expect("the node starts");
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
    let mut producers = Vec::new();
    for _ in 0..PRODUCERS {
        producers.push(Producer::connect(&address).await);
    }
    // A topic has a leader a while after it was created.
    while producers[0].produce().await != 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let file = RealDisk.open(&place.path().join("plain"), Open::New).expect("a new file");
    let (mut end, mut single, mut group, mut ratios) = (0, Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let alone = one_by_one(&file, &mut end).await;
        let shared;
        (shared, producers) = together(producers).await;
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
