//! `commit-rewound`: a committed offset that a member knew of never goes back or vanishes.
//!
//! What a member asks for must be at least what was acknowledged, or told to any member, before it
//! asked. A commit whose outcome is unknown may take effect late and explains what is found. Nothing is
//! judged after records of the partition, or of the coordinator's log, were lost within the contract.
//! Source: KIP-211; Kafka's OffsetMetadataManager.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Instant, Offset, TopicPartition};
use crate::check::{Event, Ghost, GroupWitness, Invariant, Violation};
use crate::sim::{ClientEvent, MemberEvent, Outcome, What};

type Place = (Arc<str>, TopicPartition);

/// The largest offset that is known to be committed.
#[derive(Clone, Copy)]
struct Floor {
    offset: Offset,
    by: u32,
    at: Instant,
}

/// The offsets of a commit, and their group.
type Commit = (Arc<str>, Vec<(TopicPartition, Offset)>);

#[derive(Default)]
pub(super) struct CommitRewound {
    floors: BTreeMap<Place, Floor>,
    /// The floors when a member asked.
    asked: BTreeMap<u32, BTreeMap<TopicPartition, Floor>>,
    /// Commits under way, and those without a known outcome.
    open: BTreeMap<(u32, u64), Commit>,
}

impl CommitRewound {
    fn raise(&mut self, place: Place, floor: Floor) {
        let known = self.floors.entry(place).or_insert(floor);
        if floor.offset > known.offset {
            *known = floor;
        }
    }

    /// Whether a commit of this offset may have taken effect after the one that is known.
    fn is_possible(&self, (group, partition): &Place, offset: Option<Offset>) -> bool {
        let stores =
            |(name, at): &(TopicPartition, Offset)| name == partition && Some(*at) == offset;
        self.open.values().any(|(of, offsets)| of == group && offsets.iter().any(stores))
    }
}

impl Invariant for CommitRewound {
    fn name(&self) -> &'static str {
        "commit-rewound"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for gone in event.gone() {
            self.floors.retain(|(_, partition), _| partition != gone);
            for floors in self.asked.values_mut() {
                floors.remove(gone);
            }
        }
        let What::Client(ClientEvent::Member(said)) = &event.seen.what else { return Ok(()) };
        let (consumer, at) = (said.consumer(), event.seen.at);
        let Some(member) = ghost.groups().member(consumer) else { return Ok(()) };
        let place = |partition: &TopicPartition| (Arc::clone(&member.group), partition.clone());
        match said {
            MemberEvent::Committing { op, offsets, .. } => {
                let commit = (Arc::clone(&member.group), offsets.clone());
                self.open.insert((consumer, *op), commit);
            }
            MemberEvent::Committed { op, outcome: Outcome::Ok { .. }, .. } => {
                let offsets = self.open.remove(&(consumer, *op)).map(|(_, offsets)| offsets);
                for (partition, offset) in offsets.unwrap_or_default() {
                    self.raise(place(&partition), Floor { offset, by: consumer, at });
                }
            }
            MemberEvent::Recalling { .. } => {
                let of_group = self.floors.iter().filter(|((group, _), _)| *group == member.group);
                let floors = of_group.map(|((_, partition), floor)| (partition.clone(), *floor));
                self.asked.insert(consumer, floors.collect());
            }
            MemberEvent::Recalled { offsets, .. } => {
                let floors = self.asked.remove(&consumer).unwrap_or_default();
                for (partition, found) in offsets {
                    let excused = ghost.has_forgotten(&member.group) || ghost.has_lost(partition);
                    let floor = floors.get(partition).filter(|floor| *found < Some(floor.offset));
                    if let Some(Floor { offset, by, at }) = floor
                        && !excused
                        && !self.is_possible(&place(partition), *found)
                    {
                        let witness = GroupWitness::CommitRewound {
                            partition: partition.clone(),
                            consumer,
                            found: *found,
                            committed: *offset,
                            by: *by,
                            at: *at,
                        };
                        return event.broke(self.name(), Arc::clone(&member.group), witness);
                    }
                    if let Some(offset) = *found {
                        self.raise(place(partition), Floor { offset, by: consumer, at });
                    }
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

    fn committed(offset: i64) -> Story {
        let mut story = Story::judging("commit-rewound");
        story.subscribes(1, "shop");
        story.subscribes(2, "shop");
        story.joins(1, 1, &[0]);
        story.commits_offset(1, 1, 1, offset);
        story.committed(1, 1, 1, true);
        story.later();
        story
    }

    #[test]
    fn silent_when_the_offset_is_found_or_a_later_one() {
        let mut story = committed(10);
        story.recalls(2, Some(10));
        story.recalls(2, Some(12));
        story.silent();
    }

    #[test]
    fn silent_about_a_commit_that_was_acknowledged_after_the_question() {
        let mut story = committed(10);
        story.recalling(2);
        story.commits_offset(1, 2, 1, 20);
        story.committed(1, 2, 1, true);
        story.recalled(2, Some(10));
        story.silent();
    }

    #[test]
    fn silent_about_a_commit_that_may_have_been_stored_late() {
        let mut story = committed(10);
        story.commits_offset(1, 2, 1, 14);
        story.committed(1, 2, 1, false);
        story.commits_offset(1, 3, 1, 20);
        story.committed(1, 3, 1, true);
        story.recalls(2, Some(14));
        story.silent();
    }

    #[test]
    fn silent_about_another_group() {
        let mut story = committed(10);
        story.subscribes(3, "audit");
        story.recalls(3, None);
        story.silent();
    }

    #[test]
    fn fires_when_an_acknowledged_commit_went_back() {
        let mut story = committed(10);
        story.recalls(2, Some(9));
        story.fired(
            "group shop told k2 that offset 9 of orders-0 is committed at 2.000 s, though k1 knew offset \
             10 to be committed at 1.000 s",
        );
    }

    #[test]
    fn fires_when_a_committed_offset_that_was_found_once_vanishes() {
        let mut story = Story::judging("commit-rewound");
        story.subscribes(1, "shop");
        story.recalls(1, Some(4));
        story.recalls(1, None);
        assert!(story.sentence().contains("nothing of orders-0 is committed"));
    }

    #[test]
    fn silent_when_its_coordinator_forgot_the_commit() {
        let mut story = committed(10);
        story.coordinator_forgets();
        story.recalls(2, None);
        story.silent();
    }

    #[test]
    fn fires_when_only_the_coordinator_of_other_groups_forgot_commits() {
        let mut story = Story::judging("commit-rewound");
        story.coordinator_of_audit();
        story.subscribes(1, "audit");
        story.recalls(1, Some(4));
        story.coordinator_forgets();
        story.recalls(1, None);
        assert!(story.sentence().contains("nothing of orders-0 is committed"));
    }
}
