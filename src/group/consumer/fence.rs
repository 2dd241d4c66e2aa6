//! Members that leave, and members that are fenced because they missed a deadline.

use std::collections::BTreeSet;

use super::downgrade::downgrade;
use super::effect::Effect;
use super::group::ConsumerGroup;
use super::hash;
use super::member::{LEAVE_STATIC, Member};
use super::partitions::Owned;
use super::plan::{Context, Plan};
use super::refusal::Refusal;
use super::sessions::Overdue;
use super::subscription::drop_unused;
use crate::base::Flaw;
use crate::decide::Decision;
use crate::group::MemberId;
use crate::group::record::{ConsumerGroupValue, Record, TargetEpochValue};
use crate::wire::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, message,
};

type Left = Decision<Record, ConsumerGroupHeartbeatResponse, Effect>;

/// A member leaves. A static one that sends -2 keeps its partitions until its session is over.
pub(super) fn leave(
    group: ConsumerGroup,
    context: &Context<'_>,
    request: &ConsumerGroupHeartbeatRequest,
) -> Result<Left, Refusal> {
    let id = &*request.member_id;
    let response = message!(ConsumerGroupHeartbeatResponse {
        member_id: Some(id.into()),
        member_epoch: request.member_epoch,
    });
    let member = match request.instance_id.as_deref() {
        None => group.member(id).ok_or_else(|| Refusal::UnknownMember {
            member: id.to_owned(),
            group: group.id().clone(),
        })?,
        Some(instance) => static_member(&group, id, instance)?,
    };
    if request.member_epoch == LEAVE_STATIC {
        let mut left = member.clone();
        (left.epoch, left.pending) = (LEAVE_STATIC, Owned::default());
        let (member, value) = (MemberId::from(id), Some(left.assignment()));
        let group_id = group.id().clone();
        let mut plan = Plan::new(group);
        plan.push(Record::CurrentAssignment { group: group_id.clone(), member, value });
        plan.then(Effect::Revoked { group: group_id, member: id.into() });
        return Ok(plan.decide(response));
    }
    let mut plan = Plan::new(group);
    fence(&mut plan, context, &BTreeSet::from([MemberId::from(id)]));
    Ok(plan.decide(response))
}

fn static_member<'a>(
    group: &'a ConsumerGroup,
    id: &str,
    instance: &str,
) -> Result<&'a Member, Refusal> {
    let found = group.instance(instance);
    let (owner, member) = found.ok_or_else(|| Refusal::UnknownInstance(instance.to_owned()))?;
    if owner.as_str() != id {
        let (member, instance) = (id.to_owned(), instance.to_owned());
        return Err(Refusal::FencedInstance { member, instance, owner: owner.clone() });
    }
    Ok(member)
}

/// Fences members of a group that missed a deadline. The effects of the decision remove their
/// deadlines.
pub fn expire(
    group: &ConsumerGroup,
    context: &Context<'_>,
    overdue: &[Overdue],
) -> Decision<Record, (), Effect> {
    let mut plan = Plan::new(group.clone());
    let mut fenced = BTreeSet::new();
    for Overdue { member, revoking } in overdue {
        let (id, group_id) = (member.clone(), group.id().clone());
        match (group.member(id.as_str()), revoking) {
            // It has moved on since.
            (Some(member), Some(epoch)) if member.epoch != *epoch => {
                plan.then(Effect::Revoked { group: group_id, member: id });
            }
            (Some(_), _) => {
                fenced.insert(id);
            }
            (None, _) => plan.then(Effect::Left { group: group_id, member: id }),
        }
    }
    fence(&mut plan, context, &fenced);
    plan.decide(())
}

/// Removes members and bumps the group epoch. The next heartbeat computes a target without them.
pub(super) fn fence(plan: &mut Plan, context: &Context<'_>, members: &BTreeSet<MemberId>) {
    if members.is_empty() {
        return;
    }
    let group = plan.group().id().clone();
    let patterns: BTreeSet<String> = members
        .iter()
        .filter_map(|id| plan.group().member(id.as_str())?.pattern().map(str::to_owned))
        .collect();
    for id in members {
        remove(plan, id);
    }
    for id in members {
        plan.then(Effect::Left { group: group.clone(), member: id.clone() });
    }
    if downgrade(plan, context) {
        return;
    }
    for pattern in patterns {
        drop_unused(plan, &pattern);
    }
    let epoch = plan.group().epoch.saturating_add(1);
    let names = plan.group().topics.keys().map(String::as_str);
    let metadata_hash = hash::of(context.image, names);
    let value = Some(ConsumerGroupValue { epoch, metadata_hash });
    plan.push(Record::ConsumerGroup { group: group.clone(), value });
    if plan.group().is_empty() && !context.flaws.has(Flaw::FencedLastMember) {
        // KAFKA-20442: the target of a group without members is up to date.
        let value = Some(TargetEpochValue { epoch, computed: plan.group().computed });
        plan.push(Record::TargetEpoch { group, value });
    }
}

/// Tombstones of everything about a member.
pub(super) fn remove(plan: &mut Plan, id: &MemberId) {
    let (group, member) = (plan.group().id().clone(), id.clone());
    plan.push(Record::CurrentAssignment {
        group: group.clone(),
        member: member.clone(),
        value: None,
    });
    plan.push(Record::TargetMember { group: group.clone(), member: member.clone(), value: None });
    plan.push(Record::Member { group, member, value: None });
}
