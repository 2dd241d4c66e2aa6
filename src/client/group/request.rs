//! The requests to a coordinator, and their answers.

use crate::wire::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, HeartbeatRequest,
    HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
    SyncGroupRequest, SyncGroupResponse,
};

/// A request to the coordinator of the group.
#[derive(Debug)]
pub(in crate::client) enum Request {
    Join(JoinGroupRequest),
    Sync(SyncGroupRequest),
    Heartbeat(HeartbeatRequest),
    Leave(LeaveGroupRequest),
    ConsumerHeartbeat(ConsumerGroupHeartbeatRequest),
    Commit(OffsetCommitRequest),
    Committed(OffsetFetchRequest),
}

/// Its answer.
#[derive(Debug)]
pub(in crate::client) enum Response {
    Join(JoinGroupResponse),
    Sync(SyncGroupResponse),
    Heartbeat(HeartbeatResponse),
    Leave(LeaveGroupResponse),
    ConsumerHeartbeat(ConsumerGroupHeartbeatResponse),
    Commit(OffsetCommitResponse),
    Committed(OffsetFetchResponse),
}

impl Response {
    /// The pause for which it asks before the next request.
    pub(in crate::client) fn throttle_ms(&self) -> i32 {
        match self {
            Self::Join(answer) => answer.throttle_time_ms,
            Self::Sync(answer) => answer.throttle_time_ms,
            Self::Heartbeat(answer) => answer.throttle_time_ms,
            Self::Leave(answer) => answer.throttle_time_ms,
            Self::ConsumerHeartbeat(answer) => answer.throttle_time_ms,
            Self::Commit(answer) => answer.throttle_time_ms,
            Self::Committed(answer) => answer.throttle_time_ms,
        }
    }
}
