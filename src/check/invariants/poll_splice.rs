//! `poll-splice`: everything that a consumer reads without an error or a jump is a piece of one
//! log.
//!
//! Two logs that diverge stay apart, because no value is sent twice. So a stretch that differs from
//! the partition's final content agrees with it nowhere later: a consumer that continues in another
//! log than it began in has missed records, and has read some that are gone. An unclean election
//! may take away records that were read; consumers must still learn of it (KIP-320). Judged against
//! the final read of the whole partition.

use std::collections::BTreeMap;

use crate::base::{Offset, TopicPartition};
use crate::check::{ConsumerWitness, Event, Ghost, Invariant, Violation};
use crate::sim::{ClientEvent, ConsumerEvent, What};
use crate::view::Change as Folded;

/// Offsets and values, in the order in which they were read.
type Stretch = Vec<(Offset, u64)>;

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
            })) => {
                let stretches = self.stretches(partition, *consumer);
                match stretches.last_mut() {
                    Some(last) => last.extend(records),
                    None => stretches.push(records.clone()),
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
                let whole: BTreeMap<Offset, u64> = whole.iter().copied().collect();
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

fn each(readers: &BTreeMap<u32, Vec<Stretch>>) -> impl Iterator<Item = (&u32, &Stretch)> {
    readers.iter().flat_map(|(reader, all)| all.iter().map(move |stretch| (reader, stretch)))
}

/// The first record that is not there any more, and the first after it that is.
fn spliced(
    consumer: u32,
    stretch: &Stretch,
    whole: &BTreeMap<Offset, u64>,
    ghost: &Ghost,
) -> Option<ConsumerWitness> {
    let mut known = stretch.iter().filter_map(|(at, read)| Some((*at, *read, *whole.get(at)?)));
    let (offset, value, instead) = known.find(|(_, read, now)| read != now)?;
    let (later, ..) = known.find(|(at, read, now)| *at > offset && read == now)?;
    let [record, instead] = [value, instead].map(|value| ghost.clients().name_of(value));
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
