//! `g1c`: committed transactions did not read each other's records in a cycle.
//!
//! A transaction that read a record of another depends on its commit. Together with the order of the
//! transactions of one transactional id, that can't go round: each commit would have to come before the
//! other. A cycle that takes the order of writes of different producers is a note, where only clients are
//! judged: Kafka does not order those.
//! Source: Adya's G1c, circular information flow.

use crate::check::dependencies::{Dependencies, InputRead, Writes};
use crate::check::{
    Dependency, Ending, Event, Ghost, Invariant, Note, Subject, TransactionName,
    TransactionWitness, Violation,
};
use crate::sim::{ClientEvent, TransactionEvent, What};

#[derive(Default)]
pub(super) struct G1c {
    reads: Vec<InputRead>,
}

impl Invariant for G1c {
    fn name(&self) -> &'static str {
        "g1c"
    }

    fn observe(&mut self, event: &Event<'_>, _ghost: &Ghost) -> Result<(), Violation> {
        if let What::Client(ClientEvent::Transaction(TransactionEvent::Transformed {
            producer,
            txn: Some(txn),
            partition,
            offset,
            value,
            ..
        })) = &event.seen.what
        {
            let by = TransactionName { producer: *producer, number: *txn };
            let (partition, offset, value) = (partition.clone(), *offset, *value);
            self.reads.push(InputRead { by, partition, offset, value });
        }
        Ok(())
    }

    fn finish(&mut self, ending: Ending, ghost: &Ghost) -> Result<(), Violation> {
        let Some(cycle) = self.cycle(ghost, Writes::OwnOnly) else { return Ok(()) };
        let Some(first) = cycle.first() else { return Ok(()) };
        let subject = Subject::from(&first.partition);
        let witness = TransactionWitness::Cycle { anomaly: "G1c", cycle };
        Violation::found(self.name(), ending.now, subject, witness)
    }

    fn remark(&self, _ending: Ending, ghost: &Ghost) -> Option<Note> {
        if ghost.observes_brokers() {
            return None;
        }
        let cycle = self.cycle(ghost, Writes::All)?;
        Some(Note::PermittedCycle { anomaly: "G1c", cycle })
    }
}

impl G1c {
    /// A cycle with at least one read.
    fn cycle(&self, ghost: &Ghost, writes: Writes) -> Option<Vec<Dependency>> {
        if self.reads.is_empty() {
            return None;
        }
        let all = Dependencies::of(ghost, writes, &self.reads);
        all.shortest_cycle(|edge| edge.next.is_none())
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    /// Two transactions, each with a record; the second read that of the first.
    fn read_one() -> Story {
        let mut story = Story::judging("g1c");
        for producer in [3, 4] {
            story.begins(producer, 1);
            story.stored_in(producer, 1, u64::from(producer), i64::from(producer));
        }
        story.transformed(4, Some(1), "shop", (3, 3, 0), &[4]);
        story
    }

    #[test]
    fn silent_when_one_reads_what_the_other_wrote() {
        let mut story = read_one();
        story.commits_transaction(3, 1);
        story.commits_transaction(4, 1);
        story.finish_silent();
    }

    #[test]
    fn silent_about_a_cycle_with_a_transaction_that_is_not_committed() {
        let mut story = read_one();
        story.transformed(3, Some(1), "shop", (4, 4, 0), &[3]);
        story.commits_transaction(3, 1);
        story.commits_in_doubt(4, 1);
        story.finish_silent();
    }

    #[test]
    fn fires_when_each_read_what_the_other_wrote() {
        let mut story = read_one();
        story.transformed(3, Some(1), "shop", (4, 4, 0), &[3]);
        story.commits_transaction(3, 1);
        story.commits_transaction(4, 1);
        story.finish_fired(
            "orders-0 G1c by 1.000 s: p4's transaction 1 read offset 3 of orders-0, which p3's \
             transaction 1 wrote; p3's transaction 1 read offset 4 of orders-0, which p4's transaction 1 \
             wrote",
        );
    }

    #[test]
    fn fires_when_a_transaction_read_what_depends_on_the_next_one() {
        let mut story = Story::judging("g1c");
        story.identified(3, "till", 7, 0);
        story.begins(4, 1);
        story.stored_in(4, 1, 400, 0);
        for txn in [1, 2] {
            story.begins(3, txn);
            story.stored_in(3, txn, 300 + txn, 1 + txn as i64);
        }
        // The first read what was made of the second.
        story.transformed(3, Some(1), "shop", (0, 400, 0), &[301]);
        story.transformed(4, Some(1), "shop", (3, 302, 0), &[400]);
        for (producer, txn) in [(3, 1), (3, 2), (4, 1)] {
            story.commits_transaction(producer, txn);
        }
        assert!(story.finish_sentence().starts_with("orders-0 G1c"), "{}", story.sentence());
    }

    #[test]
    fn silent_about_a_cycle_through_the_order_of_writes_of_two_producers() {
        let mut story = read_one();
        // The reader wrote first: offset 0 is its own.
        story.stored_in(4, 1, 400, 0);
        story.commits_transaction(3, 1);
        story.commits_transaction(4, 1);
        story.finish_silent();
    }
}
