//! `aborted-read`: a consumer read a record whose send certainly failed.
//!
//! Without transactions, only sends can fail: a record that was refused before it could enter a log
//! must not be in one. A producer that reports a timeout as a failure is found here too.

use crate::check::{Event, Ghost, Invariant, RecordWitness, Violation};
use crate::sim::{ClientEvent, ConsumerEvent, Outcome, ProducerEvent, What};

use crate::base::{Offset, TopicPartition};
use crate::check::ghost::Send;

#[derive(Default)]
pub(super) struct AbortedRead;

impl Invariant for AbortedRead {
    fn name(&self) -> &'static str {
        "aborted-read"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        match &event.seen.what {
            What::Client(ClientEvent::Consumer(ConsumerEvent::Polled {
                consumer,
                partition,
                records,
            })) => {
                for (offset, value) in records {
                    if let Some(send) = ghost.clients().send_of(*value) {
                        ask(event, partition, send, *offset, *consumer)?;
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
            _ => Ok(()),
        }
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
    event.broke("aborted-read", partition, witness)
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
}
