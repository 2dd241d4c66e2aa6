//! A librdkafka producer that sends until it is stopped, and tracks acknowledgements.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext, PurgeConfig};
use rdkafka::{ClientConfig, ClientContext};

use crate::traffic::record;

/// Limited, because the disks of [`super::machine`] are small.
const RECORDS_PER_MS: u128 = 10;

/// Bytes in the value of record `key`.
pub fn size(key: u64) -> usize {
    100 + (key % 7) as usize * 50
}

/// Keys that were acknowledged.
#[derive(Clone, Default)]
struct Acknowledged(Arc<Mutex<Vec<u64>>>);

impl ClientContext for Acknowledged {
    /// These tests kill the broker on purpose; librdkafka would log it each time.
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: rdkafka::error::KafkaError, _: &str) {}
}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Ok(message) = result {
            let key = message.key().and_then(|key| key.try_into().ok()).map(u64::from_be_bytes);
            self.0.lock().unwrap().push(key.expect("our key"));
        }
    }
}

/// The sent and the acknowledged records, by key.
pub struct Told {
    /// One beyond the last key that was sent.
    pub next: u64,
    pub acknowledged: Vec<u64>,
}

/// A producer that runs in a thread.
pub struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Told>,
}

impl Load {
    /// Sends records to the partitions in turn, from key `first` on.
    pub fn start(bootstrap: String, topic: &'static str, partitions: i32, first: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = stop.clone();
        let thread = std::thread::spawn(move || send(&bootstrap, topic, partitions, first, &seen));
        Self { stop, thread }
    }

    /// Stops, and gives up on records that are not acknowledged yet.
    pub fn stop(self) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn send(bootstrap: &str, topic: &str, partitions: i32, first: u64, stop: &AtomicBool) -> Told {
    let acknowledged = Acknowledged::default();
    let producer: BaseProducer<Acknowledged> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "1")
        .set("queue.buffering.max.messages", "2000")
        .create_with_context(acknowledged.clone())
        .unwrap();
    let mut key = first;
    let started = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let (bytes, value) = (key.to_be_bytes(), record(key, size(key)));
        let partition = (key % partitions as u64) as i32;
        let next = BaseRecord::to(topic).partition(partition).key(&bytes[..]).payload(&value[..]);
        match producer.send(next) {
            Ok(()) => key += 1,
            // The queue is full: wait for deliveries.
            Err(_) => {
                producer.poll(Duration::from_millis(2));
            }
        }
        producer.poll(Duration::ZERO);
        if u128::from(key - first) > started.elapsed().as_millis() * RECORDS_PER_MS {
            producer.poll(Duration::from_millis(1));
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    producer.purge(PurgeConfig::default().queue().inflight());
    let _ = producer.flush(Duration::from_secs(5));
    let mut acknowledged = std::mem::take(&mut *acknowledged.0.lock().unwrap());
    acknowledged.sort_unstable();
    Told { next: key, acknowledged }
}
