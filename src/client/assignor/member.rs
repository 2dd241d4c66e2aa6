//! What an assignor knows of the members of a group, and of topics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::base::TopicPartition;
use crate::group::MemberId;

/// A member as it subscribed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::client) struct Member {
    /// `group.instance.id`.
    pub(in crate::client) instance: Option<Arc<str>>,
    pub(in crate::client) topics: BTreeSet<Arc<str>>,
    /// What it owned when it joined; nothing in an eager rebalance.
    pub(in crate::client) owned: Vec<TopicPartition>,
    /// The generation in which it was assigned them; `None`: it is new, or does not say.
    pub(in crate::client) generation: Option<i32>,
    pub(in crate::client) user_data: Option<Bytes>,
    /// `client.rack`.
    pub(in crate::client) rack: Option<Arc<str>>,
}

pub(in crate::client) type Members = BTreeMap<MemberId, Member>;

/// The racks that have a replica of a partition.
pub(in crate::client) type Racks = BTreeSet<Arc<str>>;

/// The partitions of each topic, from 0.
pub(in crate::client) type Topics = BTreeMap<Arc<str>, Vec<Racks>>;

/// What each member is to read.
pub(in crate::client) type Shares = BTreeMap<MemberId, Vec<TopicPartition>>;

/// Members in an order that outlives restarts: static ones by instance first, then dynamic ones by
/// member id. Source: Kafka's `AbstractPartitionAssignor.MemberInfo`.
pub(super) fn in_order<'a>(
    members: impl IntoIterator<Item = (&'a MemberId, &'a Member)>,
) -> Vec<&'a MemberId> {
    let mut order: Vec<_> = members.into_iter().collect();
    order.sort_by_key(|(id, member)| match &member.instance {
        Some(instance) => (false, &**instance),
        None => (true, id.as_str()),
    });
    order.into_iter().map(|(id, _)| id).collect()
}

/// All partitions of a topic.
pub(super) fn partitions<'a>(
    topic: &'a Arc<str>,
    racks: &[Racks],
) -> impl Iterator<Item = TopicPartition> + use<'a> {
    (0..racks.len() as i32).map(|index| TopicPartition::new(topic.clone(), index))
}

/// Whether racks should be looked at: some partition is near to some members and far from others.
pub(super) fn looks_at_racks<'a>(
    members: &Racks,
    partitions: impl Iterator<Item = &'a Racks> + Clone,
) -> bool {
    let all: Racks = partitions.clone().flatten().cloned().collect();
    !members.is_disjoint(&all) && partitions.into_iter().any(|racks| *racks != all)
}

/// The racks of some members. An empty name is none.
pub(super) fn rack_of(member: &Member) -> Option<&Arc<str>> {
    member.rack.as_ref().filter(|rack| !rack.is_empty())
}
