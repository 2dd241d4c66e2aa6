//! JoinGroup to a consumer group.

use super::super::advance::{advance, replace};
use super::super::effect::Effect;
use super::super::group::ConsumerGroup;
use super::super::plan::{Context, Plan};
use super::super::refusal::Refusal;
use super::super::sessions::rebalance_timeout;
use super::protocol::{Subscription, read_subscription};
use super::protocol_of;
use crate::decide::Decision;
use crate::group::record::{ClassicMemberMetadata, MemberValue, Record};
use crate::group::{Client, MemberId, Reply};
use crate::wire::ErrorCode;
use crate::wire::messages::{JoinGroupRequest, JoinGroupResponse, message};

/// The protocol type of consumers.
const CONSUMER: &str = "consumer";

/// From this version on a dynamic member joins with the id that it was given (KIP-394).
const MEMBER_ID_REQUIRED: i16 = 4;

/// A member of the classic protocol joins, or takes the next step towards its target. Answers by
/// `reply`, once the records are committed.
pub fn join(
    group: &ConsumerGroup,
    context: &Context<'_>,
    client: &Client,
    version: i16,
    request: &JoinGroupRequest,
    reply: Reply<JoinGroupResponse>,
) -> Decision<Record, (), Effect> {
    let id = match request.member_id.as_str() {
        "" => (context.new_member)(),
        id => MemberId::from(id),
    };
    match decide(group, context, client, version, request, &id) {
        Ok((mut plan, response)) if plan.is_writable() => {
            let (group, member) = (plan.group().id().clone(), id);
            let session = rebalance_timeout(request.session_timeout_ms);
            let timeout = rebalance_timeout(timeout_ms(version, request));
            plan.then(Effect::Joined { group, member, session, timeout });
            plan.once_committed(Effect::AnswerJoin(reply, response));
            plan.decide(())
        }
        outcome => {
            let error = outcome.err().unwrap_or(ErrorCode::UnknownServerError);
            let named = error == ErrorCode::MemberIdRequired || !request.member_id.is_empty();
            let response = message!(JoinGroupResponse {
                member_id: if named { id.as_str().into() } else { Default::default() },
                error_code: error.code(),
            });
            let decision = Decision::only(()).with(Effect::AnswerJoin(reply, response));
            if error == ErrorCode::MemberIdRequired {
                decision.with(Effect::Drawn)
            } else {
                decision
            }
        }
    }
}

fn decide(
    group: &ConsumerGroup,
    context: &Context<'_>,
    client: &Client,
    version: i16,
    request: &JoinGroupRequest,
    id: &MemberId,
) -> Result<(Plan, JoinGroupResponse), ErrorCode> {
    let known = group.member(&request.member_id).is_some();
    if group.len() >= context.settings.max_size && !known {
        return Err(ErrorCode::GroupMaxSizeReached);
    }
    if !supports(group, request) {
        return Err(ErrorCode::InconsistentGroupProtocol);
    }
    let is_new = request.member_id.is_empty();
    if version >= MEMBER_ID_REQUIRED && is_new && request.group_instance_id.is_none() {
        return Err(ErrorCode::MemberIdRequired);
    }
    // All protocols of a consumer have the same topics.
    let subscription = request.protocols.first();
    let subscription = subscription
        .and_then(|protocol| read_subscription(&protocol.metadata, context.image))
        .ok_or(ErrorCode::InconsistentGroupProtocol)?;
    let mut plan = Plan::new(group.clone());
    if let Some(instance) = request.group_instance_id.as_deref() {
        admit_static(&mut plan, instance, id, is_new)?;
    }
    let info = info(&plan, client, version, request, id, &subscription);
    let advanced = advance(&mut plan, context, id, info, Some(&subscription.owned));
    advanced.map_err(|refusal: Refusal| refusal.code())?;
    let member = plan.group().member(id.as_str()).ok_or(ErrorCode::UnknownMemberId)?;
    let response = message!(JoinGroupResponse {
        generation_id: member.epoch,
        protocol_type: Some(CONSUMER.into()),
        protocol_name: Some(protocol_of(member).into()),
        member_id: id.as_str().into(),
    });
    Ok((plan, response))
}

/// Whether the group's other members of the classic protocol and this one have a protocol in common.
fn supports(group: &ConsumerGroup, request: &JoinGroupRequest) -> bool {
    let others = group.members().filter(|(id, _)| id.as_str() != request.member_id.as_str());
    let others: Vec<_> = others.filter_map(|(_, member)| member.info.classic.as_ref()).collect();
    let in_common = |name: &str| {
        others.iter().all(|other| other.protocols.iter().any(|(known, _)| known == name))
    };
    let mut names = request.protocols.iter().map(|protocol| protocol.name.as_str());
    &*request.protocol_type == CONSUMER && names.any(in_common)
}

/// A new process of a static member takes over at once, from members of either protocol.
fn admit_static(
    plan: &mut Plan,
    instance: &str,
    id: &MemberId,
    is_new: bool,
) -> Result<(), ErrorCode> {
    let Some((owner, member)) = plan.group().instance(instance) else {
        return if is_new { Ok(()) } else { Err(ErrorCode::UnknownMemberId) };
    };
    let (owner, member) = (owner.clone(), member.clone());
    match is_new {
        true => replace(plan, &owner, member, id),
        false if owner == *id => {}
        false => return Err(ErrorCode::FencedInstanceId),
    }
    Ok(())
}

fn info(
    plan: &Plan,
    client: &Client,
    version: i16,
    request: &JoinGroupRequest,
    id: &MemberId,
    subscription: &Subscription,
) -> MemberValue {
    let before = plan.group().member(id.as_str()).cloned().unwrap_or_default();
    let protocols = request.protocols.iter();
    let protocols =
        protocols.map(|protocol| (protocol.name.to_string(), protocol.metadata.clone()));
    let classic = ClassicMemberMetadata {
        session_timeout_ms: request.session_timeout_ms,
        protocols: protocols.collect(),
    };
    MemberValue {
        instance: request.group_instance_id.as_deref().map(str::to_owned),
        rack: subscription.rack.clone().or_else(|| before.info.rack.clone()),
        client_id: client.id.clone(),
        client_host: client.host.clone(),
        topics: subscription.topics.clone(),
        pattern: Some(String::new()),
        rebalance_timeout_ms: timeout_ms(version, request),
        assignor: before.info.assignor.clone(),
        classic: Some(classic),
    }
}

/// Version 0 has no rebalance timeout.
fn timeout_ms(version: i16, request: &JoinGroupRequest) -> i32 {
    if version == 0 { request.session_timeout_ms } else { request.rebalance_timeout_ms }
}
