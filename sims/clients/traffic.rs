//! librdkafka loads whose records can be identified and compared byte by byte.
#![allow(dead_code, reason = "each suite uses its part")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};
use std::sync::{Arc, Mutex};

/// What to send.
#[derive(Clone, Copy)]
pub struct Load<'a> {
    pub topic: &'a str,
    pub codec: &'a str,
    pub acks: &'a str,
    /// Key of the first record.
    pub first: u64,
    pub count: u64,
    pub partitions: i32,
}

/// The result of one record.
#[derive(Clone, Debug)]
pub struct Sent {
    pub key: u64,
    acknowledged: bool,
}

impl Sent {
    pub fn is_acknowledged(&self) -> bool {
        self.acknowledged
    }
}

/// The value of record `key`: bytes that depend on the key, half of them compressible.
pub fn record(key: u64, size: usize) -> Vec<u8> {
    let mut state = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let byte = |at: usize| {
        if at % 64 < 32 {
            return b'a' + (key % 26) as u8;
        }
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..size).map(byte).collect()
}

#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Vec<Sent>>>);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let (message, acknowledged) = match result {
            Ok(message) => (message, true),
            Err((_, message)) => (message, false),
        };
        let key = message.key().and_then(|key| key.try_into().ok()).map(u64::from_be_bytes);
        self.0.lock().unwrap().push(Sent { key: key.expect("our key"), acknowledged });
    }
}

/// Sends a load and waits for the result of each record.
pub fn produce(bootstrap: &str, load: &Load<'_>, size: impl Fn(u64) -> usize) -> Vec<Sent> {
    let reports = Reports::default();
    let producer: BaseProducer<Reports> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("compression.type", load.codec)
        .set("acks", load.acks)
        .set("enable.idempotence", if load.acks == "all" { "true" } else { "false" })
        .set("linger.ms", "5")
        .set("message.timeout.ms", "15000")
        .set("queue.buffering.max.messages", "1000000")
        .create_with_context(reports.clone())
        .unwrap();
    for key in load.first..load.first + load.count {
        let (bytes, value) = (key.to_be_bytes(), record(key, size(key)));
        let partition = (key % load.partitions as u64) as i32;
        let mut next =
            BaseRecord::to(load.topic).partition(partition).key(&bytes[..]).payload(&value[..]);
        while let Err((_, unsent)) = producer.send(next) {
            // The queue is full: wait for deliveries.
            producer.poll(Duration::from_millis(5));
            next = unsent;
        }
        if key % 500 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    let _ = producer.flush(Duration::from_secs(60));
    let mut sent = std::mem::take(&mut *reports.0.lock().unwrap());
    assert_eq!(sent.len() as u64, load.count, "each record has one result");
    sent.sort_by_key(|sent| sent.key);
    sent
}

/// Reads every partition from its beginning to its end: value by key.
pub fn consume_all(bootstrap: &str, topic: &str, partitions: i32) -> BTreeMap<u64, Vec<u8>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "nobody")
        .set("enable.auto.commit", "false")
        .set("check.crcs", "true")
        .create()
        .unwrap();
    let patience = Duration::from_secs(20);
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut left = BTreeMap::new();
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        let end = loop {
            match consumer.fetch_watermarks(topic, partition, patience) {
                Ok((_, end)) => break end,
                Err(error) => assert!(Instant::now() < deadline, "{topic}-{partition}: {error}"),
            }
        };
        if end > 0 {
            left.insert(partition, end);
        }
        assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut read = BTreeMap::new();
    while !left.is_empty() {
        assert!(Instant::now() < deadline, "still to read: {left:?}");
        let Some(message) = consumer.poll(Duration::from_millis(200)) else { continue };
        let message = match message {
            Ok(message) => message,
            Err(error) => {
                assert!(error.rdkafka_error_code().is_some(), "{error}");
                continue;
            }
        };
        let key = message.key().and_then(|key| key.try_into().ok()).map(u64::from_be_bytes);
        read.insert(key.expect("our key"), message.payload().unwrap_or_default().to_vec());
        let (partition, next) = (message.partition(), message.offset() + 1);
        if left.get(&partition).is_some_and(|end| next >= *end) {
            left.remove(&partition);
        }
    }
    read
}
