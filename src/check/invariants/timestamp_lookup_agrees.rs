//! `timestamp-lookup-agrees`: a lookup by timestamp finds the first committed record with that
//! timestamp or a later one.
//!
//! A batch tells the latest timestamp of its records, so the record is in the first batch that reaches
//! the timestamp; a lookup that finds a record elsewhere is wrong. One that finds none is wrong if
//! that batch was exposed before it was asked, and no other broker can have believed to lead. Batches
//! that retention or compaction may have removed are left out.

use std::collections::BTreeMap;

use crate::base::{Instant, LeaderEpoch, Offset, TopicPartition};
use crate::check::{ConsumerWitness, Event, Ghost, Invariant, Violation};
use crate::sim::{ClientEvent, ConsumerEvent, Lookup, What};

#[derive(Default)]
pub(super) struct TimestampLookupAgrees {
    /// When each client asked last.
    asked: BTreeMap<(u32, TopicPartition), Instant>,
}

impl Invariant for TimestampLookupAgrees {
    fn name(&self) -> &'static str {
        "timestamp-lookup-agrees"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        let What::Client(ClientEvent::Consumer(told)) = &event.seen.what else { return Ok(()) };
        let (consumer, name, timestamp, found) = match told {
            ConsumerEvent::Asked { consumer, partition } => {
                self.asked.insert((*consumer, partition.clone()), event.seen.at);
                return Ok(());
            }
            ConsumerEvent::Listed { consumer, partition, lookup: Lookup::At(at), offset } => {
                (*consumer, partition, *at, *offset)
            }
            _ => return Ok(()),
        };
        let Some(partition) = ghost.partition(name) else { return Ok(()) };
        let whole_from = partition.deleted_below.max(partition.cleaned_below);
        let mut promised = partition.promised.iter().filter(|one| one.batch.base >= whole_from);
        let Some(first) = promised.find(|one| one.batch.latest.0 >= timestamp) else {
            return Ok(());
        };
        let batch = &first.batch;
        let right = match found {
            // Further down, where batches may be gone, nothing is known.
            Some(found) => found < whole_from || (batch.base..batch.next).contains(&found),
            None => {
                let asked = self.asked.get(&(consumer, name.clone()));
                let later = asked.is_none_or(|asked| first.at >= *asked);
                let state = ghost.view().partition(name).map(|known| known.state().leader_epoch);
                later || state != Some(LeaderEpoch(0))
            }
        };
        if right || ghost.may_have_lost(name, batch.base) {
            return Ok(());
        }
        let first = (batch.base, Offset(batch.next.0 - 1));
        let witness = ConsumerWitness::FoundOther { consumer, timestamp, found, first };
        event.broke(self.name(), name, witness)
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;
    use crate::sim::Lookup::At;

    /// Two batches of timestamp 0 are committed, offsets 0 to 1 and 2 to 4.
    fn committed() -> Story {
        let mut story = Story::judging("timestamp-lookup-agrees");
        story.leader_writes(1, 0, 0, &[1, 2]);
        story.leader_writes(1, 2, 0, &[3, 4, 5]);
        story.high_watermark(1, 0, 5);
        story.later();
        story
    }

    #[test]
    fn silent_when_the_first_is_found_and_when_there_is_none() {
        let mut story = committed();
        story.asks(1);
        story.lists(1, At(0), Some(0));
        story.lists(1, At(1), None);
        story.silent();
    }

    #[test]
    fn fires_when_a_later_record_is_found() {
        let mut story = committed();
        story.asks(1);
        story.lists(1, At(0), Some(2));
        story.fired(
            "orders-0 consumer k1 asked for the first record from 0 ms on and was told offset 2 at \
             2.000 s; it is in the batch of offsets 0 to 1",
        );
    }

    #[test]
    fn fires_when_none_is_found_that_was_exposed_before_it_asked() {
        let mut story = committed();
        story.asks(1);
        story.lists(1, At(-5), None);
        assert!(story.sentence().contains("told that there is none"), "{}", story.sentence());
    }

    #[test]
    fn silent_when_it_was_exposed_after_it_asked_or_retention_removed_it() {
        let mut early = Story::judging("timestamp-lookup-agrees");
        early.asks(1);
        early.leader_writes(1, 0, 0, &[1, 2]);
        early.high_watermark(1, 0, 2);
        early.lists(1, At(0), None);
        early.silent();
        let mut gone = committed();
        gone.rolls(1, 5);
        gone.leader_writes(1, 5, 0, &[6]);
        gone.high_watermark(1, 0, 6);
        gone.removes_segment(1, 0);
        gone.asks(1);
        gone.lists(1, At(0), Some(5));
        gone.silent();
    }
    /// A topic that keeps a thousand bytes: the first segment is followed by as many or not.
    fn expiring(values: &[u64]) -> Story {
        let mut story = Story::expiring("timestamp-lookup-agrees");
        story.leader_writes(1, 0, 0, &[1, 2]);
        story.rolls(1, 2);
        story.leader_writes(1, 2, 0, values);
        story.high_watermark(1, 0, 2 + values.len() as i64);
        story.later();
        story.expires(1, 2);
        story.asks(1);
        story.lists(1, At(0), Some(2));
        story
    }

    #[test]
    fn silent_once_retention_has_raised_the_log_start() {
        let values: Vec<u64> = (3..103).collect();
        expiring(&values).silent();
    }

    #[test]
    fn fires_when_the_log_start_rose_though_no_retention_was_due() {
        expiring(&[3]).fired(
            "orders-0 consumer k1 asked for the first record from 0 ms on and was told offset 2 at \
             2.000 s; it is in the batch of offsets 0 to 1",
        );
    }
}
