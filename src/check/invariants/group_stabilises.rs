//! `group-stabilises`: within a bounded time after the heal, the members of each group are in one
//! generation, in which they own every partition. A member that does not give partitions up is not waited
//! for.
//!
//! It is judged when the final reads begin: from then on members leave. A coordinator whose log lost
//! records within the contract may count generations again.

use std::sync::Arc;
use std::time::Duration;

use crate::check::{Ending, Event, Ghost, GroupWitness, Invariant, Note, Violation};

pub(super) struct GroupStabilises {
    pub within: Duration,
}

impl Invariant for GroupStabilises {
    fn name(&self) -> &'static str {
        "group-stabilises"
    }

    fn observe(&mut self, _event: &Event<'_>, _ghost: &Ghost) -> Result<(), Violation> {
        Ok(())
    }

    fn finish(&mut self, ending: Ending, ghost: &Ghost) -> Result<(), Violation> {
        let (Some(reading), Some(healed)) = (ending.reading, ending.healed) else { return Ok(()) };
        let Some(unstable) = ghost.groups().at_reading() else { return Ok(()) };
        let (due, within) = (healed + self.within, self.within);
        if reading < due {
            return Ok(());
        }
        let witness = GroupWitness::NotStable { why: unstable.to_string(), healed, within };
        Violation::found(self.name(), due, Arc::clone(unstable.group()), witness)
    }

    fn unjudged(&self, ending: Ending, ghost: &Ghost) -> Option<Note> {
        let (reading, healed) = (ending.reading?, ending.healed?);
        ghost.groups().at_reading()?;
        (reading < healed + self.within).then_some(Note::EndedEarly { invariant: self.name() })
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    fn healed() -> Story {
        let mut story = Story::judging("group-stabilises");
        story.subscribes(1, "shop");
        story.subscribes(2, "shop");
        story.joins(1, 3, &[0]);
        story.healed();
        story
    }

    #[test]
    fn silent_when_all_members_join_in_time() {
        let mut story = healed();
        story.joins(1, 4, &[0]);
        story.joins(2, 4, &[]);
        story.long_later();
        story.reading();
        story.finish_silent();
    }

    #[test]
    fn silent_about_a_member_for_which_there_is_no_partition() {
        let mut story = healed();
        story.enters(2, 3);
        story.long_later();
        story.reading();
        story.finish_silent();
    }

    #[test]
    fn silent_about_a_member_that_left_or_died() {
        let mut story = healed();
        story.leaves(2);
        story.long_later();
        story.reading();
        story.finish_silent();
    }

    #[test]
    fn silent_about_a_member_that_never_gives_partitions_up() {
        let mut story = healed();
        story.joins(2, 3, &[]);
        story.withholds(1, &[0]);
        story.joins(2, 4, &[0]);
        story.long_later();
        story.reading();
        story.finish_silent();
    }

    #[test]
    fn fires_when_the_others_wait_for_a_member_that_never_gives_partitions_up() {
        let mut story = healed();
        story.joins(2, 3, &[]);
        story.withholds(1, &[0]);
        story.long_later();
        story.reading();
        story.finish_fired(
            "group shop not stable 30 s after the heal at 1.000 s: no member of generation 3 owns \
             orders-0",
        );
    }

    #[test]
    fn notes_a_run_that_ended_before_the_time_was_over() {
        let mut story = healed();
        story.later();
        story.reading();
        assert_eq!(story.finish().notes.len(), 1);
    }

    #[test]
    fn fires_when_a_member_never_joins() {
        let mut story = healed();
        story.long_later();
        story.reading();
        story.finish_fired(
            "group shop not stable 30 s after the heal at 1.000 s: k2 has not joined, and others are in \
             generation 3",
        );
    }

    /// A member stays in generation 3 when another leaves generation 6; then the coordinator of `shop`
    /// loses its log.
    fn left_behind(group: &str) -> Vec<String> {
        let mut story = Story::judging("group-stabilises");
        story.coordinator_of_audit();
        story.subscribes(1, group);
        story.subscribes(2, group);
        story.joins(2, 6, &[]);
        story.joins(1, 3, &[0]);
        story.leaves(2);
        story.coordinator_forgets();
        story.healed();
        story.long_later();
        story.reading();
        story.finish().violations.iter().map(|violation| violation.to_string()).collect()
    }

    #[test]
    fn silent_when_its_coordinator_counts_generations_again() {
        assert_eq!(left_behind("shop"), Vec::<String>::new());
    }

    #[test]
    fn fires_when_only_the_coordinator_of_other_groups_counts_again() {
        let said = left_behind("audit");
        assert!(said[0].ends_with("k1 is in generation 3, and others are in 6"), "{said:?}");
    }

    #[test]
    fn fires_when_a_member_stays_behind() {
        let mut story = healed();
        story.joins(2, 4, &[0]);
        story.long_later();
        story.reading();
        let verdicts = story.finish();
        let said = verdicts.violations[0].to_string();
        assert!(said.ends_with("k1 is in generation 3, and others are in 4"), "{said}");
    }
}
