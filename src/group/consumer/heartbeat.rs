//! ConsumerGroupHeartbeat: joining, subscribing, and moving to the target assignment.
//!
//! Source: Kafka's `GroupMetadataManager.consumerGroupHeartbeat`. One difference on purpose: a static
//! member that joins again with its own member id, because it missed a response or was fenced, gets
//! its state back, as a dynamic one does. Kafka 4.3 answers UNRELEASED_INSTANCE_ID, which is fatal
//! for clients (apache/kafka#23542).

use super::advance::{advance, replace};
use super::classic;
use super::effect::Effect;
use super::fence;
use super::group::ConsumerGroup;
use super::member::{LEAVE, LEAVE_STATIC, Member};
use super::plan::{Context, Plan};
use super::reconcile::owns_only_assigned;
use super::refusal::Refusal;
use super::validate::validate;
use crate::base::{Flaw, Flaws};
use crate::decide::Decision;
use crate::group::record::{MemberValue, Record};
use crate::group::{Client, GroupId, MemberId};
use crate::wire::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use crate::wire::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, StrBytes, message,
};

type Request = ConsumerGroupHeartbeatRequest;
type Response = ConsumerGroupHeartbeatResponse;

/// What has the name of the group that a heartbeat is for.
pub enum Found<'a> {
    /// Nothing.
    Nothing,
    /// A consumer group.
    Consumer(&'a ConsumerGroup),
    /// A classic group, and the records that make it a consumer group, or why it can't be one.
    Classic(Result<Vec<Record>, Refusal>),
}

/// Answers a heartbeat: of a member that joins (epoch 0), leaves (-1, or -2 for a static member that
/// comes back), or stays.
pub fn heartbeat(
    found: Found<'_>,
    context: &Context<'_>,
    client: &Client,
    version: i16,
    request: &Request,
) -> Decision<Record, Response, Effect> {
    decide(found, context, client, version, request).unwrap_or_else(|refusal| {
        Decision::only(message!(Response {
            error_code: refusal.code().code(),
            error_message: Some(refusal.to_string().into()),
        }))
    })
}

fn decide(
    found: Found<'_>,
    context: &Context<'_>,
    client: &Client,
    version: i16,
    request: &Request,
) -> Result<Decision<Record, Response, Effect>, Refusal> {
    validate(version, request, context.settings)?;
    let id = GroupId::from(&*request.group_id);
    let joins = request.member_epoch == 0;
    let (group, upgrade) = match found {
        Found::Consumer(group) => (group.clone(), Vec::new()),
        Found::Nothing if joins => (ConsumerGroup::new(id), Vec::new()),
        Found::Nothing => return Err(Refusal::GroupNotFound(id)),
        Found::Classic(upgrade) if joins => (ConsumerGroup::new(id), upgrade?),
        Found::Classic(_) => return Err(Refusal::NotConsumer(id)),
    };
    if let LEAVE | LEAVE_STATIC = request.member_epoch {
        return fence::leave(group, context, request);
    }
    let mut plan = Plan::new(group);
    if !upgrade.is_empty() {
        for record in upgrade {
            plan.push(record);
        }
        classic::begin_sessions(&mut plan);
    }
    let (group, max) = (plan.group(), context.settings.max_size);
    if group.len() >= max && group.member(&request.member_id).is_none() {
        return Err(Refusal::Full(max));
    }
    let member_id = match &*request.member_id {
        "" => (context.new_member)(),
        id => MemberId::from(id),
    };
    admit(&mut plan, request, &member_id, context.flaws)?;
    let known = plan.group().member(member_id.as_str()).cloned().unwrap_or_default();
    let info = subscription(&known.info, client, request);
    advance(&mut plan, context, &member_id, info, request.topic_partitions.as_deref())?;
    Ok(answer(plan, context, request, member_id))
}

/// Finds the member, or lets it join. A static member may take the place of one that has left.
fn admit(plan: &mut Plan, request: &Request, id: &MemberId, flaws: Flaws) -> Result<(), Refusal> {
    let group = plan.group();
    let known = group.member(id.as_str());
    let joins = request.member_epoch == 0;
    let instance = request.instance_id.as_deref();
    if joins && known.is_some_and(|member| member.info.instance.as_deref() != instance) {
        return Err(Refusal::InstanceChanged(id.clone()));
    }
    let Some(instance) = instance else {
        return match known {
            None if joins => Ok(()),
            None => Err(unknown(group, id)),
            Some(member) => check_epoch(member, request, flaws),
        };
    };
    let Some((owner, member)) = group.instance(instance) else {
        let unknown = Err(Refusal::UnknownInstance(instance.to_owned()));
        return if joins { Ok(()) } else { unknown };
    };
    let (member_id, instance) = (id.clone(), instance.to_owned());
    if joins && member.epoch != LEAVE_STATIC && owner != id {
        let owner = owner.clone();
        return Err(Refusal::UnreleasedInstance { member: member_id, instance, owner });
    }
    if joins {
        let (owner, member) = (owner.clone(), member.clone());
        if member.epoch == LEAVE_STATIC {
            replace(plan, &owner, member, id);
        }
        return Ok(());
    }
    if owner != id {
        let (member, owner) = (id.to_string(), owner.clone());
        return Err(Refusal::FencedInstance { member, instance, owner });
    }
    check_epoch(member, request, flaws)
}

fn unknown(group: &ConsumerGroup, id: &MemberId) -> Refusal {
    Refusal::UnknownMember { member: id.to_string(), group: group.id().clone() }
}

/// A member that missed the last response may send the epoch before, if it owns nothing that it was
/// not assigned. Epoch 0 is always accepted: the member owns nothing (KAFKA-19233).
fn check_epoch(member: &Member, request: &Request, flaws: Flaws) -> Result<(), Refusal> {
    let received = request.member_epoch;
    let missed_response = received < member.epoch
        && received == member.previous_epoch
        && owns_only_assigned(member, request.topic_partitions.as_deref());
    let joins_again = received == 0 && !flaws.has(Flaw::EpochZeroRefused);
    if joins_again || received == member.epoch || missed_response {
        return Ok(());
    }
    Err(Refusal::FencedEpoch { received, known: member.epoch })
}

/// What a member subscribes to: fields that a request leaves out stay.
fn subscription(before: &MemberValue, client: &Client, request: &Request) -> MemberValue {
    let text = |new: &Option<StrBytes>, old: &Option<String>| match new {
        Some(new) => Some(new.to_string()),
        None => old.clone(),
    };
    let topics = match &request.subscribed_topic_names {
        Some(names) => {
            let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
            names.sort_unstable();
            names.dedup();
            names
        }
        None => before.topics.clone(),
    };
    let rebalance_timeout_ms = match request.rebalance_timeout_ms {
        -1 => before.rebalance_timeout_ms,
        timeout => timeout,
    };
    MemberValue {
        instance: text(&request.instance_id, &before.instance),
        rack: text(&request.rack_id, &before.rack),
        client_id: client.id.clone(),
        client_host: client.host.clone(),
        topics,
        pattern: text(&request.subscribed_topic_regex, &before.pattern),
        rebalance_timeout_ms,
        assignor: text(&request.server_assignor, &before.assignor),
        classic: None,
    }
}

fn answer(
    mut plan: Plan,
    context: &Context<'_>,
    request: &Request,
    id: MemberId,
) -> Decision<Record, Response, Effect> {
    let interval = context.settings.heartbeat_interval.as_millis();
    let mut response = message!(Response {
        member_id: Some(id.as_str().into()),
        heartbeat_interval_ms: i32::try_from(interval).unwrap_or(i32::MAX),
    });
    if let Some(member) = plan.group().member(id.as_str()) {
        response.member_epoch = member.epoch;
        // A request with all fields comes from a member that joins or that had an error.
        let is_full = request.rebalance_timeout_ms != -1
            && (request.subscribed_topic_names.is_some()
                || request.subscribed_topic_regex.is_some())
            && request.topic_partitions.is_some();
        if request.member_epoch == 0 || is_full || plan.changes_assignment_of(&id) {
            response.assignment = Some(assignment(member));
        }
    }
    let (group, session) = (plan.group().id().clone(), context.settings.session_timeout);
    plan.then(Effect::Heard { group, member: id, session });
    plan.decide(response)
}

fn assignment(member: &Member) -> Assignment {
    let topics = member.assigned.topics().map(|(topic, partitions)| {
        message!(TopicPartitions { topic_id: topic.into(), partitions: partitions })
    });
    message!(Assignment { topic_partitions: topics.collect() })
}
