//! `one-leader-per-epoch`: no two replicas accept writes for one partition in one leader epoch.
//!
//! There are two ways to find it: two brokers report accepted records in the same epoch; or,
//! whatever they report, two logs hold different batches of the same epoch at the same offset.

use std::collections::BTreeMap;

use crate::base::{BrokerId, LeaderEpoch, Probe, ReplicaProbe, TopicPartition};
use crate::check::ghost::{Batch, Change};
use crate::check::{Event, Ghost, Invariant, ReplicaWitness, Violation};
use crate::sim::{HostId, What};

#[derive(Default)]
pub(super) struct OneLeaderPerEpoch {
    accepted: BTreeMap<TopicPartition, BTreeMap<LeaderEpoch, BrokerId>>,
}

impl Invariant for OneLeaderPerEpoch {
    fn name(&self) -> &'static str {
        "one-leader-per-epoch"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for partition in event.gone() {
            self.accepted.remove(partition);
        }
        for change in event.changes {
            if let Change::Appended { host, partition, batch, .. } = change
                && let Some(witness) = rival(ghost, *host, partition, batch)
            {
                return event.broke(self.name(), partition, witness);
            }
        }
        let What::Probe(Probe::Replica(ReplicaProbe::LeaderAppended {
            partition,
            epoch,
            base,
            ..
        })) = &event.seen.what
        else {
            return Ok(());
        };
        let Some(host) = ghost.host(event.seen.host) else { return Ok(()) };
        // Of a topic that is being deleted.
        if ghost.view().role(event.seen.host, partition).is_none() {
            return Ok(());
        }
        let epochs = self.accepted.entry(partition.clone()).or_default();
        let first = *epochs.entry(*epoch).or_insert(host.broker);
        if first == host.broker {
            return Ok(());
        }
        let witness =
            ReplicaWitness::TwoLeaders { epoch: *epoch, first, second: host.broker, offset: *base };
        event.broke(self.name(), partition, witness)
    }
}

/// Another replica's different batch of the same epoch at the same offset.
fn rival(
    ghost: &Ghost,
    on: HostId,
    name: &TopicPartition,
    batch: &Batch,
) -> Option<ReplicaWitness> {
    // Each replica rewrites what it cleans by itself.
    if ghost.partition(name).is_some_and(|partition| batch.base < partition.cleaned_below) {
        return None;
    }
    let own = ghost.replica(on, name)?.topic_id();
    ghost.hosts().filter(|(id, _)| *id != on).find_map(|(_, host)| {
        let other = host.replicas.get(name)?;
        let of_another_creation =
            own.is_some() && other.topic_id().is_some() && own != other.topic_id();
        let there = other.batch_at(batch.base).filter(|there| {
            there.epoch == batch.epoch && !there.equals(batch) && !of_another_creation
        })?;
        let offset = there.base.max(batch.base);
        let second = ghost.host(on)?.broker;
        Some(ReplicaWitness::TwoBatches { epoch: batch.epoch, offset, first: host.broker, second })
    })
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    #[test]
    fn silent_when_a_successor_writes_in_its_own_epoch() {
        let mut story = Story::judging("one-leader-per-epoch");
        story.leader_writes(1, 0, 0, &[10]);
        story.elected(2, 1, &[2, 3]);
        story.leader_writes(2, 0, 1, &[11]);
        story.silent();
    }

    #[test]
    fn silent_when_a_leader_cuts_a_failed_append_that_no_follower_fetched() {
        let mut story = Story::judging("one-leader-per-epoch");
        story.writes(1, 0, 0, &[10]);
        story.cut(1, 0);
        story.leader_writes(1, 0, 0, &[11]);
        story.writes(2, 0, 0, &[11]);
        story.silent();
    }

    #[test]
    fn fires_when_a_second_broker_accepts_in_the_same_epoch() {
        let mut story = Story::judging("one-leader-per-epoch");
        story.leader_writes(1, 0, 0, &[10]);
        story.became_leader(2, 0);
        story.leader_writes(2, 1, 0, &[11]);
        story
            .fired("orders-0 b1 and b2 both accepted writes in epoch 0; b2 at offset 1 at 1.000 s");
    }

    #[test]
    fn fires_when_two_logs_hold_different_batches_of_one_epoch() {
        let mut story = Story::judging("one-leader-per-epoch");
        story.writes(1, 0, 0, &[10]);
        story.writes(2, 0, 0, &[11]);
        story
            .fired("orders-0 offset 0 of epoch 0 is one record on b1 and another on b2 at 1.000 s");
    }
}
