//! What a membership asks of the consumer and its application, whatever the protocol.

use crate::base::{Instant, TopicPartition};
use crate::group::MemberId;
use crate::wire::ErrorCode;

/// A member in one generation of its group, or with one epoch: commits name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::client) struct Identity {
    /// The generation, or the member's epoch.
    pub(in crate::client) epoch: i32,
    pub(in crate::client) member: MemberId,
}

/// What the application's rebalance listener is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::client) enum Event {
    /// They will be taken away; offsets may still be committed.
    Revoked(Vec<TopicPartition>),
    /// They were taken away; others may read them already.
    Lost(Vec<TopicPartition>),
    /// They are read from now on, besides those that were kept.
    Assigned(Vec<TopicPartition>),
}

impl Event {
    pub(in crate::client) fn partitions(&self) -> &[TopicPartition] {
        match self {
            Self::Revoked(partitions) | Self::Lost(partitions) | Self::Assigned(partitions) => {
                partitions
            }
        }
    }
}

/// What the application's poll has to do before the rebalance can go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::client) enum Step {
    /// Commit what was returned, until this time at the latest; `committed` follows.
    Commit { until: Instant },
    /// Call the listener; `told` follows.
    Tell(Event),
}

/// An error that the application has to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::client) enum Trouble {
    Refused(ErrorCode),
    /// What another member or the coordinator sent can't be read.
    Unreadable(String),
}

/// The commit before a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastCommit {
    NotBegun,
    /// KAFKA-14024: a rebalance must not wait longer than others wait for this member.
    Begun {
        until: Instant,
    },
    Ended,
}
