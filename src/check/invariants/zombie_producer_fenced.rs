//! `zombie-producer-fenced`: once another producer has a transactional id, nothing that the one before
//! begins is acknowledged, and no partition takes a batch or a marker of an older epoch than it has seen.
//!
//! A client is a zombie when another one's InitProducerId gave it a newer epoch, or the producer id that
//! replaced one whose epochs were exhausted: coordinators log which came first. Sends and commits that the zombie began before that may succeed. A transactional id is not judged after
//! its coordinator lost entries of it within the contract.
//! Source: KIP-98, KIP-360; Kafka's ProducerAppendInfo.checkProducerEpoch.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Instant, ProducerEpoch, ProducerId};
use crate::check::ghost::{Change, Step, Transaction};
use crate::check::{Event, Ghost, Invariant, Subject, TransactionWitness, Violation};
use crate::sim::{ClientEvent, Ended, HostId, Outcome, ProducerEvent, TransactionEvent, What};

/// The newest client of a transactional id.
#[derive(Clone, Copy, Debug)]
struct Newest {
    producer: u32,
    host: HostId,
    incarnation: u32,
    id: ProducerId,
    epoch: ProducerEpoch,
    since: Instant,
}

#[derive(Default)]
pub(super) struct ZombieProducerFenced {
    newest: BTreeMap<Arc<str>, Newest>,
    /// The process in which each transaction began.
    begun: BTreeMap<(u32, u64), u32>,
}

impl Invariant for ZombieProducerFenced {
    fn name(&self) -> &'static str {
        "zombie-producer-fenced"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for change in event.changes {
            if let Change::Transaction { partition, step } = change
                && let Some(witness) = old_epoch(*step)
            {
                return event.broke(self.name(), partition, witness);
            }
        }
        match &event.seen.what {
            What::Client(ClientEvent::Transaction(said)) => self.transaction(event, ghost, said),
            What::Client(ClientEvent::Producer(ProducerEvent::Told {
                producer,
                op,
                outcome: Outcome::Ok { .. },
            })) => {
                let send = ghost.clients().send(*producer, *op);
                let Some((send, txn)) = send.and_then(|send| Some((send, send.txn?))) else {
                    return Ok(());
                };
                let Some(transaction) = ghost.transactions().get(*producer, txn) else {
                    return Ok(());
                };
                let Some((epoch, newest)) = self.fenced(ghost, transaction, send.at) else {
                    return Ok(());
                };
                let witness = TransactionWitness::ZombieStored {
                    record: ghost.clients().name_of(send.value),
                    epoch,
                    by: newest.producer,
                    newest: newest.epoch,
                    since: newest.since,
                };
                event.broke(self.name(), &send.partition, witness)
            }
            _ => Ok(()),
        }
    }
}

impl ZombieProducerFenced {
    fn transaction(
        &mut self,
        event: &Event<'_>,
        ghost: &Ghost,
        said: &TransactionEvent,
    ) -> Result<(), Violation> {
        let (host, since) = (event.seen.host, event.seen.at);
        let incarnation = ghost.clients().incarnation(host);
        match said {
            TransactionEvent::Identified {
                producer,
                transactional_id: Some(transactional_id),
                id,
                epoch,
            } => {
                let (producer, id, epoch) = (*producer, *id, *epoch);
                let next = Newest { producer, host, incarnation, id, epoch, since };
                let known = self.newest.entry(Arc::clone(transactional_id)).or_insert(next);
                // An answer may come late: the other's epoch is newer then.
                if is_older(ghost, (known.id, known.epoch), (id, epoch)) {
                    *known = next;
                }
                Ok(())
            }
            TransactionEvent::Began { producer, txn } => {
                self.begun.insert((*producer, *txn), incarnation);
                Ok(())
            }
            TransactionEvent::Ended { producer, txn, outcome: Ended::Committed } => {
                let transaction = ghost.transactions().get(*producer, *txn);
                let Some((transaction, asked)) =
                    transaction.and_then(|one| Some((one, one.commit_asked?)))
                else {
                    return Ok(());
                };
                let Some((epoch, newest)) = self.fenced(ghost, transaction, asked) else {
                    return Ok(());
                };
                let Some(id) = transaction.transactional_id() else { return Ok(()) };
                let subject = Subject::TransactionalId(id.to_string());
                let witness = TransactionWitness::ZombieCommitted {
                    transaction: transaction.name(),
                    epoch,
                    by: newest.producer,
                    newest: newest.epoch,
                    since: newest.since,
                };
                event.broke(self.name(), subject, witness)
            }
            _ => Ok(()),
        }
    }

    /// The epoch of a transaction's producer, and the client that had fenced it before something began.
    fn fenced(
        &self,
        ghost: &Ghost,
        transaction: &Transaction,
        began: Instant,
    ) -> Option<(ProducerEpoch, Newest)> {
        let identity = transaction.identity.as_ref()?;
        let id = identity.transactional_id.as_ref()?;
        let newest = self.newest.get(id)?;
        let key = (transaction.producer, transaction.number);
        let own = newest.producer == transaction.producer
            && newest.host == transaction.host
            && self.begun.get(&key) == Some(&newest.incarnation);
        let own_epoch = (identity.id, identity.epoch);
        let older = is_older(ghost, own_epoch, (newest.id, newest.epoch));
        let fenced = older && !own && newest.since < began;
        (fenced && !ghost.transaction_log().has_forgotten(id)).then_some((identity.epoch, *newest))
    }
}

/// Whether one producer id and epoch of a transactional id came before another one.
fn is_older(
    ghost: &Ghost,
    one: (ProducerId, ProducerEpoch),
    other: (ProducerId, ProducerEpoch),
) -> bool {
    if one.0 == other.0 {
        return one.1 < other.1;
    }
    let log = ghost.transaction_log();
    match (log.rank(one.0), log.rank(other.0)) {
        (Some(one), Some(other)) => one < other,
        // The other one was given, and is not logged as far as the ghost knows.
        (Some(_), None) => true,
        (None, _) => false,
    }
}

/// Whether a committed batch has an older epoch than the partition had seen.
fn old_epoch(step: Step) -> Option<TransactionWitness> {
    let (offset, marker, producer_id, epoch, newest) = match step {
        Step::Wrote { producer, epoch, newest, base } => (base, false, producer, epoch, newest),
        Step::Marked { settled, newest } => {
            (settled.marker, true, settled.producer, settled.epoch, newest)
        }
    };
    let old = epoch < newest;
    old.then_some(TransactionWitness::OldEpoch { offset, marker, producer_id, epoch, newest })
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    /// Producer 3 is in a transaction, and producer 4 got its transactional id.
    fn fenced() -> Story {
        let mut story = Story::judging("zombie-producer-fenced");
        story.identified(3, "till", 7, 0);
        story.begins(3, 1);
        story.sent_in(3, 1, 100);
        story.later();
        story.identified(4, "till", 7, 1);
        story.later();
        story
    }

    #[test]
    fn silent_about_what_began_before_and_what_is_refused() {
        let mut story = fenced();
        story.told_ok(3, 100, Some(0));
        story.sent_in(3, 1, 101);
        story.told_fail(3, 101, "INVALID_PRODUCER_EPOCH");
        story.ending(3, 1, true);
        story.told_fenced(3, 1);
        story.begins(4, 1);
        story.stored_in(4, 1, 200, 1);
        story.commits_transaction(4, 1);
        story.silent();
    }

    #[test]
    fn silent_when_the_answer_to_an_older_epoch_comes_late() {
        let mut story = fenced();
        story.begins(4, 1);
        story.identified(5, "till", 7, 0);
        story.later();
        story.stored_in(4, 1, 200, 1);
        story.commits_transaction(4, 1);
        story.silent();
    }

    #[test]
    fn silent_about_a_producer_whose_own_epochs_rise() {
        let mut story = Story::judging("zombie-producer-fenced");
        story.identified(3, "till", 7, 0);
        for txn in 1..4 {
            story.begins(3, txn);
            story.later();
            story.stored_in(3, txn, 100 + txn, txn as i64);
            story.commits_transaction(3, txn);
            story.bumped(3, 7, txn as i16);
        }
        story.silent();
    }

    #[test]
    fn fires_when_a_record_that_was_sent_after_is_stored() {
        let mut story = fenced();
        story.stored_in(3, 1, 101, 0);
        story.fired(
            "orders-0 p3's record 101 of epoch 0 was acknowledged at 3.000 s, though p4 had had epoch 1 \
             since 2.000 s before it was sent",
        );
    }

    #[test]
    fn fires_when_a_commit_that_was_asked_for_after_succeeds() {
        let mut story = fenced();
        story.commits_transaction(3, 1);
        story.fired(
            "transactional id till committed p3's transaction 1 of epoch 0 at 3.000 s, though p4 had had \
             epoch 1 since 2.000 s before that was asked for",
        );
    }

    /// Producer 3 is in a transaction with the last epoch, and producer 4 got the next producer id.
    fn replaced() -> Story {
        let mut story = Story::judging("zombie-producer-fenced");
        story.logs("till", (9, 32_766), 1, &[]);
        story.identified(3, "till", 9, 32_766);
        story.begins(3, 1);
        story.later();
        story.logs("till", (7, 0), 0, &[]);
        story.identified(4, "till", 7, 0);
        story.later();
        story
    }

    #[test]
    fn silent_about_the_client_that_has_the_next_producer_id() {
        let mut story = replaced();
        story.identified(5, "till", 9, 32_766);
        story.later();
        story.begins(4, 1);
        story.stored_in(4, 1, 200, 1);
        story.commits_transaction(4, 1);
        story.silent();
    }

    #[test]
    fn fires_when_the_client_of_the_producer_id_before_commits() {
        let mut story = replaced();
        story.commits_transaction(3, 1);
        story.fired(
            "transactional id till committed p3's transaction 1 of epoch 32766 at 3.000 s, though p4 had \
             had epoch 0 since 2.000 s before that was asked for",
        );
    }

    #[test]
    fn excused_only_for_the_transactional_id_whose_entries_were_lost() {
        for (lost, fires) in [("till", false), ("desk", true)] {
            let mut story = fenced();
            story.logs(lost, (5, 1), 0, &[]);
            story.coordinator_loses(0);
            story.commits_transaction(3, 1);
            assert_eq!(!story.sentence().is_empty(), fires, "{}", story.sentence());
        }
    }

    #[test]
    fn silent_while_epochs_rise_in_a_partition() {
        let mut story = Story::judging("zombie-producer-fenced");
        story.writes_in(7, 0, &[100]);
        story.marks(7, 0, true);
        story.writes_in(7, 0, &[101]);
        story.marks(7, 1, false);
        story.writes_in(7, 1, &[102]);
        story.writes_in(8, 0, &[103]);
        story.silent();
    }

    #[test]
    fn fires_when_a_partition_takes_a_record_or_a_marker_of_an_old_epoch() {
        let mut story = Story::judging("zombie-producer-fenced");
        story.writes_in(7, 0, &[100]);
        story.marks(7, 1, false);
        story.writes_in(7, 0, &[101]);
        story.fired(
            "orders-0 offset 2 is a record of epoch 0 of producer id 7 at 1.000 s, after epoch 1 of it",
        );
        let mut story = Story::judging("zombie-producer-fenced");
        story.writes_in(7, 2, &[100]);
        story.marks(7, 1, true);
        assert!(story.sentence().contains("is a marker of epoch 1"), "{}", story.sentence());
    }
}
