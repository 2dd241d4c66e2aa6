//! Why a heartbeat is refused.

use crate::group::{GroupId, MemberId};
use crate::wire::ErrorCode;

/// Why a heartbeat is refused, in Kafka's words. It changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A field is missing, or must not be there.
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// A member keeps its instance id for life.
    #[error("The instance id of member {0} cannot be changed.")]
    InstanceChanged(MemberId),
    /// The member asks for an assignor that is not configured.
    #[error("ServerAssignor {asked} is not supported. Supported assignors: {supported}.")]
    UnsupportedAssignor {
        /// Its name.
        asked: String,
        /// Those that are configured.
        supported: String,
    },
    /// Only a member that joins creates a group.
    #[error("Consumer group {0} not found.")]
    GroupNotFound(GroupId),
    /// The group speaks the classic protocol.
    #[error("Group {0} is not a consumer group.")]
    NotConsumer(GroupId),
    /// The group speaks the classic protocol and has members that can't be in a consumer group.
    #[error("Cannot upgrade classic group {group} to consumer group because {reason}.")]
    NotUpgraded {
        /// The group.
        group: GroupId,
        /// Why.
        reason: &'static str,
    },
    /// The group has `group.consumer.max.size` members.
    #[error("The consumer group has reached its maximum capacity of {0} members.")]
    Full(usize),
    /// The member was fenced, or never joined.
    #[error("Member {member} is not a member of group {group}.")]
    UnknownMember {
        /// The member.
        member: String,
        /// The group.
        group: GroupId,
    },
    /// No static member has this instance id.
    #[error("Instance id {0} is unknown.")]
    UnknownInstance(String),
    /// Another member has the instance id, and has not left.
    #[error(
        "Static member {member} with instance id {instance} cannot join the group because the \
         instance id is owned by {owner} member."
    )]
    UnreleasedInstance {
        /// The member that joins.
        member: MemberId,
        /// The instance id.
        instance: String,
        /// The member that has it.
        owner: MemberId,
    },
    /// Another member has taken the instance id over.
    #[error("Static member {member} with instance id {instance} was fenced by member {owner}.")]
    FencedInstance {
        /// The member that was replaced.
        member: String,
        /// The instance id.
        instance: String,
        /// The member that has it.
        owner: MemberId,
    },
    /// The member's epoch is not the one that it was given.
    #[error(
        "The consumer group member has a {} member epoch ({received}) than the one known by the \
         group coordinator ({known}). The member must abandon all its partitions and rejoin.",
        if received > known { "greater" } else { "smaller" }
    )]
    FencedEpoch {
        /// The epoch of the request.
        received: i32,
        /// The member's epoch.
        known: i32,
    },
    /// A newer version of the coordinator left the member in a state that is not known here.
    #[error(
        "The consumer group member is in a unknown state. The member must abandon all its \
         partitions and rejoin."
    )]
    UnknownState,
    /// The regular expression has no meaning.
    #[error("SubscribedTopicRegex `{pattern}` is not a valid regular expression: {reason}.")]
    InvalidPattern {
        /// The regular expression.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Refusal {
    /// Its error code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::InvalidRequest(_) | Self::InstanceChanged(_) => ErrorCode::InvalidRequest,
            Self::UnsupportedAssignor { .. } => ErrorCode::UnsupportedAssignor,
            Self::GroupNotFound(_) | Self::NotConsumer(_) | Self::NotUpgraded { .. } => {
                ErrorCode::GroupIdNotFound
            }
            Self::Full(_) => ErrorCode::GroupMaxSizeReached,
            Self::UnknownMember { .. } | Self::UnknownInstance(_) => ErrorCode::UnknownMemberId,
            Self::UnreleasedInstance { .. } => ErrorCode::UnreleasedInstanceId,
            Self::FencedInstance { .. } => ErrorCode::FencedInstanceId,
            Self::FencedEpoch { .. } | Self::UnknownState => ErrorCode::FencedMemberEpoch,
            Self::InvalidPattern { .. } => ErrorCode::InvalidRegularExpression,
        }
    }
}
