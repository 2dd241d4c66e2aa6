//! `range`: each topic by itself, in ranges, so that equal partitions of topics with equally many
//! partitions go to one member.

use std::collections::{BTreeMap, BTreeSet};

use super::{Subscribers, shares};
use crate::base::TopicId;
use crate::group::consumer::partitions::Target;

/// Members keep the lowest of what they hold up to their share; ranges of the rest fill the others.
pub(super) fn assign(group: &Subscribers<'_>) -> Vec<Target> {
    let mut targets = vec![Target::default(); group.members.len()];
    let mut subscribers: BTreeMap<TopicId, Vec<usize>> = BTreeMap::new();
    for (at, member) in group.members.iter().enumerate() {
        for topic in member.topics.iter() {
            subscribers.entry(*topic).or_default().push(at);
        }
    }
    for (topic, members) in subscribers {
        let count = group.partitions.get(&topic).copied().unwrap_or(0);
        for (member, partitions) in members.iter().zip(topic_shares(group, topic, count, &members))
        {
            for partition in partitions {
                targets[*member].insert(topic, partition);
            }
        }
    }
    targets
}

/// The partitions of one topic for each of its subscribers.
fn topic_shares(
    group: &Subscribers<'_>,
    topic: TopicId,
    count: i32,
    members: &[usize],
) -> Vec<Vec<i32>> {
    let (least, mut larger) = shares(count as usize, members.len());
    let mut taken = BTreeSet::new();
    let mut kept: Vec<Vec<i32>> = Vec::with_capacity(members.len());
    let mut quota = vec![least; members.len()];
    for (at, member) in members.iter().enumerate() {
        let held = group.members[*member].held.of(topic);
        let mut held: Vec<i32> =
            held.filter(|p| group.exists(topic, *p) && !taken.contains(p)).collect();
        if held.len() > least && larger > 0 {
            larger -= 1;
            quota[at] += 1;
        }
        held.truncate(quota[at]);
        taken.extend(held.iter().copied());
        kept.push(held);
    }
    // Larger shares that no member holds already go to the first ones.
    for quota in quota.iter_mut().filter(|quota| **quota == least).take(larger) {
        *quota += 1;
    }
    let mut free = (0..count).filter(|partition| !taken.contains(partition));
    for (held, quota) in kept.iter_mut().zip(quota) {
        let missing = quota.saturating_sub(held.len());
        held.extend(free.by_ref().take(missing));
    }
    kept
}
