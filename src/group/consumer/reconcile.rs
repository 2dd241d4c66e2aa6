//! The way of one member to its target: it gives partitions up first, and gets others once their
//! owners have given them up.
//!
//! Source: Kafka's `CurrentAssignmentBuilder`.

use std::collections::BTreeSet;

use super::effect::Effect;
use super::group::ConsumerGroup;
use super::member::{Member, MemberState};
use super::partitions::{Owned, Target};
use super::plan::{Context, Plan};
use super::refusal::Refusal;
use super::sessions::rebalance_timeout;
use super::subscription::topics_of;
use crate::base::TopicId;
use crate::group::MemberId;
use crate::group::record::Record;
use crate::wire::messages::consumer_group_heartbeat_request::TopicPartitions;

/// Moves a member one step towards its target, if there is one to take. `owned` is what the member
/// reports to own; `None` means "as before".
pub(super) fn reconcile(
    plan: &mut Plan,
    context: &Context<'_>,
    id: &MemberId,
    owned: Option<&[TopicPartitions]>,
    subscription_changed: bool,
) -> Result<(), Refusal> {
    let group = plan.group();
    let Some(member) = group.member(id.as_str()) else { return Ok(()) };
    if !subscription_changed && member.is_reconciled_to(group.target_epoch) {
        return Ok(());
    }
    let step = Step {
        group,
        id,
        member,
        subscribed: topics_of(group, member, context.image),
        owned: owned.map(reported),
    };
    let Some(next) = step.next(subscription_changed)? else { return Ok(()) };
    if next == *member {
        return Ok(());
    }
    let (group, member) = (group.id().clone(), id.clone());
    // A member of the classic protocol joins again instead.
    let is_classic = next.is_classic();
    let effect = if next.state == MemberState::UnrevokedPartitions {
        let timeout = rebalance_timeout(next.info.rebalance_timeout_ms);
        Effect::Revoking { group: group.clone(), member: id.clone(), epoch: next.epoch, timeout }
    } else {
        Effect::Revoked { group: group.clone(), member: id.clone() }
    };
    plan.push(Record::CurrentAssignment { group, member, value: Some(next.assignment()) });
    if !is_classic {
        plan.then(effect);
    }
    Ok(())
}

/// What a member reports to own.
fn reported(topics: &[TopicPartitions]) -> Target {
    let partitions = topics.iter().flat_map(|topic| {
        let id = TopicId::from(topic.topic_id);
        topic.partitions.iter().map(move |partition| (id, *partition))
    });
    partitions.collect()
}

/// Whether everything that a member reports to own is assigned to it.
pub(super) fn owns_only_assigned(member: &Member, owned: Option<&[TopicPartitions]>) -> bool {
    let Some(owned) = owned else { return false };
    reported(owned).iter().all(|(topic, partition)| member.assigned.contains(topic, partition))
}

struct Step<'a> {
    group: &'a ConsumerGroup,
    id: &'a MemberId,
    member: &'a Member,
    subscribed: BTreeSet<TopicId>,
    owned: Option<Target>,
}

impl Step<'_> {
    fn next(&self, subscription_changed: bool) -> Result<Option<Member>, Refusal> {
        let (member, target_epoch) = (self.member, self.group.target_epoch);
        match member.state {
            MemberState::Stable if member.epoch != target_epoch => {
                Ok(Some(self.toward_target(member.epoch)))
            }
            MemberState::Stable => Ok(self.without_unsubscribed(subscription_changed)),
            MemberState::UnrevokedPartitions if self.still_owns(&member.pending) => {
                Ok(self.without_unsubscribed(subscription_changed))
            }
            // Everything is revoked. The next epoch, but none for which there is no target.
            MemberState::UnrevokedPartitions => {
                Ok(Some(self.toward_target(target_epoch.min(member.epoch.saturating_add(1)))))
            }
            MemberState::UnreleasedPartitions => Ok(Some(self.toward_target(member.epoch))),
            MemberState::Unknown(_) => match &self.owned {
                Some(owned) if owned.len() == 0 => Ok(Some(self.toward_target(target_epoch))),
                _ => Err(Refusal::UnknownState),
            },
        }
    }

    /// Whether the member may still use some of these partitions. One that does not report what it
    /// owns may.
    fn still_owns(&self, revoked: &Owned) -> bool {
        let Some(owned) = &self.owned else { return true };
        owned.iter().any(|(topic, partition)| revoked.contains(topic, partition))
    }

    /// The member must give up partitions of topics that it no longer subscribes to, although its
    /// target still has them.
    fn without_unsubscribed(&self, subscription_changed: bool) -> Option<Member> {
        if !subscription_changed {
            return None;
        }
        let mut next = self.member.clone();
        let (mut assigned, mut pending) = (Owned::default(), next.pending.clone());
        for (topic, partition, epoch) in next.assigned.iter() {
            let kept = self.subscribed.contains(&topic);
            let set = if kept { &mut assigned } else { &mut pending };
            set.insert(topic, partition, epoch);
        }
        if assigned == next.assigned {
            return None;
        }
        if !pending.is_empty() && self.still_owns(&pending) {
            (next.state, next.pending) = (MemberState::UnrevokedPartitions, pending);
        }
        next.assigned = assigned;
        Some(next)
    }

    /// Keeps what is in the target; gives up the rest first; only then takes what is free.
    fn toward_target(&self, epoch: i32) -> Member {
        let none = Target::default();
        let target = self.group.target(self.id.as_str()).unwrap_or(&none);
        let wanted = |topic| self.subscribed.contains(&topic);
        let target_epoch = self.group.target_epoch;
        let (mut assigned, mut revoked) = (Owned::default(), Owned::default());
        for (topic, partition, since) in self.member.assigned.iter() {
            let kept = wanted(topic) && target.contains(topic, partition);
            let set = if kept { &mut assigned } else { &mut revoked };
            set.insert(topic, partition, since);
        }
        let mut next = self.member.clone();
        next.previous_epoch = next.epoch;
        if !revoked.is_empty() && self.still_owns(&revoked) {
            (next.state, next.epoch) = (MemberState::UnrevokedPartitions, epoch);
            (next.assigned, next.pending) = (assigned, revoked);
            return next;
        }
        let mut unreleased = false;
        for (topic, partition) in target.iter().filter(|(topic, _)| wanted(*topic)) {
            if assigned.contains(topic, partition) {
                continue;
            }
            // What the member itself had to give up is free for it.
            let owner = self.group.owner(topic, partition);
            if owner.is_none_or(|owner| owner == self.id) {
                assigned.insert(topic, partition, target_epoch);
            } else {
                unreleased = true;
            }
        }
        next.state =
            if unreleased { MemberState::UnreleasedPartitions } else { MemberState::Stable };
        next.epoch = target_epoch;
        (next.assigned, next.pending) = (assigned, Owned::default());
        next
    }
}
