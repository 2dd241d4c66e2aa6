//! The target assignment of a group: what each member shall own once all have moved to its epoch.

use std::collections::BTreeMap;

use super::assignor::{Assignor, Subscriber, Subscribers};
use super::group::ConsumerGroup;
use super::partitions::Target;
use super::plan::{Context, Plan};
use super::subscription::topics_of_all;
use crate::controller::Image;
use crate::group::record::{Record, TargetEpochValue, TargetMemberValue};
use crate::group::{ConsumerSettings, MemberId};

/// Computes a new target assignment if the group has moved beyond the last one, and this one is old
/// enough.
///
/// KIP-1263: a group whose members come and go quickly gets one target per
/// `group.consumer.assignment.interval.ms`; the next heartbeat after that time computes it. If the
/// date went back, it is computed too: Kafka would wait until the clock has caught up.
pub(super) fn update_target(plan: &mut Plan, context: &Context<'_>) {
    let group = plan.group();
    if group.epoch <= group.target_epoch || !is_due(group, context) {
        return;
    }
    let assignor = assignor_of(group, context.settings);
    let targets = compute(group, assignor, context.image);
    let (id, epoch) = (group.id().clone(), group.epoch);
    // A target without a member is left of a log that lost the tombstone.
    let stale = group.targets.keys().filter(|member| !group.members.contains_key(member.as_str()));
    let stale: Vec<MemberId> = stale.cloned().collect();
    for member in stale {
        plan.push(Record::TargetMember { group: id.clone(), member, value: None });
    }
    for (member, target) in targets {
        let value = Some(TargetMemberValue { partitions: target.to_record() });
        plan.push(Record::TargetMember { group: id.clone(), member, value });
    }
    let value = TargetEpochValue { epoch, computed: context.wall };
    plan.push(Record::TargetEpoch { group: id, value: Some(value) });
}

fn is_due(group: &ConsumerGroup, context: &Context<'_>) -> bool {
    let age = context.wall.0.saturating_sub(group.computed.0);
    let interval = context.settings.assignment_interval.as_millis();
    // Zero: there was none yet, or it was computed before times were kept.
    group.computed.0 == 0 || u128::try_from(age).map_or(true, |age| age >= interval)
}

/// The assignor that most members ask for; of several, the one that is configured first.
pub(super) fn assignor_of(group: &ConsumerGroup, settings: &ConsumerSettings) -> Assignor {
    let votes = |assignor: Assignor| group.assignors.get(assignor.name()).copied().unwrap_or(0);
    let mut known = settings.assignors.iter().filter_map(|name| Assignor::from_name(name));
    let default = known.next().unwrap_or(Assignor::Uniform);
    known.fold(default, |best, next| if votes(next) > votes(best) { next } else { best })
}

/// The targets that differ from those before.
fn compute(group: &ConsumerGroup, assignor: Assignor, image: &Image) -> Vec<(MemberId, Target)> {
    let none = Target::default();
    let topics = topics_of_all(group, image);
    let mut partitions = BTreeMap::new();
    for topic in topics.iter().flat_map(|topics| topics.iter()) {
        let count = image.topic_by_id(*topic).map_or(0, |topic| topic.partitions.len());
        partitions.entry(*topic).or_insert(i32::try_from(count).unwrap_or(i32::MAX));
    }
    let held = |id: &MemberId| group.target(id.as_str());
    let members = group.members.keys().zip(topics);
    let members = members
        .map(|(id, topics)| Subscriber { topics, held: held(id).unwrap_or(&none) })
        .collect();
    let targets = assignor.assign(&Subscribers { members, partitions });
    let targets = group.members.keys().zip(targets);
    let changed = targets.filter(|(id, target)| held(id) != Some(target));
    changed.map(|(id, target)| (id.clone(), target)).collect()
}
