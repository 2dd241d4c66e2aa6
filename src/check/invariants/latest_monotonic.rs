//! `latest-monotonic`: the end of a partition, as ListOffsets tells it to one client, never falls.
//!
//! The end is the high watermark, or for `read_committed` the last stable offset. A new leader answers
//! only when its own has reached the beginning of its epoch (KIP-207). It may fall where committed
//! records were lost, which `leader-completeness` judges, and where a topic is created again. Two
//! clients may ask two brokers that both believe to lead: only one client's answers are compared.

use std::collections::BTreeMap;

use crate::base::{Offset, TopicPartition};
use crate::check::{ConsumerWitness, Event, Ghost, Invariant, Violation};
use crate::sim::{ClientEvent, ConsumerEvent, Lookup, What};
use crate::view::Change as Folded;

#[derive(Default)]
pub(super) struct LatestMonotonic {
    told: BTreeMap<(u32, TopicPartition), Offset>,
}

impl Invariant for LatestMonotonic {
    fn name(&self) -> &'static str {
        "latest-monotonic"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for change in event.folded {
            match change {
                Folded::Gone { partition } => self.told.retain(|(_, of), _| of != partition),
                Folded::Stopped { consumer } => self.told.retain(|(of, _), _| of != consumer),
                _ => {}
            }
        }
        let What::Client(ClientEvent::Consumer(ConsumerEvent::Listed {
            consumer,
            partition,
            lookup: Lookup::Latest,
            offset: Some(after),
        })) = &event.seen.what
        else {
            return Ok(());
        };
        let key = (*consumer, partition.clone());
        let Some(before) = self.told.insert(key, *after).filter(|before| after < before) else {
            return Ok(());
        };
        if ghost.may_have_lost(partition, *after) {
            return Ok(());
        }
        let witness = ConsumerWitness::LatestFell { consumer: *consumer, before, after: *after };
        event.broke(self.name(), partition, witness)
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;
    use crate::sim::Lookup::Latest;

    #[test]
    fn silent_while_it_rises_and_when_another_client_is_told_less() {
        let mut story = Story::judging("latest-monotonic");
        for end in [0, 3, 3, 7] {
            story.lists(1, Latest, Some(end));
        }
        story.lists(2, Latest, Some(5));
        story.silent();
    }

    #[test]
    fn fires_when_it_falls() {
        let mut story = Story::judging("latest-monotonic");
        story.lists(1, Latest, Some(7));
        story.lists(1, Latest, Some(5));
        story.fired(
            "orders-0 consumer k1 was told that the end is offset 5 at 1.000 s, after it was told offset 7",
        );
    }

    #[test]
    fn silent_when_an_unclean_election_lost_records_or_the_topic_is_another() {
        let mut unclean = Story::judging("latest-monotonic");
        unclean.lists(1, Latest, Some(7));
        unclean.commits(Some(1), 0, &[1, 2]);
        unclean.commits_unclean(3, 1, &[3]);
        unclean.lists(1, Latest, Some(5));
        unclean.silent();
        let mut again = Story::judging("latest-monotonic");
        again.lists(1, Latest, Some(7));
        again.created_again();
        again.lists(1, Latest, Some(0));
        again.silent();
    }
}
