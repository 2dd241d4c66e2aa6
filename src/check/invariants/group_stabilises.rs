//! `group-stabilises`: within a bounded time after the heal, the members of each group are in one
//! generation, in which they own every partition. A member that does not give partitions up is not waited
//! for.
//!
//! It is judged when the final reads begin: from then on members leave. A coordinator whose log lost
//! records within the contract may count generations again.
//!
//! A member that does not poll because it waits in vain is not waited for: for offsets whose marker its
//! coordinator lost within the contract, though the transaction is complete, or for the outcome of its own
//! transaction, after a transaction coordinator lost entries of its transactional id within the contract.

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

    /// A transaction with offsets of a group, whose coordinator loses the marker or does not get it.
    fn offsets_without_a_marker(group: &str, complete: bool, lost: bool) -> String {
        const OFFSETS: (&str, i32) = ("__consumer_offsets", 0);
        let mut story = Story::judging("group-stabilises");
        story.logs("till", (7, 0), 1, &[OFFSETS]);
        story.identified(3, "till", 7, 0);
        story.begins(3, 1);
        story.sends_offset(3, 1, (group, 1), 1);
        story.turn_to(OFFSETS.0, OFFSETS.1);
        story.writes_in(7, 0, &[100]);
        if complete {
            story.logs("till", (7, 1), 2, &[OFFSETS]);
            story.logs("till", (7, 1), 4, &[]);
        }
        if lost {
            story.marks(7, 1, false);
            story.loses_committed(1);
        }
        story.turn_to("orders", 0);
        story.subscribes(1, "shop");
        stays_behind(story)
    }

    /// Member 1 stays in the generation before that of member 2, for longer than it may.
    fn stays_behind(mut story: Story) -> String {
        story.subscribes(2, "shop");
        story.joins(1, 3, &[0]);
        story.joins(2, 4, &[]);
        story.healed();
        story.long_later();
        story.reading();
        story.finish_sentence()
    }

    #[test]
    fn silent_about_a_member_that_waits_for_offsets_whose_marker_was_lost() {
        assert_eq!(offsets_without_a_marker("shop", true, true), "");
    }

    #[test]
    fn fires_unless_the_marker_of_a_complete_transaction_of_the_group_was_lost() {
        for (group, complete, lost) in
            [("audit", true, true), ("shop", false, true), ("shop", true, false)]
        {
            let said = offsets_without_a_marker(group, complete, lost);
            let behind = "k1 is in generation 3, and others are in 4";
            assert!(said.ends_with(behind), "{group} {complete} {lost}: {said}");
        }
    }

    #[test]
    fn excused_only_if_entries_of_its_own_transactional_id_were_lost() {
        for (id, fires) in [("till", false), ("another", true)] {
            let mut story = Story::judging("group-stabilises");
            story.logs(id, (9, 0), 0, &[]);
            story.identified(3, "till", 7, 0);
            story.begins(3, 1);
            story.coordinator_loses(0);
            story.subscribes_beside_producers(1, "shop");
            let said = stays_behind(story);
            assert_eq!(!said.is_empty(), fires, "{said}");
        }
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
