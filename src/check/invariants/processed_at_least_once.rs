//! `processed-at-least-once`: a record that was acknowledged to its producer, and below an offset that
//! its group committed, was processed by a member of the group.
//!
//! It is judged when the run is over: a member may commit first and process afterwards. Records that
//! were deleted, superseded in a compacted topic, or lost within the contract are left out, and so are
//! groups that report nothing of what they process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::{Offset, TopicPartition};
use crate::check::{Ending, Event, Ghost, GroupWitness, Invariant, Violation};
use crate::sim::{ClientEvent, MemberEvent, Outcome, What};

type Place = (Arc<str>, TopicPartition);

#[derive(Default)]
pub(super) struct ProcessedAtLeastOnce {
    processed: BTreeMap<Place, BTreeSet<Offset>>,
    committed: BTreeMap<Place, Offset>,
    open: BTreeMap<(u32, u64), Vec<(TopicPartition, Offset)>>,
}

impl Invariant for ProcessedAtLeastOnce {
    fn name(&self) -> &'static str {
        "processed-at-least-once"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for gone in event.gone() {
            self.processed.retain(|(_, partition), _| partition != gone);
            self.committed.retain(|(_, partition), _| partition != gone);
        }
        let What::Client(ClientEvent::Member(said)) = &event.seen.what else { return Ok(()) };
        let Some(member) = ghost.groups().member(said.consumer()) else { return Ok(()) };
        let place = |partition: &TopicPartition| (Arc::clone(&member.group), partition.clone());
        let mut raise = |partition: &TopicPartition, offset: Offset| {
            let committed = self.committed.entry(place(partition)).or_insert(offset);
            *committed = offset.max(*committed);
        };
        match said {
            MemberEvent::Processed { partition, offset, .. } => {
                self.processed.entry(place(partition)).or_default().insert(*offset);
            }
            MemberEvent::Committing { consumer, op, offsets, .. } => {
                self.open.insert((*consumer, *op), offsets.clone());
            }
            MemberEvent::Committed { consumer, op, outcome, .. } => {
                let offsets = self.open.remove(&(*consumer, *op)).unwrap_or_default();
                if matches!(outcome, Outcome::Ok { .. }) {
                    offsets.iter().for_each(|(partition, offset)| raise(partition, *offset));
                }
            }
            MemberEvent::Recalled { offsets, .. } => {
                for (partition, offset) in offsets {
                    offset.iter().for_each(|offset| raise(partition, *offset));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, ending: Ending, ghost: &Ghost) -> Result<(), Violation> {
        for ((group, partition), committed) in &self.committed {
            let reports = self.processed.keys().any(|(other, _)| other == group);
            if ghost.has_lost(partition) || !reports {
                continue;
            }
            let processed = self.processed.get(&(Arc::clone(group), partition.clone()));
            let missing = ghost.clients().sends().find_map(|send| {
                let offset = send.offset().filter(|_| send.partition == *partition)?;
                let deleted = offset < ghost.deleted_below(partition);
                let done = processed.is_some_and(|done| done.contains(&offset));
                let owed = send.acknowledged().is_some() && offset < *committed;
                (owed && !done && !deleted && !ghost.is_superseded(send)).then_some((offset, send))
            });
            if let Some((offset, send)) = missing {
                let witness = GroupWitness::NeverProcessed {
                    partition: partition.clone(),
                    offset,
                    record: ghost.clients().name_of(send.value),
                    committed: *committed,
                };
                return Violation::found(self.name(), ending.now, Arc::clone(group), witness);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::base::config::Acks;
    use crate::check::testing::Story;

    /// Two records are acknowledged, and one is processed.
    fn one_of_two() -> Story {
        let mut story = Story::judging("processed-at-least-once");
        for op in 0..2 {
            story.sent(1, op, 100 + op, Acks::All);
            story.told_ok(1, op, Some(op as i64));
        }
        story.subscribes(1, "shop");
        story.joins(1, 1, &[0]);
        story.processes(1, 0, 0);
        story
    }

    fn commits(story: &mut Story, offset: i64) {
        story.commits_offset(1, 1, 1, offset);
        story.committed(1, 1, 1, true);
    }

    #[test]
    fn silent_about_records_that_are_not_committed() {
        let mut story = one_of_two();
        commits(&mut story, 1);
        story.finish_silent();
    }

    #[test]
    fn silent_about_a_group_that_reports_nothing() {
        let mut story = one_of_two();
        story.subscribes(2, "audit");
        story.recalls(2, Some(2));
        story.finish_silent();
    }

    #[test]
    fn silent_when_another_member_processes_the_record_later() {
        let mut story = one_of_two();
        commits(&mut story, 2);
        story.subscribes(2, "shop");
        story.joins(2, 2, &[0]);
        story.processes(2, 0, 1);
        story.finish_silent();
    }

    #[test]
    fn fires_when_a_committed_record_was_processed_by_no_member() {
        let mut story = one_of_two();
        commits(&mut story, 2);
        story.later();
        story.finish_fired(
            "group shop committed orders-0 up to offset 2, but no member had processed offset 1 (p1's \
             record 1) by 2.000 s",
        );
    }

    #[test]
    fn fires_when_a_member_finds_a_commit_of_which_no_outcome_was_heard() {
        let mut story = one_of_two();
        story.recalls(1, Some(2));
        assert_eq!(story.finish().violations.len(), 1);
    }
}
