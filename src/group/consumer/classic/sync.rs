//! SyncGroup to a consumer group.

use bytes::Bytes;

use super::super::effect::Effect;
use super::super::group::ConsumerGroup;
use super::super::member::{Member, MemberState};
use super::super::sessions::rebalance_timeout;
use super::protocol::{read_subscription, write_assignment};
use super::{protocol_of, sender, session_of};
use crate::controller::Image;
use crate::decide::Decision;
use crate::group::{MemberId, Record, Reply};
use crate::wire::ErrorCode;
use crate::wire::messages::{SyncGroupRequest, SyncGroupResponse, message};

/// A member of the classic protocol asks for its assignment. Answers by `reply`.
pub fn sync(
    group: &ConsumerGroup,
    image: &Image,
    request: &SyncGroupRequest,
    reply: Reply<SyncGroupResponse>,
) -> Decision<Record, (), Effect> {
    let (id, instance) = (&*request.member_id, request.group_instance_id.as_deref());
    let refuse = |error: ErrorCode| message!(SyncGroupResponse { error_code: error.code() });
    let member = match sender(group, id, instance, request.generation_id) {
        Ok(member) => member,
        Err(error) => {
            return Decision::only(()).with(Effect::AnswerSync(reply, refuse(error)));
        }
    };
    let (group_id, id) = (group.id().clone(), MemberId::from(id));
    let protocol = protocol_of(member);
    if request.protocol_type.as_deref().is_some_and(|name| name != "consumer")
        || request.protocol_name.as_deref().is_some_and(|name| name != protocol)
    {
        let response = refuse(ErrorCode::InconsistentGroupProtocol);
        return Decision::only(()).with(Effect::AnswerSync(reply, response));
    }
    // One that has yet to revoke has joined already, and must finish that first.
    let behind = group.target_epoch() > member.epoch;
    if behind && member.state != MemberState::UnrevokedPartitions {
        let timeout = rebalance_timeout(member.info.rebalance_timeout_ms);
        let effect = Effect::Rejoining { group: group_id, member: id, timeout };
        let response = refuse(ErrorCode::RebalanceInProgress);
        return Decision::only(()).with(effect).with(Effect::AnswerSync(reply, response));
    }
    let response = message!(SyncGroupResponse {
        protocol_type: Some("consumer".into()),
        protocol_name: Some(protocol.into()),
        assignment: assignment(member, image),
    });
    let effect = Effect::Synced { group: group_id, member: id, session: session_of(member) };
    Decision::only(()).with(effect).then(Effect::AnswerSync(reply, response))
}

/// What a member may use, in the version that it understands.
pub(super) fn assignment(member: &Member, image: &Image) -> Bytes {
    let protocols = member.info.classic.iter().flat_map(|classic| &classic.protocols);
    let subscription = protocols.map(|(_, metadata)| metadata).next();
    match subscription.and_then(|metadata| read_subscription(metadata, image)) {
        Some(subscription) => write_assignment(&member.assigned, subscription.version, image),
        None => Bytes::new(),
    }
}
