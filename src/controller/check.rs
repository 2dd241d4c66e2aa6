//! What must hold of every partition that the controller decided about.
//!
//! Only what a batch changed is looked at, so that the assertions cost what the batch costs. What
//! was loaded is not judged: it comes from a file, and Kafka may have written it.

use std::collections::{BTreeMap, BTreeSet};

use super::image::{Change, Image, PartitionState};
use crate::base::{BrokerId, Flaw, Flaws, TopicId};

/// Asserts what must hold of `image`, which these changes made of `before`.
pub(super) fn check(image: &Image, before: &Image, changes: &[Change], flaws: Flaws) {
    let mut states: BTreeMap<(TopicId, i32), &PartitionState> = BTreeMap::new();
    for change in changes {
        if let Change::Partition { topic, topic_id, partition, state, unclean } = change {
            let name = format!("{topic}-{partition}");
            let key = (*topic_id, *partition);
            let earlier = states.insert(key, state);
            if let Some(earlier) = earlier.or_else(|| before.partition(*topic_id, *partition)) {
                check_step(&name, earlier, state, *unclean, flaws);
            }
        }
    }
    let mut concerned: BTreeSet<_> = states.keys().copied().collect();
    for change in changes {
        // A change of a broker concerns what it is in sync for or leads.
        if let Change::BrokerRegistered { id, .. }
        | Change::BrokerFenced { id, .. }
        | Change::BrokerUnfenced { id, .. }
        | Change::BrokerShuttingDown { id } = change
        {
            concerned.extend(image.in_sync_on(*id));
            concerned.extend(image.eligible_on(*id));
            concerned.extend(image.led_by(Some(*id)));
        }
    }
    for (topic, index) in concerned {
        let name = image.topic_by_id(topic).map(|topic| &topic.name);
        // A topic that was deleted has no partitions any more.
        if let (Some(name), Some(state)) = (name, image.partition(topic, index)) {
            let name = format!("{name}-{index}");
            if states.contains_key(&(topic, index)) {
                check_state(&name, state);
            }
            check_standing(&name, image, state, flaws);
        }
    }
}

/// One change of a partition.
fn check_step(
    name: &str,
    before: &PartitionState,
    after: &PartitionState,
    unclean: bool,
    flaws: Flaws,
) {
    let (old, new) = (before.partition_epoch, after.partition_epoch);
    assert!(new > old, "{name}: partition epoch went from {old} to {new}");
    let (old, new) = (before.leader_epoch, after.leader_epoch);
    assert!(new >= old, "{name}: leader epoch fell from {old} to {new}");
    if after.leader == before.leader {
        return;
    }
    assert!(new > old, "{name}: another leader in the same leader epoch {new}");
    if let Some(leader) = after.leader {
        let eligible = before.isr.contains(&leader) || before.elr.contains(&leader);
        let mistaken = unclean && before.elr.contains(&leader);
        assert!(
            eligible != unclean || mistaken && flaws.has(Flaw::ElrCountedAsUnclean),
            "{name}: leader {leader} elected {} from ISR {:?} and ELR {:?}",
            if unclean { "uncleanly" } else { "cleanly" },
            before.isr,
            before.elr
        );
    }
}

/// A partition by itself.
fn check_state(name: &str, state: &PartitionState) {
    let PartitionState { replicas, isr, elr, leader, .. } = state;
    for id in isr.iter().chain(elr) {
        assert!(
            replicas.contains(id),
            "{name}: broker {id} of ISR {isr:?} or ELR {elr:?} is not in replicas {replicas:?}"
        );
    }
    let members: BTreeSet<BrokerId> = isr.iter().chain(elr).copied().collect();
    assert!(
        members.len() == isr.len() + elr.len(),
        "{name}: a broker is twice in ISR {isr:?} and ELR {elr:?}"
    );
    if let Some(leader) = leader {
        assert!(isr.contains(leader), "{name}: leader {leader} is not in ISR {isr:?}");
    }
}

/// A partition and the brokers. KIP-841: no fenced broker and none on its way out is in sync.
fn check_standing(name: &str, image: &Image, state: &PartitionState, flaws: Flaws) {
    if flaws.has(Flaw::FencedMayJoin) || flaws.has(Flaw::ForgetLastInSync) {
        return;
    }
    let isr = &state.isr;
    let Some(leader) = state.leader else {
        // The last member stays; the others left before it.
        assert!(isr.len() <= 1, "{name}: no leader, though ISR is {isr:?}");
        return;
    };
    assert!(image.is_active(leader), "{name}: leader {leader} is fenced or leaving");
    for id in isr {
        assert!(image.is_active(*id), "{name}: broker {id} of ISR {isr:?} is fenced or leaving");
    }
}
