//! `uniform` for members with different subscriptions.

use std::collections::BTreeMap;

use super::Subscribers;
use crate::base::TopicId;
use crate::group::consumer::partitions::Target;

/// Members keep what they hold, free partitions go to the least loaded subscriber, and then single
/// partitions move until no move makes two members more equal. Each move lowers the sum of squares
/// of the loads, so this ends.
pub(super) fn assign(group: &Subscribers<'_>) -> Vec<Target> {
    let kept = group.kept();
    let free = group.free(&kept);
    let mut balance = Balance::new(group, kept);
    balance.hand_out(free);
    while balance.even_out() {}
    balance.targets()
}

struct Balance {
    subscribers: BTreeMap<TopicId, Vec<usize>>,
    /// Partitions that each member owns of each topic; the last ones move first.
    owned: Vec<BTreeMap<TopicId, Vec<i32>>>,
    loads: Vec<usize>,
}

impl Balance {
    fn new(group: &Subscribers<'_>, kept: Vec<Vec<(TopicId, i32)>>) -> Self {
        let mut subscribers: BTreeMap<TopicId, Vec<usize>> = BTreeMap::new();
        for (at, member) in group.members.iter().enumerate() {
            for topic in member.topics.iter() {
                subscribers.entry(*topic).or_default().push(at);
            }
        }
        let loads = kept.iter().map(Vec::len).collect();
        let owned = kept.into_iter().map(|partitions| {
            let mut owned: BTreeMap<TopicId, Vec<i32>> = BTreeMap::new();
            for (topic, partition) in partitions {
                owned.entry(topic).or_default().push(partition);
            }
            owned
        });
        Self { subscribers, owned: owned.collect(), loads }
    }

    /// Topics with few subscribers first: their partitions have the least choice.
    fn hand_out(&mut self, mut free: Vec<(TopicId, i32)>) {
        free.sort_by_key(|(topic, partition)| {
            let choice = self.subscribers.get(topic).map_or(0, Vec::len);
            (choice, *topic, *partition)
        });
        for (topic, partition) in free {
            let subscribers = self.subscribers.get(&topic).into_iter().flatten().copied();
            let Some(least) = subscribers.min_by_key(|member| (self.loads[*member], *member))
            else {
                continue;
            };
            self.give(least, topic, partition);
        }
    }

    fn give(&mut self, member: usize, topic: TopicId, partition: i32) {
        self.owned[member].entry(topic).or_default().push(partition);
        self.loads[member] += 1;
    }

    /// Evens each topic out once. Returns whether a partition moved.
    fn even_out(&mut self) -> bool {
        let mut moved = false;
        let topics: Vec<_> = self.subscribers.keys().copied().collect();
        for topic in topics {
            while self.move_one(topic) {
                moved = true;
            }
        }
        moved
    }

    /// Moves a partition of a topic from its most loaded owner to its least loaded subscriber, if
    /// that makes them more equal.
    fn move_one(&mut self, topic: TopicId) -> bool {
        let Some(subscribers) = self.subscribers.get(&topic) else { return false };
        let owns = |member: &usize| {
            self.owned[*member].get(&topic).is_some_and(|partitions| !partitions.is_empty())
        };
        let owners = subscribers.iter().copied().filter(owns);
        let most = owners.max_by_key(|member| (self.loads[*member], *member));
        let least = subscribers.iter().copied().min_by_key(|member| (self.loads[*member], *member));
        let (Some(most), Some(least)) = (most, least) else { return false };
        if self.loads[most] < self.loads[least] + 2 {
            return false;
        }
        let Some(partition) = self.owned[most].get_mut(&topic).and_then(Vec::pop) else {
            return false;
        };
        self.loads[most] -= 1;
        self.give(least, topic, partition);
        true
    }

    fn targets(self) -> Vec<Target> {
        let target = |owned: BTreeMap<TopicId, Vec<i32>>| {
            let partitions = owned.into_iter().flat_map(|(topic, partitions)| {
                partitions.into_iter().map(move |partition| (topic, partition))
            });
            partitions.collect()
        };
        self.owned.into_iter().map(target).collect()
    }
}
