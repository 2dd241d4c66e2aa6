//! What a producer measures.
//!
//! Source: Kafka's `SenderMetricsRegistry`, `Sender.SenderMetrics`, `BufferPool` and
//! `KafkaProducerMetrics`. Kafka takes no batch out of its queue before there is a connection; here
//! an attempt that never left counts among the records sent, but not among the retries.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::Instant;
use crate::client::metrics::{Count, Latency, Metrics, Now, Sampled, Sampling};

/// The group of the metrics of the whole producer.
pub(super) const PRODUCER: &str = "producer-metrics";
const TOPIC: &str = "producer-topic-metrics";

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

/// Records that were sent, sent again, or given up.
#[derive(Debug, Default)]
struct Records {
    sent: Count,
    retried: Count,
    failed: Count,
    compression_rate: Sampled,
}

#[derive(Debug, Default)]
struct OfTopic {
    records: Records,
    bytes: Count,
}

#[derive(Debug, Default)]
struct OfClient {
    records: Records,
    splits: Count,
    batch_size: Sampled,
    queue_time: Latency,
    record_size: Sampled,
    latency: Latency,
    throttled: Sampled,
    /// Nanoseconds.
    memory_waited: Count,
    memory_exhausted: Count,
    metadata_waited: Duration,
    flushed: Duration,
    transacted: BTreeMap<Call, Duration>,
}

/// A transactional call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Call {
    Init,
    Begin,
    SendOffsets,
    Commit,
    Abort,
}

impl Call {
    const ALL: [Self; 5] = [Self::Init, Self::Begin, Self::SendOffsets, Self::Commit, Self::Abort];

    const fn metric(self) -> &'static str {
        match self {
            Self::Init => "txn-init-time-ns-total",
            Self::Begin => "txn-begin-time-ns-total",
            Self::SendOffsets => "txn-send-offsets-time-ns-total",
            Self::Commit => "txn-commit-time-ns-total",
            Self::Abort => "txn-abort-time-ns-total",
        }
    }
}

/// The measurements of a producer.
#[derive(Debug)]
pub(super) struct Measured {
    sampling: Sampling,
    client: OfClient,
    topics: BTreeMap<Arc<str>, OfTopic>,
}

impl Measured {
    pub(super) fn new(sampling: Sampling) -> Self {
        Self { sampling, client: OfClient::default(), topics: BTreeMap::new() }
    }

    /// A batch leaves in a request.
    pub(super) fn leaves(&mut self, now: Instant, topic: &Arc<str>, batch: Leaving) {
        let (now, client) = (self.sampling.at(now), &mut self.client);
        client.batch_size.record(now, batch.size as f64);
        client.queue_time.record(now, batch.waited);
        client.records.compression_rate.record(now, batch.compression_rate);
        client.record_size.record(now, batch.largest_record as f64);
        let topic = self.topics.entry(Arc::clone(topic)).or_default();
        topic.records.sent.add(now, batch.records as f64);
        topic.bytes.add(now, batch.size as f64);
        topic.records.compression_rate.record(now, batch.compression_rate);
    }

    /// A request with this many records leaves.
    pub(super) fn request(&mut self, now: Instant, records: u64) {
        self.client.records.sent.add(self.sampling.at(now), records as f64);
    }

    /// A request was answered.
    pub(super) fn answered(&mut self, now: Instant, after: Duration, throttle_ms: i32) {
        let now = self.sampling.at(now);
        self.client.latency.record(now, after);
        self.client.throttled.record(now, f64::from(throttle_ms));
    }

    /// A batch is to be sent again.
    pub(super) fn retries(&mut self, now: Instant, topic: &str, records: i32) {
        self.count(now, topic, records, |records| &mut records.retried);
    }

    /// A batch failed.
    pub(super) fn fails(&mut self, now: Instant, topic: &str, records: i32) {
        self.count(now, topic, records, |records| &mut records.failed);
    }

    /// Counts records of a topic, and among all.
    fn count(
        &mut self,
        now: Instant,
        topic: &str,
        records: i32,
        which: impl Fn(&mut Records) -> &mut Count,
    ) {
        let (now, records) = (self.sampling.at(now), f64::from(records));
        which(&mut self.client.records).add(now, records);
        if let Some(topic) = self.topics.get_mut(topic) {
            which(&mut topic.records).add(now, records);
        }
    }

    /// A batch was too large for its topic, and is sent in parts.
    pub(super) fn splits(&mut self, now: Instant) {
        self.client.splits.add(self.sampling.at(now), 1.0);
    }

    /// A record was refused before it got into a batch.
    pub(super) fn refused(&mut self, now: Instant) {
        self.client.records.failed.add(self.sampling.at(now), 1.0);
    }

    /// A sender waited for memory, and did or did not get it.
    pub(super) fn memory_waited(&mut self, now: Instant, time: Duration, exhausted: bool) {
        let now = self.sampling.at(now);
        self.client.memory_waited.add(now, time.as_nanos() as f64);
        if exhausted {
            self.client.memory_exhausted.add(now, 1.0);
        }
    }

    /// A record waited for its partition to be known.
    pub(super) fn metadata_waited(&mut self, time: Duration) {
        self.client.metadata_waited += time;
    }

    /// A flush took this long.
    pub(super) fn flushed(&mut self, time: Duration) {
        self.client.flushed += time;
    }

    /// A transactional call succeeded after this long.
    pub(super) fn transacted(&mut self, call: Call, time: Duration) {
        *self.client.transacted.entry(call).or_default() += time;
    }

    /// All metrics now.
    pub(super) fn snapshot(&self, now: Instant, gauges: Gauges) -> Metrics {
        let (now, mut metrics) = (self.sampling.at(now), Metrics::default());
        self.client.write(now, gauges, |name, value| metrics.add(PRODUCER, name, value));
        for (name, topic) in &self.topics {
            topic.write(now, |metric, value| metrics.add_of_topic(TOPIC, metric, name, value));
        }
        metrics
    }
}

impl Records {
    fn write(&self, now: Now, add: &mut impl FnMut(&'static str, f64)) {
        add("record-send-rate", self.sent.rate(now));
        add("record-send-total", self.sent.total);
        add("record-retry-rate", self.retried.rate(now));
        add("record-retry-total", self.retried.total);
        add("record-error-rate", self.failed.rate(now));
        add("record-error-total", self.failed.total);
    }
}

impl OfTopic {
    fn write(&self, now: Now, mut add: impl FnMut(&'static str, f64)) {
        self.records.write(now, &mut add);
        add("byte-rate", self.bytes.rate(now));
        add("byte-total", self.bytes.total);
        add("compression-rate", self.records.compression_rate.avg(now));
    }
}

impl OfClient {
    fn write(&self, now: Now, gauges: Gauges, mut add: impl FnMut(&'static str, f64)) {
        self.records.write(now, &mut add);
        add("records-per-request-avg", self.records.sent.avg(now));
        add("compression-rate-avg", self.records.compression_rate.avg(now));
        add("batch-split-rate", self.splits.rate(now));
        add("batch-split-total", self.splits.total);
        add("batch-size-avg", self.batch_size.avg(now));
        add("batch-size-max", self.batch_size.max(now));
        add("record-queue-time-avg", self.queue_time.avg(now));
        add("record-queue-time-max", self.queue_time.max(now));
        add("record-size-avg", self.record_size.avg(now));
        add("record-size-max", self.record_size.max(now));
        add("request-latency-avg", self.latency.avg(now));
        add("request-latency-max", self.latency.max(now));
        add("produce-throttle-time-avg", self.throttled.avg(now));
        add("produce-throttle-time-max", self.throttled.max(now));
        add("bufferpool-wait-ratio", self.memory_waited.rate(now) / 1e9);
        add("bufferpool-wait-time-ns-total", self.memory_waited.total);
        add("buffer-exhausted-rate", self.memory_exhausted.rate(now));
        add("buffer-exhausted-total", self.memory_exhausted.total);
        add("metadata-wait-time-ns-total", self.metadata_waited.as_nanos() as f64);
        add("flush-time-ns-total", self.flushed.as_nanos() as f64);
        for call in Call::ALL {
            let time = self.transacted.get(&call).copied().unwrap_or_default();
            add(call.metric(), time.as_nanos() as f64);
        }
        add("buffer-total-bytes", gauges.buffer_total as f64);
        add("buffer-available-bytes", gauges.buffer_available as f64);
        add("waiting-threads", gauges.waiting as f64);
        add("requests-in-flight", gauges.in_flight as f64);
    }
}
