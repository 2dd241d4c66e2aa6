//! `leader-completeness`: the leader of the newest epoch holds every record that was ever below a
//! true high watermark, and every record acknowledged with acks=all.
//!
//! Judged when a leader takes over, and when another than the newest leader exposes records. A loss
//! that is explained by an unclean election, or by unsynced pages that `min.insync.replicas`
//! in-sync replicas lost, is not a violation: the ghost notes it as a loss within the contract.
//! Source: Raft's Leader Completeness; Kafka's TLA+ specification, StrongIsr.

use crate::check::{Event, Ghost, Invariant, ReplicaWitness, Violation};

#[derive(Default)]
pub(super) struct LeaderCompleteness;

impl Invariant for LeaderCompleteness {
    fn name(&self) -> &'static str {
        "leader-completeness"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for (partition, epoch, host) in ghost.leaders_in_doubt(event.changes) {
            let broken = ghost.missing(host, partition).and_then(|missing| missing.broken);
            if let Some(absence) = broken {
                let witness = ReplicaWitness::Lacks { absence, leads: true, in_epoch: epoch };
                return event.broke(self.name(), partition, witness);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;
    use crate::check::{Note, Permit};

    /// Ten records on b1 and b2, exposed; b3 lags behind.
    fn exposed() -> Story {
        let mut story = Story::judging("leader-completeness");
        story.commits(Some(1), 0, &[1, 2]);
        for record in 0..10 {
            story.leader_writes(1, record, 0, &[100 + record as u64]);
            story.writes(2, record, 0, &[100 + record as u64]);
            story.high_watermark(1, 0, record + 1);
        }
        story
    }

    #[test]
    fn silent_when_the_successor_holds_what_was_exposed() {
        let mut story = exposed();
        story.elected(2, 1, &[2]);
        story.silent();
        assert!(story.finish().notes.is_empty());
    }

    #[test]
    fn silent_about_a_tail_that_was_never_exposed() {
        let mut story = exposed();
        story.leader_writes(1, 10, 0, &[110]);
        story.elected(2, 1, &[2]);
        story.silent();
    }

    #[test]
    fn fires_when_the_successor_lacks_an_exposed_record() {
        let mut story = exposed();
        story.cut(2, 9);
        story.elected(2, 1, &[2]);
        story.fired(
            "orders-0 offset 9 of epoch 0 committed by b1 at 1.000 s; \
             absent on leader b2 of epoch 1 at 1.000 s",
        );
    }

    #[test]
    fn fires_when_the_successor_holds_another_record_there() {
        let mut story = exposed();
        story.cut(2, 8);
        story.writes(2, 8, 1, &[999]);
        story.elected(2, 2, &[2]);
        story.fired(
            "orders-0 offset 8 of epoch 0 committed by b1 at 1.000 s (2 records from there on); \
             leader b2 of epoch 2 has a record of epoch 1 there at 1.000 s",
        );
    }

    #[test]
    fn fires_when_acks_all_was_told_for_what_no_high_watermark_covered() {
        let mut story = exposed();
        story.leader_writes(1, 10, 0, &[110]);
        story.acknowledged_all(1, 0, 11);
        story.elected(2, 1, &[2]);
        assert!(story.sentence().contains("offset 10 of epoch 0"), "{}", story.sentence());
    }

    #[test]
    fn silent_when_a_deposed_leader_hears_late_that_its_successor_has_the_records() {
        let mut story = exposed();
        story.leader_writes(1, 10, 0, &[110]);
        story.writes(2, 10, 0, &[110]);
        story.elected(2, 1, &[2]);
        story.high_watermark(1, 0, 11);
        story.silent();
    }

    #[test]
    fn fires_when_a_deposed_leader_exposes_what_its_successor_lacks() {
        let mut story = exposed();
        story.leader_writes(1, 10, 0, &[110]);
        story.elected(2, 1, &[2]);
        story.high_watermark(1, 0, 11);
        assert!(story.sentence().contains("absent on leader b2"), "{}", story.sentence());
    }

    #[test]
    fn silent_about_one_who_learns_too_late_that_it_was_elected() {
        let mut story = exposed();
        story.commits(Some(3), 1, &[1, 2]);
        story.commits(Some(2), 2, &[2]);
        story.became_leader(3, 1);
        story.silent();
    }

    #[test]
    fn silent_about_a_former_leader_when_its_successor_passes_through_earlier_epochs() {
        let mut story = exposed();
        story.leader_writes(1, 10, 0, &[999]);
        story.commits(Some(2), 1, &[2]);
        story.commits(Some(2), 2, &[2]);
        story.became_leader(2, 1);
        story.leader_writes(2, 10, 1, &[110]);
        story.high_watermark(2, 1, 11);
        story.silent();
        story.became_leader(2, 2);
        story.silent();
    }

    #[test]
    fn fires_about_the_first_record_beyond_the_end_of_a_log_although_others_were_cleaned() {
        let mut story = Story::compacting("leader-completeness");
        story.commits(Some(1), 0, &[1, 2]);
        story.writes_keyed(1, 0, "", &[(0, "a", Some("1")), (1, "a", Some("2"))], 2);
        story.writes_keyed(1, 2, "", &[(2, "b", Some("1"))], 3);
        story.high_watermark(1, 0, 3);
        story.writes_keyed(1, 0, ".cleaned", &[(1, "a", Some("2"))], 2);
        story.swaps(1, 0, &[]);
        story.writes_keyed(2, 0, "", &[(0, "a", Some("1"))], 1);
        story.elected(2, 1, &[2]);
        assert!(story.sentence().contains("offset 1 of epoch 0"), "{}", story.sentence());
    }

    #[test]
    fn fires_about_a_record_that_a_cleaned_log_went_on_without() {
        let mut story = Story::compacting("leader-completeness");
        story.writes_keyed(1, 0, "", &[(0, "a", Some("1")), (1, "b", Some("1"))], 2);
        story.writes_keyed(1, 2, "", &[(2, "b", Some("2"))], 3);
        story.high_watermark(1, 0, 1);
        let of_both_epochs = [(0, 0, "a", Some("1")), (1, 1, "c", Some("1"))];
        story.writes_keyed_of_epochs(2, 0, "", &of_both_epochs, 2);
        story.elected(2, 1, &[1, 2]);
        story.high_watermark(2, 1, 2);
        story.writes_keyed(1, 0, ".cleaned", &[(0, "a", Some("1"))], 2);
        story.swaps(1, 0, &[]);
        story.elected(1, 2, &[1, 2]);
        assert!(story.sentence().contains("offset 1 of epoch 1"), "{}", story.sentence());
    }

    #[test]
    fn notes_what_an_unclean_election_lost() {
        let mut story = exposed();
        story.commits_unclean(3, 1, &[3]);
        story.became_leader(3, 1);
        story.silent();
        let notes = story.finish().notes;
        assert_eq!(
            notes[0].to_string(),
            "orders-0 loss within the contract: 10 committed records from offset 0 are absent on \
             leader b3 of epoch 1 at 1.000 s (unclean election of epoch 1)"
        );
    }

    #[test]
    fn notes_a_last_known_leader_as_such_and_not_as_an_unclean_election() {
        let mut story = exposed();
        for broker in [1, 2, 3] {
            story.power_loss(broker, 4);
        }
        story.commits(Some(1), 0, &[1]);
        story.commits(None, 1, &[]);
        story.boot(1);
        story.commits_unclean(1, 2, &[1]);
        story.became_leader(1, 2);
        story.silent();
        assert_eq!(
            story.finish().notes[0].to_string(),
            "orders-0 loss within the contract: 6 committed records from offset 4 are absent on \
             leader b1 of epoch 2 at 1.000 s (last known leader elected again in epoch 2)"
        );
    }

    #[test]
    fn an_election_past_a_candidate_that_ran_ever_since_is_unclean_whoever_wins_it() {
        let mut story = exposed();
        story.power_loss(1, 4);
        story.commits(None, 1, &[]);
        story.boot(1);
        story.commits_unclean(1, 2, &[1]);
        story.became_leader(1, 2);
        story.silent();
        let note = story.finish().notes[0].to_string();
        assert!(note.contains("(unclean election of epoch 2)"), "{note}");
    }

    #[test]
    fn fires_when_the_controller_calls_the_election_of_an_eligible_replica_unclean() {
        // KAFKA-18940: b2 left the ISR {b1, b2} last, with everything.
        let mut story = exposed();
        story.commits(Some(1), 0, &[1]);
        story.cut(2, 9);
        story.commits_unclean(2, 1, &[2]);
        story.became_leader(2, 1);
        assert!(story.sentence().contains("absent on leader b2"), "{}", story.sentence());
    }

    #[test]
    fn fires_when_an_eligible_replica_closed_its_log_and_lacks_records_as_an_unclean_leader() {
        let mut story = exposed();
        story.ready(2);
        story.commits(Some(1), 0, &[1]);
        story.stops(2);
        story.boot(2);
        story.admitted(2);
        story.cut(2, 9);
        story.commits_unclean(2, 1, &[2]);
        story.became_leader(2, 1);
        assert!(story.sentence().contains("absent on leader b2"), "{}", story.sentence());
    }

    #[test]
    fn fires_when_an_unclean_election_ran_that_the_topic_does_not_allow() {
        let mut story = Story::clean_only("leader-completeness");
        story.commits(Some(1), 0, &[1, 2]);
        story.leader_writes(1, 0, 0, &[100]);
        story.writes(2, 0, 0, &[100]);
        story.high_watermark(1, 0, 1);
        story.commits_unclean(3, 1, &[3]);
        story.became_leader(3, 1);
        assert!(story.sentence().contains("absent on leader b3"), "{}", story.sentence());
    }

    #[test]
    fn an_unclean_election_permits_no_later_loss() {
        let mut story = exposed();
        story.commits_unclean(3, 1, &[3]);
        story.became_leader(3, 1);
        story.commits(Some(3), 1, &[2, 3]);
        story.leader_writes(3, 0, 1, &[200]);
        story.high_watermark(3, 1, 1);
        story.elected(2, 2, &[2]);
        assert!(story.sentence().contains("committed by b3"), "{}", story.sentence());
    }

    #[test]
    fn notes_what_enough_replicas_lost_from_unsynced_pages() {
        let mut story = exposed();
        story.power_loss(1, 4);
        story.power_loss(2, 6);
        story.boot(2);
        story.elected(2, 1, &[2]);
        story.silent();
        let Note::LossWithinContract { records, permit, .. } = &story.finish().notes[0] else {
            panic!("no loss noted")
        };
        assert_eq!(*records, 4);
        assert_eq!(
            permit,
            &Permit::PowerLoss {
                brokers: vec![1, 2].into_iter().map(crate::base::BrokerId).collect()
            }
        );
    }

    #[test]
    fn fires_when_too_few_replicas_lost_unsynced_pages() {
        let mut story = exposed();
        story.power_loss(2, 6);
        story.boot(2);
        story.elected(2, 1, &[2]);
        assert!(story.sentence().contains("(4 records from there on)"), "{}", story.sentence());
    }

    /// b2 loses records, fetches them again, and b1 loses them too.
    fn lost_one_after_the_other(in_sync_between: bool) -> Story {
        let mut story = exposed();
        story.power_loss(2, 6);
        story.boot(2);
        story.commits(Some(1), 0, &[1]);
        for record in 6..10 {
            story.writes(2, record, 0, &[100 + record as u64]);
        }
        if in_sync_between {
            story.admitted(2);
            story.commits(Some(1), 0, &[1, 2]);
        }
        story.power_loss(1, 7);
        story.boot(1);
        story.elected(1, 1, &[1]);
        story
    }

    #[test]
    fn fires_when_one_who_lost_them_was_in_sync_again_before_the_next_lost_them() {
        let story = lost_one_after_the_other(true);
        assert!(story.sentence().contains("absent on leader b1"), "{}", story.sentence());
    }

    #[test]
    fn notes_when_the_next_lost_them_before_the_first_was_in_sync_again() {
        let mut story = lost_one_after_the_other(false);
        story.silent();
        assert_eq!(story.finish().notes.len(), 1);
    }

    #[test]
    fn silent_about_what_the_leader_deleted_by_retention() {
        let mut story = exposed();
        story.rolls(1, 10);
        story.removes_segment(1, 0);
        story.rolls(2, 10);
        story.removes_segment(2, 0);
        story.elected(2, 1, &[2]);
        story.silent();
    }

    #[test]
    fn silent_about_a_topic_that_was_deleted_and_created_again() {
        let mut story = exposed();
        story.created_again();
        story.elected(2, 1, &[1, 2, 3]);
        story.silent();
    }
}
