//! `generation-monotonic`: a member never joins a generation older than one that it, or any member when
//! it began to join, had reported. If all members had left by then, its generation is a newer one.
//!
//! A coordinator whose log lost records within the contract may count generations again. Members that
//! died, or whose departure the coordinator did not confirm, may still be in the group.
//! Source: Kafka's ClassicGroup, whose generations are written before members learn of them; KIP-848;
//! KAFKA-20442.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::check::{Event, Ghost, GroupWitness, Invariant, Violation};
use crate::sim::{ClientEvent, MemberEvent, What};

#[derive(Default)]
pub(super) struct GenerationMonotonic {
    /// The last generation of each member, since it began to join.
    last: BTreeMap<u32, i32>,
    /// The group of each member that has not left.
    present: BTreeMap<u32, Arc<str>>,
    /// Groups that may have members that no client knows of.
    haunted: BTreeSet<Arc<str>>,
    /// The newest generation that a member of each group was in.
    newest: BTreeMap<Arc<str>, i32>,
    /// The newest generation of the group when a member came that was alone.
    alone: BTreeMap<u32, i32>,
}

impl GenerationMonotonic {
    fn subscribed(&mut self, consumer: u32, group: &Arc<str>, is_static: bool) {
        self.last.remove(&consumer);
        self.alone.remove(&consumer);
        let died = self.present.insert(consumer, Arc::clone(group)).is_some();
        // A static member keeps its place when it leaves.
        if died || is_static {
            self.haunted.insert(Arc::clone(group));
        }
        let is_alone = self.present.values().filter(|other| *other == group).count() == 1;
        let newest = self.newest.get(group).filter(|_| is_alone && !self.haunted.contains(group));
        if let Some(newest) = newest {
            self.alone.insert(consumer, *newest);
        }
    }

    fn joined(
        &mut self,
        event: &Event<'_>,
        ghost: &Ghost,
        consumer: u32,
        generation: i32,
    ) -> Result<(), Violation> {
        let Some(member) = ghost.groups().member(consumer) else { return Ok(()) };
        let last = self.last.insert(consumer, generation).unwrap_or(-1);
        let newest = self.alone.remove(&consumer);
        let known = self.newest.entry(Arc::clone(&member.group)).or_insert(generation);
        *known = generation.max(*known);
        if ghost.has_forgotten(&member.group) {
            return Ok(());
        }
        let before = last.max(member.begun_after);
        if generation < before {
            let witness = GroupWitness::GenerationFell { consumer, generation, before };
            return event.broke("generation-monotonic", Arc::clone(&member.group), witness);
        }
        if let Some(newest) = newest.filter(|newest| generation <= *newest) {
            let witness = GroupWitness::GenerationAgain { consumer, generation, newest };
            return event.broke("generation-monotonic", Arc::clone(&member.group), witness);
        }
        Ok(())
    }
}

impl Invariant for GenerationMonotonic {
    fn name(&self) -> &'static str {
        "generation-monotonic"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        let What::Client(ClientEvent::Member(said)) = &event.seen.what else { return Ok(()) };
        match said {
            MemberEvent::Subscribed { consumer, group, is_static, .. } => {
                self.subscribed(*consumer, group, *is_static);
            }
            MemberEvent::Joined { consumer, generation, .. }
            | MemberEvent::Entered { consumer, generation } => {
                return self.joined(event, ghost, *consumer, *generation);
            }
            MemberEvent::Dismissed { consumer } => drop(self.present.remove(consumer)),
            MemberEvent::Lost { consumer, .. } | MemberEvent::Left { consumer } => {
                // Without a word of the coordinator, it may still count the member.
                let unsure = match said {
                    MemberEvent::Left { .. } => self.present.remove(consumer),
                    _ => self.present.get(consumer).cloned(),
                };
                self.haunted.extend(unsure);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    fn member() -> Story {
        let mut story = Story::judging("generation-monotonic");
        story.subscribes(1, "shop");
        story
    }

    #[test]
    fn silent_while_generations_rise_or_stay() {
        let mut story = member();
        story.joins(1, 4, &[0]);
        story.joins(1, 5, &[0]);
        story.joins(1, 5, &[0]);
        story.silent();
    }

    #[test]
    fn silent_about_a_member_that_learns_late_of_its_generation() {
        let mut story = member();
        story.subscribes(2, "shop");
        story.joins(1, 5, &[0]);
        story.joins(2, 4, &[]);
        story.silent();
    }

    #[test]
    fn silent_about_another_group() {
        let mut story = member();
        story.joins(1, 5, &[0]);
        story.subscribes(2, "audit");
        story.joins(2, 1, &[0]);
        story.silent();
    }

    #[test]
    fn fires_when_a_member_falls_back() {
        let mut story = member();
        story.joins(1, 5, &[0]);
        story.joins(1, 4, &[0]);
        story.fired("group shop gave k1 generation 4 at 1.000 s, after generation 5");
    }

    #[test]
    fn silent_when_its_coordinator_forgot_generations() {
        let mut story = member();
        story.joins(1, 5, &[0]);
        story.coordinator_forgets();
        story.joins(1, 4, &[0]);
        story.silent();
    }

    #[test]
    fn silent_when_it_forgot_them_in_an_epoch_that_was_over() {
        let mut story = member();
        story.joins(1, 5, &[0]);
        story.coordinator_forgets_in_passing();
        story.joins(1, 4, &[0]);
        story.silent();
    }

    #[test]
    fn silent_when_the_deposed_coordinator_commits_what_its_successor_lacks() {
        let mut story = Story::unclean_coordinators("generation-monotonic");
        story.subscribes(1, "shop");
        story.deposed_coordinator_commits();
        story.joins(1, 5, &[0]);
        story.joins(1, 4, &[0]);
        story.silent();
    }

    #[test]
    fn fires_when_no_fault_explains_what_it_forgot_in_an_epoch_that_was_over() {
        let mut story = member();
        story.joins(1, 5, &[0]);
        story.coordinator_drops_its_log_in_passing();
        story.joins(1, 4, &[0]);
        story.fired("group shop gave k1 generation 4 at 1.000 s, after generation 5");
    }

    #[test]
    fn fires_when_only_the_coordinator_of_other_groups_forgot_generations() {
        let mut story = Story::judging("generation-monotonic");
        story.coordinator_of_audit();
        story.subscribes(1, "audit");
        story.joins(1, 5, &[0]);
        story.coordinator_forgets();
        story.joins(1, 4, &[0]);
        story.fired("group audit gave k1 generation 4 at 1.000 s, after generation 5");
    }

    #[test]
    fn fires_when_a_coordinator_counts_again_for_a_new_member() {
        let mut story = member();
        story.joins(1, 5, &[0]);
        story.subscribes(2, "shop");
        story.joins(2, 1, &[]);
        story.fired("group shop gave k2 generation 1 at 1.000 s, after generation 5");
    }

    #[test]
    fn silent_when_a_group_that_was_left_counts_on() {
        let mut story = member();
        story.joins(1, 5, &[0]);
        story.dismissed(1);
        story.leaves(1);
        story.subscribes(2, "shop");
        story.joins(2, 6, &[0]);
        story.silent();
    }

    #[test]
    fn silent_when_the_departure_was_not_confirmed() {
        let mut story = member();
        story.joins(1, 5, &[0]);
        story.leaves(1);
        story.subscribes(2, "shop");
        story.joins(2, 5, &[]);
        story.silent();
    }

    #[test]
    fn silent_when_a_member_that_died_may_be_in_the_group() {
        let mut story = member();
        story.subscribes(3, "shop");
        story.joins(1, 5, &[0]);
        story.member_dies(3);
        story.dismissed(1);
        story.leaves(1);
        story.subscribes(2, "shop");
        story.joins(2, 5, &[]);
        story.silent();
    }

    #[test]
    fn fires_when_a_member_without_a_share_gets_a_generation_again() {
        let mut story = member();
        story.joins(1, 5, &[0]);
        story.dismissed(1);
        story.leaves(1);
        story.subscribes(2, "shop");
        story.enters(2, 5);
        assert!(story.sentence().contains("had all left before it came"));
    }

    #[test]
    fn fires_when_a_group_that_was_left_gives_a_generation_again() {
        let mut story = member();
        story.joins(1, 5, &[0]);
        story.dismissed(1);
        story.leaves(1);
        story.subscribes(2, "shop");
        story.joins(2, 5, &[]);
        story.fired(
            "group shop gave k2 generation 5 at 1.000 s, though the members of generation 5 had all left \
             before it came",
        );
    }
}
