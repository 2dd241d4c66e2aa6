//! `duplicate`: one value was read at more than one offset, although its producer is idempotent.
//!
//! Reading one offset twice is harmless: a consumer that was reset does that. Records of transactions
//! count whatever became of them: each is stored at most once, and an application that tries again after
//! an abort sends another value.
//! Source: Jepsen's Kafka workload, duplicate; KIP-98.

use crate::check::{Client, Event, Ghost, Invariant, RecordWitness, Sighting, Violation};
use crate::sim::{ClientEvent, ConsumerEvent, What};

#[derive(Default)]
pub(super) struct Duplicate;

impl Invariant for Duplicate {
    fn name(&self) -> &'static str {
        "duplicate"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        let What::Client(ClientEvent::Consumer(ConsumerEvent::Polled {
            consumer,
            partition,
            records,
            ..
        })) = &event.seen.what
        else {
            return Ok(());
        };
        for (offset, value) in records {
            let Some(send) = ghost.clients().send_of(*value).filter(|send| send.idempotent) else {
                continue;
            };
            let Some(read) = send.read.filter(|read| read.offset != *offset) else { continue };
            let seen = |by, at| Sighting { value: *value, by: Client::Consumer(by), at };
            let witness = RecordWitness::TwoOffsets {
                first: read.offset,
                second: *offset,
                record: ghost.clients().name_of(*value),
                one: seen(read.consumer, read.at),
                other: seen(*consumer, event.seen.at),
            };
            return event.broke(self.name(), partition, witness);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::base::config::Acks;
    use crate::check::testing::Story;

    fn sent() -> Story {
        let mut story = Story::judging("duplicate");
        story.sent(3, 0, 100, Acks::All);
        story
    }

    #[test]
    fn silent_when_a_consumer_that_was_reset_reads_an_offset_again() {
        let mut story = sent();
        story.polled(0, &[(7, 100)]);
        story.positioned(0, 7);
        story.polled(0, &[(7, 100)]);
        story.polled(1, &[(7, 100)]);
        story.silent();
    }

    #[test]
    fn silent_about_a_producer_that_is_not_idempotent() {
        let mut story = Story::judging("duplicate");
        story.sent_plain(3, 0, 100, Acks::All);
        story.polled(0, &[(7, 100), (8, 100)]);
        story.silent();
    }

    #[test]
    fn fires_when_one_value_is_at_two_offsets() {
        let mut story = sent();
        story.polled(0, &[(7, 100), (8, 101), (9, 100)]);
        story.fired(
            "orders-0 p3's record 0 is at offset 7 (consumer k0 at 1.000 s) and at offset 9 \
             (consumer k0 at 1.000 s)",
        );
    }

    #[test]
    fn fires_when_two_consumers_find_it_at_different_offsets() {
        let mut story = sent();
        story.polled(0, &[(7, 100)]);
        story.polled(1, &[(9, 100)]);
        assert!(story.sentence().contains("consumer k1"));
    }

    #[test]
    fn fires_also_within_an_aborted_transaction() {
        let mut story = Story::judging("duplicate");
        story.begins(3, 1);
        story.sent_in(3, 1, 100);
        story.aborts_transaction(3, 1);
        story.polled(1, &[(7, 100), (8, 100)]);
        assert!(story.sentence().contains("is at offset 7"), "{}", story.sentence());
    }

    #[test]
    fn silent_when_an_aborted_input_is_tried_again_with_another_value() {
        let mut story = Story::judging("duplicate");
        story.begins(3, 1);
        story.sent_in(3, 1, 100);
        story.aborts_transaction(3, 1);
        story.begins(3, 2);
        story.sent_in(3, 2, 101);
        story.commits_transaction(3, 2);
        story.polled(1, &[(7, 100), (9, 101)]);
        story.silent();
    }
}
