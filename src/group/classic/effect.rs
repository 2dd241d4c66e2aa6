//! What a decision changes besides the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::group::ClassicGroup;
use crate::base::Instant;
use crate::group::{GroupId, MemberId, Reply};
use crate::wire::messages::{JoinGroupResponse, SyncGroupResponse};

/// A deadline of a classic group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The members that have joined by then make the next generation.
    Join(GroupId),
    /// Members that have not sent SyncGroup by then are removed.
    Sync(GroupId),
    /// The session of a member, or the life of an id that was given out.
    Session(GroupId, MemberId),
}

impl Timer {
    pub(super) fn group(&self) -> &GroupId {
        match self {
            Self::Join(group) | Self::Sync(group) | Self::Session(group, _) => group,
        }
    }
}

/// A change of what is not replicated.
#[derive(Debug)]
pub struct Effect(pub(super) Kind);

#[derive(Debug)]
pub(super) enum Kind {
    /// The group is this from now on.
    Put(Arc<ClassicGroup>),
    SetTimer(Timer, Instant),
    CancelTimer(Timer),
    /// The JoinGroup of a member waits.
    HoldJoin {
        group: GroupId,
        member: MemberId,
        reply: Reply<JoinGroupResponse>,
    },
    AnswerJoin {
        group: GroupId,
        member: MemberId,
        response: JoinGroupResponse,
    },
    /// Answers a JoinGroup that never waited.
    ReplyJoin(Reply<JoinGroupResponse>, JoinGroupResponse),
    /// The SyncGroup of a member waits.
    HoldSync {
        group: GroupId,
        member: MemberId,
        reply: Reply<SyncGroupResponse>,
    },
    AnswerSync {
        group: GroupId,
        member: MemberId,
        response: SyncGroupResponse,
    },
    /// Answers a SyncGroup that never waited.
    ReplySync(Reply<SyncGroupResponse>, SyncGroupResponse),
    /// The assignment of a generation is committed.
    Stored {
        group: GroupId,
        generation: i32,
        assignments: Assignments,
    },
    /// The new id of a static member is committed, and no rebalance was necessary.
    Replaced {
        group: GroupId,
        member: MemberId,
        answer: ReplacedAnswer,
    },
    /// A member id was drawn.
    Drawn,
    /// A rebalance begins. For people who read logs (KIP-800).
    Rebalancing {
        group: GroupId,
        generation: i32,
        reason: String,
    },
}

/// How a new process of a static member is answered whose group stays stable.
#[derive(Clone, Debug)]
pub(super) enum ReplacedAnswer {
    /// KIP-814: a leader is told that it leads, and that it need not assign.
    Skipping,
    /// Before JoinGroup 9: the one who led before is named as the leader, so that the new process
    /// of a leader does not assign.
    Naming { leader: Option<MemberId> },
}

/// The assignments of a leader by member; of several for one member the last one counts.
pub(super) type Assignments = Arc<BTreeMap<MemberId, Bytes>>;
