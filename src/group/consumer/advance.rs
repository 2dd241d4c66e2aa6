//! What a heartbeat and a JoinGroup have in common: a member subscribes, and takes a step towards its
//! target.

use std::sync::Arc;

use super::effect::Effect;
use super::fence;
use super::group::ConsumerGroup;
use super::hash;
use super::member::Member;
use super::plan::{Context, Plan};
use super::reconcile::reconcile;
use super::refusal::Refusal;
use super::subscription::update_patterns;
use super::target::update_target;
use crate::group::MemberId;
use crate::group::record::{ConsumerGroupValue, MemberValue, Record, TargetMemberValue};
use crate::wire::messages::consumer_group_heartbeat_request::TopicPartitions;

/// Takes the subscription over, bumps the group epoch if that or the topics changed, computes the
/// target if the epoch did, and moves the member towards it.
pub(super) fn advance(
    plan: &mut Plan,
    context: &Context<'_>,
    id: &MemberId,
    info: MemberValue,
    owned: Option<&[TopicPartitions]>,
) -> Result<(), Refusal> {
    let group = plan.group().id().clone();
    let subscribed = |plan: &Plan| plan.group().topics.clone();
    let topics_before = subscribed(plan);
    let before = plan.group().member(id.as_str()).cloned();
    let known = before.is_some();
    let before = before.unwrap_or_default();
    let names_changed = info.topics != before.info.topics;
    let after = Member { info: Arc::new(info), ..before.clone() };
    if !known || after.info != before.info {
        let value = Some(MemberValue::clone(&after.info));
        plan.push(Record::Member { group: group.clone(), member: id.clone(), value });
    }
    let patterns = update_patterns(plan, context, &before, &after)?;
    let bump = names_changed || patterns.rebalance;
    let same_topics = !bump || topics_before.keys().eq(plan.group().topics.keys());
    refresh(plan, context, bump, same_topics);
    let changed = names_changed || patterns.changed;
    reconcile(plan, context, id, owned, changed)
}

/// Bumps the group epoch if that is necessary, or if the metadata of its topics changed, and computes
/// the target if the epoch did. `same_topics`: the group subscribes to the same topics as before.
pub(super) fn refresh(plan: &mut Plan, context: &Context<'_>, bump: bool, same_topics: bool) {
    let (group, image) = (plan.group().id().clone(), context.image.offset());
    let checked = context.sessions.has_checked(&group, image);
    if bump || !checked {
        let known = plan.group().metadata_hash;
        let hash = if checked && same_topics { known } else { hash_of(plan.group(), context) };
        if bump || hash != known {
            bump_epoch(plan, hash);
        }
        plan.then(Effect::MetadataChecked { group, image });
    }
    update_target(plan, context);
}

/// The hash of the metadata of the topics that a group subscribes to.
fn hash_of(group: &ConsumerGroup, context: &Context<'_>) -> i64 {
    hash::of(context.image, group.topics.keys().map(String::as_str))
}

/// A new epoch: the target assignment is out of date.
fn bump_epoch(plan: &mut Plan, metadata_hash: i64) {
    let epoch = plan.group().epoch.saturating_add(1);
    let value = Some(ConsumerGroupValue { epoch, metadata_hash });
    plan.push(Record::ConsumerGroup { group: plan.group().id().clone(), value });
}

/// A static member comes back and takes over what it had before it left.
pub(super) fn replace(plan: &mut Plan, owner: &MemberId, mut member: Member, id: &MemberId) {
    let group = plan.group().id().clone();
    (member.epoch, member.previous_epoch) = (0, 0);
    let assignment = member.assignment();
    if owner != id {
        let target = plan.group().target(owner.as_str()).cloned().unwrap_or_default();
        fence::remove(plan, owner);
        plan.then(Effect::Left { group: group.clone(), member: owner.clone() });
        let value = Some(MemberValue::clone(&member.info));
        plan.push(Record::Member { group: group.clone(), member: id.clone(), value });
        let value = Some(TargetMemberValue { partitions: target.to_record() });
        plan.push(Record::TargetMember { group: group.clone(), member: id.clone(), value });
    }
    plan.push(Record::CurrentAssignment { group, member: id.clone(), value: Some(assignment) });
}
