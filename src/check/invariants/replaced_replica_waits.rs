//! `replaced-replica-waits`: a replica whose disk was replaced by an empty one leads only after it was
//! in sync again, with another leader.
//!
//! It is judged by the disk alone. An unclean election, or one of the last known leader, may lose
//! records, but never in favour of a log that is known to be another one.
//! Source: KIP-858; the replica that is assigned is the one in a certain directory.

use std::collections::BTreeSet;

use crate::base::{BrokerId, TopicPartition};
use crate::check::{Event, Ghost, Invariant, ReplicaWitness, Violation};
use crate::sim::What;
use crate::view::{Change as Folded, Committed};

#[derive(Default)]
pub(super) struct ReplacedReplicaWaits {
    /// Replicas that were not in sync since their disk was replaced.
    waiting: BTreeSet<(BrokerId, TopicPartition)>,
}

impl Invariant for ReplacedReplicaWaits {
    fn name(&self) -> &'static str {
        "replaced-replica-waits"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for gone in event.gone() {
            self.waiting.retain(|(_, partition)| partition != gone);
        }
        if let What::Replaced { files } = &event.seen.what
            && let Some(host) = ghost.host(event.seen.host)
        {
            let names = files.iter().filter_map(|path| ghost.partition_of(path));
            self.waiting.extend(names.map(|partition| (host.broker, partition)));
        }
        for change in event.folded {
            match change {
                Folded::Committed(committed) => self.joined(ghost, committed),
                Folded::TookOver { host, partition, epoch } => {
                    let Some(broker) = ghost.host(*host).map(|host| host.broker) else { continue };
                    if self.waiting.contains(&(broker, partition.clone())) {
                        let witness = ReplicaWitness::LeadsReplaced { broker, epoch: *epoch };
                        return event.broke(self.name(), partition, witness);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl ReplacedReplicaWaits {
    /// A follower that joins the ISR has fetched everything; `candidate-completeness` judges that.
    fn joined(&mut self, ghost: &Ghost, committed: &Committed) {
        let name = &committed.partition;
        let (Some(known), Some(before)) = (ghost.view().partition(name), &committed.before) else {
            return;
        };
        let state = known.state();
        for id in state.isr.iter().filter(|id| !before.isr.contains(id)) {
            if state.leader.is_some_and(|leader| leader != *id) {
                self.waiting.remove(&(*id, name.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    /// b1 leads, and has a record; then its disk is replaced.
    fn replaced() -> Story {
        let mut story = Story::judging("replaced-replica-waits");
        story.leader_writes(1, 0, 0, &[100]);
        story.writes(2, 0, 0, &[100]);
        story.disk_replaced(1);
        story.boot(1);
        story
    }

    #[test]
    fn fires_when_the_replica_on_the_new_disk_is_elected() {
        let mut story = replaced();
        story.elected(1, 1, &[1]);
        story.fired(
            "orders-0 b1 leads epoch 1 at 1.000 s, but its disk was replaced since it was last in \
             sync",
        );
    }

    #[test]
    fn fires_though_the_election_was_unclean() {
        let mut story = replaced();
        story.commits_unclean(1, 1, &[1]);
        story.became_leader(1, 1);
        assert!(story.sentence().contains("its disk was replaced"), "{}", story.sentence());
    }

    #[test]
    fn fires_about_one_that_was_put_into_the_isr_by_its_own_election() {
        let mut story = replaced();
        story.commits(None, 1, &[]);
        story.elected(1, 2, &[1]);
        assert!(story.sentence().contains("leads epoch 2"), "{}", story.sentence());
    }

    #[test]
    fn silent_once_it_was_in_sync_again_behind_another_leader() {
        let mut story = replaced();
        story.elected(2, 1, &[2]);
        story.writes(1, 0, 0, &[100]);
        story.commits(Some(2), 1, &[1, 2]);
        story.elected(1, 2, &[1]);
        story.silent();
    }

    #[test]
    fn silent_about_a_replica_that_kept_its_disk() {
        let mut story = replaced();
        story.killed(2);
        story.boot(2);
        story.elected(2, 1, &[2]);
        story.silent();
    }
}
