//! Records and notices, as the application gets them.

#![warn(missing_docs, reason = "in the prelude")]

use bytes::Bytes;

use crate::base::{LeaderEpoch, Offset, Timestamp, TopicPartition};
use crate::client::Header;

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

/// Something that moved a position without a seek.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// There was no position, or the log did not have it.
    Reset {
        /// The partition.
        partition: TopicPartition,
        /// The position before, if there was one.
        from: Option<Offset>,
        /// The position now.
        to: Offset,
    },
    /// Records before the position were truncated (KIP-320).
    Truncated {
        /// The partition.
        partition: TopicPartition,
        /// The position before.
        from: Offset,
        /// The first offset known to differ: the position now. `None`: unknown, so a reset follows.
        to: Option<Offset>,
    },
}
