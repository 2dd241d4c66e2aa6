//! Heartbeat to a consumer group.

use super::super::advance::refresh;
use super::super::effect::Effect;
use super::super::group::ConsumerGroup;
use super::super::member::{Member, MemberState};
use super::super::plan::{Context, Plan};
use super::super::sessions::rebalance_timeout;
use super::{sender, session_of};
use crate::decide::Decision;
use crate::group::{MemberId, Record};
use crate::wire::ErrorCode;
use crate::wire::messages::{HeartbeatRequest, HeartbeatResponse, message};

/// A member of the classic protocol is alive, and learns whether it has to join again.
///
/// Like a heartbeat of the new protocol, it brings the target up to date: there may be no other
/// members.
pub fn beat(
    group: &ConsumerGroup,
    context: &Context<'_>,
    request: &HeartbeatRequest,
) -> Decision<Record, HeartbeatResponse, Effect> {
    let (id, instance) = (&*request.member_id, request.group_instance_id.as_deref());
    let answer = |error: ErrorCode| message!(HeartbeatResponse { error_code: error.code() });
    let member = match sender(group, id, instance, request.generation_id) {
        Ok(member) => member,
        Err(error) => return Decision::only(answer(error)),
    };
    let mut plan = Plan::new(group.clone());
    refresh(&mut plan, context, false, true);
    let (group, id) = (group.id().clone(), MemberId::from(id));
    let session = session_of(member);
    plan.then(Effect::Beat { group: group.clone(), member: id.clone(), session });
    if !has_work(plan.group(), &id, member) {
        return plan.decide(answer(ErrorCode::None));
    }
    let timeout = rebalance_timeout(member.info.rebalance_timeout_ms);
    plan.then(Effect::Rejoining { group, member: id, timeout });
    plan.decide(answer(ErrorCode::RebalanceInProgress))
}

/// Whether the member can take a step: there is a newer target, it has to revoke partitions, or all
/// that it waits for is free.
fn has_work(group: &ConsumerGroup, id: &MemberId, member: &Member) -> bool {
    let waits = || {
        let target = group.target(id.as_str()).into_iter().flat_map(|target| target.iter());
        let mut owners = target.filter_map(|(topic, partition)| group.owner(topic, partition));
        owners.any(|owner| owner != id)
    };
    member.epoch < group.target_epoch()
        || match member.state {
            MemberState::UnrevokedPartitions => true,
            MemberState::UnreleasedPartitions => !waits(),
            MemberState::Stable | MemberState::Unknown(_) => false,
        }
}
