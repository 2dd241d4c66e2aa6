//! `dirty-read`: a consumer read a record at or above the high watermark.
//!
//! There are two ways to find it: no leader had exposed the offset yet; or a leader had, but fewer
//! brokers than `min.insync.replicas` had ever held the record, so that its high watermark was not
//! a true one (KIP-966: it does not advance while the ISR is that small).

use crate::check::{Client, Event, Ghost, Invariant, RecordWitness, ReplicaWitness, Violation};
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
        })) = &event.seen.what
        else {
            return Ok(());
        };
        let Some(partition) = ghost.partition(name) else { return Ok(()) };
        let (needed, exposed) = (ghost.copies_needed(name), ghost.view().exposed_below(name));
        for (offset, value) in records {
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
}
