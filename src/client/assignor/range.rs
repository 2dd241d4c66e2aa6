//! `range`: of each topic, every member gets a run of neighbouring partitions.
//!
//! Topics with as many partitions and the same subscribers are divided in the same way. If racks are
//! known, partitions go to members on a rack with a replica first, as far as that leaves the sizes as
//! they are (KIP-881).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::member::{in_order, looks_at_racks, partitions, rack_of};
use super::{Members, Racks, Shares, Topics, nothing};
use crate::base::TopicPartition;
use crate::group::MemberId;

/// A subscriber and its rack.
type Reader<'a> = (&'a MemberId, Option<&'a Arc<str>>);

/// One topic, half divided.
struct Division<'a> {
    topic: &'a Arc<str>,
    /// Subscribers in order.
    members: Vec<Reader<'a>>,
    /// Racks by partition; empty if no subscriber has one.
    racks: &'a [Racks],
    rack_aware: bool,
    unassigned: BTreeSet<i32>,
    counts: BTreeMap<&'a MemberId, usize>,
    quota: usize,
    /// Members that get one more.
    extra: usize,
}

impl<'a> Division<'a> {
    fn new(topic: &'a Arc<str>, all: &'a [Racks], group: &'a Members) -> Self {
        let subscribed = group.iter().filter(|(_, member)| member.topics.contains(topic));
        let members: Vec<_> = in_order(subscribed)
            .into_iter()
            .map(|id| (id, group.get(id).and_then(rack_of)))
            .collect();
        let near: Racks = members.iter().filter_map(|(_, rack)| rack.cloned()).collect();
        let count = members.len().max(1);
        Self {
            topic,
            racks: if near.is_empty() { &[] } else { all },
            rack_aware: looks_at_racks(&near, all.iter()),
            unassigned: (0..all.len() as i32).collect(),
            counts: members.iter().map(|(id, _)| (*id, 0)).collect(),
            quota: all.len() / count,
            extra: all.len() % count,
            members,
        }
    }

    fn is_near(&self, rack: Option<&Arc<str>>, partition: i32) -> bool {
        let racks = usize::try_from(partition).ok().and_then(|index| self.racks.get(index));
        rack.is_none_or(|rack| racks.is_some_and(|racks| racks.contains(rack)))
    }

    /// How many partitions a member may still get.
    fn room(&self, member: &MemberId) -> usize {
        let most = self.quota + usize::from(self.extra > 0);
        most.saturating_sub(self.counts.get(member).copied().unwrap_or(0))
    }

    fn give(&mut self, member: &'a MemberId, given: &[i32], shares: &mut Shares) {
        let count = self.counts.entry(member).or_default();
        *count += given.len();
        if *count > self.quota {
            self.extra = self.extra.saturating_sub(1);
        }
        for partition in given {
            self.unassigned.remove(partition);
        }
        if let Some(share) = shares.get_mut(member) {
            share.extend(given.iter().map(|p| TopicPartition::new(self.topic.clone(), *p)));
        }
    }

    /// Gives each member what it has room for; `near`: only of partitions on its rack.
    fn give_runs(&mut self, near: bool, shares: &mut Shares) {
        for (member, rack) in self.members.clone() {
            let fits = |partition: &i32| !near || self.is_near(rack, *partition);
            let run = self.unassigned.iter().copied().filter(fits);
            let run: Vec<i32> = run.take(self.room(member)).collect();
            if !run.is_empty() {
                self.give(member, &run, shares);
            }
        }
    }
}

pub(super) fn assign(topics: &Topics, group: &Members) -> Shares {
    let mut shares = nothing(group);
    let mut divisions: Vec<_> =
        topics.iter().map(|(topic, racks)| Division::new(topic, racks, group)).collect();
    let rack_aware = divisions.iter().any(|division| division.rack_aware);
    if rack_aware {
        match_racks(&mut divisions, &mut shares);
    }
    for division in &mut divisions {
        division.give_runs(false, &mut shares);
    }
    if rack_aware {
        shares.values_mut().for_each(|share| share.sort());
    }
    shares
}

/// Gives partitions to members on their racks, co-partitioned topics in the same way.
fn match_racks<'a>(divisions: &mut [Division<'a>], shares: &mut Shares) {
    let mut alike: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (index, division) in divisions.iter().enumerate() {
        let key = (division.members.clone(), division.racks.len());
        alike.entry(key).or_default().push(index);
    }
    for ((members, count), together) in alike {
        match together[..] {
            [only] if divisions[only].rack_aware => divisions[only].give_runs(true, shares),
            [_] => {}
            _ => match_together(divisions, &together, (members, count), shares),
        }
    }
}

/// Gives partition 0 of all these topics to one member, then partition 1, and so on.
fn match_together<'a>(
    divisions: &mut [Division<'a>],
    together: &[usize],
    (mut members, count): (Vec<Reader<'a>>, usize),
    shares: &mut Shares,
) {
    for partition in 0..count as i32 {
        let fits = |(member, rack): &Reader<'_>| {
            let mut topics = together.iter().map(|index| &divisions[*index]);
            topics.all(|topic| topic.is_near(*rack, partition) && topic.room(member) > 0)
        };
        let Some(place) = members.iter().position(fits) else { continue };
        let member = members[place].0;
        for index in together {
            divisions[*index].give(member, &[partition], shares);
        }
        if together.iter().all(|index| divisions[*index].room(member) == 0) {
            members.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{group, racked, share, topics};
    use super::*;

    #[test]
    fn first_members_get_the_remainder_of_each_topic() {
        let shares = assign(
            &topics(&[("a", 3), ("b", 3)]),
            &group(&[("m1", &["a", "b"]), ("m2", &["a", "b"])]),
        );
        assert_eq!(share(&shares, "m1"), ["a-0", "a-1", "b-0", "b-1"]);
        assert_eq!(share(&shares, "m2"), ["a-2", "b-2"]);
    }

    #[test]
    fn static_members_come_first_in_the_order_of_their_instances() {
        let mut members = group(&[("m1", &["a"]), ("m2", &["a"]), ("m3", &["a"])]);
        members.get_mut("m3").unwrap().instance = Some("i1".into());
        members.get_mut("m2").unwrap().instance = Some("i2".into());
        let shares = assign(&topics(&[("a", 4)]), &members);
        assert_eq!(share(&shares, "m3"), ["a-0", "a-1"]);
        assert_eq!(share(&shares, "m2"), ["a-2"]);
        assert_eq!(share(&shares, "m1"), ["a-3"]);
    }

    #[test]
    fn members_read_partitions_on_their_rack_within_their_quota() {
        let members = racked(&[("m1", "x", &["a"]), ("m2", "y", &["a"])]);
        let mut all = topics(&[("a", 4)]);
        for (partition, rack) in ["y", "x", "y", "y"].into_iter().enumerate() {
            all.get_mut("a").unwrap()[partition] = Racks::from([rack.into()]);
        }
        let shares = assign(&all, &members);
        assert_eq!(share(&shares, "m1"), ["a-1", "a-3"]);
        assert_eq!(share(&shares, "m2"), ["a-0", "a-2"]);
    }

    #[test]
    fn co_partitioned_topics_are_divided_alike_though_racks_are_known() {
        let members = racked(&[("m1", "x", &["a", "b"]), ("m2", "y", &["a", "b"])]);
        let mut all = topics(&[("a", 2), ("b", 2)]);
        for partitions in all.values_mut() {
            partitions[0] = Racks::from(["y".into()]);
            partitions[1] = Racks::from(["x".into()]);
        }
        let shares = assign(&all, &members);
        assert_eq!(share(&shares, "m1"), ["a-1", "b-1"]);
        assert_eq!(share(&shares, "m2"), ["a-0", "b-0"]);
    }
}
