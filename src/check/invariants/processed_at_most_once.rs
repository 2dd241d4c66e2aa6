//! `processed-at-most-once`: no record is processed twice in a group.
//!
//! Of the commit modes, only a commit before the processing promises that. A group is not judged after
//! its coordinator's log lost records within the contract.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Offset, TopicPartition};
use crate::check::{Event, Ghost, GroupWitness, Invariant, Violation};
use crate::sim::{ClientEvent, MemberEvent, What};

/// Members by what they processed: its offset and value.
type First = BTreeMap<(Offset, u64), u32>;

#[derive(Default)]
pub(super) struct ProcessedAtMostOnce {
    /// The first member that processed a record, by group and place.
    processed: BTreeMap<(Arc<str>, TopicPartition), First>,
}

impl Invariant for ProcessedAtMostOnce {
    fn name(&self) -> &'static str {
        "processed-at-most-once"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for gone in event.gone() {
            self.processed.retain(|(_, partition), _| partition != gone);
        }
        let What::Client(ClientEvent::Member(said)) = &event.seen.what else { return Ok(()) };
        let MemberEvent::Processed { consumer, partition, offset, value } = said else {
            return Ok(());
        };
        let Some(member) = ghost.groups().member(*consumer) else { return Ok(()) };
        let place = (Arc::clone(&member.group), partition.clone());
        let records = self.processed.entry(place).or_default();
        let Some(first) = records.insert((*offset, *value), *consumer) else { return Ok(()) };
        if ghost.may_read_again(&member.group) {
            return Ok(());
        }
        let witness = GroupWitness::ProcessedTwice {
            partition: partition.clone(),
            offset: *offset,
            record: ghost.clients().name_of(*value),
            members: [first, *consumer],
        };
        event.broke(self.name(), Arc::clone(&member.group), witness)
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    #[test]
    fn silent_when_a_deposed_coordinator_told_a_member_where_to_begin() {
        let mut story = processed_once();
        story.coordinator_is_deposed();
        story.recalls(1, None);
        story.coordinator_learns_of_that();
        story.processes(1, 0, 7);
        story.silent();
        let mut story = processed_once();
        story.coordinator_is_deposed();
        story.coordinator_learns_of_that();
        story.recalls(1, None);
        story.processes(1, 0, 7);
        assert!(!story.sentence().is_empty());
    }

    fn processed_once() -> Story {
        let mut story = Story::judging("processed-at-most-once");
        story.subscribes(1, "shop");
        story.processes(1, 0, 7);
        story
    }

    #[test]
    fn silent_about_other_records_and_other_groups() {
        let mut story = processed_once();
        story.processes(1, 0, 8);
        story.processes(1, 1, 7);
        story.subscribes(2, "audit");
        story.processes(2, 0, 7);
        story.silent();
    }

    #[test]
    fn silent_when_its_coordinator_forgot_the_commit() {
        let mut story = processed_once();
        story.coordinator_forgets();
        story.processes(1, 0, 7);
        story.silent();
    }

    #[test]
    fn fires_when_only_the_coordinator_of_other_groups_forgot_commits() {
        let mut story = Story::judging("processed-at-most-once");
        story.coordinator_of_audit();
        story.subscribes(1, "audit");
        story.processes(1, 0, 7);
        story.coordinator_forgets();
        story.processes(1, 0, 7);
        let said = "group audit processed offset 7 of orders-0";
        assert!(story.sentence().starts_with(said), "{}", story.sentence());
    }

    #[test]
    fn fires_when_another_member_processes_a_record_again() {
        let mut story = processed_once();
        story.subscribes(2, "shop");
        story.processes(2, 0, 7);
        story.fired(
            "group shop processed offset 7 of orders-0 (a record that no producer sent (value 7)) twice: \
             k1, and k2 at 1.000 s",
        );
    }
}
