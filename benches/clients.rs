//! What clients cost by themselves, without a network and on one core: a producer from a record to an
//! acknowledged batch, and a consumer from fetched bytes to the records that `poll` returns.
//!
//! `cargo bench --bench clients`. The figures to reach: a million records of 100 bytes per second
//! through the producer, two million through the consumer. Beside each is the same work without a
//! client: the same batches, encoded or decoded and nothing else. Rounds of both take turns; the
//! median counts, in CPU time of this thread.

use std::hint::black_box;
use std::time::Duration;

use brokerquake::base::Timestamp;
use brokerquake::base::config::Compression;
use brokerquake::client::ProducerRecord;
use brokerquake::client::offline::{OfflineConsumer, OfflineProducer, TOPIC};
use brokerquake::wire::batch::{BatchBuilder, records_of};
use bytes::Bytes;

/// Rounds of each kind.
const ROUNDS: usize = 9;
/// Records in a round.
const RECORDS: usize = 1_000_000;
/// Bytes of a record's value.
const SIZE: usize = 100;
/// Partitions of the topic.
const PARTITIONS: i32 = 6;
/// Kafka's default of `batch.size`.
const BATCH: usize = 16_384;

/// What this thread has had of its core.
fn on_core() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    spent.try_into().expect("it is not negative")
}

/// Millions of records per second.
fn rate(work: impl FnOnce() -> usize) -> f64 {
    let began = on_core();
    let records = work();
    records as f64 / on_core().saturating_sub(began).as_secs_f64() / 1e6
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_unstable_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// Runs both kinds in turns, and prints their medians.
fn compare(
    name: &str,
    goal: f64,
    mut client: impl FnMut() -> usize,
    mut plain: impl FnMut() -> usize,
) {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        with.push(rate(&mut client));
        without.push(rate(&mut plain));
    }
    let (with, without) = (median(&mut with), median(&mut without));
    println!(
        "{name:18} {with:6.2} M records/s (goal {goal:.0}), plain {without:6.2} M records/s: {:.0} % of it",
        with / without * 100.0
    );
}

/// Sends records without a key, which stick to a partition, or with one.
fn produce(value: &Bytes, keys: bool) -> usize {
    let mut producer = OfflineProducer::new(&[], PARTITIONS).expect("the settings are valid");
    let topic: std::sync::Arc<str> = TOPIC.into();
    for n in 0..RECORDS {
        let mut record = ProducerRecord::new(topic.clone(), value.clone());
        if keys {
            record.key = Some(Bytes::copy_from_slice(&(n as u32).to_be_bytes()));
        }
        assert!(producer.send(record), "everything before is acknowledged");
    }
    producer.flush();
    let sent = producer.metrics().get("record-send-total");
    assert_eq!(sent, Some(RECORDS as f64), "each record is sent once");
    RECORDS
}

/// Encodes the same batches, and nothing else.
fn encode(value: &Bytes, keys: bool) -> usize {
    let new = || BatchBuilder::new(Compression::None, Timestamp(1_700_000_000_000));
    let mut builder = new();
    for n in 0..RECORDS {
        let key = (n as u32).to_be_bytes();
        let key = keys.then_some(&key[..]);
        builder.append(Timestamp(1_700_000_000_000), key, Some(value), &[]);
        if builder.estimated_size() + SIZE + 21 > BATCH {
            black_box(std::mem::replace(&mut builder, new()).finish_plain());
        }
    }
    black_box(builder.estimated_size());
    RECORDS
}

/// A log of full batches, and how many records it has.
fn log(value: &Bytes) -> (Bytes, usize) {
    let (mut log, mut count) = (Vec::new(), 0);
    while count < RECORDS / 10 {
        let mut builder = BatchBuilder::new(Compression::None, Timestamp(1_700_000_000_000));
        let base = count as i64;
        while builder.estimated_size() + SIZE + 21 <= BATCH {
            builder.append(Timestamp(1_700_000_000_000), None, Some(value), &[]);
            count += 1;
        }
        let at = log.len();
        log.extend_from_slice(&builder.finish_plain());
        log[at..at + 8].copy_from_slice(&base.to_be_bytes());
    }
    (log.into(), count)
}

fn consume(consumer: &mut OfflineConsumer) -> usize {
    let mut records = 0;
    while records < RECORDS {
        let polled = black_box(consumer.poll());
        assert!(!polled.is_empty(), "there is always more");
        records += polled.len();
    }
    records
}

/// Decodes the same batches, and nothing else.
fn decode(log: &Bytes, count: usize) -> usize {
    let mut records = 0;
    while records < RECORDS {
        let mut rest = log.clone();
        while !rest.is_empty() {
            let batch = records_of(&rest, usize::MAX).expect("the batches are valid");
            let size = batch.header().size();
            black_box(batch.map(|record| record.expect("it is valid")).count());
            rest = rest.split_off(size);
        }
        records += count;
    }
    records
}

fn main() {
    let value = Bytes::from(vec![7; SIZE]);
    for (name, keys) in [("producer", false), ("producer with keys", true)] {
        compare(name, 1.0, || produce(&value, keys), || encode(&value, keys));
    }
    let (log, count) = log(&value);
    let mut consumer =
        OfflineConsumer::new(&[], PARTITIONS, log.clone()).expect("the settings are valid");
    compare("consumer", 2.0, || consume(&mut consumer), || decode(&log, count));
}
