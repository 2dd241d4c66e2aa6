//! `misbehaviour-refused`: a request that must be refused is, with Kafka's error, and nothing of it
//! is ever read.
//!
//! A load sends such requests on purpose. A broker that can't serve the partition may say so instead.
//! The errors are those of Apache Kafka 4.3, recorded in `sims/fixtures/kafka/answers/batches.json`.

use std::collections::BTreeMap;

use crate::base::{Offset, TopicPartition};
use crate::check::{Event, Ghost, Invariant, RecordWitness, Violation};
use crate::sim::{ClientEvent, ConsumerEvent, Misdeed, ProducerEvent, What};

#[derive(Default)]
pub(super) struct MisbehaviourRefused {
    /// By the record's value.
    sent: BTreeMap<u64, Sent>,
}

struct Sent {
    partition: TopicPartition,
    misdeed: Misdeed,
    repeats: Option<Offset>,
}

impl Invariant for MisbehaviourRefused {
    fn name(&self) -> &'static str {
        "misbehaviour-refused"
    }

    fn observe(&mut self, event: &Event<'_>, _: &Ghost) -> Result<(), Violation> {
        match &event.seen.what {
            What::Client(ClientEvent::Producer(ProducerEvent::Misbehaved {
                partition,
                value,
                misdeed,
                repeats,
                ..
            })) => {
                let (partition, misdeed, repeats) = (partition.clone(), *misdeed, *repeats);
                self.sent.insert(*value, Sent { partition, misdeed, repeats });
                Ok(())
            }
            What::Client(ClientEvent::Producer(ProducerEvent::Answered {
                producer,
                value,
                error,
                offset,
            })) => {
                let Some(sent) = self.sent.get(value) else { return Ok(()) };
                if sent.misdeed.is_answered_by(error, *offset, sent.repeats) {
                    return Ok(());
                }
                let (producer, error, at) = (*producer, error.clone(), *offset);
                let (misdeed, value) = (sent.misdeed, *value);
                let witness = RecordWitness::NotRefused { producer, misdeed, value, error, at };
                event.broke(self.name(), &sent.partition, witness)
            }
            What::Client(ClientEvent::Consumer(ConsumerEvent::Polled {
                consumer,
                partition,
                records,
                ..
            })) => {
                let mut records = records.iter();
                let found = records.find_map(|(offset, value)| {
                    Some((*offset, *value, self.sent.get(value)?.misdeed))
                });
                let Some((offset, value, misdeed)) = found else { return Ok(()) };
                let (producer, consumer) = ((value >> 40) as u32, *consumer);
                let witness =
                    RecordWitness::MisbehavedRead { producer, misdeed, value, offset, consumer };
                event.broke(self.name(), partition, witness)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;
    use crate::sim::Misdeed;

    #[test]
    fn silent_when_kafkas_error_refuses_it_or_the_broker_does_not_lead() {
        let mut story = Story::judging("misbehaviour-refused");
        for (value, misdeed) in Misdeed::ALL.into_iter().enumerate() {
            let value = value as u64;
            story.misbehaves(value, misdeed, None);
            story.answered(value, misdeed.refusals()[0], None);
            story.misbehaves(100 + value, misdeed, None);
            story.answered(100 + value, "NOT_LEADER_OR_FOLLOWER", None);
        }
        story.polled(1, &[(0, 5000)]);
        story.silent();
    }

    #[test]
    fn silent_when_a_repetition_is_answered_with_the_record_that_is_there() {
        let mut story = Story::judging("misbehaviour-refused");
        story.misbehaves(1, Misdeed::Repeated, Some(12));
        story.answered(1, "NONE", Some(12));
        story.silent();
        story.misbehaves(2, Misdeed::Repeated, Some(12));
        story.answered(2, "NONE", Some(13));
        assert!(story.sentence().contains("answered NONE at offset 13"), "{}", story.sentence());
    }

    #[test]
    fn fires_when_it_is_taken_or_refused_with_another_error() {
        for error in ["NONE", "INVALID_RECORD", "UNKNOWN_SERVER_ERROR", "REQUEST_TIMED_OUT"] {
            let mut story = Story::judging("misbehaviour-refused");
            story.misbehaves(1, Misdeed::SequenceGap, None);
            story.answered(1, error, None);
            story.fired(&format!(
                "orders-0 p7 sent a request with a gap in its sequence numbers and was answered \
                 {error} at 1.000 s; Kafka answers OUT_OF_ORDER_SEQUENCE_NUMBER"
            ));
        }
    }

    #[test]
    fn fires_when_a_record_of_it_is_read_whatever_was_answered() {
        let value = 7 << 40 | 3;
        let mut story = Story::judging("misbehaviour-refused");
        story.misbehaves(value, Misdeed::BaseOffset, None);
        story.polled(1, &[(4, value)]);
        story.fired(
            "orders-0 offset 4 read by consumer k1 at 1.000 s is a record that p7 sent in a request \
             with a base offset that is not 0",
        );
    }
}
