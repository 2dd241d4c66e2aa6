//! `assignment-complete`: a group whose members have been in one generation for a while owns every
//! partition of the topics that they subscribe to.
//!
//! It is judged when the final reads begin. A cooperative group withholds a partition for one
//! generation, until its owner has given it up: the while is longer than that takes.
//! Source: KIP-429; KIP-848.

use std::sync::Arc;
use std::time::Duration;

use crate::check::ghost::Unstable;
use crate::check::{Ending, Event, Ghost, GroupWitness, Invariant, Violation};

/// Longer than a rebalance in which nothing fails.
const A_WHILE: Duration = Duration::from_secs(15);

#[derive(Default)]
pub(super) struct AssignmentComplete;

impl Invariant for AssignmentComplete {
    fn name(&self) -> &'static str {
        "assignment-complete"
    }

    fn observe(&mut self, _event: &Event<'_>, _ghost: &Ghost) -> Result<(), Violation> {
        Ok(())
    }

    fn finish(&mut self, ending: Ending, ghost: &Ghost) -> Result<(), Violation> {
        let (Some(reading), Some(healed)) = (ending.reading, ending.healed) else { return Ok(()) };
        let Some(Unstable::Unowned { group, partition, generation, since }) =
            ghost.groups().at_reading()
        else {
            return Ok(());
        };
        if reading.since(healed.max(*since)) < A_WHILE {
            return Ok(());
        }
        let (partition, generation, since) = (partition.clone(), *generation, *since);
        let witness = GroupWitness::Unowned { partition, generation, since };
        Violation::found(self.name(), reading, Arc::clone(group), witness)
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    fn after(wait: impl FnOnce(&mut Story), owned: &[i32]) -> Story {
        let mut story = Story::judging("assignment-complete");
        story.subscribes(1, "shop");
        story.joins(1, 3, owned);
        story.healed();
        wait(&mut story);
        story.reading();
        story
    }

    #[test]
    fn silent_when_every_partition_has_an_owner() {
        after(Story::long_later, &[0]).finish_silent();
    }

    #[test]
    fn silent_while_a_rebalance_may_be_under_way() {
        after(Story::later, &[]).finish_silent();
    }

    #[test]
    fn silent_about_members_that_leave_for_the_final_reads() {
        let mut story = after(Story::long_later, &[0]);
        story.leaves(1);
        story.finish_silent();
    }

    #[test]
    fn fires_when_no_member_owns_a_partition() {
        after(Story::long_later, &[]).finish_fired(
            "group shop has had all its members in generation 3 since 1.000 s, and none of them owns \
             orders-0 at 61.000 s",
        );
    }
}
