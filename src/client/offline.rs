//! A producer and a consumer without a network, whose requests are answered at once: what clients
//! cost by themselves, for benchmarks.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::consumer::{self, Answer, Question};
use super::kernel;
use super::producer::{self, Outcome, Taken};
use super::{ConsumerRecord, Metrics, ProducerRecord};
use crate::base::config::{Config, ConfigError, ConsumerConfig, ProducerConfig};
use crate::base::{
    Instant, Offset, ProducerEpoch, ProducerId, Seed, Stream, Timestamp, TopicPartition,
};
use crate::io::Address;
use crate::wire::ErrorCode;
use crate::wire::batch::BatchHeader;
use crate::wire::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use crate::wire::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use crate::wire::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use crate::wire::messages::{
    FetchResponse, MetadataResponse, ProduceRequest, ProduceResponse, Uuid, message,
};

/// The topic that an offline client uses.
pub const TOPIC: &str = "orders";

const TOPIC_ID: Uuid = Uuid::from_bytes([7; 16]);
const BROKER: i32 = 1;
const SERVER: &str = "b1:9092";
/// Longer than any benchmark lets records linger, and shorter than the age of metadata.
const LINGER_AT_MOST: Duration = Duration::from_secs(10);

/// One broker, which leads all partitions of [`TOPIC`].
fn metadata(partitions: i32) -> MetadataResponse {
    let partitions = (0..partitions).map(|index| {
        message!(MetadataResponsePartition { partition_index: index, leader_id: BROKER })
    });
    message!(MetadataResponse {
        brokers: vec![message!(MetadataResponseBroker {
            node_id: BROKER,
            host: "b1".into(),
            port: 9092,
        })],
        topics: vec![message!(MetadataResponseTopic {
            name: Some(TOPIC.into()),
            topic_id: TOPIC_ID,
            partitions: partitions.collect(),
        })],
    })
}

fn news(from: Address, partitions: i32) -> kernel::Input {
    kernel::Input::Metadata { from, answer: Some(Box::new(metadata(partitions))) }
}

/// A producer whose batches are acknowledged at once.
pub struct OfflineProducer {
    core: producer::Core,
    now: Instant,
    partitions: i32,
    /// Bytes of records in acknowledged batches.
    acknowledged: u64,
    next_offset: i64,
}

impl OfflineProducer {
    /// A producer with these settings, for a topic with this many partitions.
    pub fn new(settings: &[(&str, &str)], partitions: i32) -> Result<Self, ConfigError> {
        let mut config = ProducerConfig::default();
        config.set("bootstrap.servers", SERVER)?;
        config.set_all(settings.iter().copied())?;
        let (now, random) = (Instant::from_secs(1), Seed(1).stream(Stream::named("offline")));
        let core = producer::Core::new(config, now, random)?;
        Ok(Self { core, now, partitions, acknowledged: 0, next_offset: 0 })
    }

    /// Sends a record, one microsecond after the one before. Returns false if `buffer.memory` has no
    /// room for it though everything before is acknowledged.
    pub fn send(&mut self, record: ProducerRecord) -> bool {
        self.now = self.now + Duration::from_micros(1);
        let timestamp = Timestamp(1_700_000_000_000);
        let mut taken = self.core.append(self.now, timestamp, record, None);
        if let Taken::NoMemory { record, .. } = taken {
            self.step();
            taken = self.core.append(self.now, timestamp, record, None);
        }
        if self.core.deadline() <= self.now {
            self.step();
        }
        matches!(taken, Taken::Yes(_))
    }

    /// Lets time pass until nothing lingers any more.
    pub fn flush(&mut self) {
        while self.core.deadline() < self.now + LINGER_AT_MOST {
            self.now = self.now.max(self.core.deadline());
            self.step();
        }
    }

    /// Bytes of the batches that were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// See [`Producer::metrics`](super::Producer::metrics).
    pub fn metrics(&self) -> Metrics {
        self.core.metrics(self.now)
    }

    fn step(&mut self) {
        let mut inputs = VecDeque::from([producer::Input::Tick]);
        let mut effects = Vec::new();
        while let Some(input) = inputs.pop_front() {
            self.core.step(self.now, input, &mut effects);
            for effect in effects.drain(..) {
                match effect {
                    producer::Effect::Kernel(kernel::Effect::Metadata { ask, .. }) => {
                        inputs.push_back(producer::Input::Kernel(news(ask, self.partitions)));
                    }
                    // A producer without transactions needs no coordinator.
                    producer::Effect::Kernel(kernel::Effect::Coordinators { .. }) => {}
                    producer::Effect::Identify { ask } => {
                        let granted = Ok((ProducerId(1), ProducerEpoch(0)));
                        let granted = producer::Input::Identity {
                            from: ask,
                            answer: granted,
                            throttle_ms: 0,
                        };
                        inputs.push_back(granted);
                    }
                    // It has no transactions.
                    producer::Effect::Transact(_) => {}
                    producer::Effect::Send(order) => {
                        let (answer, bytes) = stored(&order.message, self.next_offset);
                        self.acknowledged += bytes;
                        self.next_offset += 1;
                        let outcome = Outcome::Answered(Box::new(answer));
                        inputs.push_back(producer::Input::Produced {
                            request: order.request,
                            outcome,
                        });
                    }
                }
            }
        }
    }
}

/// The answer to a request that stores everything, and the bytes in it.
fn stored(request: &ProduceRequest, base: i64) -> (ProduceResponse, u64) {
    let mut bytes = 0;
    let topics = request.topic_data.iter().map(|topic| {
        let partitions = topic.partition_data.iter().map(|data| {
            bytes += data.records.as_ref().map_or(0, |records| records.len() as u64);
            message!(PartitionProduceResponse {
                index: data.index,
                error_code: ErrorCode::None.code(),
                base_offset: base,
                log_append_time_ms: -1,
            })
        });
        let partition_responses = partitions.collect();
        message!(TopicProduceResponse {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partition_responses: partition_responses,
        })
    });
    let responses = topics.collect();
    (message!(ProduceResponse { responses: responses }), bytes)
}

/// A consumer that reads the same log from each partition, and begins again at its end.
pub struct OfflineConsumer {
    core: consumer::Core,
    now: Instant,
    partitions: Vec<TopicPartition>,
    log: Bytes,
    /// Where each batch of the log begins: its offset and its place.
    index: Vec<(Offset, usize)>,
    end: Offset,
    max_bytes: usize,
}

impl OfflineConsumer {
    /// A consumer with these settings of this many partitions with these batches, whose offsets
    /// follow each other.
    pub fn new(
        settings: &[(&str, &str)],
        partitions: i32,
        log: Bytes,
    ) -> Result<Self, ConfigError> {
        let mut config = ConsumerConfig::default();
        config.set("bootstrap.servers", SERVER)?;
        config.set_all(settings.iter().copied())?;
        let max_bytes = usize::try_from(config.max_partition_fetch_bytes).unwrap_or(0);
        let (now, random) = (Instant::from_secs(1), Seed(1).stream(Stream::named("offline")));
        let mut core = consumer::Core::new(config, now, random)?;
        let partitions: Vec<_> =
            (0..partitions).map(|index| TopicPartition::new(TOPIC, index)).collect();
        core.assign(partitions.clone());
        let (mut index, mut end, mut at) = (Vec::new(), Offset::ZERO, 0);
        while let Ok(header) = BatchHeader::parse(&log[at..]) {
            index.push((header.base_offset, at));
            (end, at) = (header.next_offset(), at + header.size());
        }
        let mut consumer = Self { core, now, partitions, log, index, end, max_bytes };
        consumer.rewind();
        Ok(consumer)
    }

    /// Sets the partitions that were read to their end back to their beginning.
    fn rewind(&mut self) {
        for partition in &self.partitions {
            if self.core.position(partition).is_none_or(|position| position >= self.end) {
                self.core.seek(partition, Offset::ZERO);
            }
        }
    }

    /// The next records, up to `max.poll.records`.
    pub fn poll(&mut self) -> Vec<ConsumerRecord> {
        let records = self.core.take(self.now).unwrap_or_default();
        if !records.is_empty() {
            return records;
        }
        self.rewind();
        self.step();
        self.core.take(self.now).unwrap_or_default()
    }

    fn step(&mut self) {
        let mut inputs = VecDeque::from([consumer::Input::Tick]);
        let mut effects = Vec::new();
        // One round of answers: with records buffered, nothing more is asked.
        while let Some(input) = inputs.pop_front() {
            self.core.step(self.now, input, &mut effects);
            for effect in effects.drain(..) {
                match effect {
                    consumer::Effect::Kernel(kernel::Effect::Metadata { ask, .. }) => {
                        let partitions = self.partitions.len() as i32;
                        inputs.push_back(consumer::Input::Kernel(news(ask, partitions)));
                    }
                    consumer::Effect::Kernel(kernel::Effect::Coordinators { .. }) => {}
                    consumer::Effect::Ask(order) => {
                        let answer = self.answer(&order.question);
                        inputs.push_back(consumer::Input::Answered {
                            request: order.request,
                            answer,
                        });
                    }
                }
            }
        }
    }

    fn answer(&self, question: &Question) -> Answer {
        let Question::Fetch(request) = question else {
            return Answer::None(ErrorCode::UnsupportedVersion);
        };
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                message!(PartitionData {
                    partition_index: asked.partition,
                    high_watermark: self.end.0,
                    last_stable_offset: self.end.0,
                    records: Some(self.read(Offset(asked.fetch_offset))),
                })
            });
            let partitions = partitions.collect();
            message!(FetchableTopicResponse {
                topic: topic.topic.clone(),
                topic_id: topic.topic_id,
                partitions: partitions,
            })
        });
        let responses = topics.collect();
        Answer::Fetch(Box::new(message!(FetchResponse { responses: responses })))
    }

    /// Up to `max.partition.fetch.bytes` from the batch with this offset on.
    fn read(&self, from: Offset) -> Bytes {
        let after = self.index.partition_point(|(offset, _)| *offset <= from);
        let Some((_, begin)) = self.index.get(after.saturating_sub(1)) else {
            return Bytes::new();
        };
        let end = self.log.len().min(begin + self.max_bytes);
        self.log.slice(*begin..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::config::Compression;
    use crate::wire::batch::BatchBuilder;

    #[test]
    fn offline_producer_acknowledges_what_it_was_given() {
        let mut producer = OfflineProducer::new(&[], 3).unwrap();
        for _ in 0..1000 {
            assert!(producer.send(ProducerRecord::new(TOPIC, vec![7; 100])));
        }
        producer.flush();
        let metrics = producer.metrics();
        assert_eq!(metrics.get("record-send-total"), Some(1000.0));
        assert_eq!(metrics.of_topic("byte-total", TOPIC), Some(producer.acknowledged() as f64));
        let available = metrics.get("buffer-available-bytes");
        assert_eq!(available, Some(33_554_432.0), "nothing is left");
        assert!(producer.acknowledged() > 100 * 1000);
    }

    #[test]
    fn offline_consumer_reads_the_log_again_and_again() {
        let mut log = Vec::new();
        for base in [0, 10] {
            let mut builder = BatchBuilder::new(Compression::None, Timestamp(1));
            for n in 0..10 {
                builder.append(Timestamp(1), None, Some(&[base + n]), &[]);
            }
            let batch = log.len();
            log.extend_from_slice(&builder.finish_plain());
            log[batch..batch + 8].copy_from_slice(&i64::from(base).to_be_bytes());
        }
        let mut consumer = OfflineConsumer::new(&[], 2, log.into()).unwrap();
        let mut values = vec![Vec::new(); 2];
        for _ in 0..10 {
            for record in consumer.poll() {
                values[record.partition.partition as usize].push(record.value.unwrap()[0]);
            }
        }
        let once: Vec<u8> = (0..20).collect();
        for values in values {
            assert!(values.len() >= 40 && values.chunks(20).all(|read| read == once));
        }
    }
}
