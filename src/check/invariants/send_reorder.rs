//! `send-reorder`: a consumer found the records of one idempotent producer and partition in another
//! order than they were sent.
//!
//! Judged along each consumer's own reading; setting its position starts over. A producer whose
//! process ended is another one afterwards: nothing orders the requests that both have in flight.
//! Source: KIP-98: idempotence keeps the order with at most five requests in flight.
//!
//! The first record of a producer that a partition stores may overtake earlier ones: while several
//! requests are in flight, the partition may refuse the first with NOT_ENOUGH_REPLICAS and take a
//! later one, because a broker accepts any sequence number from a producer that it does not know
//! (KIP-360; Kafka's `ProducerAppendInfo.checkSequence`).

use std::collections::BTreeMap;

use crate::base::{Offset, TopicPartition};
use crate::check::{ConsumerWitness, Event, Ghost, Invariant, Violation};
use crate::sim::{ClientEvent, ConsumerEvent, What};
use crate::view::Change as Folded;

/// What a consumer came across in a partition, by producer and incarnation.
type Latest = BTreeMap<(u32, u32), Sent>;

/// The sends of one producer.
#[derive(Clone, Copy)]
struct Sent {
    /// The place of the first among all sends.
    first: usize,
    /// The place of the last among all sends.
    order: usize,
    /// The last one's offset.
    offset: Offset,
    /// The last one's number.
    op: u64,
}

#[derive(Default)]
pub(super) struct SendReorder {
    readings: BTreeMap<u32, BTreeMap<TopicPartition, Latest>>,
}

impl Invariant for SendReorder {
    fn name(&self) -> &'static str {
        "send-reorder"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for change in event.folded {
            if let Folded::Stopped { consumer } = change {
                self.readings.remove(consumer);
            }
        }
        match &event.seen.what {
            What::Client(ClientEvent::Consumer(ConsumerEvent::Positioned {
                consumer,
                partition,
                ..
            })) => {
                self.readings.entry(*consumer).or_default().remove(partition);
                Ok(())
            }
            What::Client(ClientEvent::Consumer(ConsumerEvent::Polled {
                consumer,
                partition,
                records,
                ..
            })) => {
                let readings = self.readings.entry(*consumer).or_default();
                if !readings.contains_key(partition) {
                    readings.insert(partition.clone(), Latest::new());
                }
                let Some(latest) = readings.get_mut(partition) else { return Ok(()) };
                for (offset, value) in records {
                    let send = ghost.clients().send_of(*value).filter(|send| send.idempotent);
                    let Some(send) = send else { continue };
                    let producer = (send.producer, send.incarnation);
                    let before = latest.get(&producer).copied();
                    let first = before.map_or(send.order, |before| before.first);
                    let (order, op) = (send.order, send.op);
                    latest.insert(producer, Sent { first, order, offset: *offset, op });
                    let Some(before) = before else { continue };
                    if before.order > order && before.offset < *offset && order >= first {
                        let witness = ConsumerWitness::Reordered {
                            producer: send.producer,
                            consumer: *consumer,
                            earlier: (before.offset, before.op),
                            later: (*offset, op),
                        };
                        return event.broke(self.name(), partition, witness);
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::base::config::Acks;
    use crate::check::testing::Story;

    fn sent() -> Story {
        let mut story = Story::judging("send-reorder");
        for op in 0..4 {
            story.sent(0, op, 100 + op, Acks::All);
            story.sent(1, op, 200 + op, Acks::All);
        }
        story
    }

    #[test]
    fn silent_when_each_producer_s_records_come_in_order_with_some_missing() {
        let mut story = sent();
        story.polled(0, &[(0, 200), (1, 100), (2, 102), (3, 201)]);
        story.polled(0, &[(4, 103)]);
        story.silent();
    }

    #[test]
    fn silent_when_a_consumer_reads_again_from_the_beginning() {
        let mut story = sent();
        story.polled(0, &[(0, 100), (1, 101)]);
        story.positioned(0, 0);
        story.polled(0, &[(0, 100), (1, 101)]);
        story.silent();
    }

    #[test]
    fn silent_about_a_producer_that_is_not_idempotent() {
        let mut story = Story::judging("send-reorder");
        story.sent_plain(0, 0, 100, Acks::Leader);
        story.sent_plain(0, 1, 101, Acks::Leader);
        story.polled(0, &[(0, 101), (1, 100)]);
        story.silent();
    }

    #[test]
    fn silent_when_a_producer_that_was_killed_sends_on_while_its_last_batch_is_in_flight() {
        let mut story = sent();
        story.client_killed();
        story.sent(0, 4, 104, Acks::All);
        story.polled(0, &[(0, 104), (1, 100), (2, 101)]);
        story.silent();
    }

    #[test]
    fn silent_when_the_first_record_that_is_stored_overtakes_others_in_flight() {
        let mut story = sent();
        story.polled(0, &[(0, 102), (1, 103), (2, 100)]);
        story.polled(0, &[(3, 101)]);
        story.silent();
    }

    #[test]
    fn fires_when_a_later_send_comes_first_also_between_polls() {
        let mut story = sent();
        story.polled(0, &[(0, 100), (1, 102)]);
        story.polled(0, &[(2, 101)]);
        story.fired(
            "orders-0 p0's record 2 is at offset 1, before its record 1 at offset 2, as consumer k0 \
             read at 1.000 s",
        );
    }
}
