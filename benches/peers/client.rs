//! The client that both brokers are measured with: librdkafka, with its defaults.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const SIZE: usize = 1000;

/// Waits until the broker answers a metadata request with itself as a broker.
pub fn wait_until_ready(bootstrap: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let client: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().expect("a client");
    loop {
        match client.fetch_metadata(None, Duration::from_secs(1)) {
            Ok(metadata) if !metadata.brokers().is_empty() => return,
            answer => {
                let why = answer.map(|_| "it names no broker".to_owned());
                let why = why.unwrap_or_else(|error| error.to_string());
                assert!(Instant::now() < deadline, "{bootstrap} is not ready: {why}");
            }
        }
    }
}

pub fn create_topic(bootstrap: &str, name: &str, partitions: u64) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().expect("a client");
    let topic = NewTopic::new(name, partitions as i32, TopicReplication::Fixed(1));
    let results = runtime.block_on(admin.create_topics(&[topic], &AdminOptions::new()));
    results.expect("an answer").into_iter().for_each(|topic| drop(topic.expect("a topic")));
}

/// Sends `count` records; megabytes per second until the last is acknowledged.
pub fn produce(bootstrap: &str, topic: &str, count: u64) -> f64 {
    let producer: ThreadedProducer<_> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("acks", "1")
        .set("linger.ms", "5")
        .set("queue.buffering.max.messages", "1000000")
        .create()
        .map(|producer: ThreadedProducer<rdkafka::producer::DefaultProducerContext>| producer)
        .expect("a producer");
    // Bytes that differ from record to record cost the same as equal ones: nothing is compressed.
    let value = [b'x'; SIZE];
    let start = Instant::now();
    for _ in 0..count {
        let mut record = BaseRecord::<(), [u8]>::to(topic).partition(0).payload(&value[..]);
        while let Err((_, unsent)) = producer.send(record) {
            std::thread::sleep(Duration::from_millis(1));
            record = unsent;
        }
    }
    producer.flush(Duration::from_secs(120)).expect("every record is acknowledged");
    megabytes(count) / start.elapsed().as_secs_f64()
}

/// Creates a topic and sends ten small records to each of its partitions, with acks=all; seconds
/// from the request to create it until the last record is acknowledged.
pub fn first_writes(bootstrap: &str, topic: &str, partitions: u64) -> f64 {
    let producer: ThreadedProducer<rdkafka::producer::DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("acks", "all")
        .create()
        .expect("a producer");
    let start = Instant::now();
    create_topic(bootstrap, topic, partitions);
    for _ in 0..10 {
        for partition in 0..partitions {
            let record = BaseRecord::<(), [u8]>::to(topic).partition(partition as i32);
            producer.send(record.payload(&b"first"[..])).map_err(|(error, _)| error).expect("sent");
        }
    }
    producer.flush(Duration::from_secs(300)).expect("every record is acknowledged");
    start.elapsed().as_secs_f64()
}

/// Reads `count` records from the beginning; megabytes per second.
pub fn consume(bootstrap: &str, topic: &str, count: u64) -> f64 {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "peers")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, 0, Offset::Beginning).expect("a partition");
    let start = Instant::now();
    consumer.assign(&assignment).expect("an assignment");
    let mut read = 0;
    while read < count {
        if let Some(Ok(message)) = consumer.poll(Duration::from_secs(1)) {
            assert_eq!(message.payload_len(), SIZE);
            read += 1;
        }
        assert!(start.elapsed() < Duration::from_secs(120), "{read} of {count} records read");
    }
    megabytes(count) / start.elapsed().as_secs_f64()
}

fn megabytes(records: u64) -> f64 {
    (records * SIZE as u64) as f64 / 1e6
}
