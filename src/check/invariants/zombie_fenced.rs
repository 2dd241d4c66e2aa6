//! `zombie-fenced`: no commit of a generation is acknowledged that was sent after a member had joined a
//! newer one.
//!
//! A commit that waits for its coordinator is sent in the generation of that moment, so that only one
//! whose member was in one generation from the beginning to the outcome is judged.
//! In the consumer protocol each member has an epoch of its own, and others' say nothing. A group is not
//! judged after its coordinator's log lost records within the contract. Offsets that a transaction sends
//! with the generation of its member are judged alike (KIP-447).
//! Source: Kafka's ILLEGAL_GENERATION.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::check::{Event, Ghost, GroupWitness, Invariant, TransactionName, Violation};
use crate::sim::{ClientEvent, MemberEvent, Outcome, TransactionEvent, What};

#[derive(Default)]
pub(super) struct ZombieFenced {
    /// Commits under way: the generation of each, and the newest of its group when it began.
    open: BTreeMap<(u32, u64), (i32, i32)>,
    /// Offsets that transactions send, in the same way, by producer, transaction and group.
    sending: BTreeMap<(u32, u64, Arc<str>), (i32, i32)>,
}

impl ZombieFenced {
    fn transaction(
        &mut self,
        event: &Event<'_>,
        ghost: &Ghost,
        said: &TransactionEvent,
    ) -> Result<(), Violation> {
        match said {
            TransactionEvent::SendingOffsets { producer, txn, group, generation, .. } => {
                let newest = ghost.groups().newest(group);
                let key = (*producer, *txn, Arc::clone(group));
                self.sending.insert(key, (*generation, newest));
            }
            TransactionEvent::SentOffsets { producer, txn, group, outcome } => {
                let sent = self.sending.remove(&(*producer, *txn, Arc::clone(group)));
                let Some((generation, newest)) = sent else { return Ok(()) };
                let accepted = matches!(outcome, Outcome::Ok { .. });
                let judged = ghost.groups().has_generations(group) && !ghost.has_forgotten(group);
                if accepted && judged && (0..newest).contains(&generation) {
                    let transaction = TransactionName { producer: *producer, number: *txn };
                    let witness =
                        GroupWitness::ZombieSentOffsets { transaction, generation, newest };
                    return event.broke("zombie-fenced", Arc::clone(group), witness);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Invariant for ZombieFenced {
    fn name(&self) -> &'static str {
        "zombie-fenced"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        if let What::Client(ClientEvent::Transaction(said)) = &event.seen.what {
            return self.transaction(event, ghost, said);
        }
        let What::Client(ClientEvent::Member(said)) = &event.seen.what else { return Ok(()) };
        let Some(member) = ghost.groups().member(said.consumer()) else { return Ok(()) };
        match said {
            MemberEvent::Committing { consumer, op, generation, .. } => {
                let newest = ghost.groups().newest(&member.group);
                self.open.insert((*consumer, *op), (*generation, newest));
            }
            MemberEvent::Committed { consumer, op, generation: still, outcome } => {
                let open = self.open.remove(&(*consumer, *op));
                let Some((generation, newest)) =
                    open.filter(|(began, _)| began == still && *began >= 0)
                else {
                    return Ok(());
                };
                let acknowledged = matches!(outcome, Outcome::Ok { .. });
                let judged = ghost.groups().has_generations(&member.group);
                let forgotten = ghost.has_forgotten(&member.group);
                if acknowledged && judged && generation < newest && !forgotten {
                    let (consumer, op) = (*consumer, *op);
                    let witness =
                        GroupWitness::ZombieCommitted { consumer, generation, newest, op };
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

    fn overtaken() -> Story {
        let mut story = Story::judging("zombie-fenced");
        story.subscribes(1, "shop");
        story.subscribes(2, "shop");
        story.joins(1, 4, &[0]);
        story.commits_offset(1, 1, 4, 10);
        story.joins(2, 5, &[0]);
        story
    }

    #[test]
    fn silent_about_a_commit_that_was_sent_before_the_next_generation() {
        let mut story = overtaken();
        story.committed(1, 1, 4, true);
        story.silent();
    }

    #[test]
    fn silent_about_a_commit_that_was_refused_or_sent_in_a_newer_generation() {
        let mut story = overtaken();
        story.commits_offset(1, 2, 4, 11);
        story.committed(1, 2, 4, false);
        story.commits_offset(1, 3, 4, 11);
        story.joins(1, 6, &[]);
        story.committed(1, 3, 6, true);
        story.silent();
    }

    #[test]
    fn fires_when_only_the_coordinator_of_other_groups_forgot_generations() {
        let mut story = Story::judging("zombie-fenced");
        story.coordinator_of_audit();
        story.subscribes(1, "audit");
        story.subscribes(2, "audit");
        story.joins(1, 4, &[0]);
        story.joins(2, 5, &[0]);
        story.coordinator_forgets();
        story.commits_offset(1, 1, 4, 10);
        story.committed(1, 1, 4, true);
        let said = "group audit acknowledged k1's commit 1 of generation 4";
        assert!(story.sentence().starts_with(said), "{}", story.sentence());
    }

    #[test]
    fn fires_when_a_commit_of_an_old_generation_is_acknowledged() {
        let mut story = overtaken();
        story.commits_offset(1, 2, 4, 11);
        story.committed(1, 2, 4, true);
        story.fired(
            "group shop acknowledged k1's commit 2 of generation 4 at 1.000 s, though generation 5 had \
             begun before it was sent",
        );
    }

    #[test]
    fn silent_about_offsets_that_are_refused_or_of_the_newest_generation() {
        let mut story = overtaken();
        story.begins(3, 1);
        story.sends_offset(3, 1, ("shop", 4), 10);
        story.offset_sent(3, 1, "shop", false);
        story.sends_offset(3, 1, ("shop", 5), 10);
        story.joins(1, 6, &[]);
        story.offset_sent(3, 1, "shop", true);
        story.sends_offset(3, 1, ("shop", -1), 10);
        story.offset_sent(3, 1, "shop", true);
        story.silent();
    }

    #[test]
    fn fires_when_a_transaction_sends_offsets_of_an_old_generation() {
        let mut story = overtaken();
        story.begins(3, 1);
        story.sends_offset(3, 1, ("shop", 4), 10);
        story.offset_sent(3, 1, "shop", true);
        story.fired(
            "group shop accepted offsets of generation 4 in p3's transaction 1 at 1.000 s, though \
             generation 5 had begun before they were sent",
        );
    }
}
