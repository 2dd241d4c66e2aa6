//! Server-side assignors: who shall own which partition.
//!
//! Each assigns every partition of a subscribed topic to exactly one of its subscribers, and moves
//! as few as its idea of balance allows. Members come in the order of their ids, so equal groups get
//! equal assignments. Racks are not considered: Kafka's own assignors don't either since 4.0.
//!
//! | file | contents |
//! |---|---|
//! | `uniform` | balance over all topics; every member subscribes to the same ones |
//! | `mixed` | the same for members with different subscriptions |
//! | `range` | balance within each topic; equal partitions of topics go to one member |
//!
//! Source: Kafka's `UniformAssignor` and `RangeAssignor`.

mod mixed;
mod range;
mod uniform;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::partitions::Target;
use crate::base::TopicId;

/// A server-side assignor (`group.consumer.assignors`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// Members own equally many partitions, give or take one.
    Uniform,
    /// Members own equally many partitions of each topic, give or take one, in ranges.
    Range,
}

/// A member, as an assignor sees it.
#[derive(Clone, Debug)]
pub(super) struct Subscriber<'a> {
    /// The topics that it subscribes to.
    pub(super) topics: Arc<BTreeSet<TopicId>>,
    /// Its target so far.
    pub(super) held: &'a Target,
}

/// A group, as an assignor sees it.
#[derive(Clone, Debug)]
pub(super) struct Subscribers<'a> {
    /// Its members, in order.
    pub(super) members: Vec<Subscriber<'a>>,
    /// The number of partitions of each subscribed topic.
    pub(super) partitions: BTreeMap<TopicId, i32>,
}

impl Assignor {
    /// Every assignor, Kafka's default first.
    pub const ALL: [Self; 2] = [Self::Uniform, Self::Range];

    /// Its name in requests and settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// The assignor with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// The target of each member, in order.
    pub(super) fn assign(self, group: &Subscribers<'_>) -> Vec<Target> {
        match self {
            _ if group.members.is_empty() => Vec::new(),
            Self::Range => range::assign(group),
            Self::Uniform if group.agree() => uniform::assign(group),
            Self::Uniform => mixed::assign(group),
        }
    }
}

impl Subscribers<'_> {
    /// Whether all members subscribe to the same topics.
    fn agree(&self) -> bool {
        let mut members = self.members.iter().map(|member| &member.topics);
        let Some(first) = members.next() else { return true };
        members.all(|topics| Arc::ptr_eq(first, topics) || first == topics)
    }

    /// What each member holds and may keep: partitions that exist, of topics that it subscribes
    /// to, and that no member before it holds.
    fn kept(&self) -> Vec<Vec<(TopicId, i32)>> {
        let mut taken = BTreeSet::new();
        let kept = self.members.iter().map(|member| {
            let mut kept = Vec::new();
            for (topic, partition) in member.held.iter() {
                let exists = self.exists(topic, partition);
                if exists && member.topics.contains(&topic) && taken.insert((topic, partition)) {
                    kept.push((topic, partition));
                }
            }
            kept
        });
        kept.collect()
    }

    fn exists(&self, topic: TopicId, partition: i32) -> bool {
        let count = self.partitions.get(&topic).copied().unwrap_or(0);
        (0..count).contains(&partition)
    }

    /// Partitions of subscribed topics that no member keeps, in order.
    fn free(&self, kept: &[Vec<(TopicId, i32)>]) -> Vec<(TopicId, i32)> {
        let taken: BTreeSet<_> = kept.iter().flatten().copied().collect();
        let all = self
            .partitions
            .iter()
            .flat_map(|(topic, count)| (0..*count).map(move |partition| (*topic, partition)));
        all.filter(|partition| !taken.contains(partition)).collect()
    }
}

/// How many of `count` things each of `members` gets: as many each, and some of them one more.
fn shares(count: usize, members: usize) -> (usize, usize) {
    (count / members, count % members)
}

#[cfg(test)]
mod tests;
