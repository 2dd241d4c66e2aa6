//! All members subscribe to the same topics: each keeps what it owns up to its quota, and the rest is
//! dealt to those below it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::member::partitions;
use super::super::{Members, Shares, Topics, nothing};
use super::Transfers;
use super::claims::Claims;
use super::racks::RackInfo;
use crate::base::TopicPartition;
use crate::group::MemberId;

struct Builder<'a> {
    racks: RackInfo<'a>,
    disputed: BTreeSet<TopicPartition>,
    /// Partitions that were not kept, with their owners.
    released: BTreeMap<TopicPartition, MemberId>,
    transfers: Transfers,
    /// Members below the smaller quota.
    below: Vec<MemberId>,
    /// Members at the smaller quota, of which some will get one more.
    at_least: VecDeque<MemberId>,
    least: usize,
    most: usize,
    /// How many members get more than the least; 0 if both quotas are the same.
    larger: usize,
    /// How many have it already.
    filled: usize,
    shares: Shares,
}

pub(super) fn assign(topics: &Topics, members: &Members, claims: Claims) -> (Shares, Transfers) {
    let total: usize = topics.values().map(Vec::len).sum();
    let count = members.len().max(1);
    let mut builder = Builder {
        racks: RackInfo::new(topics, members),
        disputed: claims.disputed,
        released: BTreeMap::new(),
        transfers: Transfers::new(),
        below: Vec::new(),
        at_least: VecDeque::new(),
        least: total / count,
        most: total.div_ceil(count),
        larger: total % count,
        filled: 0,
        shares: nothing(members),
    };
    for (member, owned) in claims.owned {
        builder.keep(member, owned);
    }
    let kept: BTreeSet<_> = builder.shares.values().flatten().cloned().collect();
    let all = topics.iter().flat_map(|(topic, racks)| partitions(topic, racks));
    let mut unassigned: Vec<_> = all.filter(|partition| !kept.contains(partition)).collect();
    builder.below.sort();
    builder.at_least.make_contiguous().sort();
    builder.racks.sort(&mut unassigned);
    if builder.racks.matters() {
        unassigned.retain(|partition| !builder.deal_near(partition));
    }
    builder.deal(unassigned);
    (builder.shares, builder.transfers)
}

impl Builder<'_> {
    fn size(&self, member: &MemberId) -> usize {
        self.shares.get(member).map_or(0, Vec::len)
    }

    /// Leaves a member what it owns, up to its quota.
    fn keep(&mut self, member: MemberId, owned: BTreeSet<TopicPartition>) {
        let (far, mut owned): (Vec<_>, Vec<_>) =
            owned.into_iter().partition(|partition| self.racks.is_far(&member, partition));
        self.released.extend(far.into_iter().map(|partition| (partition, member.clone())));
        owned.sort_by(|a, b| (a.partition, &a.topic).cmp(&(b.partition, &b.topic)));
        let quota = if owned.len() < self.least {
            self.below.push(member.clone());
            owned.len()
        } else if owned.len() >= self.most && self.filled < self.larger {
            self.filled += 1;
            if self.filled == self.larger {
                self.at_least.clear();
            }
            self.most
        } else {
            if self.filled < self.larger {
                self.at_least.push_back(member.clone());
            }
            self.least
        };
        let surplus = owned.split_off(quota);
        self.released.extend(surplus.into_iter().map(|partition| (partition, member.clone())));
        self.shares.insert(member, owned);
    }

    /// Gives a partition to a member on its rack that has room. Returns whether there is one.
    fn deal_near(&mut self, partition: &TopicPartition) -> bool {
        // The next partition goes to the members after the one that gets this.
        if let Some(place) = self.racks.first_near(partition, &self.below) {
            self.below.rotate_left(place);
            let member = self.below[0].clone();
            if self.size(&member) + 1 >= self.least {
                self.below.remove(0);
                if self.size(&member) + 1 < self.most && self.filled < self.larger {
                    self.at_least.push_back(member.clone());
                }
            } else {
                self.below.rotate_left(1);
            }
            self.give(partition.clone(), &member);
            return true;
        }
        let waiting = self.at_least.make_contiguous();
        let Some(place) = self.racks.first_near(partition, waiting) else { return false };
        let Some(member) = self.at_least.get(place).cloned() else { return false };
        if self.size(&member) + 1 == self.most {
            self.at_least.remove(place);
            self.filled += 1;
            if self.filled == self.larger {
                self.at_least.clear();
            }
        }
        self.give(partition.clone(), &member);
        true
    }

    /// Deals what is left, in turn.
    fn deal(&mut self, unassigned: Vec<TopicPartition>) {
        self.below.sort();
        let mut next = 0;
        for partition in unassigned {
            if next >= self.below.len() {
                next = 0;
            }
            let below = self.below.get(next).cloned();
            let Some(member) = below.clone().or_else(|| self.at_least.pop_front()) else {
                debug_assert!(false, "{partition} is left, and every member has its quota");
                return;
            };
            let size = self.give(partition, &member);
            if below.is_none() {
                continue;
            }
            if size == self.least {
                self.below.remove(next);
                self.at_least.push_back(member);
            } else {
                next += 1;
            }
        }
    }

    fn give(&mut self, partition: TopicPartition, member: &MemberId) -> usize {
        let owner = self.released.get(&partition);
        if owner.is_some_and(|owner| owner != member) || self.disputed.contains(&partition) {
            self.transfers.insert(partition.clone(), member.clone());
        }
        let share = self.shares.entry(member.clone()).or_default();
        share.push(partition);
        share.len()
    }
}
