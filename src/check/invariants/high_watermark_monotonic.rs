//! `high-watermark-monotonic`: exposed offsets never go back within an epoch, nor across clean
//! elections.
//!
//! A new leader's own high watermark may begin behind its predecessor's, as in Kafka; only readers
//! must not see it go back. So across elections the end offset that a final read gets, after the
//! heal, is compared with everything that had been exposed by then and was not lost by permission. A
//! `read_committed` reader's end is compared with the last stable offset.
//! Source: KIP-207.

use std::collections::BTreeMap;

use crate::base::{LeaderEpoch, Offset, Probe, ReplicaProbe, TopicPartition};
use crate::check::{ConsumerWitness, Event, Ghost, Invariant, ReplicaWitness, Violation};
use crate::sim::{ClientEvent, ConsumerEvent, HostId, What};

#[derive(Default)]
pub(super) struct HighWatermarkMonotonic {
    exposed: BTreeMap<HostId, BTreeMap<TopicPartition, (LeaderEpoch, Offset)>>,
}

impl Invariant for HighWatermarkMonotonic {
    fn name(&self) -> &'static str {
        "high-watermark-monotonic"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for partition in event.gone() {
            for exposed in self.exposed.values_mut() {
                exposed.remove(partition);
            }
        }
        match &event.seen.what {
            What::Probe(Probe::Replica(ReplicaProbe::HighWatermark {
                partition,
                epoch,
                leads: true,
                offset,
            })) => self.moved(event, ghost, partition, *epoch, *offset),
            What::Client(ClientEvent::Consumer(ConsumerEvent::ReachedEnd {
                consumer,
                partition,
                end,
            })) => {
                let stable = ghost.transactions().reads_committed(*consumer);
                let exposed = ghost.partition(partition).and_then(|partition| match stable {
                    true => partition.stable_at_heal,
                    false => partition.exposed_at_heal,
                });
                let Some(exposed) = exposed.filter(|exposed| end < exposed) else { return Ok(()) };
                let witness = ConsumerWitness::EndFell { consumer: *consumer, end: *end, exposed };
                event.broke(self.name(), partition, witness)
            }
            // A process that begins again has no word to keep; its log has.
            What::Killed | What::PowerLost { .. } | What::Ended => {
                self.exposed.remove(&event.seen.host);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl HighWatermarkMonotonic {
    fn moved(
        &mut self,
        event: &Event<'_>,
        ghost: &Ghost,
        partition: &TopicPartition,
        epoch: LeaderEpoch,
        offset: Offset,
    ) -> Result<(), Violation> {
        let Some(host) = ghost.host(event.seen.host) else { return Ok(()) };
        if ghost.view().role(event.seen.host, partition).is_none() {
            return Ok(());
        }
        let of_host = self.exposed.entry(event.seen.host).or_default();
        let before = of_host.insert(partition.clone(), (epoch, offset));
        let fell = before.filter(|(known, before)| *known == epoch && *before > offset);
        let Some((_, before)) = fell else { return Ok(()) };
        let witness =
            ReplicaWitness::HighWatermarkFell { broker: host.broker, epoch, before, after: offset };
        event.broke(self.name(), partition, witness)
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    #[test]
    fn silent_while_it_rises_and_when_a_successor_begins_behind() {
        let mut story = Story::judging("high-watermark-monotonic");
        story.high_watermark(1, 0, 5);
        story.high_watermark(1, 0, 9);
        story.elected(2, 1, &[2, 3]);
        story.high_watermark(2, 1, 7);
        story.silent();
    }

    #[test]
    fn fires_when_it_falls_within_an_epoch() {
        let mut story = Story::judging("high-watermark-monotonic");
        story.high_watermark(1, 0, 9);
        story.high_watermark(1, 0, 8);
        story.fired("orders-0 high watermark of leader b1 fell from 9 to 8 in epoch 0 at 1.000 s");
    }

    #[test]
    fn silent_when_a_final_read_ends_at_or_beyond_what_was_exposed() {
        let mut story = Story::judging("high-watermark-monotonic");
        story.leader_writes(1, 0, 0, &[1, 2]);
        story.high_watermark(1, 0, 2);
        story.healed();
        story.reached_end(0, 2);
        story.silent();
    }

    #[test]
    fn fires_when_a_final_read_ends_below_what_was_exposed() {
        let mut story = Story::judging("high-watermark-monotonic");
        story.leader_writes(1, 0, 0, &[1, 2]);
        story.high_watermark(1, 0, 2);
        story.healed();
        story.reached_end(0, 1);
        story.fired(
            "orders-0 ends at offset 1 for consumer k0 at 1.000 s, though offset 2 had been exposed",
        );
    }

    #[test]
    fn end_of_a_committed_reader_is_compared_with_the_last_stable_offset() {
        for (end, fires) in [(1, false), (0, true)] {
            let mut story = Story::judging("high-watermark-monotonic");
            story.reads_committed(9);
            story.writes_plain(&[1]);
            story.writes_in(7, 0, &[100]);
            story.healed();
            story.reached_end(9, end);
            assert_eq!(!story.sentence().is_empty(), fires, "{}", story.sentence());
        }
    }

    #[test]
    fn marker_lost_within_the_contract_opens_its_transaction_again() {
        for (end, fires) in [(1, false), (0, true)] {
            let mut story = Story::judging("high-watermark-monotonic");
            story.reads_committed(9);
            story.writes_plain(&[1]);
            story.writes_in(7, 0, &[100]);
            story.writes_plain(&[2]);
            story.marks(7, 0, true);
            story.healed();
            story.loses_committed(3);
            story.reached_end(9, end);
            assert_eq!(!story.sentence().is_empty(), fires, "{}", story.sentence());
        }
    }
}
