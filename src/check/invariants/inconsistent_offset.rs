//! `inconsistent-offset`: two values were seen at one offset of a partition, over all sends and
//! polls.
//!
//! An acknowledgement with an offset counts like a read. A configuration that loses acknowledged
//! records breaks this too, once the offset is used again; its scenario expects that.
//! Source: Jepsen's Kafka workload, inconsistent-offsets.

use std::collections::BTreeMap;

use crate::base::{Offset, TopicPartition};
use crate::check::{Client, Event, Ghost, Invariant, RecordWitness, Sighting, Violation};
use crate::sim::{ClientEvent, ConsumerEvent, Outcome, ProducerEvent, What};

#[derive(Default)]
pub(super) struct InconsistentOffset {
    seen: BTreeMap<TopicPartition, BTreeMap<Offset, Sighting>>,
}

impl Invariant for InconsistentOffset {
    fn name(&self) -> &'static str {
        "inconsistent-offset"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for partition in event.gone() {
            self.seen.remove(partition);
        }
        let at = event.seen.at;
        match &event.seen.what {
            What::Client(ClientEvent::Consumer(ConsumerEvent::Polled {
                consumer,
                partition,
                records,
                ..
            })) => {
                let clients = ghost.clients();
                for (offset, value) in
                    records.iter().filter(|(_, value)| !clients.is_former(*value))
                {
                    let by = Client::Consumer(*consumer);
                    self.sight(
                        (event, ghost),
                        partition,
                        *offset,
                        Sighting { value: *value, by, at },
                    )?;
                }
            }
            What::Client(ClientEvent::Producer(ProducerEvent::Told {
                producer,
                op,
                outcome: Outcome::Ok { offset: Some(offset) },
            })) => {
                if let Some(send) = ghost.clients().send(*producer, *op) {
                    let by = Client::Producer(*producer);
                    let sighting = Sighting { value: send.value, by, at };
                    self.sight((event, ghost), &send.partition, *offset, sighting)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl InconsistentOffset {
    fn sight(
        &mut self,
        (event, ghost): (&Event<'_>, &Ghost),
        partition: &TopicPartition,
        offset: Offset,
        second: Sighting,
    ) -> Result<(), Violation> {
        if !self.seen.contains_key(partition) {
            self.seen.insert(partition.clone(), BTreeMap::new());
        }
        let Some(seen) = self.seen.get_mut(partition) else { return Ok(()) };
        let first = *seen.entry(offset).or_insert(second);
        if first.value == second.value {
            return Ok(());
        }
        let records = [first, second].map(|sighting| ghost.clients().name_of(sighting.value));
        let witness = RecordWitness::TwoValues { offset, first, second, records };
        event.broke(self.name(), partition, witness)
    }
}

#[cfg(test)]
mod tests {
    use crate::base::config::Acks;
    use crate::check::testing::Story;

    #[test]
    fn silent_when_everybody_sees_the_same() {
        let mut story = Story::judging("inconsistent-offset");
        story.sent(0, 0, 100, Acks::All);
        story.polled(0, &[(7, 100)]);
        story.told_ok(0, 0, Some(7));
        story.polled(1, &[(7, 100)]);
        story.silent();
    }

    #[test]
    fn silent_about_late_reads_of_a_topic_that_was_created_again() {
        let mut story = Story::judging("inconsistent-offset");
        story.sent(0, 0, 100, Acks::All);
        story.told_ok(0, 0, Some(7));
        story.created_again();
        story.polled(0, &[(7, 100)]);
        story.sent(0, 1, 101, Acks::All);
        story.told_ok(0, 1, Some(7));
        story.silent();
    }

    #[test]
    fn silent_when_the_outcome_is_unknown() {
        let mut story = Story::judging("inconsistent-offset");
        story.sent(0, 0, 100, Acks::All);
        story.told_unknown(0, 0, "REQUEST_TIMED_OUT");
        story.polled(0, &[(7, 101)]);
        story.silent();
    }

    #[test]
    fn fires_when_two_consumers_see_two_values() {
        let mut story = Story::judging("inconsistent-offset");
        story.sent(3, 9, 100, Acks::All);
        story.polled(0, &[(7, 100)]);
        story.polled(1, &[(7, 101)]);
        story.fired(
            "orders-0 offset 7 was read as p3's record 9 by consumer k0 at 1.000 s and read as a record \
             that no producer sent (value 101) by consumer k1 at 1.000 s",
        );
    }

    #[test]
    fn fires_when_a_producer_was_told_another_value_s_offset() {
        let mut story = Story::judging("inconsistent-offset");
        story.sent(0, 0, 100, Acks::Leader);
        story.told_ok(0, 0, Some(7));
        story.polled(1, &[(7, 101)]);
        assert!(story.sentence().contains("was acked as p0's record 0 at 1.000 s and read as"));
    }

    #[test]
    fn silent_about_a_topic_that_was_created_again() {
        let mut story = Story::judging("inconsistent-offset");
        story.polled(0, &[(7, 100)]);
        story.created_again();
        story.polled(0, &[(7, 101)]);
        story.silent();
    }
}
