//! `generation-monotonic`: a member never joins a generation older than one that it, or any member when
//! it began to join, had reported.
//!
//! A coordinator whose log lost records within the contract may count generations again.
//! Source: Kafka's ClassicGroup, whose generations are written before members learn of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::check::{Event, Ghost, GroupWitness, Invariant, Violation};
use crate::sim::{ClientEvent, MemberEvent, What};

#[derive(Default)]
pub(super) struct GenerationMonotonic {
    /// The last generation of each member, since it began to join.
    last: BTreeMap<u32, i32>,
}

impl Invariant for GenerationMonotonic {
    fn name(&self) -> &'static str {
        "generation-monotonic"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        let What::Client(ClientEvent::Member(said)) = &event.seen.what else { return Ok(()) };
        match said {
            MemberEvent::Subscribed { consumer, .. } => drop(self.last.remove(consumer)),
            MemberEvent::Joined { consumer, generation, .. } => {
                let Some(member) = ghost.groups().member(*consumer) else { return Ok(()) };
                let last = self.last.insert(*consumer, *generation).unwrap_or(-1);
                let before = last.max(member.begun_after);
                if *generation < before && !ghost.has_lost_offsets() {
                    let (consumer, generation) = (*consumer, *generation);
                    let witness = GroupWitness::GenerationFell { consumer, generation, before };
                    return event.broke(self.name(), Arc::clone(&member.group), witness);
                }
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
    fn fires_when_a_coordinator_counts_again_for_a_new_member() {
        let mut story = member();
        story.joins(1, 5, &[0]);
        story.subscribes(2, "shop");
        story.joins(2, 1, &[]);
        story.fired("group shop gave k2 generation 1 at 1.000 s, after generation 5");
    }
}
