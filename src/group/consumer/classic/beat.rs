//! Heartbeat to a consumer group.

use super::super::effect::Effect;
use super::super::group::ConsumerGroup;
use super::super::member::{Member, MemberState};
use super::super::sessions::rebalance_timeout;
use super::{sender, session_of};
use crate::decide::Decision;
use crate::group::{MemberId, Record};
use crate::wire::ErrorCode;
use crate::wire::messages::{HeartbeatRequest, HeartbeatResponse, message};

/// A member of the classic protocol is alive, and learns whether it has to join again.
pub fn beat(
    group: &ConsumerGroup,
    request: &HeartbeatRequest,
) -> Decision<Record, HeartbeatResponse, Effect> {
    let (id, instance) = (&*request.member_id, request.group_instance_id.as_deref());
    let answer = |error: ErrorCode| message!(HeartbeatResponse { error_code: error.code() });
    let member = match sender(group, id, instance, request.generation_id) {
        Ok(member) => member,
        Err(error) => return Decision::only(answer(error)),
    };
    let (group_id, id) = (group.id().clone(), MemberId::from(id));
    let (group, session) = (group, session_of(member));
    let alive = Effect::Beat { group: group_id.clone(), member: id.clone(), session };
    if !has_work(group, &id, member) {
        return Decision::only(answer(ErrorCode::None)).with(alive);
    }
    let timeout = rebalance_timeout(member.info.rebalance_timeout_ms);
    let rejoining = Effect::Rejoining { group: group_id, member: id, timeout };
    Decision::only(answer(ErrorCode::RebalanceInProgress)).with(alive).with(rejoining)
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
