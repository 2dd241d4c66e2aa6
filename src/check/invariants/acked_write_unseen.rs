//! `acked-write-unseen`: a record was acknowledged, and never read although the final read reached
//! the end.
//!
//! Judged against each final read: a record that was acknowledged before that read began, at or
//! after its first offset, must have been read since. Acknowledgements with acks=0 have no offset,
//! and count as well.
//! A record of a transaction is acknowledged with its commit; that the last stable offset reaches it is
//! for `no-hanging-transaction`.
//! Source: Jepsen's Kafka workload, unseen.

use crate::check::ghost::{Reached, Send};
use crate::check::{Ending, Event, Ghost, Invariant, RecordWitness, Violation};

#[derive(Default)]
pub(super) struct AckedWriteUnseen;

impl Invariant for AckedWriteUnseen {
    fn name(&self) -> &'static str {
        "acked-write-unseen"
    }

    fn observe(&mut self, _event: &Event<'_>, _ghost: &Ghost) -> Result<(), Violation> {
        Ok(())
    }

    fn finish(&mut self, ending: Ending, ghost: &Ghost) -> Result<(), Violation> {
        let Some((send, read)) = unseen(ending, ghost).next() else { return Ok(()) };
        let witness =
            RecordWitness::Unseen { told: send.as_told(), consumer: read.consumer, end: read.end };
        Violation::found(self.name(), read.at, &send.partition, witness)
    }
}

/// Every acknowledged record that a final read did not find, with that read.
pub(in crate::check) fn unseen(
    ending: Ending,
    ghost: &Ghost,
) -> impl Iterator<Item = (&Send, &Reached)> {
    ghost.clients().sends().filter_map(move |send| {
        let acked = send.acknowledged()?;
        let deleted_below = ghost.deleted_below(&send.partition);
        let told = send.as_told();
        if told.offset.is_none_or(|offset| offset < deleted_below) && deleted_below.0 > 0 {
            return None;
        }
        if ghost.is_superseded(send) {
            return None;
        }
        let reads = ghost.clients().reached(&send.partition);
        let read = reads.iter().find(|read| {
            let began = ending.reading.filter(|at| *at <= read.at).unwrap_or(read.since);
            let seen = send.last_read.is_some_and(|seen| seen >= read.since);
            let skipped = send.offset().is_some_and(|offset| offset < read.from);
            // A marker may come later than the answer: until then the record is above the end.
            let unstable = read.stable && send.txn.is_some();
            let above = unstable && send.offset().is_some_and(|offset| offset >= read.end);
            acked <= began && !seen && !skipped && !above
        });
        Some((send, read?))
    })
}

#[cfg(test)]
mod tests {
    use crate::base::config::Acks;
    use crate::check::testing::Story;

    fn acked() -> Story {
        let mut story = Story::judging("acked-write-unseen");
        story.sent(3, 0, 100, Acks::All);
        story.told_ok(3, 0, Some(7));
        story
    }

    #[test]
    fn silent_when_a_consumer_read_it() {
        let mut story = acked();
        story.positioned(0, 7);
        story.polled(0, &[(7, 100)]);
        story.reached_end(0, 8);
        story.finish_silent();
    }

    #[test]
    fn silent_when_no_final_read_reached_the_end() {
        let mut story = acked();
        story.positioned(0, 0);
        story.polled(0, &[(0, 1), (1, 2)]);
        story.finish_silent();
    }

    #[test]
    fn silent_about_what_was_acknowledged_after_the_final_read_began() {
        let mut story = Story::judging("acked-write-unseen");
        story.positioned(0, 0);
        story.later();
        story.sent(3, 0, 100, Acks::All);
        story.told_ok(3, 0, Some(7));
        story.reached_end(0, 7);
        story.finish_silent();
    }

    #[test]
    fn silent_about_sends_whose_outcome_is_unknown() {
        let mut story = Story::judging("acked-write-unseen");
        story.sent(3, 0, 100, Acks::All);
        story.told_unknown(3, 0, "NOT_ENOUGH_REPLICAS_AFTER_APPEND");
        story.positioned(0, 0);
        story.reached_end(0, 0);
        story.finish_silent();
    }

    #[test]
    fn fires_when_the_final_read_reached_the_end_without_it() {
        let mut story = acked();
        story.positioned(0, 0);
        story.polled(0, &[(0, 1)]);
        story.reached_end(0, 1);
        story.finish_fired(
            "orders-0 offset 7 (p3's record 0) acked at 1.000 s; absent where consumer k0 read to the \
             end 1 by 1.000 s",
        );
    }

    #[test]
    fn fires_when_it_was_read_once_and_the_final_read_ends_before_it() {
        let mut story = acked();
        story.polled(2, &[(6, 99), (7, 100)]);
        story.later();
        story.positioned(0, 0);
        story.polled(0, &[(0, 1)]);
        story.reached_end(0, 1);
        assert!(story.finish_sentence().contains("absent where consumer k0 read to the end 1"));
    }

    #[test]
    fn silent_about_what_the_final_read_began_behind() {
        let mut story = acked();
        story.polled(2, &[(6, 99), (7, 100)]);
        story.later();
        story.positioned(0, 8);
        story.polled(0, &[(8, 101)]);
        story.reached_end(0, 9);
        story.finish_silent();
    }

    #[test]
    fn fires_also_for_acks_0_where_no_offset_was_told() {
        let mut story = Story::judging("acked-write-unseen");
        story.sent(3, 4, 100, Acks::None);
        story.told_ok(3, 4, None);
        story.positioned(0, 0);
        story.reached_end(0, 0);
        story.finish_fired(
            "orders-0 p3's record 4 acked at 1.000 s; absent where consumer k0 read to the end \
             0 by 1.000 s",
        );
    }

    #[test]
    fn silent_about_transactions_that_are_aborted_in_doubt_or_unstable() {
        let mut story = Story::judging("acked-write-unseen");
        story.reads_committed(0);
        for txn in 1..=3 {
            story.begins(3, txn);
            story.stored_in(3, txn, 100 + txn, txn as i64);
        }
        story.aborts_transaction(3, 1);
        story.commits_in_doubt(3, 2);
        story.commits_transaction(3, 3);
        story.positioned(0, 0);
        story.reached_end(0, 3);
        story.finish_silent();
    }

    #[test]
    fn fires_when_the_final_read_lacks_a_record_of_a_committed_transaction() {
        let mut story = Story::judging("acked-write-unseen");
        story.reads_committed(0);
        story.begins(3, 1);
        story.stored_in(3, 1, 100, 7);
        story.commits_transaction(3, 1);
        story.positioned(0, 0);
        story.reached_end(0, 9);
        assert!(story.finish_sentence().contains("absent where consumer k0 read to the end 9"));
    }
}
