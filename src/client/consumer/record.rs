//! Records and notices, as the application gets them.

use bytes::Bytes;

use crate::base::{LeaderEpoch, Offset, Timestamp, TopicPartition};
use crate::client::Header;

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerRecord {
    /// Where from.
    pub partition: TopicPartition,
    /// Its place there.
    pub offset: Offset,
    /// Its date.
    pub timestamp: Timestamp,
    /// Its key.
    pub key: Option<Bytes>,
    /// `None` is a tombstone.
    pub value: Option<Bytes>,
    /// In order.
    pub headers: Vec<Header>,
    /// In which epoch it was written.
    pub leader_epoch: LeaderEpoch,
}

/// Something that moved a position without a seek.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// There was no position, or the log did not have it any more.
    Reset {
        /// Where.
        partition: TopicPartition,
        /// The position before, if there was one.
        from: Option<Offset>,
        /// The position now.
        to: Offset,
    },
    /// What was before the position is no longer what was read (KIP-320).
    Truncated {
        /// Where.
        partition: TopicPartition,
        /// The position before.
        from: Offset,
        /// The first offset known to differ: the position now. `None`: unknown, so a reset follows.
        to: Option<Offset>,
    },
}
