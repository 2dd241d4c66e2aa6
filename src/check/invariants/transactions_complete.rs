//! `transactions-complete`: within a bounded time after the heal, every decided transaction is complete,
//! and every producer that asked for a commit or an abort knows the outcome.
//!
//! Time counts from the heal, or from the decision or the question if that came later. A producer whose
//! process ended asks no more. Nothing is judged of a transactional id after its coordinator lost committed
//! entries within the contract: an earlier decision may be the last that is left, and partitions refuse its
//! markers if they have had those of later ones. As in Kafka, it is then never complete.
//! Source: KIP-98; KIP-890.

use std::time::Duration;

use crate::base::Instant;
use crate::check::ghost::State;
use crate::check::{Ending, Event, Ghost, Invariant, Note, Subject, TransactionWitness, Violation};

pub(super) struct TransactionsComplete {
    pub within: Duration,
}

impl TransactionsComplete {
    /// Everything that is not complete, and when it is due.
    fn pending(
        &self,
        healed: Instant,
        ghost: &Ghost,
    ) -> Vec<(Instant, Subject, TransactionWitness)> {
        let within = self.within;
        let (mut found, log) = (Vec::new(), ghost.transaction_log());
        for (id, logged) in log.all().filter(|(id, _)| !log.has_forgotten(id)) {
            let State::Prepared { commit } = logged.value.state else { continue };
            let decided = logged.at;
            let subject = Subject::TransactionalId(id.to_string());
            let witness = TransactionWitness::NotCompleted { commit, decided, healed, within };
            found.push((healed.max(decided) + within, subject, witness));
        }
        for transaction in ghost.transactions().all() {
            let forgotten = transaction.transactional_id().is_some_and(|id| log.has_forgotten(id));
            let open = transaction.ended.is_none() && !transaction.orphaned && !forgotten;
            let Some((asked, commit)) = transaction.asked.filter(|_| open) else { continue };
            let subject = Subject::Producer(transaction.producer);
            let transaction = transaction.name();
            let witness =
                TransactionWitness::NotTold { transaction, commit, asked, healed, within };
            found.push((healed.max(asked) + within, subject, witness));
        }
        found
    }
}

impl Invariant for TransactionsComplete {
    fn name(&self) -> &'static str {
        "transactions-complete"
    }

    fn observe(&mut self, _event: &Event<'_>, _ghost: &Ghost) -> Result<(), Violation> {
        Ok(())
    }

    fn finish(&mut self, ending: Ending, ghost: &Ghost) -> Result<(), Violation> {
        let Some(healed) = ending.healed else { return Ok(()) };
        let pending = self.pending(healed, ghost).into_iter();
        match pending.filter(|(due, ..)| *due <= ending.now).min_by_key(|(due, ..)| *due) {
            Some((due, subject, witness)) => Violation::found(self.name(), due, subject, witness),
            None => Ok(()),
        }
    }

    fn unjudged(&self, ending: Ending, ghost: &Ghost) -> Option<Note> {
        let pending = self.pending(ending.healed?, ghost);
        pending
            .iter()
            .any(|(due, ..)| *due > ending.now)
            .then_some(Note::EndedEarly { invariant: self.name() })
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    fn asked() -> Story {
        let mut story = Story::judging("transactions-complete");
        story.begins(3, 1);
        story.ending(3, 1, true);
        story.later();
        story.healed();
        story
    }

    #[test]
    fn silent_when_the_outcome_comes_in_time_whatever_it_is() {
        let mut story = asked();
        story.told_fenced(3, 1);
        story.long_later();
        story.finish_silent();
    }

    #[test]
    fn silent_about_a_process_that_ended_and_one_that_never_asked() {
        let mut story = asked();
        story.client_killed();
        story.begins(4, 1);
        story.long_later();
        story.finish_silent();
    }

    #[test]
    fn fires_when_no_outcome_comes() {
        let mut story = asked();
        story.long_later();
        story.finish_fired(
            "p3 has no outcome of p3's transaction 1 30 s after the heal at 2.000 s; it asked for the \
             commit at 1.000 s",
        );
    }

    #[test]
    fn notes_a_run_that_ended_early() {
        let mut story = asked();
        story.later();
        assert_eq!(story.finish().notes.len(), 1);
        story.silent();
    }

    #[test]
    fn excused_only_if_its_own_coordinator_forgot_committed_entries() {
        for (id, fires) in [("till", false), ("another", true)] {
            let mut story = Story::judging("transactions-complete");
            story.logs("till", (7, 1), 3, &[("orders", 0)]);
            story.logs(id, (7, 2), 5, &[]);
            story.coordinator_loses(1);
            story.healed();
            story.long_later();
            assert_eq!(!story.finish_sentence().is_empty(), fires, "{}", story.sentence());
        }
    }

    #[test]
    fn silent_when_the_decision_is_carried_out_and_fires_when_it_is_not() {
        for complete in [true, false] {
            let mut story = Story::judging("transactions-complete");
            story.logs("till", (7, 1), 3, &[("orders", 0)]);
            story.healed();
            if complete {
                story.logs("till", (7, 1), 5, &[]);
            }
            story.long_later();
            let said = story.finish_sentence();
            assert_eq!(said.is_empty(), complete, "{said}");
            let fired = "transactional id till is not complete 30 s after the heal at 1.000 s; the abort \
                         was decided at 1.000 s";
            assert!(complete || said == fired, "{said}");
        }
    }
}
