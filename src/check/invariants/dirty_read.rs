//! `dirty-read`: a consumer read a record at or above the high watermark, or a `read_committed` one
//! read a record at or above the last stable offset.
//!
//! There are two ways to find it: no leader had exposed the offset yet; or a leader had, but fewer
//! brokers than `min.insync.replicas` had ever held the record, so that its high watermark was not
//! a true one (KIP-966: it does not advance while the ISR is that small). The last stable offset is the
//! ghost's own: the first record of a transaction without a marker below the high watermark. One whose
//! records retention has deleted doesn't count: a leader that restarts can't know it.

use crate::check::{
    Client, Event, Ghost, Invariant, RecordWitness, ReplicaWitness, TransactionWitness, Violation,
};
use crate::sim::{ClientEvent, ConsumerEvent, What};

#[derive(Default)]
pub(super) struct DirtyRead;

impl Invariant for DirtyRead {
    fn name(&self) -> &'static str {
        "dirty-read"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        let What::Client(ClientEvent::Consumer(ConsumerEvent::Polled {
            consumer,
            partition: name,
            records,
            ..
        })) = &event.seen.what
        else {
            return Ok(());
        };
        let Some(partition) = ghost.partition(name) else { return Ok(()) };
        let (needed, exposed) = (ghost.copies_needed(name), ghost.view().exposed_below(name));
        let stable = partition.stability.ever_stable();
        let committed = ghost.transactions().reads_committed(*consumer);
        for (offset, value) in records {
            if committed && *offset < exposed && *offset >= stable {
                let witness = TransactionWitness::AboveLastStable {
                    offset: *offset,
                    value: *value,
                    consumer: *consumer,
                    stable,
                };
                return event.broke(self.name(), name, witness);
            }
            if *offset >= exposed {
                let witness = RecordWitness::AboveHighWatermark {
                    offset: *offset,
                    value: *value,
                    consumer: *consumer,
                    exposed,
                };
                return event.broke(self.name(), name, witness);
            }
            let Some(promised) = partition.promise_of(*offset) else { continue };
            let copies = promised.copies();
            if copies < needed {
                let witness = ReplicaWitness::TooFewCopies {
                    offset: *offset,
                    epoch: promised.batch.epoch,
                    copies: ghost.holders(promised),
                    needed,
                    to: Some(Client::Consumer(*consumer)),
                    leader: promised.by,
                };
                return event.broke(self.name(), name, witness);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    fn replicated() -> Story {
        let mut story = Story::judging("dirty-read");
        story.leader_writes(1, 0, 0, &[100]);
        story.writes(2, 0, 0, &[100]);
        story
    }

    #[test]
    fn silent_below_the_high_watermark() {
        let mut story = replicated();
        story.high_watermark(1, 0, 1);
        story.polled(0, &[(0, 100)]);
        story.silent();
    }

    #[test]
    fn silent_when_a_successor_s_high_watermark_begins_behind() {
        let mut story = replicated();
        story.high_watermark(1, 0, 1);
        story.elected(2, 1, &[2, 3]);
        story.high_watermark(2, 1, 0);
        story.polled(0, &[(0, 100)]);
        story.silent();
    }

    #[test]
    fn fires_above_it() {
        let mut story = replicated();
        story.polled(0, &[(0, 100)]);
        story.fired(
            "orders-0 offset 0 read by consumer k0 at 1.000 s; leaders had exposed no more than \
             offset 0",
        );
    }

    #[test]
    fn fires_when_the_high_watermark_moved_while_the_isr_was_too_small() {
        let mut story = Story::judging("dirty-read");
        story.commits(Some(1), 0, &[1]);
        story.leader_writes(1, 0, 0, &[100]);
        story.high_watermark(1, 0, 1);
        story.polled(0, &[(0, 100)]);
        story.fired(
            "orders-0 offset 0 of epoch 0 read by consumer k0 at 1.000 s with copies on b1 only; \
             min.insync.replicas is 2",
        );
    }

    #[test]
    fn silent_below_the_last_stable_offset_and_about_other_readers_above_it() {
        let mut story = Story::judging("dirty-read");
        story.reads_committed(0);
        story.writes_plain(&[1]);
        story.writes_in(7, 0, &[100]);
        story.writes_plain(&[2]);
        story.polled(0, &[(0, 1)]);
        story.polled(1, &[(0, 1), (1, 100), (2, 2)]);
        story.marks(7, 0, true);
        story.polled(0, &[(1, 100), (2, 2)]);
        story.silent();
    }

    #[test]
    fn fires_above_a_transaction_without_a_replicated_marker() {
        for marked in [false, true] {
            let mut story = Story::judging("dirty-read");
            story.reads_committed(0);
            story.writes_in(7, 0, &[100]);
            story.writes_plain(&[2]);
            if marked {
                story.marks_hidden(7, 0, true);
            }
            story.polled(0, &[(1, 2)]);
            story.fired(
                "orders-0 offset 1 read by read_committed consumer k0 at 1.000 s; the last stable offset \
                 had never been above 0",
            );
        }
    }

    /// A transaction in the first segment, and enough records behind it that retention is due.
    fn expiring(deleted: bool) -> Story {
        let mut story = Story::expiring("dirty-read");
        story.reads_committed(0);
        story.writes_in(7, 0, &[100]);
        let values: Vec<u64> = (1..101).collect();
        for broker in [1, 2] {
            story.rolls(broker, 1);
            story.writes(broker, 1, 0, &values);
            story.writes(broker, 101, 0, &[101]);
        }
        story.high_watermark(1, 0, 102);
        if deleted {
            story.expires(1, 1);
        }
        story
    }

    #[test]
    fn silent_about_reads_behind_a_transaction_that_retention_deleted() {
        for deleted in [true, false] {
            let mut story = expiring(deleted);
            story.polled(0, &[(1, 1)]);
            assert_eq!(story.sentence().is_empty(), deleted, "{}", story.sentence());
        }
    }

    #[test]
    fn deleted_transaction_holds_nothing_back_after_a_loss_either() {
        for deleted in [true, false] {
            let mut story = expiring(deleted);
            story.loses_committed(101);
            for broker in [1, 2] {
                story.writes(broker, 101, 1, &[200]);
                story.writes(broker, 102, 1, &[201]);
            }
            story.high_watermark(1, 1, 103);
            story.polled(0, &[(102, 201)]);
            assert_eq!(story.sentence().is_empty(), deleted, "{}", story.sentence());
        }
    }
}
