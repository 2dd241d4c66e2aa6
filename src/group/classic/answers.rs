//! Answers to members.

use std::sync::Arc;

use super::group::ClassicGroup;
use crate::group::MemberId;
use crate::wire::ErrorCode;
use crate::wire::messages::join_group_response::JoinGroupResponseMember;
use crate::wire::messages::{JoinGroupResponse, StrBytes, SyncGroupResponse, message};

/// The answer to a member that has joined the current generation. A leader is told who the
/// members are.
pub(super) fn joined(group: &ClassicGroup, member: &MemberId) -> JoinGroupResponse {
    let name = |name: &Option<Arc<str>>| name.as_deref().map(StrBytes::from);
    let members = match group.is_leader(member.as_str()) {
        true => members(group),
        false => Vec::new(),
    };
    message!(JoinGroupResponse {
        generation_id: group.generation,
        protocol_type: name(&group.protocol_type),
        protocol_name: name(&group.protocol),
        leader: group.leader.as_ref().map_or("", MemberId::as_str).into(),
        member_id: member.as_str().into(),
        members: members,
    })
}

fn members(group: &ClassicGroup) -> Vec<JoinGroupResponseMember> {
    let protocol = group.protocol.as_deref().unwrap_or_default();
    let members = group.members.values().map(|member| {
        message!(JoinGroupResponseMember {
            member_id: member.id.as_str().into(),
            group_instance_id: member.instance.as_deref().map(StrBytes::from),
            metadata: member.protocols.metadata(protocol).cloned().unwrap_or_default(),
        })
    });
    members.collect()
}

/// The answer to a member whose assignment is stored.
pub(super) fn synced(group: &ClassicGroup, member: &MemberId) -> SyncGroupResponse {
    let assignment = group.member(member.as_str()).and_then(|member| member.assignment.clone());
    message!(SyncGroupResponse {
        protocol_type: group.protocol_type.as_deref().map(StrBytes::from),
        protocol_name: group.protocol.as_deref().map(StrBytes::from),
        assignment: assignment.unwrap_or_default(),
    })
}

/// An answer with nothing but an error.
pub(super) fn refused_join(member: &str, error: ErrorCode) -> JoinGroupResponse {
    message!(JoinGroupResponse { member_id: member.into(), error_code: error.code() })
}

/// An answer with nothing but an error.
pub(super) fn refused_sync(error: ErrorCode) -> SyncGroupResponse {
    message!(SyncGroupResponse { error_code: error.code() })
}
