//! `sticky` and `cooperative-sticky`: as balanced as possible, and as few moves as that allows.
//!
//! | module | role |
//! |---|---|
//! | `claims` | what members own, conflicts resolved |
//! | `racks` | whether a member is on a rack with a replica |
//! | `constrained` | all members subscribe to the same topics: quotas decide |
//! | `general` | they do not: partitions move while that improves the balance |
//! | `movements` | what moved from whom to whom, so that no two topics' partitions swap places |
//!
//! Source: Kafka's `AbstractStickyAssignor`; KIP-54, KIP-429, KIP-792 (generations), KIP-881 (racks).

mod claims;
mod constrained;
mod general;
mod movements;
mod racks;

use std::collections::{BTreeMap, BTreeSet};

use super::{Members, Shares, Topics};
use crate::base::TopicPartition;
use crate::group::MemberId;
use claims::{Claims, Memory};

/// Partitions that an owner must give up first, with their next owners.
type Transfers = BTreeMap<TopicPartition, MemberId>;

pub(super) fn assign(topics: &Topics, members: &Members) -> Shares {
    distribute(topics, members, Memory::of_sticky).0
}

/// The same, without partitions that another member still owns: they are assigned in the rebalance
/// that follows once the owner has revoked them (KIP-429).
pub(super) fn assign_cooperatively(topics: &Topics, members: &Members) -> Shares {
    let (mut shares, transfers) = distribute(topics, members, Memory::of_cooperative);
    let transfers = transfers.unwrap_or_else(|| transfers_between(members, &shares));
    for (partition, next) in transfers {
        if let Some(share) = shares.get_mut(&next) {
            share.retain(|assigned| *assigned != partition);
        }
    }
    shares
}

/// The assignment, and transfers where they are known on the way.
fn distribute(
    topics: &Topics,
    members: &Members,
    memory: fn(&super::Member) -> Memory,
) -> (Shares, Option<Transfers>) {
    let memories: BTreeMap<MemberId, Memory> =
        members.iter().map(|(id, member)| (id.clone(), memory(member))).collect();
    let claims = Claims::new(topics, &memories);
    let mut subscriptions = members.values().map(|member| &member.topics);
    let first = subscriptions.next();
    if subscriptions.all(|topics| Some(topics) == first) {
        let (shares, transfers) = constrained::assign(topics, members, claims);
        (shares, Some(transfers))
    } else {
        (general::assign(topics, members, claims), None)
    }
}

/// Partitions that one member gets while another owns them.
fn transfers_between(members: &Members, shares: &Shares) -> Transfers {
    let (mut added, mut revoked) = (Transfers::new(), BTreeSet::new());
    for (id, share) in shares {
        let Some(member) = members.get(id) else { continue };
        let owned: BTreeSet<_> = member.owned.iter().collect();
        let assigned: BTreeSet<_> = share.iter().collect();
        let new = assigned.difference(&owned);
        added.extend(new.map(|partition| ((*partition).clone(), id.clone())));
        revoked.extend(owned.difference(&assigned).map(|partition| (*partition).clone()));
    }
    added.retain(|partition, _| revoked.contains(partition));
    added
}
