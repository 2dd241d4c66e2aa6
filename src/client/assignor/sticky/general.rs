//! Members subscribe to different topics: partitions stay where they are, the others go to the members
//! with the least, and then partitions move as long as that improves the balance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::member::partitions;
use super::super::{Members, Shares, Topics};
use super::claims::Claims;
use super::movements::Movements;
use super::racks::RackInfo;
use crate::base::TopicPartition;
use crate::group::MemberId;

struct Builder<'a> {
    topics: &'a Topics,
    racks: RackInfo<'a>,
    /// The members that may read a topic.
    readers: BTreeMap<&'a Arc<str>, Vec<&'a MemberId>>,
    /// The topics that a member may read, as far as they exist.
    subscribed: BTreeMap<&'a MemberId, BTreeSet<&'a Arc<str>>>,
    current: BTreeMap<&'a MemberId, BTreeSet<TopicPartition>>,
    owners: BTreeMap<TopicPartition, &'a MemberId>,
    /// The members of `current` that take part, those with the least first.
    order: BTreeSet<(usize, &'a MemberId)>,
    previous: BTreeMap<TopicPartition, MemberId>,
    movements: Movements,
}

pub(super) fn assign(topics: &Topics, members: &Members, claims: Claims) -> Shares {
    let mut builder = Builder::new(topics, members, claims.previous);
    let has_revoked = builder.keep(members, &claims.owned);
    let mut names: Vec<_> = topics.keys().collect();
    names.sort_by_key(|topic| (builder.readers.get(topic).map_or(0, Vec::len), *topic));
    let all = names
        .into_iter()
        .flat_map(|topic| partitions(topic, topics.get(topic).map_or(&[][..], Vec::as_slice)));
    let all: Vec<TopicPartition> = all.collect();
    let unassigned: Vec<_> =
        all.iter().filter(|partition| !builder.owners.contains_key(partition)).cloned().collect();
    builder.balance(all, unassigned, has_revoked);
    let shares = builder.current.into_iter();
    shares.map(|(member, share)| (member.clone(), share.into_iter().collect())).collect()
}

impl<'a> Builder<'a> {
    fn new(
        topics: &'a Topics,
        members: &'a Members,
        previous: BTreeMap<TopicPartition, MemberId>,
    ) -> Self {
        let mut readers: BTreeMap<_, Vec<_>> = topics.keys().map(|t| (t, Vec::new())).collect();
        let mut subscribed: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (id, member) in members {
            let known = subscribed.entry(id).or_default();
            for topic in &member.topics {
                if let Some(readers) = readers.get_mut(topic) {
                    readers.push(id);
                    known.insert(topic);
                }
            }
        }
        Self {
            topics,
            racks: RackInfo::new(topics, members),
            readers,
            subscribed,
            current: members.keys().map(|id| (id, BTreeSet::new())).collect(),
            owners: BTreeMap::new(),
            order: BTreeSet::new(),
            previous,
            movements: Movements::default(),
        }
    }

    /// Leaves members what they own and may read. Returns whether one has to give something up.
    fn keep(
        &mut self,
        members: &'a Members,
        owned: &BTreeMap<MemberId, BTreeSet<TopicPartition>>,
    ) -> bool {
        let mut has_revoked = false;
        for id in members.keys() {
            for partition in owned.get(id).into_iter().flatten() {
                if !self.may_read(id, partition) || self.racks.is_far(id, partition) {
                    has_revoked = true;
                    continue;
                }
                self.owners.insert(partition.clone(), id);
                self.current.entry(id).or_default().insert(partition.clone());
            }
        }
        self.order = self.current.iter().map(|(id, share)| (share.len(), *id)).collect();
        has_revoked
    }

    fn may_read(&self, member: &MemberId, partition: &TopicPartition) -> bool {
        self.subscribed.get(member).is_some_and(|topics| topics.contains(&partition.topic))
    }

    fn size(&self, member: &MemberId) -> usize {
        self.current.get(member).map_or(0, BTreeSet::len)
    }

    fn balance(
        &mut self,
        mut all: Vec<TopicPartition>,
        mut unassigned: Vec<TopicPartition>,
        has_revoked: bool,
    ) {
        let is_initial = self.order.last().is_none_or(|(size, _)| *size == 0);
        if self.racks.matters() {
            unassigned.iter().for_each(|partition| self.give_to_least(partition, true));
        }
        for partition in &unassigned {
            if !self.owners.contains_key(partition) {
                self.give_to_least(partition, false);
            }
        }
        // Only what has a choice takes part in what follows.
        let has_choice = |readers: Option<&Vec<&MemberId>>| readers.is_some_and(|r| r.len() > 1);
        all.retain(|partition| has_choice(self.readers.get(&partition.topic)));
        unassigned.retain(|partition| has_choice(self.readers.get(&partition.topic)));
        let fixed = self.set_fixed_aside();

        let before = (self.current.clone(), self.owners.clone());
        if !has_revoked {
            self.improve(&unassigned);
        }
        let moved = self.improve(&all);
        if !is_initial && moved && imbalance(&self.current) >= imbalance(&before.0) {
            (self.current, self.owners) = before;
        }
        self.current.extend(fixed);
    }

    /// Takes members out whose partitions can't move, and who can get no others.
    fn set_fixed_aside(&mut self) -> BTreeMap<&'a MemberId, BTreeSet<TopicPartition>> {
        let is_fixed = |id: &MemberId, share: &BTreeSet<TopicPartition>| {
            let has_all = share.len() >= self.most(id);
            let contested = |p: &TopicPartition| {
                self.readers.get(&p.topic).is_some_and(|readers| readers.len() > 1)
            };
            has_all && !share.iter().any(contested)
        };
        let fixed = self.current.iter().filter(|(id, share)| is_fixed(id, share));
        let fixed: Vec<&MemberId> = fixed.map(|(id, _)| *id).collect();
        let mut aside = BTreeMap::new();
        for id in fixed {
            if let Some(share) = self.current.remove(id) {
                self.order.remove(&(share.len(), id));
                aside.insert(id, share);
            }
        }
        aside
    }

    /// The number of partitions that a member could have.
    fn most(&self, member: &MemberId) -> usize {
        let topics = self.subscribed.get(member).into_iter().flatten();
        topics.map(|topic| self.topics.get(*topic).map_or(0, Vec::len)).sum()
    }

    /// Gives a partition to the member with the least that may read it; `near`: and is on its rack.
    fn give_to_least(&mut self, partition: &TopicPartition, near: bool) {
        let fits = |id: &MemberId| {
            self.may_read(id, partition) && !(near && self.racks.is_far(id, partition))
        };
        let Some((_, id)) = self.order.iter().find(|(_, id)| fits(id)).copied() else { return };
        self.put(partition, id);
    }

    fn put(&mut self, partition: &TopicPartition, to: &'a MemberId) {
        let owner = self.owners.insert(partition.clone(), to);
        for (member, gets) in owner.into_iter().map(|id| (id, false)).chain([(to, true)]) {
            let Some(share) = self.current.get_mut(member) else { continue };
            self.order.remove(&(share.len(), member));
            if gets {
                share.insert(partition.clone());
            } else {
                share.remove(partition);
            }
            self.order.insert((share.len(), member));
        }
    }

    /// Moves partitions to members with fewer until none can move. Returns whether one moved.
    fn improve(&mut self, movable: &[TopicPartition]) -> bool {
        let mut has_moved = false;
        loop {
            let mut again = false;
            for partition in movable {
                if self.is_balanced() {
                    break;
                }
                if let Some(to) = self.better_owner(partition) {
                    self.relocate(partition, to);
                    (again, has_moved) = (true, true);
                }
            }
            if !again {
                return has_moved;
            }
        }
    }

    /// A member that has at least two partitions less than the owner: the one that had it before, or
    /// the one with the least.
    fn better_owner(&self, partition: &TopicPartition) -> Option<&'a MemberId> {
        let owner = *self.owners.get(partition)?;
        let has_fewer =
            |id: &MemberId| self.current.contains_key(id) && self.size(owner) > self.size(id) + 1;
        let readers = self.readers.get(&partition.topic)?;
        let before = self.previous.get(partition);
        let before = before.and_then(|id| readers.iter().find(|reader| **reader == id));
        if let Some(before) = before.filter(|id| has_fewer(id)) {
            return Some(before);
        }
        if !readers.iter().any(|id| has_fewer(id)) {
            return None;
        }
        self.order.iter().map(|(_, id)| *id).find(|id| self.may_read(id, partition))
    }

    fn relocate(&mut self, partition: &TopicPartition, to: &'a MemberId) {
        let Some(owner) = self.owners.get(partition).copied() else { return };
        let partition = self.movements.instead_of(partition, owner, to);
        let Some(owner) = self.owners.get(&partition).copied() else { return };
        self.movements.moved(&partition, owner, to);
        self.put(&partition, to);
    }

    fn is_balanced(&self) -> bool {
        let (Some((least, _)), Some((most, _))) = (self.order.first(), self.order.last()) else {
            return true;
        };
        if least + 1 >= *most {
            return true;
        }
        // No member could take a partition from one that has at least two more.
        !self.order.iter().any(|(size, id)| {
            let topics = self.subscribed.get(id).into_iter().flatten();
            *size < self.most(id)
                && topics.into_iter().any(|topic| {
                    let racks = self.topics.get(*topic).map_or(&[][..], Vec::as_slice);
                    partitions(topic, racks).any(|partition| {
                        let owner = self.owners.get(&partition);
                        owner.is_some_and(|owner| *owner != *id && size + 1 < self.size(owner))
                    })
                })
        })
    }
}

/// The differences in size between all pairs of members.
fn imbalance(shares: &BTreeMap<&MemberId, BTreeSet<TopicPartition>>) -> usize {
    let sizes: Vec<usize> = shares.values().map(BTreeSet::len).collect();
    let pairs = sizes.iter().enumerate();
    pairs
        .map(|(n, size)| sizes[n + 1..].iter().map(|other| size.abs_diff(*other)).sum::<usize>())
        .sum()
}
