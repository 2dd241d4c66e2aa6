//! `aborted-read`: a consumer read a record whose send certainly failed, or a `read_committed` one read
//! a record of a transaction that is not committed.
//!
//! A record that was refused before it could enter a log must not be in one. A transaction is not
//! committed if its producer was told that it is aborted, or never asked for a commit; nor are records
//! that an abort marker follows in the committed log. A producer that reports a timeout as a failure is
//! found here too. A record that was read before its commit was asked for is judged by `g1b`. If a
//! partition loses an abort marker within the contract, the producer's next marker settles the records
//! that are left, or that come back, whatever was decided for them: they are not judged.
//! Source: Adya's G1a; Jepsen's Kafka workload, aborted-read.

use crate::base::{Offset, TopicPartition};
use crate::check::ghost::{Fate, Send, Transaction};
use crate::check::{Ending, Event, Ghost, Invariant, RecordWitness, TransactionWitness, Violation};
use crate::sim::{
    ClientEvent, ConsumerEvent, Ended, Outcome, ProducerEvent, TransactionEvent, What,
};

const NAME: &str = "aborted-read";

#[derive(Default)]
pub(super) struct AbortedRead;

impl Invariant for AbortedRead {
    fn name(&self) -> &'static str {
        NAME
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        match &event.seen.what {
            What::Client(ClientEvent::Consumer(ConsumerEvent::Polled {
                consumer,
                partition,
                records,
                ..
            })) => {
                let stable = ghost.transactions().reads_committed(*consumer);
                for (offset, value) in records {
                    if let Some(send) = ghost.clients().send_of(*value) {
                        ask(event, partition, send, *offset, *consumer)?;
                    }
                    if stable {
                        ask_client(event, ghost, partition, (*offset, *value), *consumer)?;
                        ask_log(event, ghost, partition, (*offset, *value), *consumer)?;
                    }
                }
                Ok(())
            }
            What::Client(ClientEvent::Producer(ProducerEvent::Told {
                producer,
                op,
                outcome: Outcome::Fail { .. },
            })) => {
                let Some(send) = ghost.clients().send(*producer, *op) else { return Ok(()) };
                let Some(read) = send.read else { return Ok(()) };
                ask(event, &send.partition, send, read.offset, read.consumer)
            }
            What::Client(ClientEvent::Transaction(TransactionEvent::Ended {
                producer,
                txn,
                outcome: Ended::Aborted,
            })) => match ghost.transactions().get(*producer, *txn) {
                Some(transaction) if matches!(transaction.fate(), Fate::Aborted(_)) => {
                    read_of(ghost, transaction).map_or(Ok(()), |(partition, witness)| {
                        event.broke(NAME, &partition, witness)
                    })
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn finish(&mut self, ending: Ending, ghost: &Ghost) -> Result<(), Violation> {
        for transaction in ghost.transactions().all() {
            if transaction.fate() == Fate::NeverAsked
                && let Some((partition, witness)) = read_of(ghost, transaction)
            {
                return Violation::found(NAME, ending.now, &partition, witness);
            }
        }
        Ok(())
    }
}

fn ask(
    event: &Event<'_>,
    partition: &TopicPartition,
    send: &Send,
    offset: Offset,
    consumer: u32,
) -> Result<(), Violation> {
    let Some((_, Outcome::Fail { error })) = &send.told else { return Ok(()) };
    let (told, error) = (send.as_told(), error.clone());
    let witness = RecordWitness::RefusedButRead { offset, told, error, consumer };
    event.broke(NAME, partition, witness)
}

/// Whether its producer knows that its transaction is aborted.
fn ask_client(
    event: &Event<'_>,
    ghost: &Ghost,
    partition: &TopicPartition,
    (offset, value): (Offset, u64),
    consumer: u32,
) -> Result<(), Violation> {
    let send = ghost.clients().send_of(value);
    let of = send.and_then(|send| ghost.transactions().get(send.producer, send.txn?));
    let Some((transaction, Fate::Aborted(at))) = of.map(|of| (of, of.fate())) else {
        return Ok(());
    };
    if ghost.lost_outcome(partition, offset) == Some(false)
        || ghost.transaction_log().may_decide_anew(transaction)
    {
        return Ok(());
    }
    let witness = TransactionWitness::ReadAborted {
        offset,
        record: ghost.clients().name_of(value),
        transaction: transaction.name(),
        consumer,
        aborted: Some(at),
    };
    event.broke(NAME, partition, witness)
}

/// Whether an abort marker follows it in the committed log.
fn ask_log(
    event: &Event<'_>,
    ghost: &Ghost,
    name: &TopicPartition,
    (offset, value): (Offset, u64),
    consumer: u32,
) -> Result<(), Violation> {
    let Some(partition) = ghost.partition(name) else { return Ok(()) };
    let Some(promised) = partition.promise_of(offset) else { return Ok(()) };
    let fate = partition.stability.fate(&promised.batch).filter(|settled| !settled.commit);
    // A record that was read before it was lost may have another at its offset now.
    let lost = partition.losses.iter().any(|loss| loss.from <= offset);
    // One that was read before its commit marker was lost may be aborted now.
    let was_committed = partition.lost_outcome(offset) == Some(true);
    let Some(settled) = fate.filter(|_| !lost && !was_committed) else { return Ok(()) };
    let (producer_id, epoch, marker) = (settled.producer, settled.epoch, settled.marker);
    let witness = TransactionWitness::ReadMarkedAborted {
        offset,
        value,
        consumer,
        producer_id,
        epoch,
        marker,
    };
    event.broke(NAME, name, witness)
}

/// The first record of a transaction that a reader of committed records got.
fn read_of(
    ghost: &Ghost,
    transaction: &Transaction,
) -> Option<(TopicPartition, TransactionWitness)> {
    let visible =
        transaction.visible.filter(|_| !ghost.transaction_log().may_decide_anew(transaction))?;
    let partition = ghost.clients().send_of(visible.value)?.partition.clone();
    let aborted = match transaction.fate() {
        Fate::Aborted(at) => Some(at),
        _ => None,
    };
    let witness = TransactionWitness::ReadAborted {
        offset: visible.read.offset,
        record: ghost.clients().name_of(visible.value),
        transaction: transaction.name(),
        consumer: visible.read.consumer,
        aborted,
    };
    Some((partition, witness))
}

#[cfg(test)]
mod tests {
    use crate::base::config::Acks;
    use crate::check::testing::Story;

    #[test]
    fn silent_about_records_whose_outcome_is_ok_unknown_or_pending() {
        let mut story = Story::judging("aborted-read");
        for op in 0..3 {
            story.sent(0, op, 100 + op, Acks::All);
        }
        story.told_ok(0, 0, Some(0));
        story.told_unknown(0, 1, "REQUEST_TIMED_OUT");
        story.polled(0, &[(0, 100), (1, 101), (2, 102)]);
        story.silent();
    }

    #[test]
    fn fires_when_a_refused_record_is_read() {
        let mut story = Story::judging("aborted-read");
        story.sent(0, 0, 100, Acks::All);
        story.told_fail(0, 0, "NOT_ENOUGH_REPLICAS");
        story.polled(0, &[(0, 100)]);
        story.fired(
            "orders-0 offset 0 read by consumer k0 at 1.000 s is p0's record 0, which was refused with \
             NOT_ENOUGH_REPLICAS at 1.000 s",
        );
    }

    #[test]
    fn fires_when_a_record_is_refused_that_was_read_before() {
        let mut story = Story::judging("aborted-read");
        story.sent(0, 0, 100, Acks::All);
        story.polled(0, &[(0, 100)]);
        story.told_fail(0, 0, "MESSAGE_TOO_LARGE");
        assert!(story.sentence().contains("MESSAGE_TOO_LARGE"));
    }

    /// Consumer 0 reads what is committed; one record is stored in a transaction.
    fn in_transaction() -> Story {
        let mut story = Story::judging("aborted-read");
        story.reads_committed(0);
        story.begins(3, 1);
        story.stored_in(3, 1, 100, 7);
        story
    }

    #[test]
    fn silent_about_committed_and_unknown_transactions() {
        for known in [true, false] {
            let mut story = in_transaction();
            if known {
                story.commits_transaction(3, 1);
            } else {
                story.commits_in_doubt(3, 1);
            }
            story.polled(0, &[(7, 100)]);
            story.finish_silent();
        }
    }

    #[test]
    fn silent_when_a_fenced_producer_asked_for_the_commit_before() {
        let mut story = in_transaction();
        story.ending(3, 1, true);
        story.told_fenced(3, 1);
        story.polled(0, &[(7, 100)]);
        story.finish_silent();
    }

    #[test]
    fn silent_about_a_reader_that_reads_everything() {
        let mut story = in_transaction();
        story.aborts_transaction(3, 1);
        story.polled(1, &[(7, 100)]);
        story.finish_silent();
    }

    #[test]
    fn fires_when_a_record_of_an_aborted_transaction_is_read() {
        let mut story = in_transaction();
        story.aborts_transaction(3, 1);
        story.polled(0, &[(7, 100)]);
        story.fired(
            "orders-0 offset 7 read by read_committed consumer k0 is p3's record 100 of p3's \
             transaction 1, which was aborted at 1.000 s",
        );
    }

    #[test]
    fn fires_when_it_was_read_before_the_abort() {
        let mut story = in_transaction();
        story.polled(0, &[(7, 100)]);
        story.silent();
        story.aborts_transaction(3, 1);
        assert!(story.sentence().contains("which was aborted at"), "{}", story.sentence());
    }

    #[test]
    fn fires_when_no_commit_was_ever_asked_for() {
        let mut story = in_transaction();
        story.told_fenced(3, 1);
        story.polled(0, &[(7, 100)]);
        story.later();
        story.finish_fired(
            "orders-0 offset 7 read by read_committed consumer k0 is p3's record 100 of p3's \
             transaction 1, for which no commit was asked by 2.000 s",
        );
    }

    #[test]
    fn excused_only_when_its_coordinator_has_forgotten_it_since_it_began() {
        for (id, before, fires) in
            [("till", false, false), ("till", true, true), ("desk", false, true)]
        {
            let mut story = Story::judging("aborted-read");
            story.reads_committed(0);
            story.identified(3, "till", 7, 0);
            story.logs(id, (7, 0), 0, &[]);
            if before {
                story.coordinator_loses(0);
                story.later();
            }
            story.begins(3, 1);
            story.stored_in(3, 1, 100, 7);
            if !before {
                story.coordinator_loses(0);
            }
            story.polled(0, &[(7, 100)]);
            assert_eq!(!story.finish_sentence().is_empty(), fires, "{}", story.sentence());
        }
    }

    #[test]
    fn fires_when_an_abort_marker_follows_whatever_the_producer_knows() {
        let mut story = Story::judging("aborted-read");
        story.reads_committed(0);
        story.writes_in(7, 0, &[100]);
        story.writes_plain(&[5]);
        story.marks(7, 1, false);
        story.polled(0, &[(1, 5)]);
        story.silent();
        story.polled(0, &[(0, 100)]);
        story.fired(
            "orders-0 offset 0 read by read_committed consumer k0 at 1.000 s is a record of producer id \
             7, whose abort marker of epoch 1 is at offset 2",
        );
    }

    #[test]
    fn silent_about_the_next_transaction_of_a_producer_that_aborted() {
        let mut story = Story::judging("aborted-read");
        story.reads_committed(0);
        story.writes_in(7, 0, &[100]);
        story.marks(7, 1, false);
        story.writes_in(7, 1, &[101]);
        story.marks(7, 2, true);
        story.polled(0, &[(2, 101)]);
        story.silent();
    }

    #[test]
    fn marker_counts_only_for_offsets_that_were_not_lost_within_the_contract() {
        for (offset, fires) in [(0, true), (2, false)] {
            let mut story = Story::judging("aborted-read");
            story.reads_committed(0);
            story.writes_in(7, 0, &[100]);
            story.marks(7, 1, false);
            story.writes_plain(&[5]);
            story.loses_committed(2);
            story.writes_in(7, 1, &[101]);
            story.marks(7, 2, false);
            // The second was the other record when it was read.
            story.polled(0, &[(offset, 100)]);
            assert_eq!(!story.sentence().is_empty(), fires, "{}", story.sentence());
        }
    }

    /// A record of a transaction that was aborted, and its marker behind it.
    fn aborted_and_marked() -> Story {
        let mut story = Story::judging("aborted-read");
        story.reads_committed(0);
        story.begins(3, 1);
        story.stored_in(3, 1, 100, 0);
        story.writes_in(7, 0, &[100]);
        story.later();
        story.aborts_transaction(3, 1);
        story.marks(7, 0, false);
        story
    }

    #[test]
    fn excused_when_the_next_marker_commits_what_lost_its_abort_marker() {
        for (from, fires) in [(1, false), (2, true)] {
            let mut story = aborted_and_marked();
            story.writes_plain(&[5]);
            story.loses_committed(from);
            story.later();
            story.writes_in(7, 0, &[101]);
            story.later();
            story.marks(7, 0, true);
            story.polled(0, &[(0, 100)]);
            assert_eq!(!story.sentence().is_empty(), fires, "{}", story.sentence());
        }
    }

    #[test]
    fn excused_when_a_record_comes_back_without_its_abort_marker() {
        for (kept_below, fires) in [(1, false), (2, true)] {
            let mut story = aborted_and_marked();
            story.comes_back_uncleanly(kept_below);
            story.polled(0, &[(0, 100)]);
            assert_eq!(!story.sentence().is_empty(), fires, "{}", story.sentence());
        }
    }

    #[test]
    fn earlier_transaction_is_not_excused_by_a_lost_marker() {
        let mut story = aborted_and_marked();
        story.later();
        story.writes_in(7, 0, &[101]);
        story.later();
        story.marks(7, 0, false);
        story.loses_committed(3);
        story.polled(0, &[(0, 100)]);
        assert!(story.sentence().contains("which was aborted at"), "{}", story.sentence());
    }

    #[test]
    fn marker_counts_not_for_what_a_lost_one_had_committed() {
        for (commit, fires) in [(true, false), (false, true)] {
            let mut story = Story::judging("aborted-read");
            story.reads_committed(0);
            story.writes_in(7, 0, &[100]);
            story.later();
            story.marks(7, 0, commit);
            story.loses_committed(1);
            story.later();
            story.writes_in(7, 0, &[101]);
            story.later();
            story.marks(7, 0, false);
            // A client may process later what it fetched before.
            story.polled(0, &[(0, 100)]);
            assert_eq!(!story.sentence().is_empty(), fires, "{}", story.sentence());
        }
    }
}
