//! `acked-write-lost`: a record was acknowledged at an offset, a consumer later read past that
//! offset, and from then on no consumer read the record, in passing or later.
//!
//! An earlier read does not excuse the loss. Judged at the end, because a later read may still find
//! the record. Whether the configuration promises anything is for the scenario to expect: acks=1 is
//! an acknowledgement too. A record that retention deleted, or that compaction may have removed, is
//! not lost. A record of a transaction is acknowledged when its commit is, too: one that is aborted or in
//! doubt need not be there.
//! Source: Jepsen's Kafka workload, lost-write.

use crate::base::Instant;
use crate::check::{Ending, Event, Ghost, Invariant, RecordWitness, Violation};

#[derive(Default)]
pub(super) struct AckedWriteLost;

impl Invariant for AckedWriteLost {
    fn name(&self) -> &'static str {
        "acked-write-lost"
    }

    fn observe(&mut self, _event: &Event<'_>, _ghost: &Ghost) -> Result<(), Violation> {
        Ok(())
    }

    fn finish(&mut self, _ending: Ending, ghost: &Ghost) -> Result<(), Violation> {
        for send in ghost.clients().sends() {
            let Some(acked) = send.acknowledged() else { continue };
            let told = send.as_told();
            let Some(offset) = told.offset else { continue };
            if offset < ghost.deleted_below(&send.partition) || ghost.is_superseded(send) {
                continue;
            }
            // A pass that reads it happens when it is last read, and not after.
            let after = |read: Instant| Instant(read.0.saturating_add(1));
            let since = send.last_read.map_or(acked, |read| acked.max(after(read)));
            let Some(pass) = ghost.clients().passed(&send.partition, offset, since) else {
                continue;
            };
            let witness =
                RecordWitness::ReadPast { told, consumer: pass.consumer, later: pass.last() };
            return Violation::found(self.name(), pass.at, &send.partition, witness);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::base::config::Acks;
    use crate::check::testing::Story;

    fn acked() -> Story {
        let mut story = Story::judging("acked-write-lost");
        story.sent(3, 0, 100, Acks::Leader);
        story.told_ok(3, 0, Some(7));
        story
    }

    #[test]
    fn silent_while_an_unread_tail_may_still_come() {
        let mut story = acked();
        story.polled(0, &[(5, 98), (6, 99)]);
        story.finish_silent();
    }

    #[test]
    fn silent_about_a_send_that_timed_out() {
        let mut story = Story::judging("acked-write-lost");
        story.sent(3, 0, 100, Acks::All);
        story.told_unknown(3, 0, "REQUEST_TIMED_OUT");
        story.polled(0, &[(6, 99), (7, 101), (8, 102)]);
        story.finish_silent();
    }

    #[test]
    fn silent_about_a_send_that_was_refused_or_never_answered() {
        let mut story = Story::judging("acked-write-lost");
        story.sent(3, 0, 100, Acks::All);
        story.told_fail(3, 0, "NOT_ENOUGH_REPLICAS");
        story.sent(3, 1, 101, Acks::All);
        story.polled(0, &[(0, 1), (1, 2), (2, 3)]);
        story.finish_silent();
    }

    #[test]
    fn silent_when_a_later_read_still_finds_it() {
        let mut story = acked();
        story.polled(0, &[(8, 101), (9, 102)]);
        story.polled(1, &[(7, 100)]);
        story.finish_silent();
    }

    #[test]
    fn silent_about_a_reader_that_began_after_it() {
        let mut story = acked();
        story.positioned(0, 8);
        story.polled(0, &[(8, 101), (9, 102)]);
        story.finish_silent();
    }

    #[test]
    fn silent_about_acks_0_where_no_offset_was_told() {
        let mut story = Story::judging("acked-write-lost");
        story.sent(3, 0, 100, Acks::None);
        story.told_ok(3, 0, None);
        story.polled(0, &[(0, 1), (1, 2)]);
        story.finish_silent();
    }

    #[test]
    fn fires_when_the_next_offset_was_read_and_this_one_not() {
        let mut story = acked();
        story.polled(2, &[(6, 99), (7, 555), (8, 101)]);
        story.finish_fired(
            "orders-0 offset 7 (p3's record 0) acked at 1.000 s; absent where consumer k2 read on to offset 8 \
             at 1.000 s",
        );
    }

    #[test]
    fn later_record_of_its_key_excuses_its_absence_unless_it_was_aborted() {
        for commits in [true, false] {
            let mut story = Story::compacting("acked-write-lost");
            story.sent(3, 0, 100, Acks::All);
            story.told_ok(3, 0, Some(7));
            story.begins(4, 1);
            story.stored_in(4, 1, 110, 8);
            match commits {
                true => story.commits_transaction(4, 1),
                false => story.aborts_transaction(4, 1),
            }
            story.polled(2, &[(6, 99), (8, 110), (10, 101)]);
            assert_eq!(story.finish_sentence().is_empty(), commits, "{}", story.sentence());
        }
    }

    #[test]
    fn aborted_record_of_its_key_excuses_its_absence_once_its_marker_was_lost() {
        for (from, excuses) in [(2, true), (3, false)] {
            let mut story = Story::compacting("acked-write-lost");
            story.sent(3, 0, 100, Acks::All);
            story.told_ok(3, 0, Some(0));
            story.writes_plain(&[100]);
            story.begins(4, 1);
            story.stored_in(4, 1, 110, 1);
            story.writes_in(7, 0, &[110]);
            story.later();
            story.aborts_transaction(4, 1);
            story.marks(7, 0, false);
            story.writes_plain(&[5]);
            story.loses_committed(from);
            story.later();
            // The next marker commits what has lost its own.
            story.writes_in(7, 0, &[101]);
            story.later();
            story.marks(7, 0, true);
            story.positioned(2, 0);
            story.polled(2, &[(1, 110), (4, 103)]);
            assert_eq!(story.finish_sentence().is_empty(), excuses, "{}", story.sentence());
        }
    }

    #[test]
    fn fires_when_it_was_read_once_and_is_gone_later() {
        let mut story = acked();
        story.polled(0, &[(6, 99), (7, 100), (8, 101)]);
        story.later();
        story.polled(2, &[(6, 99), (7, 555), (8, 556)]);
        assert!(story.finish_sentence().contains("absent where consumer k2"));
    }

    #[test]
    fn silent_when_all_who_pass_read_it() {
        let mut story = acked();
        story.polled(0, &[(6, 99), (7, 100), (8, 101)]);
        story.later();
        story.polled(2, &[(6, 99), (7, 100)]);
        story.later();
        story.polled(2, &[(8, 101), (9, 102)]);
        story.polled(0, &[(9, 102)]);
        story.finish_silent();
    }

    #[test]
    fn fires_when_a_poll_jumped_over_it() {
        let mut story = acked();
        story.positioned(2, 6);
        story.polled(2, &[(6, 99), (8, 101)]);
        assert!(story.finish_sentence().contains("absent where consumer k2"));
    }

    /// A record in a transaction at offset 7, which a reader of committed records passes.
    fn passed_in(end: impl Fn(&mut Story)) -> Story {
        let mut story = Story::judging("acked-write-lost");
        story.reads_committed(2);
        story.begins(3, 1);
        story.stored_in(3, 1, 100, 7);
        end(&mut story);
        story.later();
        story.polled(2, &[(6, 99), (9, 101), (10, 102)]);
        story
    }

    #[test]
    fn silent_about_a_transaction_that_is_aborted_open_or_in_doubt() {
        passed_in(|story| story.aborts_transaction(3, 1)).finish_silent();
        passed_in(|_| {}).finish_silent();
        passed_in(|story| story.commits_in_doubt(3, 1)).finish_silent();
    }

    #[test]
    fn fires_when_a_record_of_a_committed_transaction_is_passed() {
        let mut story = passed_in(|story| story.commits_transaction(3, 1));
        assert!(story.finish_sentence().contains("absent where consumer k2 read on"));
    }
}
