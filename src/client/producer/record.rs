//! Records to send, and what is known of them once they are stored.

#![warn(missing_docs, reason = "in the prelude")]

use std::sync::Arc;

use bytes::Bytes;

use crate::base::{Offset, Timestamp, TopicPartition};
use crate::client::Header;

/// A record to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerRecord {
    /// The topic to send it to.
    pub topic: Arc<str>,
    /// Chosen by the key, or else at random in runs, when there is none.
    pub partition: Option<i32>,
    /// Records with equal keys go to the same partition.
    pub key: Option<Bytes>,
    /// `None` is a tombstone.
    pub value: Option<Bytes>,
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

    /// The same, to this partition.
    #[must_use]
    pub fn to_partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// The same, with this key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The same, of this date.
    #[must_use]
    pub fn at(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = Some(timestamp);
        self
    }
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
