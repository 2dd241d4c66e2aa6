//! A member of a consumer group.

use std::sync::Arc;

use super::partitions::Owned;
use crate::group::record::{CurrentAssignmentValue, MemberValue};

/// The epoch with which a member leaves, and of one whose assignment was deleted.
pub(super) const LEAVE: i32 = -1;

/// The epoch with which a static member leaves to come back within its session timeout.
pub(super) const LEAVE_STATIC: i32 = -2;

/// How far a member is on its way to its target assignment. Source: Kafka's `MemberState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// It owns its target of its epoch.
    Stable,
    /// It must stop using partitions, and confirm that it has.
    UnrevokedPartitions,
    /// It waits for partitions that other members have not released.
    UnreleasedPartitions,
    /// A state that only a newer version knows.
    Unknown(i8),
}

impl MemberState {
    fn code(self) -> i8 {
        match self {
            Self::Stable => 0,
            Self::UnrevokedPartitions => 1,
            Self::UnreleasedPartitions => 2,
            Self::Unknown(code) => code,
        }
    }

    fn from_code(code: i8) -> Self {
        match code {
            0 => Self::Stable,
            1 => Self::UnrevokedPartitions,
            2 => Self::UnreleasedPartitions,
            other => Self::Unknown(other),
        }
    }
}

/// A member: what it subscribes to, and what it owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its subscription and its client.
    pub info: Arc<MemberValue>,
    /// The epoch of the target that it moves to or has reached. Negative while it has left.
    pub epoch: i32,
    /// The epoch before: a member that missed the response with its new epoch still sends this one.
    pub previous_epoch: i32,
    /// How far it is.
    pub state: MemberState,
    /// Partitions that it may use.
    pub assigned: Owned,
    /// Partitions that it has not yet confirmed to have given up.
    pub pending: Owned,
}

impl Default for Member {
    fn default() -> Self {
        // As Kafka's: a subscription without a pattern has an empty one.
        let info = MemberValue {
            pattern: Some(String::new()),
            rebalance_timeout_ms: -1,
            ..MemberValue::default()
        };
        Self {
            info: Arc::new(info),
            epoch: 0,
            previous_epoch: -1,
            state: MemberState::Stable,
            assigned: Owned::default(),
            pending: Owned::default(),
        }
    }
}

impl Member {
    /// Applies the record of its current assignment.
    pub(super) fn assign(&mut self, value: Option<&CurrentAssignmentValue>) {
        let Some(value) = value else {
            (self.epoch, self.previous_epoch) = (LEAVE, LEAVE);
            (self.assigned, self.pending) = (Owned::default(), Owned::default());
            return;
        };
        self.epoch = value.epoch;
        self.previous_epoch = value.previous_epoch;
        self.state = MemberState::from_code(value.state);
        self.assigned = Owned::from_record(&value.assigned, value.epoch);
        self.pending = Owned::from_record(&value.pending_revocation, value.epoch);
    }

    /// Its current assignment as in a record.
    pub(super) fn assignment(&self) -> CurrentAssignmentValue {
        CurrentAssignmentValue {
            epoch: self.epoch,
            previous_epoch: self.previous_epoch,
            state: self.state.code(),
            assigned: self.assigned.to_record(),
            pending_revocation: self.pending.to_record(),
        }
    }

    /// Whether it owns its target of this epoch.
    pub fn is_reconciled_to(&self, target_epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == target_epoch
    }

    /// Its regular expression, if it subscribes to one.
    pub fn pattern(&self) -> Option<&str> {
        self.info.pattern.as_deref().filter(|pattern| !pattern.is_empty())
    }

    /// Whether it speaks the classic protocol.
    pub fn is_classic(&self) -> bool {
        self.info.classic.is_some()
    }
}
