//! Records, as a consumer's application gets them.

#![warn(missing_docs, reason = "in the prelude")]

use bytes::Bytes;

use super::Header;
use crate::base::{LeaderEpoch, Offset, Timestamp, TopicPartition};

/// A record as it was read. Its key and value are bytes, or what a deserializer made of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerRecord<K = Bytes, V = Bytes> {
    /// The partition it was read from.
    pub partition: TopicPartition,
    /// Its offset in the partition.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// Its key.
    pub key: Option<K>,
    /// `None` is a tombstone.
    pub value: Option<V>,
    /// In order.
    pub headers: Vec<Header>,
    /// Epoch of the leader that wrote it.
    pub leader_epoch: LeaderEpoch,
}
