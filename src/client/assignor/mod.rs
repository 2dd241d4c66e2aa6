//! Who reads which partition: the assignors of the classic protocol, which a group's leader runs.
//!
//! | module | role |
//! |---|---|
//! | `member` | what an assignor knows of members and topics |
//! | `range`, `round_robin` | the two that look at subscriptions alone |
//! | `sticky` | the two that keep what members own; cooperative: in two rebalances (KIP-429) |
//! | `userdata` | what sticky assignors remember, in Kafka's format |
//!
//! Source: Kafka's `RangeAssignor`, `RoundRobinAssignor`, `StickyAssignor` and
//! `CooperativeStickyAssignor`, which give the same results. Where those walk over a hash map, these
//! go in the order of member ids.

mod member;
mod range;
mod round_robin;
mod sticky;
#[cfg(test)]
mod tests;
mod userdata;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::base::TopicPartition;
use crate::group::MemberId;

pub(in crate::client) use member::{Member, Members, Racks, Shares, Topics};

/// When members give partitions up in a rebalance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::client) enum Rebalancing {
    /// All of them, before joining.
    Eager,
    /// Those that go to another member, after the assignment (KIP-429).
    Cooperative,
}

/// An assignor of `partition.assignment.strategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::client) enum Assignor {
    Range,
    RoundRobin,
    Sticky,
    CooperativeSticky,
}

impl Assignor {
    pub(in crate::client) const ALL: [Self; 4] =
        [Self::Range, Self::RoundRobin, Self::Sticky, Self::CooperativeSticky];

    /// The name under which members agree on it.
    pub(in crate::client) const fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::Sticky => "sticky",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// Kafka's class of it, without the package.
    const fn class(self) -> &'static str {
        match self {
            Self::Range => "RangeAssignor",
            Self::RoundRobin => "RoundRobinAssignor",
            Self::Sticky => "StickyAssignor",
            Self::CooperativeSticky => "CooperativeStickyAssignor",
        }
    }

    /// The assignor that a configuration names: by its name, or by Kafka's class.
    pub(in crate::client) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let class = text.strip_prefix("class ").unwrap_or(text);
        let class = class.strip_prefix("org.apache.kafka.clients.consumer.").unwrap_or(class);
        Self::ALL.into_iter().find(|one| one.name() == text || one.class() == class)
    }

    /// Whether members may keep their partitions while they rebalance.
    pub(in crate::client) const fn is_cooperative(self) -> bool {
        matches!(self, Self::CooperativeSticky)
    }

    /// What a member adds to its subscription for this assignor: what it was assigned in which
    /// generation.
    pub(in crate::client) fn user_data(
        self,
        last: Option<(&[TopicPartition], i32)>,
    ) -> Option<Bytes> {
        match self {
            Self::Range | Self::RoundRobin => None,
            Self::Sticky => last.map(|(owned, generation)| userdata::write(owned, generation)),
            Self::CooperativeSticky => {
                Some(userdata::write_generation(last.map_or(-1, |(_, generation)| generation)))
            }
        }
    }

    /// Gives each partition of each subscribed topic to one member, or in a cooperative rebalance to
    /// none as long as another member owns it.
    pub(in crate::client) fn assign(self, topics: &Topics, members: &Members) -> Shares {
        let mut subscribed = Topics::new();
        for topic in members.values().flat_map(|member| &member.topics) {
            if let Some(partitions) = topics.get(topic).filter(|partitions| !partitions.is_empty())
            {
                subscribed.insert(topic.clone(), partitions.clone());
            }
        }
        match self {
            _ if members.is_empty() => BTreeMap::new(),
            Self::Range => range::assign(&subscribed, members),
            Self::RoundRobin => round_robin::assign(&subscribed, members),
            Self::Sticky => sticky::assign(&subscribed, members),
            Self::CooperativeSticky => sticky::assign_cooperatively(&subscribed, members),
        }
    }
}

/// Each member with nothing.
fn nothing(members: &Members) -> Shares {
    members.keys().map(|member: &MemberId| (member.clone(), Vec::new())).collect()
}
