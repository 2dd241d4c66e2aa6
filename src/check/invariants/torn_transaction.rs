//! `torn-transaction`: a `read_committed` consumer got a record of a transaction, and another record of
//! it is absent where one read on.
//!
//! A transaction of which anything is visible is committed, whatever its producer knows, and then all of
//! it is. A record that none got is absent if one passed its offset, or if the offset is not known and a
//! final read reached the end of a partition in which no transaction is open. (One that was read once
//! and is gone later is an `acked-write-lost`.) Records that were refused, deleted, compacted or lost
//! within the contract, each for itself, or whose commit marker was, are left out, and so are transactions
//! of a transactional id whose coordinator lost entries of it within the contract.
//! Source: Jepsen's report on transactions of Kafka clients, torn transactions; KIP-98.

use crate::base::{Instant, Offset};
use crate::check::ghost::{Fate, Send, Transaction};
use crate::check::{Ending, Event, Ghost, Invariant, TransactionWitness, Violation};
use crate::sim::Outcome;

#[derive(Default)]
pub(super) struct TornTransaction;

/// Where a record is absent: the consumer, how far it read, and when.
type Absent = (u32, Offset, Instant);

impl Invariant for TornTransaction {
    fn name(&self) -> &'static str {
        "torn-transaction"
    }

    fn observe(&mut self, _event: &Event<'_>, _ghost: &Ghost) -> Result<(), Violation> {
        Ok(())
    }

    fn finish(&mut self, ending: Ending, ghost: &Ghost) -> Result<(), Violation> {
        // What is visible of other transactions is an aborted read.
        let torn = |one: &&Transaction| matches!(one.fate(), Fate::Committed(_) | Fate::Unknown);
        let log = ghost.transaction_log();
        for transaction in ghost.transactions().all().filter(torn) {
            let Some(visible) = transaction.visible else { continue };
            // Its coordinator may have decided again after the first markers.
            if transaction.transactional_id().is_some_and(|id| log.has_forgotten(id)) {
                continue;
            }
            let Some(seen_in) = ghost.clients().send_of(visible.value) else { continue };
            for value in &transaction.sends {
                let Some(send) = ghost.clients().send_of(*value) else { continue };
                let since = transaction.commit_asked.unwrap_or(transaction.began);
                let Some((consumer, later, at)) = absent(ending, ghost, send, since) else {
                    continue;
                };
                let witness = TransactionWitness::Torn {
                    transaction: transaction.name(),
                    seen: ghost.clients().name_of(visible.value),
                    seen_in: seen_in.partition.clone(),
                    seen_at: visible.read.offset,
                    missing: ghost.clients().name_of(*value),
                    offset: send.as_told().offset,
                    consumer,
                    later,
                };
                return Violation::found(self.name(), at, &send.partition, witness);
            }
        }
        Ok(())
    }
}

/// Where a record is absent, though it should be visible since a commit was asked for.
fn absent(ending: Ending, ghost: &Ghost, send: &Send, since: Instant) -> Option<Absent> {
    let name = &send.partition;
    let refused = matches!(send.told, Some((_, Outcome::Fail { .. })));
    if refused || send.stable.is_some() || ghost.is_superseded(send) {
        return None;
    }
    let offset = send.as_told().offset;
    let deleted_below = ghost.deleted_below(name);
    let deleted = offset.map_or(deleted_below > Offset::ZERO, |offset| offset < deleted_below);
    if deleted || ghost.was_lost(name, offset) {
        return None;
    }
    // The producer's next marker may have aborted it.
    if offset.is_some_and(|offset| ghost.lost_outcome(name, offset) == Some(true)) {
        return None;
    }
    if let Some(offset) = offset
        && let Some(pass) = ghost.clients().passed_stable(name, offset, since)
    {
        return Some((pass.consumer, pass.last(), pass.at));
    }
    let mut reads = ghost.clients().reached(name).iter().filter(|read| read.stable);
    let read = reads.find(|read| {
        let began = ending.reading.filter(|at| *at <= read.at).unwrap_or(read.since);
        let covered = match offset {
            Some(offset) => (read.from..read.end).contains(&offset),
            // Its marker may come later than another partition's: all has to be stable.
            None => ghost.partition(name).is_some_and(|partition| {
                let stability = &partition.stability;
                stability.open().next().is_none() && stability.ever_stable() <= read.end
            }),
        };
        since <= began && covered
    })?;
    Some((read.consumer, Offset(read.end.0.saturating_sub(1)), read.at))
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    /// A transaction of two records in two partitions, one of which is visible.
    fn half_seen() -> Story {
        let mut story = Story::judging("torn-transaction");
        story.reads_committed(0);
        story.begins(3, 1);
        story.stored_in(3, 1, 100, 7);
        story.turn_to("orders", 1);
        story.stored_in(3, 1, 101, 4);
        story.turn_to("orders", 0);
        story.commits_in_doubt(3, 1);
        story.polled(0, &[(7, 100)]);
        story.later();
        story.turn_to("orders", 1);
        story
    }

    #[test]
    fn silent_when_all_of_it_is_visible_in_the_end() {
        let mut story = half_seen();
        story.polled(0, &[(2, 1), (3, 2)]);
        story.polled(0, &[(4, 101), (5, 3)]);
        story.finish_silent();
    }

    #[test]
    fn silent_while_the_other_record_may_still_come() {
        let mut story = half_seen();
        story.polled(0, &[(2, 1), (3, 2)]);
        story.finish_silent();
    }

    #[test]
    fn silent_when_nothing_of_it_is_visible() {
        let mut story = Story::judging("torn-transaction");
        story.reads_committed(0);
        story.begins(3, 1);
        story.stored_in(3, 1, 100, 7);
        story.commits_in_doubt(3, 1);
        story.polled(0, &[(6, 1), (8, 2), (9, 3)]);
        story.finish_silent();
    }

    #[test]
    fn silent_about_a_record_that_was_refused() {
        let mut story = Story::judging("torn-transaction");
        story.reads_committed(0);
        story.begins(3, 1);
        story.stored_in(3, 1, 100, 7);
        story.sent_in(3, 1, 101);
        story.told_fail(3, 101, "MESSAGE_TOO_LARGE");
        story.commits_transaction(3, 1);
        story.positioned(0, 0);
        story.polled(0, &[(7, 100)]);
        story.reached_end(0, 9);
        story.finish_silent();
    }

    #[test]
    fn fires_when_a_reader_passes_the_other_record() {
        let mut story = half_seen();
        story.polled(0, &[(3, 2), (5, 3), (6, 4)]);
        story.finish_fired(
            "orders-1 p3's record 101 of p3's transaction 1 is absent where read_committed consumer k0 \
             read on to offset 6 past its offset 4 by 2.000 s, but p3's record 100 of it was read at \
             offset 7 of orders-0",
        );
    }

    #[test]
    fn fires_when_a_final_read_lacks_a_record_of_unknown_offset() {
        let mut story = Story::judging("torn-transaction");
        story.reads_committed(0);
        story.begins(3, 1);
        story.stored_in(3, 1, 100, 7);
        story.sent_in(3, 1, 101);
        story.commits_in_doubt(3, 1);
        story.later();
        story.positioned(0, 0);
        story.polled(0, &[(7, 100), (8, 1)]);
        story.reached_end(0, 9);
        assert!(story.finish_sentence().contains("p3's record 101"), "{}", story.sentence());
    }

    #[test]
    fn excused_only_for_records_that_were_lost_within_the_contract() {
        for (offset, fires) in [(1, false), (0, true)] {
            let mut story = Story::judging("torn-transaction");
            story.reads_committed(0);
            story.begins(3, 1);
            story.turn_to("orders", 1);
            story.stored_in(3, 1, 100, 7);
            story.turn_to("orders", 0);
            story.stored_in(3, 1, 101, offset);
            story.commits_in_doubt(3, 1);
            story.writes_in(5, 0, &[101]);
            story.writes_plain(&[1]);
            story.turn_to("orders", 1);
            story.polled(0, &[(7, 100)]);
            story.turn_to("orders", 0);
            story.loses_committed(1);
            story.later();
            story.positioned(0, 0);
            story.polled(0, &[(2, 8), (3, 9)]);
            story.positioned(0, 0);
            story.reached_end(0, 4);
            assert_eq!(!story.finish_sentence().is_empty(), fires, "{}", story.sentence());
        }
    }

    #[test]
    fn excused_when_the_next_marker_aborts_what_lost_its_commit_marker() {
        for (from, fires) in [(1, false), (2, true)] {
            let mut story = Story::judging("torn-transaction");
            story.reads_committed(0);
            story.begins(3, 1);
            story.turn_to("orders", 1);
            story.stored_in(3, 1, 100, 7);
            story.turn_to("orders", 0);
            story.stored_in(3, 1, 101, 0);
            story.commits_in_doubt(3, 1);
            story.writes_in(5, 0, &[101]);
            story.later();
            story.marks(5, 0, true);
            story.writes_plain(&[1]);
            story.turn_to("orders", 1);
            story.polled(0, &[(7, 100)]);
            story.turn_to("orders", 0);
            story.loses_committed(from);
            story.later();
            story.writes_in(5, 0, &[102]);
            story.later();
            story.marks(5, 0, false);
            story.positioned(0, 0);
            story.polled(0, &[(4, 8), (5, 9)]);
            story.positioned(0, 0);
            story.reached_end(0, 6);
            assert_eq!(!story.finish_sentence().is_empty(), fires, "{}", story.sentence());
        }
    }

    #[test]
    fn excused_only_when_entries_of_its_own_transactional_id_were_lost() {
        for (id, fires) in [("till", false), ("desk", true)] {
            let mut story = Story::judging("torn-transaction");
            story.reads_committed(0);
            story.identified(3, "till", 7, 0);
            story.begins(3, 1);
            story.stored_in(3, 1, 100, 7);
            story.turn_to("orders", 1);
            story.stored_in(3, 1, 101, 4);
            story.turn_to("orders", 0);
            story.commits_in_doubt(3, 1);
            story.polled(0, &[(7, 100)]);
            story.logs(id, (9, 0), 0, &[]);
            story.coordinator_loses(0);
            story.turn_to("orders", 1);
            story.polled(0, &[(3, 2), (5, 3), (6, 4)]);
            assert_eq!(!story.finish_sentence().is_empty(), fires, "{}", story.sentence());
        }
    }
}
