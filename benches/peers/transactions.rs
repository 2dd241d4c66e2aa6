//! Transactions: one librdkafka producer that commits one transaction after the other, 100 records of
//! 1,000 bytes in each, over four partitions. librdkafka speaks version 1 of transactions.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::broker::Running;

const TOPIC: &str = "transactions";
const PARTITIONS: u64 = 4;
/// Records of one transaction.
const RECORDS: u64 = 100;
const SIZE: usize = 1000;
/// Transactions that open connections and warm a JIT compiler up, where there is one.
const WARM: u64 = 50;
const TIMEOUT: Duration = Duration::from_secs(60);

/// What was measured of one broker.
#[derive(Clone, Copy, Default)]
pub struct Figures {
    /// Transactions per second.
    pub rate: f64,
    /// Milliseconds from the call to commit until it returns: the median and the 99th percentile.
    /// The call also waits for the records that are not yet acknowledged.
    pub commit_p50_ms: f64,
    pub commit_p99_ms: f64,
}

pub fn measure(running: &Running, seconds: u64) -> Figures {
    let bootstrap = running.bootstrap();
    crate::client::create_topic(&bootstrap, TOPIC, PARTITIONS);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &bootstrap)
        .set("transactional.id", "peers")
        .create()
        .expect("a producer");
    producer.init_transactions(TIMEOUT).expect("the producer has an id");
    for _ in 0..WARM {
        transaction(&producer);
    }
    let (mut commits, start) = (Vec::new(), Instant::now());
    while start.elapsed() < Duration::from_secs(seconds) {
        commits.push(transaction(&producer));
    }
    let rate = commits.len() as f64 / start.elapsed().as_secs_f64();
    let records = (commits.len() as u64 + WARM) * RECORDS;
    assert_eq!(committed(&bootstrap, records), records, "records that read_committed shows");
    commits.sort_unstable();
    let ms = |part: usize| commits[commits.len() * part / 100].as_secs_f64() * 1000.0;
    Figures { rate, commit_p50_ms: ms(50), commit_p99_ms: ms(99) }
}

/// Commits one transaction. Returns how long the call to commit took.
fn transaction(producer: &BaseProducer) -> Duration {
    let value = [b'x'; SIZE];
    producer.begin_transaction().expect("a transaction begins");
    for number in 0..RECORDS {
        let record = BaseRecord::<(), [u8]>::to(TOPIC).partition((number % PARTITIONS) as i32);
        producer.send(record.payload(&value[..])).map_err(|(error, _)| error).expect("sent");
    }
    let start = Instant::now();
    // A commit flushes first, and its flush looks for reports of delivery every 100 ms only. A poll lasts
    // for all of its time, whatever comes: with 10 ms, that was all that was measured.
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::from_millis(1));
    }
    producer.commit_transaction(TIMEOUT).expect("the transaction is committed");
    start.elapsed()
}

/// The number of records that a `read_committed` consumer reads, up to `expected`.
fn committed(bootstrap: &str, expected: u64) -> u64 {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "peers-transactions")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .create()
        .expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    for partition in 0..PARTITIONS as i32 {
        let at = Offset::Beginning;
        assignment.add_partition_offset(TOPIC, partition, at).expect("a partition");
    }
    consumer.assign(&assignment).expect("an assignment");
    let (mut read, mut last) = (0, Instant::now());
    while read < expected && last.elapsed() < Duration::from_secs(30) {
        if let Some(Ok(_)) = consumer.poll(Duration::from_secs(1)) {
            (read, last) = (read + 1, Instant::now());
        }
    }
    read
}
