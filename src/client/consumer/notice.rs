//! Notices, as the application gets them.

#![warn(missing_docs, reason = "in the prelude")]

use crate::base::{Offset, TopicPartition};

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
