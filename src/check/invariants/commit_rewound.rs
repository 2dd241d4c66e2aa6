//! `commit-rewound`: a committed offset that a member knew of never goes back or vanishes.
//!
//! What a member asks for must be at least what was acknowledged, or told to any member, before it
//! asked. A commit whose outcome is unknown may take effect late and explains what is found, unless it
//! was sent in an older generation than what is known to be committed: the coordinator refuses those
//! (ILLEGAL_GENERATION, STALE_MEMBER_EPOCH). A coordinator that was deposed and does not know it yet may
//! tell an offset that was committed before: in Kafka, too, OffsetFetch writes nothing, and so nothing
//! fences it. Nothing is judged after records of the partition, or of the
//! coordinator's log, were lost within the contract. Commits of one consumer take effect in the order in
//! which it began them: that is its client's duty.
//!
//! Offsets that a transaction sent are committed with it. A member that asks after the commit was
//! acknowledged must be told them, markers or not: the coordinator answers when they are there (KIP-447,
//! UNSTABLE_OFFSET_COMMIT). Offsets of a transaction that is aborted, or of which no commit was asked for,
//! are told to no member. What a transaction commits is not owed after the log of its own coordinator
//! lost entries of its transactional id within the contract.
//! Source: KIP-98, KIP-211, KIP-447; Kafka's OffsetMetadataManager.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::{Instant, Offset, TopicPartition};
use crate::check::ghost::{Fate, Transaction};
use crate::check::{Client, Ending, Event, Ghost, GroupWitness, Invariant, Note, Violation};
use crate::sim::{ClientEvent, Ended, MemberEvent, Outcome, TransactionEvent, What};
use crate::view::Change as Folded;

type Place = (Arc<str>, TopicPartition);

/// The largest offset that is known to be committed. `by`: the member, or the producer.
#[derive(Clone, Copy)]
struct Floor {
    offset: Offset,
    /// Its group was in this generation, or in a newer one, when it was committed; -1 if nothing is
    /// known of that.
    generation: i32,
    by: Client,
    at: Instant,
}

/// A commit of a member.
struct Commit {
    group: Arc<str>,
    offsets: Vec<(TopicPartition, Offset)>,
    /// Its member was in this generation when it began.
    generation: i32,
    /// It was sent in this generation, or in an older one.
    sent_until: i32,
}

/// What was known when a member asked.
#[derive(Default)]
struct Asked {
    floors: BTreeMap<TopicPartition, Floor>,
    /// A coordinator that was deposed, and does not know it, may answer.
    of_deposed: bool,
}

#[derive(Default)]
pub(super) struct CommitRewound {
    floors: BTreeMap<Place, Floor>,
    /// The questions of members under way.
    asked: BTreeMap<u32, Asked>,
    /// Commits under way, and those without a known outcome. Those under way are sent in the generation
    /// that their member is in by then.
    open: BTreeMap<(u32, u64), Commit>,
    /// Every offset that a known commit stored.
    stored: BTreeSet<(Place, Offset)>,
    noted: Option<Note>,
    /// Partitions that were deleted, and not created again: what is committed of one counts for no other.
    gone: BTreeSet<TopicPartition>,
}

impl CommitRewound {
    fn raise(&mut self, place: Place, floor: Floor) {
        let known = self.floors.entry(place).or_insert(floor);
        if floor.offset > known.offset {
            *known = floor;
        }
    }

    /// Whether a commit of this offset may have taken effect after one in this generation.
    fn is_possible(
        &self,
        ghost: &Ghost,
        place: &Place,
        offset: Option<Offset>,
        generation: i32,
    ) -> bool {
        let (group, partition) = place;
        let stores =
            |(name, at): &(TopicPartition, Offset)| name == partition && Some(*at) == offset;
        let pending = |one: &&Transaction| one.fate() == Fate::Unknown;
        let mut open = self.open.values().filter(|open| open.sent_until >= generation);
        open.any(|open| open.group == *group && open.offsets.iter().any(stores))
            || offset.is_some_and(|offset| {
                let mut pending = ghost.transactions().all().filter(pending);
                pending.any(|one| sends(one, place, offset))
            })
    }

    /// A transaction is committed, and the offsets that it sent with it.
    fn commit(&mut self, at: Instant, transaction: &Transaction) {
        for sent in transaction.offsets.iter().filter(|sent| !sent.refused) {
            for (partition, offset) in &sent.offsets {
                let place = (Arc::clone(&sent.group), partition.clone());
                let by = Client::Producer(transaction.producer);
                self.stored.insert((place.clone(), *offset));
                let generation = sent.generation;
                self.raise(place, Floor { offset: *offset, generation, by, at });
            }
        }
    }

    /// Whether a deposed coordinator may have told a member this.
    fn is_old_news(&self, place: &Place, told: Option<Offset>, asked: &Asked) -> bool {
        let before = |offset| self.stored.contains(&(place.clone(), offset));
        asked.of_deposed && told.is_none_or(before)
    }

    /// Notes the first time that a deposed coordinator told a member less than is committed.
    fn note(
        &mut self,
        at: Instant,
        consumer: u32,
        place: &Place,
        told: Option<Offset>,
        asked: &Asked,
    ) {
        let (group, partition) = place;
        let known = asked.floors.get(partition).filter(|floor| told < Some(floor.offset));
        if let Some(floor) = known.filter(|_| self.is_old_news(place, told, asked)) {
            let (group, partition) = (group.to_string(), partition.clone());
            let committed = floor.offset;
            self.noted.get_or_insert(Note::ToldByDeposed {
                at,
                group,
                partition,
                consumer,
                told,
                committed,
            });
        }
    }

    /// Whether a member was told less than is committed, or what is not.
    fn judge(
        &self,
        ghost: &Ghost,
        consumer: u32,
        place: &Place,
        found: Option<Offset>,
        asked: &Asked,
    ) -> Option<GroupWitness> {
        let (group, partition) = place;
        if ghost.has_forgotten(group) || ghost.has_lost(partition) {
            return None;
        }
        if self.is_old_news(place, found, asked) {
            return None;
        }
        let floor = asked.floors.get(partition).copied();
        if let Some(offset) = found
            && floor.is_none_or(|floor| floor.offset < offset)
            && let Some(sender) = self.uncommitted(ghost, place, offset)
        {
            let (partition, transaction) = (partition.clone(), sender.name());
            return Some(GroupWitness::Uncommitted { partition, consumer, offset, transaction });
        }
        let Floor { offset: committed, generation, by, at } =
            floor.filter(|floor| found < Some(floor.offset))?;
        let forgotten = match by {
            Client::Producer(producer) => is_forgotten(ghost, producer),
            Client::Consumer(_) => false,
        };
        let partition = partition.clone();
        (!forgotten && !self.is_possible(ghost, place, found, generation)).then_some(
            GroupWitness::CommitRewound { partition, consumer, found, committed, by, at },
        )
    }

    /// The transaction that sent this offset, if no commit explains that a member was told of it.
    fn uncommitted<'a>(
        &self,
        ghost: &'a Ghost,
        place: &Place,
        offset: Offset,
    ) -> Option<&'a Transaction> {
        let never = |one: &&Transaction| {
            matches!(one.fate(), Fate::NeverAsked | Fate::Aborted(_)) && sends(one, place, offset)
        };
        let sender = ghost.transactions().all().find(never)?;
        let stored = self.stored.contains(&(place.clone(), offset));
        (!stored && !self.is_possible(ghost, place, Some(offset), NONE)).then_some(sender)
    }
}

/// No generation is older.
const NONE: i32 = -1;

/// Whether the coordinator of a producer's transactional id lost entries of it.
fn is_forgotten(ghost: &Ghost, producer: u32) -> bool {
    let identity = ghost.transactions().identity(producer);
    let id = identity.and_then(|identity| identity.transactional_id.as_ref());
    id.is_some_and(|id| ghost.transaction_log().has_forgotten(id))
}

/// Whether a transaction sent this offset.
fn sends(transaction: &Transaction, (group, partition): &Place, offset: Offset) -> bool {
    let of_group = transaction.offsets.iter().filter(|sent| sent.group == *group);
    let mut all = of_group.flat_map(|sent| &sent.offsets);
    all.any(|(name, at)| name == partition && *at == offset)
}

impl Invariant for CommitRewound {
    fn name(&self) -> &'static str {
        "commit-rewound"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for change in event.folded {
            if let Folded::Committed(committed) = change {
                self.gone.remove(&committed.partition);
            }
        }
        for gone in event.gone() {
            self.gone.insert(gone.clone());
            self.floors.retain(|(_, partition), _| partition != gone);
            for commit in self.open.values_mut() {
                commit.offsets.retain(|(partition, _)| partition != gone);
            }
            for asked in self.asked.values_mut() {
                asked.floors.remove(gone);
            }
        }
        if let What::Client(ClientEvent::Transaction(TransactionEvent::Ended {
            producer,
            txn,
            outcome: Ended::Committed,
        })) = &event.seen.what
            && let Some(transaction) = ghost.transactions().get(*producer, *txn)
        {
            self.commit(event.seen.at, transaction);
        }
        let What::Client(ClientEvent::Member(said)) = &event.seen.what else { return Ok(()) };
        let (consumer, at) = (said.consumer(), event.seen.at);
        let Some(member) = ghost.groups().member(consumer) else { return Ok(()) };
        let place = |partition: &TopicPartition| (Arc::clone(&member.group), partition.clone());
        let deposed = || ghost.groups().has_deposed_coordinator(ghost.view(), &member.group);
        match said {
            MemberEvent::Committing { op, generation, offsets, .. } => {
                let group = Arc::clone(&member.group);
                let exists =
                    |(partition, _): &&(TopicPartition, Offset)| !self.gone.contains(partition);
                let offsets = offsets.iter().filter(exists).cloned().collect();
                let (generation, sent_until) = (*generation, i32::MAX);
                let commit = Commit { group, offsets, generation, sent_until };
                self.open.insert((consumer, *op), commit);
            }
            MemberEvent::Committed { op, outcome: Outcome::Ok { .. }, .. } => {
                let Some(commit) = self.open.remove(&(consumer, *op)) else { return Ok(()) };
                let (by, generation) = (Client::Consumer(consumer), commit.generation);
                for (partition, offset) in commit.offsets {
                    self.stored.insert((place(&partition), offset));
                    self.raise(place(&partition), Floor { offset, generation, by, at });
                }
            }
            MemberEvent::Committed { op, generation, .. } => {
                if let Some(commit) =
                    self.open.get_mut(&(consumer, *op)).filter(|_| *generation > NONE)
                {
                    commit.sent_until = *generation;
                }
            }
            MemberEvent::Recalling { .. } => {
                let of_group = self.floors.iter().filter(|((group, _), _)| *group == member.group);
                let floors = of_group.map(|((_, partition), floor)| (partition.clone(), *floor));
                let (floors, of_deposed) = (floors.collect(), deposed());
                self.asked.insert(consumer, Asked { floors, of_deposed });
            }
            MemberEvent::Recalled { offsets, .. } => {
                let mut asked = self.asked.remove(&consumer).unwrap_or_default();
                asked.of_deposed |= deposed();
                for (partition, found) in offsets {
                    let place = place(partition);
                    if let Some(witness) = self.judge(ghost, consumer, &place, *found, &asked) {
                        return event.broke(self.name(), Arc::clone(&member.group), witness);
                    }
                    self.note(at, consumer, &place, *found, &asked);
                    if let Some(offset) = *found {
                        let by = Client::Consumer(consumer);
                        self.raise(place, Floor { offset, generation: NONE, by, at });
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn remark(&self, _ending: Ending, _ghost: &Ghost) -> Option<Note> {
        self.noted.clone()
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
    fn commit_in_doubt_of_an_older_generation_explains_nothing() {
        for (generation, fires) in [(1, true), (2, false), (-1, false)] {
            let mut story = committed(10);
            story.commits_offset(1, 2, 1, 14);
            story.committed(1, 2, generation, false);
            story.joins(2, 2, &[0]);
            story.commits_offset(2, 1, 2, 20);
            story.committed(2, 1, 2, true);
            story.recalls(2, Some(14));
            assert_eq!(!story.sentence().is_empty(), fires, "sent until generation {generation}");
        }
    }

    #[test]
    fn silent_about_a_commit_under_way_that_may_be_sent_in_a_newer_generation() {
        let mut story = committed(10);
        story.commits_offset(1, 2, 1, 14);
        story.joins(2, 2, &[0]);
        story.commits_offset(2, 1, 2, 20);
        story.committed(2, 1, 2, true);
        story.recalls(2, Some(14));
        story.silent();
    }

    #[test]
    fn deposed_coordinator_may_tell_what_was_committed_before_and_nothing_else() {
        for (found, fires) in [(Some(10), false), (None, false), (Some(7), true)] {
            let mut story = committed(10);
            story.commits_offset(1, 2, 1, 20);
            story.committed(1, 2, 1, true);
            story.coordinator_is_deposed();
            story.recalls(2, found);
            assert_eq!(!story.sentence().is_empty(), fires, "told {found:?}");
        }
    }

    #[test]
    fn notes_what_a_deposed_coordinator_told() {
        let mut story = committed(10);
        story.commits_offset(1, 2, 1, 20);
        story.committed(1, 2, 1, true);
        story.coordinator_is_deposed();
        story.recalls(2, Some(10));
        let notes = story.finish().notes;
        assert_eq!(
            notes[0].to_string(),
            "group shop: k2 was told offset 10 of orders-0 at 2.000 s while a deposed coordinator answered, \
             though offset 20 was committed: Kafka permits that, and records are processed again"
        );
    }

    #[test]
    fn fires_about_an_old_offset_once_the_deposed_coordinator_knows() {
        let mut story = committed(10);
        story.commits_offset(1, 2, 1, 20);
        story.committed(1, 2, 1, true);
        story.coordinator_is_deposed();
        story.coordinator_learns_of_that();
        story.recalls(2, Some(10));
        assert!(!story.sentence().is_empty());
    }

    #[test]
    fn commit_of_a_topic_that_is_deleted_counts_for_no_other() {
        let mut story = Story::judging("commit-rewound");
        story.commits(Some(1), 0, &[1]);
        story.subscribes(1, "shop");
        story.commits_offset(1, 1, 1, 10);
        story.created_again();
        story.committed(1, 1, 1, true);
        story.recalls(1, None);
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
    fn only_a_permitted_loss_excuses_a_coordinator_of_an_epoch_that_was_over() {
        let mut story = committed(10);
        story.coordinator_forgets_in_passing();
        story.recalls(2, None);
        story.silent();
        let mut story = committed(10);
        story.coordinator_drops_its_log_in_passing();
        story.recalls(2, None);
        assert!(story.sentence().contains("nothing of orders-0 is committed"));
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

    /// Producer 3 sends offset 10 of group `shop` in a transaction.
    fn in_transaction() -> Story {
        let mut story = Story::judging("commit-rewound");
        story.subscribes(1, "shop");
        story.identified(3, "till", 7, 0);
        story.begins(3, 1);
        story.sends_offset(3, 1, ("shop", 1), 10);
        story.offset_sent(3, 1, "shop", true);
        story
    }

    #[test]
    fn silent_about_pending_offsets_and_those_of_a_commit_in_doubt() {
        let mut story = in_transaction();
        story.recalls(1, None);
        story.commits_in_doubt(3, 1);
        story.recalls(1, None);
        story.recalls(1, Some(10));
        story.silent();
        let mut story = in_transaction();
        story.commits_transaction(3, 1);
        story.recalls(1, Some(10));
        story.silent();
    }

    #[test]
    fn fires_when_an_offset_is_not_there_after_its_transaction_was_committed() {
        let mut story = in_transaction();
        story.commits_transaction(3, 1);
        story.later();
        story.recalls(1, Some(4));
        story.fired(
            "group shop told k1 that offset 4 of orders-0 is committed at 2.000 s, though p3 knew offset \
             10 to be committed at 1.000 s",
        );
    }

    #[test]
    fn fires_when_an_offset_of_an_open_or_aborted_transaction_is_told() {
        let mut story = in_transaction();
        story.recalls(1, Some(10));
        story.fired(
            "group shop told k1 that offset 10 of orders-0 is committed at 1.000 s, which only p3's \
             transaction 1 sent, and that is not",
        );
        let mut story = in_transaction();
        story.aborts_transaction(3, 1);
        story.recalls(1, Some(10));
        assert!(!story.sentence().is_empty());
    }

    #[test]
    fn silent_when_an_aborted_offset_is_committed_again() {
        let mut story = in_transaction();
        story.aborts_transaction(3, 1);
        story.begins(3, 2);
        story.sends_offset(3, 2, ("shop", 1), 10);
        story.commits_transaction(3, 2);
        story.recalls(1, Some(10));
        story.silent();
    }

    #[test]
    fn transactional_commit_is_excused_only_by_its_own_lost_entries() {
        for (id, fires) in [("till", false), ("desk", true)] {
            let mut story = in_transaction();
            story.logs(id, (9, 0), 0, &[]);
            story.commits_transaction(3, 1);
            story.coordinator_loses(0);
            story.recalls(1, None);
            assert_eq!(!story.sentence().is_empty(), fires, "{}", story.sentence());
        }
    }
}
