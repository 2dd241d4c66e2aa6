//! `markers-complete`: each participant of a transaction gets the decided marker and no other, before its
//! coordinator calls the transaction complete.
//!
//! A marker counts when it is below the high watermark of its partition, a decision when it is below that
//! of `__transaction_state`. A marker that ends nothing is harmless: coordinators repeat markers. So is one
//! that was right when it was written and is exposed later, with the log of a replica that was away and is
//! elected uncleanly. A participant that was deleted, or that lost committed records within the contract
//! after the decision, owes none; a transactional id is not judged after entries of it were lost within the
//! contract.
//! Source: KIP-98; Kafka's TransactionMarkerChannelManager.

use crate::base::{Instant, TopicPartition};
use crate::check::ghost::{Change, Decision, Entry, Logged, Settled, State, Step};
use crate::check::{Event, Ghost, Invariant, Subject, TransactionWitness, Violation};

#[derive(Default)]
pub(super) struct MarkersComplete;

impl Invariant for MarkersComplete {
    fn name(&self) -> &'static str {
        "markers-complete"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for change in event.changes {
            match change {
                Change::Transaction { partition, step: Step::Marked { settled, .. } } => {
                    if let Some(witness) = wrong(ghost, settled) {
                        return event.broke(self.name(), partition, witness);
                    }
                }
                Change::Logged { entry, before: Some(before) } => {
                    if let Some(witness) = missing(ghost, entry, before) {
                        let subject = Subject::TransactionalId(entry.id.to_string());
                        return event.broke(self.name(), subject, witness);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether a marker is not what was decided.
fn wrong(ghost: &Ghost, settled: &Settled) -> Option<TransactionWitness> {
    let log = ghost.transaction_log();
    let (offset, commit) = (settled.marker, settled.commit);
    let Some(id) = log.owner(settled.producer) else {
        // An operator may abort what no coordinator knows (KIP-664).
        let state = State::Empty.words();
        let blind = commit && settled.open.is_some() && ghost.observes_coordinators();
        return blind.then_some(TransactionWitness::NoDecision { id: None, offset, commit, state });
    };
    if log.has_forgotten(id) {
        return None;
    }
    let witness = contradiction(id, log.logged(id)?, settled)?;
    let then = log.logged_at(id, settled.written);
    let was_right = then.is_some_and(|then| {
        then.value.producer == settled.producer && contradiction(id, &then, settled).is_none()
    });
    (!was_right).then_some(witness)
}

/// Whether a marker is not what the coordinator of its transactional id had logged.
fn contradiction(id: &str, logged: &Logged, settled: &Settled) -> Option<TransactionWitness> {
    let (named, offset, commit) = (id.to_string(), settled.marker, settled.commit);
    if let Some(decision) = logged.decision.as_ref().filter(|made| is_of(made, settled)) {
        let decided = decision.at;
        return (decision.commit != commit).then_some(TransactionWitness::WrongMarker {
            id: named,
            offset,
            commit,
            decided,
        });
    }
    let undecided = matches!(logged.value.state, State::Ongoing | State::Empty);
    let same = logged.value.producer == settled.producer;
    (undecided && same && settled.open.is_some()).then(|| TransactionWitness::NoDecision {
        id: Some(named),
        offset,
        commit,
        state: logged.value.state.words(),
    })
}

/// Whether a marker belongs to a decision.
fn is_of(decision: &Decision, settled: &Settled) -> bool {
    decision.producer == settled.producer && decision.epoch == settled.epoch
}

/// Whether a transaction is called complete while a participant lacks its marker.
fn missing(ghost: &Ghost, entry: &Entry, before: &Logged) -> Option<TransactionWitness> {
    let complete = matches!(entry.value.as_ref()?.state, State::Complete { .. });
    let prepared = matches!(before.value.state, State::Prepared { .. });
    let decision = before.decision.as_ref().filter(|_| complete && prepared)?;
    if ghost.transaction_log().has_forgotten(&entry.id) {
        return None;
    }
    let lacks = |name: &&TopicPartition| lacks_marker(ghost, name, decision, decision.at);
    let partition = decision.partitions.iter().find(lacks)?.clone();
    let (commit, decided) = (decision.commit, decision.at);
    Some(TransactionWitness::NoMarker { partition, commit, decided })
}

fn lacks_marker(ghost: &Ghost, name: &TopicPartition, decision: &Decision, since: Instant) -> bool {
    let exists = ghost.view().partition(name).is_some();
    let Some(partition) = ghost.partition(name).filter(|_| exists) else { return false };
    let lost = partition.losses.iter().any(|loss| loss.at >= since);
    let has = partition.stability.markers(decision.producer).any(|settled| {
        settled.written >= since && is_of(decision, settled) && settled.commit == decision.commit
    });
    !lost && !has
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    const BOTH: &[(&str, i32)] = &[("orders", 0), ("orders", 1)];

    /// A transaction with a record in each of two partitions, of which a commit is decided.
    fn prepared() -> Story {
        let mut story = Story::judging("markers-complete");
        story.logs("till", (7, 0), 0, &[]);
        story.logs("till", (7, 0), 1, BOTH);
        story.writes_in(7, 0, &[100]);
        story.turn_to("orders", 1);
        story.writes_in(7, 0, &[101]);
        story.turn_to("orders", 0);
        story.later();
        story.logs("till", (7, 1), 2, BOTH);
        story
    }

    #[test]
    fn silent_when_both_get_the_marker_and_one_gets_it_twice() {
        let mut story = prepared();
        story.marks(7, 1, true);
        story.turn_to("orders", 1);
        story.marks(7, 1, true);
        story.marks(7, 1, true);
        story.logs("till", (7, 1), 4, &[]);
        story.marks(7, 1, true);
        story.silent();
    }

    #[test]
    fn fires_when_it_is_called_complete_before_the_last_marker() {
        let mut story = prepared();
        story.marks(7, 1, true);
        story.turn_to("orders", 1);
        story.marks_hidden(7, 1, true);
        story.logs("till", (7, 1), 4, &[]);
        story.fired(
            "transactional id till is complete at 2.000 s, but orders-1 has no commit marker since that \
             was decided at 2.000 s",
        );
    }

    #[test]
    fn fires_about_the_other_marker() {
        let mut story = prepared();
        story.marks(7, 1, false);
        story.fired(
            "orders-0 offset 1 is an abort marker at 2.000 s, though the coordinator of transactional id \
             till decided otherwise at 2.000 s",
        );
    }

    #[test]
    fn fires_when_a_late_marker_ends_the_next_transaction() {
        let mut story = prepared();
        story.marks(7, 1, true);
        story.turn_to("orders", 1);
        story.marks(7, 1, true);
        story.logs("till", (7, 1), 4, &[]);
        story.logs("till", (7, 1), 1, BOTH);
        story.writes_in(7, 1, &[102]);
        story.marks(7, 1, true);
        story.fired(
            "orders-1 offset 3 is a commit marker at 2.000 s, though transactional id till has a \
             transaction that goes on",
        );
    }

    #[test]
    fn silent_about_the_marker_of_an_earlier_transaction_that_comes_back() {
        let mut story = Story::judging("markers-complete");
        story.logs("till", (7, 0), 0, &[]);
        story.logs("till", (7, 0), 1, BOTH);
        story.writes_in(7, 0, &[100]);
        story.turn_to("orders", 1);
        story.writes_in(7, 0, &[101]);
        story.later();
        story.logs("till", (7, 1), 2, BOTH);
        story.marks(7, 1, true);
        story.turn_to("orders", 0);
        story.marks(7, 1, true);
        story.logs("till", (7, 1), 4, &[]);
        story.later();
        story.logs("till", (7, 1), 1, BOTH);
        story.comes_back_uncleanly(2);
        story.silent();
    }

    #[test]
    fn fires_about_a_marker_that_comes_back_and_was_wrong_when_it_was_written() {
        let mut story = Story::judging("markers-complete");
        story.logs("till", (7, 0), 0, &[]);
        story.logs("till", (7, 0), 1, BOTH);
        story.writes_in(7, 0, &[100]);
        story.marks_hidden(7, 1, true);
        story.comes_back_uncleanly(2);
        story.fired(
            "orders-0 offset 1 is a commit marker at 2.000 s, though transactional id till has a \
             transaction that goes on",
        );
    }

    #[test]
    fn fires_about_a_commit_but_not_an_abort_that_no_coordinator_decided() {
        for commit in [false, true] {
            let mut story = Story::judging("markers-complete");
            story.logs("till", (7, 0), 0, &[]);
            story.writes_in(9, 0, &[100]);
            story.marks(9, 0, commit);
            assert_eq!(!story.sentence().is_empty(), commit, "{}", story.sentence());
        }
    }

    #[test]
    fn participant_is_excused_only_for_a_loss_of_its_own_after_the_decision() {
        for (partition, fires) in [(1, false), (0, true)] {
            let mut story = prepared();
            story.marks(7, 1, true);
            story.turn_to("orders", partition);
            story.loses_committed(0);
            story.logs("till", (7, 1), 4, &[]);
            assert_eq!(!story.sentence().is_empty(), fires, "{}", story.sentence());
        }
    }

    #[test]
    fn transactional_id_is_excused_only_for_a_loss_of_its_own_entries() {
        for (lost, fires) in [(true, false), (false, true)] {
            let mut story = prepared();
            if !lost {
                story.logs("desk", (8, 0), 0, &[]);
            }
            story.coordinator_loses(if lost { 2 } else { 3 });
            story.marks(7, 1, false);
            assert_eq!(!story.sentence().is_empty(), fires, "{}", story.sentence());
        }
    }
}
