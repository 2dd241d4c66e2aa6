//! LeaveGroup.

use super::Decision;
use super::group::{ClassicGroup, Phase};
use super::join::reason;
use super::plan::{At, Plan};
use super::soft::Classic;
use crate::wire::ErrorCode;
use crate::wire::messages::leave_group_request::MemberIdentity;
use crate::wire::messages::leave_group_response::MemberResponse;
use crate::wire::messages::{LeaveGroupRequest, LeaveGroupResponse, message};

/// From this version on a request names several members, and each has its own error (KIP-345).
const SEVERAL_MEMBERS: i16 = 3;

impl Classic {
    /// Removes members. An administrator removes static members by their instance alone.
    pub(in crate::group) fn leave(
        &self,
        at: At<'_>,
        version: i16,
        request: &LeaveGroupRequest,
    ) -> Decision<LeaveGroupResponse> {
        if request.group_id.is_empty() {
            let error = ErrorCode::InvalidGroupId.code();
            return Decision::only(message!(LeaveGroupResponse { error_code: error }));
        }
        let single = [message!(MemberIdentity { member_id: request.member_id.clone() })];
        let leaving = match version < SEVERAL_MEMBERS {
            true => &single[..],
            false => &request.members[..],
        };
        let Some(group) = self.get(&request.group_id) else {
            let unknown = |leaving| left(leaving, Err(ErrorCode::UnknownMemberId));
            return Decision::only(response(version, leaving.iter().map(unknown).collect()));
        };
        let mut plan = Plan::new(at, ClassicGroup::clone(group));
        let mut members = Vec::with_capacity(leaving.len());
        let mut reasons = Vec::new();
        for leaving in leaving {
            let outcome = remove(&mut plan, leaving);
            if outcome.is_ok() {
                let given = reason(leaving.reason.as_deref());
                reasons.push(format!("{} ({given})", leaving.member_id));
            }
            members.push(left(leaving, outcome));
        }
        if reasons.is_empty() {
            return Decision::only(response(version, members));
        }
        match plan.group.phase {
            Phase::Stable | Phase::CompletingRebalance { .. } => {
                let left = reasons.join(", ");
                plan.rebalance_or_complete(&format!("members left: {left}"));
            }
            Phase::PreparingRebalance { .. } => plan.maybe_complete_join(),
            Phase::Empty => {}
        }
        plan.finish(response(version, members))
    }
}

fn remove(plan: &mut Plan<'_>, leaving: &MemberIdentity) -> Result<(), ErrorCode> {
    let instance = leaving.group_instance_id.as_deref();
    let member = leaving.member_id.as_str();
    if member.is_empty() {
        let member = instance.and_then(|instance| plan.group.instances.get(instance));
        let member = member.cloned().ok_or(ErrorCode::UnknownMemberId)?;
        plan.remove(member.as_str());
        return Ok(());
    }
    if !plan.group.pending_join.contains_key(member) {
        plan.group.validate_member(member, instance)?;
    }
    plan.remove(member);
    Ok(())
}

fn left(leaving: &MemberIdentity, outcome: Result<(), ErrorCode>) -> MemberResponse {
    message!(MemberResponse {
        member_id: leaving.member_id.clone(),
        group_instance_id: leaving.group_instance_id.clone(),
        error_code: outcome.err().unwrap_or(ErrorCode::None).code(),
    })
}

fn response(version: i16, members: Vec<MemberResponse>) -> LeaveGroupResponse {
    if version >= SEVERAL_MEMBERS {
        return message!(LeaveGroupResponse { members: members });
    }
    let error = members.first().map_or(0, |member| member.error_code);
    message!(LeaveGroupResponse { error_code: error })
}
