//! `poll-splice`: everything that a consumer reads without an error or a jump is a piece of one
//! log.
//!
//! Two logs that diverge stay apart. So a stretch that differs from the partition's final content agrees
//! with it nowhere later: a consumer that continues in another log than it began in has missed records,
//! and has read some that are gone. An unclean election may take away records that were read; consumers
//! must still learn of it (KIP-320). Judged against the final read of the whole partition.
//!
//! A producer that was not answered sends the same batches to the next leader, which may put one of
//! them where another log has it. A consumer that read it in that log read it under another leader
//! epoch, which it reports. The logs of brokers can't tell: a deposed leader still serves what it has,
//! and a consumer still returns what it fetched before.

use std::collections::BTreeMap;

use super::epoch_at;
use crate::base::{LeaderEpoch, Offset, TopicPartition};
use crate::check::{ConsumerWitness, Event, Ghost, Invariant, Violation};
use crate::sim::{ClientEvent, ConsumerEvent, What};
use crate::view::Change as Folded;

/// One record of a stretch.
#[derive(Clone, Copy)]
struct Read {
    offset: Offset,
    value: u64,
    /// Of its batch, if the consumer reported it.
    epoch: Option<LeaderEpoch>,
}

/// In the order in which they were read.
type Stretch = Vec<Read>;

#[derive(Default)]
pub(super) struct PollSplice {
    /// What each consumer read of a partition, from one jump to the next.
    read: BTreeMap<TopicPartition, BTreeMap<u32, Vec<Stretch>>>,
}

impl Invariant for PollSplice {
    fn name(&self) -> &'static str {
        "poll-splice"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for change in event.folded {
            match change {
                Folded::Gone { partition } => {
                    self.read.remove(partition);
                }
                Folded::Stopped { consumer } => {
                    for readers in self.read.values_mut() {
                        readers.entry(*consumer).or_default().push(Stretch::new());
                    }
                }
                _ => {}
            }
        }
        match &event.seen.what {
            What::Client(ClientEvent::Consumer(ConsumerEvent::Positioned {
                consumer,
                partition,
                ..
            })) => {
                self.stretches(partition, *consumer).push(Stretch::new());
            }
            What::Client(ClientEvent::Consumer(ConsumerEvent::Polled {
                consumer,
                partition,
                records,
                epochs,
            })) => {
                let read = records.iter().map(|&(offset, value)| {
                    let epoch = epoch_at(epochs, offset);
                    Read { offset, value, epoch }
                });
                let stretches = self.stretches(partition, *consumer);
                match stretches.last_mut() {
                    Some(last) => last.extend(read),
                    None => stretches.push(read.collect()),
                }
            }
            What::Client(ClientEvent::Consumer(ConsumerEvent::ReachedEnd {
                consumer,
                partition,
                ..
            })) => {
                let Some(readers) = self.read.get(partition) else { return Ok(()) };
                let whole = readers.get(consumer).and_then(|stretches| stretches.last());
                let Some(whole) = whole else { return Ok(()) };
                let whole: Whole = whole.iter().map(|read| (read.offset, *read)).collect();
                for (reader, stretch) in each(readers).filter(|(reader, _)| *reader != consumer) {
                    if let Some(witness) = spliced(*reader, stretch, &whole, ghost) {
                        return event.broke(self.name(), partition, witness);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl PollSplice {
    fn stretches(&mut self, partition: &TopicPartition, consumer: u32) -> &mut Vec<Stretch> {
        self.read.entry(partition.clone()).or_default().entry(consumer).or_default()
    }
}

/// The final content of a partition.
type Whole = BTreeMap<Offset, Read>;

fn each(readers: &BTreeMap<u32, Vec<Stretch>>) -> impl Iterator<Item = (&u32, &Stretch)> {
    readers.iter().flat_map(|(reader, all)| all.iter().map(move |stretch| (reader, stretch)))
}

/// The first record that is not there any more, and the first after it that is.
fn spliced(
    consumer: u32,
    stretch: &Stretch,
    whole: &Whole,
    ghost: &Ghost,
) -> Option<ConsumerWitness> {
    let mut known = stretch.iter().filter_map(|read| Some((read, whole.get(&read.offset)?)));
    let (Read { offset, value, .. }, instead) =
        known.find(|(read, now)| read.value != now.value)?;
    let continues = |(read, now): &(&Read, &Read)| {
        let epochs = read.epoch.zip(now.epoch);
        let is_same = epochs.is_none_or(|(then, now)| then == now);
        read.offset > *offset && read.value == now.value && is_same
    };
    let (Read { offset: later, .. }, _) = known.find(continues)?;
    let [record, instead] = [*value, instead.value].map(|value| ghost.clients().name_of(value));
    let (offset, later) = (*offset, *later);
    Some(ConsumerWitness::Spliced { consumer, offset, record, instead, later })
}

#[cfg(test)]
mod tests {
    use crate::base::config::Acks;
    use crate::check::testing::Story;

    /// Consumer 9 reads everything in the end.
    fn ends_with(story: &mut Story, records: &[(i64, u64)]) {
        story.positioned(9, 0);
        story.polled(9, records);
        story.reached_end(9, records.len() as i64);
    }

    #[test]
    fn silent_about_who_read_what_is_gone_and_nothing_since() {
        let mut story = Story::judging("poll-splice");
        story.polled(0, &[(0, 100), (1, 101), (2, 102)]);
        ends_with(&mut story, &[(0, 100), (1, 201), (2, 202), (3, 203)]);
        story.silent();
    }

    #[test]
    fn silent_about_who_was_told_and_began_again_where_logs_part() {
        let mut story = Story::judging("poll-splice");
        story.polled(0, &[(0, 100), (1, 101)]);
        story.positioned(0, 1);
        story.polled(0, &[(1, 201), (2, 202)]);
        ends_with(&mut story, &[(0, 100), (1, 201), (2, 202)]);
        story.silent();
    }

    #[test]
    fn silent_about_offsets_that_are_not_there_any_more() {
        let mut story = Story::judging("poll-splice");
        story.polled(0, &[(0, 100), (1, 101), (2, 102)]);
        ends_with(&mut story, &[(0, 100), (2, 102)]);
        story.silent();
    }

    #[test]
    fn silent_when_another_process_of_the_consumer_goes_on_elsewhere() {
        let mut story = Story::judging("poll-splice");
        story.polled(0, &[(0, 100), (1, 101)]);
        story.client_killed();
        story.polled(0, &[(2, 202)]);
        ends_with(&mut story, &[(0, 100), (1, 201), (2, 202)]);
        story.silent();
    }

    /// Three batches are read and lost, and sent again in another order: the last one is where it was.
    /// A consumer reads it under this epoch, after the election.
    fn sent_again(epoch: i32) -> Story {
        let mut story = Story::judging("poll-splice");
        story.became_leader(1, 0);
        story.leader_writes(1, 0, 0, &[100]);
        story.leader_writes(1, 1, 0, &[101]);
        story.leader_writes(1, 2, 0, &[102]);
        story.polled_of(0, &[(0, 100), (1, 101)], &[(0, 0)]);
        story.later();
        story.commits_unclean(2, 1, &[2]);
        story.became_leader(2, 1);
        story.leader_writes(2, 0, 1, &[101]);
        story.leader_writes(2, 1, 1, &[100]);
        story.leader_writes(2, 2, 1, &[102]);
        story.polled_of(0, &[(2, 102)], &[(2, epoch)]);
        story.positioned(9, 0);
        story.polled_of(9, &[(0, 101), (1, 100), (2, 102)], &[(0, 1)]);
        story.reached_end(9, 3);
        story
    }

    /// The deposed leader served it, or it was fetched before the election and returned after it.
    #[test]
    fn silent_when_a_batch_that_was_sent_again_is_read_in_the_log_that_was_lost() {
        sent_again(0).silent();
    }

    #[test]
    fn fires_when_a_batch_that_was_sent_again_is_read_after_what_is_gone() {
        let story = sent_again(1);
        assert!(story.sentence().contains("read on to offset 2"), "{}", story.sentence());
    }

    #[test]
    fn epochs_change_within_a_poll() {
        let mut story = Story::judging("poll-splice");
        story.polled_of(0, &[(0, 100), (1, 101), (2, 102), (3, 203)], &[(0, 0), (3, 1)]);
        story.positioned(9, 0);
        story.polled_of(9, &[(0, 101), (1, 100), (2, 102), (3, 203)], &[(0, 1)]);
        story.reached_end(9, 4);
        assert!(story.sentence().contains("read on to offset 3"), "{}", story.sentence());
    }

    #[test]
    fn fires_when_a_consumer_reads_on_in_a_log_that_lost_what_it_read() {
        let mut story = Story::judging("poll-splice");
        story.sent(3, 1, 101, Acks::All);
        story.sent(4, 1, 201, Acks::All);
        story.polled(0, &[(0, 100), (1, 101)]);
        story.polled(0, &[(2, 202)]);
        ends_with(&mut story, &[(0, 100), (1, 201), (2, 202)]);
        story.fired(
            "orders-0 offset 1 was p3's record 1 to consumer k0 and is p4's record 1 at 1.000 s, yet it \
             read on to offset 2 and was told of no truncation",
        );
    }
}
