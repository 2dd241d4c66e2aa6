//! `decision-durable`: once a coordinator has committed an outcome to its log, only the completion of
//! that outcome follows, and clients are told no other.
//!
//! The entries are those below the high watermark of `__transaction_state`. A client that is told of a
//! commit or an abort of a transaction with records must find that decision there, made since the
//! transaction began. Entries that were lost within the contract are not there any more; clients of their
//! transactional ids are not judged from then on.
//! Source: KIP-98; Kafka's TransactionMetadata.

use std::sync::Arc;

use crate::base::TopicPartition;
use crate::check::ghost::{Change, Decision, Entry, Logged, State, Transaction};
use crate::check::{Event, Ghost, Invariant, Subject, TransactionWitness, Violation};
use crate::sim::{ClientEvent, Ended, TransactionEvent, What};

#[derive(Default)]
pub(super) struct DecisionDurable;

impl Invariant for DecisionDurable {
    fn name(&self) -> &'static str {
        "decision-durable"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for change in event.changes {
            if let Change::Logged { entry, before: Some(before) } = change
                && let Some(witness) = changed(entry, before)
            {
                let subject = Subject::TransactionalId(entry.id.to_string());
                return event.broke(self.name(), subject, witness);
            }
        }
        if event.changes.iter().any(|change| matches!(change, Change::Promised { .. }))
            && let Some((partition, offset)) = ghost.transaction_log().unreadable()
        {
            let partition = TopicPartition::new(crate::base::topics::TRANSACTION_STATE, partition);
            let witness = TransactionWitness::UnreadableEntry { offset };
            return event.broke(self.name(), &partition, witness);
        }
        let What::Client(ClientEvent::Transaction(TransactionEvent::Ended {
            producer,
            txn,
            outcome: told @ (Ended::Committed | Ended::Aborted),
        })) = &event.seen.what
        else {
            return Ok(());
        };
        let Some(transaction) = ghost.transactions().get(*producer, *txn) else { return Ok(()) };
        let commit = *told == Ended::Committed;
        match contradiction(ghost, transaction, commit) {
            Some((id, decided)) => {
                let transaction = transaction.name();
                let witness = TransactionWitness::NotDecided { transaction, commit, decided };
                event.broke(self.name(), Subject::TransactionalId(id.to_string()), witness)
            }
            None => Ok(()),
        }
    }
}

/// Whether an entry takes back the decision before it.
fn changed(entry: &Entry, before: &Logged) -> Option<TransactionWitness> {
    let State::Prepared { commit } = before.value.state else { return None };
    let after = entry.value.as_ref().map(|value| value.state);
    let keeps = match after {
        Some(State::Prepared { commit: same } | State::Complete { commit: same }) => same == commit,
        Some(State::Empty | State::Ongoing | State::Other) | None => false,
    };
    (!keeps).then(|| TransactionWitness::DecisionChanged {
        before: before.value.state.words(),
        after: after.map_or("nothing", State::words),
        decided: before.at,
        offset: entry.offset,
    })
}

/// The transactional id of a transaction whose coordinator did not decide what its client was told, and
/// what it decided instead.
fn contradiction<'a>(
    ghost: &Ghost,
    transaction: &'a Transaction,
    commit: bool,
) -> Option<(&'a Arc<str>, Option<bool>)> {
    let identity = transaction.identity.as_ref()?;
    let (id, log) = (identity.transactional_id.as_ref()?, ghost.transaction_log());
    let stored = transaction
        .sends
        .iter()
        .any(|value| ghost.clients().send_of(*value).is_some_and(|send| send.stored().is_some()));
    if !stored || log.has_forgotten(id) {
        return None;
    }
    // Without any entry, this coordinator is not observed.
    log.logged(id)?;
    // An older epoch is another client's; the producer id may have been replaced on the way.
    let own = |made: &&Decision| {
        let older = made.producer == identity.id && made.began < identity.epoch;
        !older && made.at >= transaction.began
    };
    let mut made = log.decisions(id).iter().filter(own);
    match made.clone().any(|made| made.commit == commit) {
        true => None,
        // An abort may have been decided before, or need no decision.
        false if !commit => made.next().map(|made| (id, Some(made.commit))),
        false => Some((id, made.next().map(|made| made.commit))),
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    fn judging() -> Story {
        let mut story = Story::judging("decision-durable");
        story.logs("till", (7, 0), 0, &[]);
        story.logs("till", (7, 0), 1, &[("orders", 0)]);
        story
    }

    #[test]
    fn silent_about_transactions_one_after_the_other() {
        let mut story = judging();
        for (epoch, status) in [(1, 2), (1, 2), (1, 4), (1, 1), (2, 3), (2, 5), (3, 0)] {
            story.logs("till", (7, epoch), status, &[("orders", 0)]);
        }
        story.logs_bytes("till", None);
        story.silent();
    }

    #[test]
    fn fires_when_a_prepared_commit_becomes_anything_but_a_complete_one() {
        for (status, after) in [
            (3, "a prepared abort"),
            (5, "a complete abort"),
            (1, "a transaction that goes on"),
            (0, "no transaction"),
        ] {
            let mut story = judging();
            story.logs("till", (7, 1), 2, &[("orders", 0)]);
            story.later();
            story.logs("till", (7, 1), status, &[]);
            story.fired(&format!(
                "transactional id till had a prepared commit at 1.000 s, and {after} at 2.000 s (offset \
                 3 of its coordinator's log)"
            ));
        }
        let mut story = judging();
        story.logs("till", (7, 1), 3, &[("orders", 0)]);
        story.logs_bytes("till", None);
        assert!(story.sentence().contains("and nothing at"), "{}", story.sentence());
    }

    #[test]
    fn silent_when_the_decision_was_lost_within_the_contract() {
        let mut story = judging();
        story.logs("till", (7, 1), 2, &[("orders", 0)]);
        story.coordinator_loses(2);
        story.logs("till", (7, 1), 3, &[("orders", 0)]);
        story.silent();
        // What is decided from then on counts.
        story.logs("till", (7, 1), 4, &[]);
        assert!(story.sentence().contains("a prepared abort"), "{}", story.sentence());
    }

    /// A client's transaction with one record.
    fn of_client() -> Story {
        let mut story = judging();
        story.identified(3, "till", 7, 0);
        story.begins(3, 1);
        story.stored_in(3, 1, 100, 0);
        story.ending(3, 1, true);
        story
    }

    #[test]
    fn silent_when_the_client_is_told_what_was_decided() {
        let mut story = of_client();
        story.logs("till", (7, 1), 2, &[("orders", 0)]);
        story.commits_transaction(3, 1);
        story.silent();
        let mut story = of_client();
        story.logs("till", (7, 1), 3, &[("orders", 0)]);
        story.aborts_transaction(3, 1);
        story.silent();
    }

    #[test]
    fn fires_when_the_client_is_told_something_else() {
        let mut story = of_client();
        story.commits_transaction(3, 1);
        story.fired(
            "transactional id till told p3's transaction 1 at 1.000 s that it is committed, and its \
             coordinator decided nothing",
        );
        let mut story = of_client();
        story.logs("till", (7, 1), 3, &[("orders", 0)]);
        story.commits_transaction(3, 1);
        assert!(story.sentence().contains("decided to abort"), "{}", story.sentence());
        let mut story = of_client();
        story.logs("till", (7, 1), 2, &[("orders", 0)]);
        story.aborts_transaction(3, 1);
        assert!(story.sentence().contains("decided to commit"), "{}", story.sentence());
    }

    #[test]
    fn client_is_excused_only_by_lost_entries_of_its_own_id() {
        for (id, fires) in [("till", false), ("desk", true)] {
            let mut story = of_client();
            story.logs(id, (9, 0), 0, &[]);
            story.coordinator_loses(2);
            story.commits_transaction(3, 1);
            assert_eq!(!story.sentence().is_empty(), fires, "{id}: {}", story.sentence());
        }
    }

    #[test]
    fn fires_about_an_entry_that_can_not_be_read() {
        let mut story = judging();
        story.logs_bytes("till", Some(&[0, 9, 1]));
        story.fired(
            "__transaction_state-0 the committed entries from offset 2 on can't be read at 1.000 s",
        );
    }
}
