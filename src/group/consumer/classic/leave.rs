//! LeaveGroup to a consumer group.

use std::collections::BTreeSet;

use super::super::effect::Effect;
use super::super::fence::fence;
use super::super::group::ConsumerGroup;
use super::super::plan::{Context, Plan};
use crate::decide::Decision;
use crate::group::{MemberId, Record};
use crate::wire::ErrorCode;
use crate::wire::messages::leave_group_request::MemberIdentity;
use crate::wire::messages::leave_group_response::MemberResponse;
use crate::wire::messages::{LeaveGroupRequest, LeaveGroupResponse, message};

/// From this version on a request names several members, and each has its own error (KIP-345).
const SEVERAL_MEMBERS: i16 = 3;

/// Members of the classic protocol leave. An administrator removes static members of either
/// protocol by their instance alone.
pub fn leave(
    group: &ConsumerGroup,
    context: &Context<'_>,
    version: i16,
    request: &LeaveGroupRequest,
) -> Decision<Record, LeaveGroupResponse, Effect> {
    let single = [message!(MemberIdentity { member_id: request.member_id.clone() })];
    let named = if version < SEVERAL_MEMBERS { &single[..] } else { &request.members[..] };
    let mut leaving = BTreeSet::new();
    let members = named.iter().map(|named| {
        let found = find(group, named);
        let error = found.as_ref().err().copied().unwrap_or(ErrorCode::None);
        leaving.extend(found.ok());
        message!(MemberResponse {
            member_id: named.member_id.clone(),
            group_instance_id: named.group_instance_id.clone(),
            error_code: error.code(),
        })
    });
    let members: Vec<_> = members.collect();
    let response = match version {
        SEVERAL_MEMBERS.. => message!(LeaveGroupResponse { members: members }),
        _ => {
            let error = members.first().map_or(0, |member| member.error_code);
            message!(LeaveGroupResponse { error_code: error })
        }
    };
    let mut plan = Plan::new(group.clone());
    fence(&mut plan, context, &leaving);
    plan.decide(response)
}

fn find(group: &ConsumerGroup, named: &MemberIdentity) -> Result<MemberId, ErrorCode> {
    let id = &*named.member_id;
    let Some(instance) = named.group_instance_id.as_deref() else {
        let member = group.member(id).filter(|member| member.is_classic());
        return member.map(|_| MemberId::from(id)).ok_or(ErrorCode::UnknownMemberId);
    };
    match group.instance(instance) {
        None => Err(ErrorCode::UnknownMemberId),
        Some((owner, _)) if id.is_empty() => Ok(owner.clone()),
        Some((owner, _)) if owner.as_str() != id => Err(ErrorCode::FencedInstanceId),
        Some((_, member)) if !member.is_classic() => Err(ErrorCode::UnknownMemberId),
        Some((owner, _)) => Ok(owner.clone()),
    }
}
