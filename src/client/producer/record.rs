//! Records to send, and what is known of them once they are stored.

#![warn(missing_docs, reason = "in the prelude")]

use std::sync::Arc;

use bytes::Bytes;

use crate::base::{Offset, Timestamp, TopicPartition};
use crate::client::Header;
use crate::wire::batch::HEADER_LEN;

/// A record to be sent. Key and value are bytes, unless it is for a
/// [`TypedProducer`](super::TypedProducer), which serializes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerRecord<K = Bytes, V = Bytes> {
    /// The topic to send it to.
    pub topic: Arc<str>,
    /// Chosen by the key, or else at random in runs, when there is none.
    pub partition: Option<i32>,
    /// Records with equal keys go to the same partition.
    pub key: Option<K>,
    /// `None` is a tombstone.
    pub value: Option<V>,
    /// In order.
    pub headers: Vec<Header>,
    /// The host's date if there is none.
    pub timestamp: Option<Timestamp>,
}

impl ProducerRecord {
    /// A record with a value and nothing else.
    pub fn new(topic: impl Into<Arc<str>>, value: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            partition: None,
            key: None,
            value: Some(value.into()),
            headers: Vec::new(),
            timestamp: None,
        }
    }

    /// The same, with this key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }
}

impl<K, V> ProducerRecord<K, V> {
    /// A record with a key and a value, each of which may be absent.
    pub fn of(topic: impl Into<Arc<str>>, key: Option<K>, value: Option<V>) -> Self {
        let (topic, headers) = (topic.into(), Vec::new());
        Self { topic, partition: None, key, value, headers, timestamp: None }
    }

    /// The same, to this partition.
    #[must_use]
    pub fn to_partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// The same, with one more header.
    #[must_use]
    pub fn with_header(mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        self.headers.push(Header { key: key.into(), value: Some(value.into()) });
        self
    }

    /// The same, of this date.
    #[must_use]
    pub fn at(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = Some(timestamp);
        self
    }
}

/// What a record takes besides its key, value and headers, at most: length, attributes, deltas
/// and lengths (KIP-98).
const RECORD_OVERHEAD: usize = 21;
/// The longest varint of 32 bits.
const LONGEST_LENGTH: usize = 5;

/// The most bytes that a batch with this record alone can have. Kafka holds `max.request.size` and
/// `buffer.memory` against this. Source: Kafka's `AbstractRecords.estimateSizeInBytesUpperBound`.
pub(super) fn upper_bound(record: &ProducerRecord) -> usize {
    let len = |field: &Option<Bytes>| field.as_ref().map_or(0, Bytes::len);
    let headers = record.headers.iter();
    let headers = headers.map(|header| 2 * LONGEST_LENGTH + header.key.len() + len(&header.value));
    HEADER_LEN + RECORD_OVERHEAD + len(&record.key) + len(&record.value) + headers.sum::<usize>()
}

/// The place of an acknowledged record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    /// The partition it is stored in.
    pub partition: TopicPartition,
    /// Unknown with `acks=0`, and when a broker only remembers that it has the record.
    pub offset: Option<Offset>,
    /// As stored: the record's own, or the broker's if the topic says `LogAppendTime`.
    pub timestamp: Timestamp,
}
