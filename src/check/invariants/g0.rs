//! `g0`: transactions of one transactional id wrote in one order in all partitions.
//!
//! A transactional id has one transaction at a time, so that its committed transactions have an order. A
//! record of an earlier one behind a record of a later one is a cycle of writes: a late request was
//! accepted in the next transaction. Transactions of different producers may interleave as they like:
//! such cycles are a note, where only clients are judged.
//! Source: Adya's G0, write cycles; KIP-890.

use crate::check::dependencies::{Dependencies, Writes};
use crate::check::{Ending, Event, Ghost, Invariant, Note, Subject, TransactionWitness, Violation};

#[derive(Default)]
pub(super) struct G0;

impl Invariant for G0 {
    fn name(&self) -> &'static str {
        "g0"
    }

    fn observe(&mut self, _event: &Event<'_>, _ghost: &Ghost) -> Result<(), Violation> {
        Ok(())
    }

    fn finish(&mut self, ending: Ending, ghost: &Ghost) -> Result<(), Violation> {
        let found = Dependencies::of(ghost, Writes::OwnOnly, &[]).shortest_cycle(|_| true);
        let Some(cycle) = found else { return Ok(()) };
        let Some(first) = cycle.first() else { return Ok(()) };
        let subject = Subject::from(&first.partition);
        let witness = TransactionWitness::Cycle { anomaly: "G0", cycle };
        Violation::found(self.name(), ending.now, subject, witness)
    }

    fn remark(&self, _ending: Ending, ghost: &Ghost) -> Option<Note> {
        if ghost.observes_brokers() {
            return None;
        }
        let cycle = Dependencies::of(ghost, Writes::All, &[]).shortest_cycle(|_| true)?;
        Some(Note::PermittedCycle { anomaly: "G0", cycle })
    }
}

#[cfg(test)]
mod tests {
    use crate::check::history::judge;
    use crate::check::testing::Story;

    /// Two transactions that interleave in a partition.
    fn interleaved(ids: [&str; 2]) -> Story {
        let mut story = Story::judging("g0");
        for (producer, id) in (3..).zip(ids) {
            story.identified(producer, id, i64::from(producer), 0);
            story.begins(producer, 1);
        }
        story.stored_in(3, 1, 100, 0);
        story.stored_in(4, 1, 200, 1);
        story.stored_in(3, 1, 101, 2);
        story.commits_transaction(3, 1);
        story.commits_transaction(4, 1);
        story
    }

    #[test]
    fn silent_about_interleaved_transactions_of_two_producers() {
        interleaved(["till-a", "till-b"]).finish_silent();
    }

    #[test]
    fn silent_about_one_transaction_after_the_other_and_about_aborted_ones() {
        let mut story = Story::judging("g0");
        story.identified(3, "till", 7, 0);
        for (txn, commit) in [(1, true), (2, false), (3, true)] {
            story.begins(3, txn);
            story.stored_in(3, txn, 100 + txn, txn as i64);
            if commit {
                story.commits_transaction(3, txn);
            } else {
                story.stored_in(3, txn, 200, 0);
                story.aborts_transaction(3, txn);
            }
        }
        story.finish_silent();
    }

    #[test]
    fn fires_when_a_late_record_is_behind_the_next_transaction() {
        let mut story = interleaved(["till", "till"]);
        story.finish_fired(
            "orders-0 G0 by 1.000 s: p4's transaction 1 wrote offset 1 of orders-0 after p3's \
             transaction 1 wrote offset 0; p3's transaction 1 wrote offset 2 of orders-0 after p4's \
             transaction 1 wrote offset 1",
        );
    }

    #[test]
    fn offsets_are_written_again_only_after_a_loss_within_the_contract() {
        for loses in [true, false] {
            let mut story = Story::judging("g0");
            story.identified(3, "till", 7, 0);
            story.has_one_copy();
            story.begins(3, 1);
            story.stored_in(3, 1, 100, 0);
            story.stored_in(3, 1, 101, 1);
            story.commits_transaction(3, 1);
            story.later();
            if loses {
                story.power_loss(1, 0);
                story.boot(1);
                story.elected(1, 1, &[1]);
            }
            story.later();
            story.begins(3, 2);
            story.stored_in(3, 2, 102, 0);
            story.commits_transaction(3, 2);
            assert_eq!(story.finish_sentence().is_empty(), loses, "{}", story.sentence());
        }
    }

    #[test]
    fn history_notes_a_cycle_of_two_producers_that_kafka_permits() {
        let mut lines = vec![
            r#"{"history":1,"enable.idempotence":true,"within_ms":1000}"#.to_owned(),
            r#"{"at":1,"host":1,"event":"transaction-began","producer":1,"txn":1}"#.to_owned(),
            r#"{"at":1,"host":2,"event":"transaction-began","producer":2,"txn":1}"#.to_owned(),
        ];
        for (offset, (host, op)) in [(1, 0), (2, 0), (1, 1)].into_iter().enumerate() {
            let at = format!(r#""at":2,"host":{host},"producer":{host},"op":{op}"#);
            lines.push(format!(
                r#"{{{at},"event":"sent","partition":"x-0","value":{offset},"acks":"all","idempotent":true,"txn":1}}"#
            ));
            lines.push(format!(r#"{{{at},"event":"ok","offset":{offset}}}"#));
        }
        for host in [1, 2] {
            let at = format!(r#""at":3,"host":{host},"producer":{host},"txn":1"#);
            lines.push(format!(r#"{{{at},"event":"transaction-ending","commit":true}}"#));
            lines.push(format!(r#"{{{at},"event":"transaction-ended","outcome":"committed"}}"#));
        }
        let (_, verdicts) = judge(lines.join("\n").as_bytes()).unwrap();
        assert_eq!(verdicts.violations, Vec::new());
        let notes: Vec<String> = verdicts.notes.iter().map(ToString::to_string).collect();
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].starts_with("G0 that Kafka permits: p2's transaction 1"), "{notes:?}");
    }
}
