//! A producer's metrics, by Kafka's names.
//!
//! Source: Kafka's `SenderMetricsRegistry`, `Sender.SenderMetrics`, `BufferPool` and
//! `KafkaProducerMetrics`. Kafka takes no batch out of its queue before there is a connection; here
//! an attempt that never left counts among the records sent, but not among the retries.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::window::Window;
use crate::base::Instant;

/// A producer's metrics at one time, by Kafka's names. Times whose name does not end in `-ns-total`
/// are in milliseconds; what was not measured yet is NaN.
#[derive(Clone, Debug, Default)]
pub struct ProducerMetrics {
    client: BTreeMap<&'static str, f64>,
    topics: BTreeMap<Arc<str>, BTreeMap<&'static str, f64>>,
}

impl ProducerMetrics {
    /// A metric of the whole producer, such as `record-send-total`.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.client.get(name).copied()
    }

    /// A metric of one topic, such as `byte-total`; none before a record of it was sent.
    pub fn of_topic(&self, topic: &str, name: &str) -> Option<f64> {
        self.topics.get(topic)?.get(name).copied()
    }

    /// The metrics of the whole producer, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, f64)> {
        self.client.iter().map(|(name, value)| (*name, *value))
    }

    /// The topics that have metrics.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.keys().map(|topic| &**topic)
    }
}

/// What becomes a `-rate` and a `-total`.
#[derive(Debug, Default)]
struct Meter {
    total: u64,
    window: Window,
}

impl Meter {
    fn record(&mut self, now: Instant, count: u64) {
        self.total += count;
        self.window.record(now, count as f64);
    }
}

/// A batch that leaves, as it is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving {
    /// Bytes on the wire.
    pub(super) size: usize,
    pub(super) records: u64,
    pub(super) waited: Duration,
    pub(super) compression_rate: f64,
    pub(super) largest_record: usize,
}

/// What can be read off the producer at any time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gauges {
    pub(super) buffer_total: u64,
    pub(super) buffer_available: u64,
    pub(super) waiting: usize,
    pub(super) in_flight: usize,
}

#[derive(Debug, Default)]
struct TopicMetrics {
    sent: Meter,
    bytes: Meter,
    retried: Meter,
    failed: Meter,
    compression_rate: Window,
}

/// What the producer has measured so far.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    sent: Meter,
    retried: Meter,
    failed: Meter,
    splits: Meter,
    batch_size: Window,
    queue_time: Window,
    compression_rate: Window,
    record_size: Window,
    latency: Window,
    throttled: Window,
    /// Nanoseconds.
    memory_waited: Meter,
    memory_exhausted: Meter,
    metadata_waited: Duration,
    flushed: Duration,
    topics: BTreeMap<Arc<str>, TopicMetrics>,
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Metrics {
    /// A batch leaves in a request.
    pub(super) fn leaves(&mut self, now: Instant, topic: &Arc<str>, batch: Leaving) {
        self.batch_size.record(now, batch.size as f64);
        self.queue_time.record(now, millis(batch.waited));
        self.compression_rate.record(now, batch.compression_rate);
        self.record_size.record(now, batch.largest_record as f64);
        let topic = self.topics.entry(Arc::clone(topic)).or_default();
        topic.sent.record(now, batch.records);
        topic.bytes.record(now, batch.size as u64);
        topic.compression_rate.record(now, batch.compression_rate);
    }

    /// A request with this many records leaves.
    pub(super) fn request(&mut self, now: Instant, records: u64) {
        self.sent.record(now, records);
    }

    /// A request was answered.
    pub(super) fn answered(&mut self, now: Instant, after: Duration, throttled: Duration) {
        self.latency.record(now, millis(after));
        self.throttled.record(now, millis(throttled));
    }

    /// A batch is to be sent again.
    pub(super) fn retries(&mut self, now: Instant, topic: &str, records: i32) {
        let records = u64::from(records.unsigned_abs());
        self.retried.record(now, records);
        if let Some(topic) = self.topics.get_mut(topic) {
            topic.retried.record(now, records);
        }
    }

    /// A batch failed.
    pub(super) fn fails(&mut self, now: Instant, topic: &str, records: i32) {
        let records = u64::from(records.unsigned_abs());
        self.failed.record(now, records);
        if let Some(topic) = self.topics.get_mut(topic) {
            topic.failed.record(now, records);
        }
    }

    /// A batch was too large for its topic, and is sent in parts.
    pub(super) fn splits(&mut self, now: Instant) {
        self.splits.record(now, 1);
    }

    /// A record was refused before it got into a batch.
    pub(super) fn refused(&mut self, now: Instant) {
        self.failed.record(now, 1);
    }

    /// A sender waited for memory, and did or did not get it.
    pub(super) fn memory_waited(&mut self, now: Instant, time: Duration, exhausted: bool) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.memory_waited.record(now, nanos);
        if exhausted {
            self.memory_exhausted.record(now, 1);
        }
    }

    /// A record waited for its partition to be known.
    pub(super) fn metadata_waited(&mut self, time: Duration) {
        self.metadata_waited += time;
    }

    /// A flush took this long.
    pub(super) fn flushed(&mut self, time: Duration) {
        self.flushed += time;
    }

    pub(super) fn at(&self, now: Instant, gauges: Gauges) -> ProducerMetrics {
        let rate = |meter: &Meter| meter.window.rate(now);
        let total = |meter: &Meter| meter.total as f64;
        let client = BTreeMap::from([
            ("record-send-rate", rate(&self.sent)),
            ("record-send-total", total(&self.sent)),
            ("records-per-request-avg", self.sent.window.average(now)),
            ("record-retry-rate", rate(&self.retried)),
            ("record-retry-total", total(&self.retried)),
            ("record-error-rate", rate(&self.failed)),
            ("record-error-total", total(&self.failed)),
            ("batch-split-rate", rate(&self.splits)),
            ("batch-split-total", total(&self.splits)),
            ("batch-size-avg", self.batch_size.average(now)),
            ("batch-size-max", self.batch_size.max(now)),
            ("record-queue-time-avg", self.queue_time.average(now)),
            ("record-queue-time-max", self.queue_time.max(now)),
            ("compression-rate-avg", self.compression_rate.average(now)),
            ("record-size-avg", self.record_size.average(now)),
            ("record-size-max", self.record_size.max(now)),
            ("request-latency-avg", self.latency.average(now)),
            ("request-latency-max", self.latency.max(now)),
            ("produce-throttle-time-avg", self.throttled.average(now)),
            ("produce-throttle-time-max", self.throttled.max(now)),
            ("bufferpool-wait-ratio", rate(&self.memory_waited) / 1e9),
            ("bufferpool-wait-time-ns-total", total(&self.memory_waited)),
            ("buffer-exhausted-rate", rate(&self.memory_exhausted)),
            ("buffer-exhausted-total", total(&self.memory_exhausted)),
            ("metadata-wait-time-ns-total", self.metadata_waited.as_nanos() as f64),
            ("flush-time-ns-total", self.flushed.as_nanos() as f64),
            ("buffer-total-bytes", gauges.buffer_total as f64),
            ("buffer-available-bytes", gauges.buffer_available as f64),
            ("waiting-threads", gauges.waiting as f64),
            ("requests-in-flight", gauges.in_flight as f64),
        ]);
        let topics = self.topics.iter().map(|(topic, of)| {
            let values = BTreeMap::from([
                ("record-send-rate", rate(&of.sent)),
                ("record-send-total", total(&of.sent)),
                ("byte-rate", rate(&of.bytes)),
                ("byte-total", total(&of.bytes)),
                ("record-retry-rate", rate(&of.retried)),
                ("record-retry-total", total(&of.retried)),
                ("record-error-rate", rate(&of.failed)),
                ("record-error-total", total(&of.failed)),
                ("compression-rate", of.compression_rate.average(now)),
            ]);
            (Arc::clone(topic), values)
        });
        let topics = topics.collect();
        ProducerMetrics { client, topics }
    }
}
