//! What a decision about a consumer group changes besides its records.

use std::time::Duration;

use crate::base::Offset;
use crate::group::{GroupId, MemberId, Reply};
use crate::wire::messages::{JoinGroupResponse, SyncGroupResponse};

/// A change of what is not replicated. See [`super::Sessions`].
#[derive(Debug)]
pub enum Effect {
    /// A member was heard of: its session begins again.
    Heard {
        /// Its group.
        group: GroupId,
        /// The member.
        member: MemberId,
        /// How long the session lasts.
        session: Duration,
    },
    /// A member must give partitions up, and has this long to do so.
    Revoking {
        /// Its group.
        group: GroupId,
        /// The member.
        member: MemberId,
        /// Its epoch.
        epoch: i32,
        /// Its rebalance timeout.
        timeout: Duration,
    },
    /// A member has no partitions to give up any more.
    Revoked {
        /// Its group.
        group: GroupId,
        /// The member.
        member: MemberId,
    },
    /// A member is gone.
    Left {
        /// Its group.
        group: GroupId,
        /// The member.
        member: MemberId,
    },
    /// The metadata of the subscribed topics were compared with the group's metadata hash.
    MetadataChecked {
        /// The group.
        group: GroupId,
        /// The offset of the image.
        image: Option<Offset>,
    },
    /// The regular expressions of a group were resolved.
    PatternsResolved {
        /// The group.
        group: GroupId,
        /// The offset of the image.
        image: Option<Offset>,
    },
    /// A group became a classic one. Its members join again.
    Downgraded {
        /// The group.
        group: GroupId,
    },
    /// A member of the classic protocol was told to join again. It has this long to do so, from
    /// when it was told first.
    Rejoining {
        /// Its group.
        group: GroupId,
        /// The member.
        member: MemberId,
        /// Its rebalance timeout.
        timeout: Duration,
    },
    /// A member of the classic protocol has joined. It has this long to ask for its assignment.
    Joined {
        /// Its group.
        group: GroupId,
        /// The member.
        member: MemberId,
        /// How long its session lasts.
        session: Duration,
        /// Its rebalance timeout.
        timeout: Duration,
    },
    /// A member of the classic protocol has asked for its assignment.
    Synced {
        /// Its group.
        group: GroupId,
        /// The member.
        member: MemberId,
        /// How long its session lasts.
        session: Duration,
    },
    /// A member of the classic protocol was heard of.
    Beat {
        /// Its group.
        group: GroupId,
        /// The member.
        member: MemberId,
        /// How long its session lasts.
        session: Duration,
    },
    /// A member id was given out, before its member is in the group.
    Drawn,
    /// Answers a JoinGroup.
    AnswerJoin(Reply<JoinGroupResponse>, JoinGroupResponse),
    /// Answers a SyncGroup.
    AnswerSync(Reply<SyncGroupResponse>, SyncGroupResponse),
}
