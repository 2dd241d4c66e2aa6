//! `earliest-is-first`: the beginning of a partition, as ListOffsets tells it, is not above a record
//! that retention has not deleted.
//!
//! Judged at the end: the log start rises before the files below it are gone.

use std::collections::BTreeMap;

use crate::base::{Instant, Offset, TopicPartition};
use crate::check::{ConsumerWitness, Ending, Event, Ghost, Invariant, Violation};
use crate::sim::{ClientEvent, ConsumerEvent, Lookup, What};
use crate::view::Change as Folded;

#[derive(Default)]
pub(super) struct EarliestIsFirst {
    /// The highest beginning that anyone was told.
    told: BTreeMap<TopicPartition, (Offset, u32, Instant)>,
}

impl Invariant for EarliestIsFirst {
    fn name(&self) -> &'static str {
        "earliest-is-first"
    }

    fn observe(&mut self, event: &Event<'_>, _: &Ghost) -> Result<(), Violation> {
        for change in event.folded {
            if let Folded::Gone { partition } = change {
                self.told.remove(partition);
            }
        }
        let What::Client(ClientEvent::Consumer(ConsumerEvent::Listed {
            consumer,
            partition,
            lookup: Lookup::Earliest,
            offset: Some(offset),
        })) = &event.seen.what
        else {
            return Ok(());
        };
        let told = (*offset, *consumer, event.seen.at);
        let highest = self.told.entry(partition.clone()).or_insert(told);
        if told.0 > highest.0 {
            *highest = told;
        }
        Ok(())
    }

    fn finish(&mut self, _: Ending, ghost: &Ghost) -> Result<(), Violation> {
        for (name, (told, consumer, at)) in &self.told {
            let first = ghost.deleted_below(name);
            if *told > first && !ghost.may_have_lost(name, first) {
                let (told, consumer) = (*told, *consumer);
                let witness = ConsumerWitness::BeginsLate { consumer, told, first };
                return Violation::found(self.name(), *at, name, witness);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;
    use crate::sim::Lookup::Earliest;

    #[test]
    fn silent_when_it_is_the_first_record_or_what_retention_left() {
        let mut story = Story::judging("earliest-is-first");
        story.leader_writes(1, 0, 0, &[1, 2, 3, 4, 5]);
        story.high_watermark(1, 0, 5);
        story.lists(1, Earliest, Some(0));
        story.rolls(1, 5);
        story.leader_writes(1, 5, 0, &[6]);
        story.later();
        story.lists(1, Earliest, Some(5));
        story.removes_segment(1, 0);
        story.finish_silent();
    }

    #[test]
    fn fires_when_records_are_left_out_that_were_not_deleted() {
        let mut story = Story::judging("earliest-is-first");
        story.leader_writes(1, 0, 0, &[1, 2, 3]);
        story.high_watermark(1, 0, 3);
        story.lists(1, Earliest, Some(2));
        story.finish_fired(
            "orders-0 consumer k1 was told that the beginning is offset 2 by 1.000 s, and nothing from \
             offset 0 on was deleted",
        );
    }
}
