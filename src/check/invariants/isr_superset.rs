//! `isr-superset`: the leader counts every replica that the controller has in sync: its maximal ISR
//! (the committed one, and replicas that may have joined since) contains the controller's.
//!
//! Otherwise its high watermark could pass a replica that could be elected. Judged whenever either
//! side changes, while the leader runs and leads in the controller's epoch. The leader's own count
//! comes from its report; the rest is the controller's.
//! Source: KIP-497; `ValidLeaderMaximalIsr` of the KIP-279 and KRaft specifications.

use std::collections::BTreeMap;

use crate::base::{BrokerId, LeaderEpoch, Probe, ReplicaProbe, TopicPartition};
use crate::check::{Event, Ghost, Invariant, ReplicaWitness, Violation};
use crate::sim::{HostId, What};
use crate::view::Change as Folded;

/// Whom a leader counts, in which epoch.
struct Counted {
    epoch: LeaderEpoch,
    isr: Vec<BrokerId>,
}

#[derive(Default)]
pub(super) struct IsrSuperset {
    counted: BTreeMap<TopicPartition, BTreeMap<HostId, Counted>>,
}

impl IsrSuperset {
    fn ask(
        &self,
        event: &Event<'_>,
        ghost: &Ghost,
        name: &TopicPartition,
    ) -> Result<(), Violation> {
        let Some(state) = ghost.view().partition(name).map(|known| known.state()) else {
            return Ok(());
        };
        let Some(leader) = state.leader else { return Ok(()) };
        let node = ghost.view().node_of(leader).filter(|(_, node)| node.up);
        let Some((id, _)) = node else { return Ok(()) };
        let role = ghost.view().role(id, name);
        if !role.is_some_and(|role| role.leads && role.epoch == state.leader_epoch) {
            return Ok(());
        }
        let counted = self.counted.get(name).and_then(|hosts| hosts.get(&id));
        let Some(counted) = counted.filter(|known| known.epoch == state.leader_epoch) else {
            return Ok(());
        };
        if state.isr.iter().all(|id| counted.isr.contains(id)) {
            return Ok(());
        }
        let witness = ReplicaWitness::NotCounted {
            leader,
            epoch: state.leader_epoch,
            counted: counted.isr.clone(),
            committed: state.isr.clone(),
        };
        event.broke("isr-superset", name, witness)
    }
}

impl Invariant for IsrSuperset {
    fn name(&self) -> &'static str {
        "isr-superset"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for change in event.folded {
            match change {
                Folded::Committed(committed) => self.ask(event, ghost, &committed.partition)?,
                Folded::Gone { partition } => {
                    self.counted.remove(partition);
                }
                _ => {}
            }
        }
        let What::Probe(Probe::Replica(ReplicaProbe::MayBeInSync { partition, epoch, isr })) =
            &event.seen.what
        else {
            return Ok(());
        };
        let counted = Counted { epoch: *epoch, isr: isr.clone() };
        self.counted.entry(partition.clone()).or_default().insert(event.seen.host, counted);
        self.ask(event, ghost, partition)
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    fn led() -> Story {
        let mut story = Story::judging("isr-superset");
        story.counts(1, 0, &[1, 2, 3]);
        story
    }

    #[test]
    fn silent_while_a_replica_leaves_and_joins_again_and_the_leader_counts_it_all_along() {
        let mut story = led();
        story.commits(Some(1), 0, &[1, 2]);
        story.counts(1, 0, &[1, 2]);
        story.counts(1, 0, &[1, 2, 3]);
        story.commits(Some(1), 0, &[1, 2, 3]);
        story.silent();
    }

    #[test]
    fn silent_about_a_leader_that_is_deposed_or_dead() {
        let mut story = led();
        story.commits(Some(1), 0, &[1, 2]);
        story.counts(1, 0, &[1, 2]);
        story.commits(Some(2), 1, &[2, 3]);
        story.silent();
        let mut story = led();
        story.counts(1, 0, &[1, 2]);
        assert!(!story.sentence().is_empty());
        let mut story = led();
        story.killed(1);
        story.counts(1, 0, &[1, 2]);
        story.silent();
    }

    #[test]
    fn fires_when_a_replica_joined_that_the_leader_does_not_count() {
        let mut story = led();
        story.commits(Some(1), 0, &[1, 2]);
        story.counts(1, 0, &[1, 2]);
        story.commits(Some(1), 0, &[1, 2, 3]);
        story.fired(
            "orders-0 leader b1 of epoch 0 counts b1 and b2 at 1.000 s; b1, b2 and b3 are in sync \
             for the controller",
        );
    }

    #[test]
    fn fires_when_the_leader_forgets_a_replica_before_the_controller_does() {
        let mut story = led();
        story.counts(1, 0, &[1]);
        assert!(story.sentence().contains("leader b1 of epoch 0 counts b1 at"));
    }
}
