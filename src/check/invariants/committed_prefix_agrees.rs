//! `committed-prefix-agrees`: two replicas hold equal records (bytes, epoch, offset) below the
//! smaller of their high watermarks.
//!
//! All exposed records are one list, so each replica is compared with that list whenever its own
//! high watermark rises: two replicas that agree with it agree with each other. A replica that has
//! not heard of the leader whose election lost records may still hold them.

use std::collections::BTreeMap;

use crate::base::{Offset, Probe, ReplicaProbe, TopicPartition};
use crate::check::ghost::Change;
use crate::check::{Event, Ghost, Invariant, ReplicaWitness, Violation};
use crate::sim::{HostId, What};

#[derive(Default)]
pub(super) struct CommittedPrefixAgrees {
    high_watermarks: BTreeMap<(HostId, TopicPartition), Offset>,
}

impl Invariant for CommittedPrefixAgrees {
    fn name(&self) -> &'static str {
        "committed-prefix-agrees"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for partition in event.gone() {
            self.high_watermarks.retain(|(_, name), _| name != partition);
        }
        for change in event.changes {
            if let Change::Cut { host, partition, end } = change {
                // Most of them are empty files being made.
                if let Some(known) = self.high_watermarks.get_mut(&(*host, partition.clone())) {
                    *known = (*known).min(*end);
                }
            }
        }
        let What::Probe(Probe::Replica(ReplicaProbe::HighWatermark {
            partition,
            epoch,
            offset,
            ..
        })) = &event.seen.what
        else {
            return Ok(());
        };
        let host = event.seen.host;
        if ghost.view().role(host, partition).is_none() {
            return Ok(());
        }
        let known = self.high_watermarks.entry((host, partition.clone())).or_default();
        if *offset <= *known {
            return Ok(());
        }
        *known = *offset;
        let Some(index) = ghost.first_lacking(host, partition, Some(*offset)) else {
            return Ok(());
        };
        let Some(absence) = ghost.absence(host, partition, index) else { return Ok(()) };
        let by_election = ghost.may_be_without(partition, index, *epoch);
        if by_election || ghost.may_hold_remains(partition, absence.offset, *epoch) {
            return Ok(());
        }
        let witness = ReplicaWitness::Disagrees { absence, high_watermark: *offset };
        event.broke(self.name(), partition, witness)
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    fn exposed() -> Story {
        let mut story = Story::judging("committed-prefix-agrees");
        story.commits(Some(1), 0, &[1, 2]);
        story.leader_writes(1, 0, 0, &[100]);
        story.writes(2, 0, 0, &[100]);
        story.high_watermark(1, 0, 1);
        story
    }

    #[test]
    fn silent_while_a_follower_follows() {
        let mut story = exposed();
        story.high_watermark(2, 0, 1);
        story.silent();
    }

    #[test]
    fn silent_about_a_log_in_another_directory_than_the_replica() {
        let mut story = exposed();
        story.sets_aside(2, "/data1");
        story.high_watermark(2, 0, 1);
        story.silent();
    }

    #[test]
    fn fires_about_the_log_in_the_directory_that_the_node_names() {
        for (dir, fires) in [("/data", false), ("/data1", true)] {
            let mut story = exposed();
            story.hosts_in(2, dir);
            story.high_watermark(2, 0, 1);
            assert_eq!(story.sentence().contains("absent on b2"), fires, "{}", story.sentence());
        }
    }

    #[test]
    fn silent_about_a_different_tail_above_the_high_watermark() {
        let mut story = exposed();
        story.writes(3, 0, 0, &[100]);
        story.writes(3, 1, 0, &[777]);
        story.high_watermark(3, 0, 1);
        story.silent();
    }

    #[test]
    fn fires_when_a_follower_has_other_bytes_below_its_high_watermark() {
        let mut story = exposed();
        story.writes(3, 0, 0, &[777]);
        story.high_watermark(3, 0, 1);
        story.fired(
            "orders-0 offset 0 of epoch 0 committed by b1 at 1.000 s; b3 has a record of epoch 0 \
             there, below its high watermark 1 at 1.000 s",
        );
    }

    #[test]
    fn silent_about_a_deposed_leader_that_still_holds_what_an_unclean_election_lost() {
        let mut story = exposed();
        story.leader_writes(1, 1, 0, &[101]);
        story.commits_unclean(3, 1, &[3]);
        story.became_leader(3, 1);
        story.leader_writes(3, 0, 1, &[300]);
        story.leader_writes(3, 1, 1, &[301]);
        story.high_watermark(3, 1, 2);
        story.high_watermark(1, 0, 2);
        story.silent();
    }

    #[test]
    fn silent_about_an_unclean_leader_that_hears_of_its_election_when_it_is_deposed() {
        let mut story = exposed();
        story.commits_unclean(3, 1, &[3]);
        story.commits(None, 2, &[3]);
        story.became_leader(3, 1);
        story.leader_writes(3, 0, 1, &[300]);
        story.high_watermark(3, 1, 1);
        story.silent();
    }

    #[test]
    fn silent_about_the_next_leader_after_an_unclean_one_that_also_hears_of_it_late() {
        // Elected in epoch 1 and, cleanly, in epochs 3 and 5: it takes over in 3, when 5 is decided.
        let mut story = exposed();
        story.commits_unclean(3, 1, &[3]);
        story.commits(None, 2, &[3]);
        story.commits(Some(3), 3, &[3]);
        story.commits(None, 4, &[3]);
        story.commits(Some(3), 5, &[3]);
        story.became_leader(3, 3);
        story.leader_writes(3, 0, 3, &[300]);
        story.high_watermark(3, 3, 1);
        story.became_follower(2, 3, 3);
        story.cut(2, 0);
        story.writes(2, 0, 3, &[300]);
        story.high_watermark(2, 3, 1);
        story.silent();
    }

    #[test]
    fn fires_when_a_leader_that_was_elected_cleanly_hears_of_it_late_and_lacks_what_was_exposed() {
        let mut story = exposed();
        story.commits(Some(2), 1, &[2]);
        story.commits(None, 2, &[2]);
        story.cut(2, 0);
        story.became_leader(2, 1);
        story.leader_writes(2, 0, 1, &[300]);
        story.high_watermark(2, 1, 1);
        assert!(story.sentence().contains("b2 has a record of epoch 1 there"));
    }

    #[test]
    fn fires_when_it_follows_the_new_leader_and_holds_it_still() {
        let mut story = exposed();
        story.leader_writes(1, 1, 0, &[101]);
        story.commits_unclean(3, 1, &[3]);
        story.became_leader(3, 1);
        story.leader_writes(3, 0, 1, &[300]);
        story.leader_writes(3, 1, 1, &[301]);
        story.high_watermark(3, 1, 2);
        story.became_follower(1, 1, 3);
        story.high_watermark(1, 1, 2);
        assert!(story.sentence().contains("b1 has a record of epoch 0 there"));
    }

    #[test]
    fn silent_about_a_follower_that_cut_what_was_lost_before_its_high_watermark_rose() {
        let mut story = exposed();
        story.commits_unclean(3, 1, &[3]);
        story.became_leader(3, 1);
        story.leader_writes(3, 0, 1, &[300]);
        story.became_follower(1, 1, 3);
        story.cut(1, 0);
        story.writes(1, 0, 1, &[300]);
        story.high_watermark(3, 1, 1);
        story.high_watermark(1, 1, 1);
        story.silent();
    }
}
