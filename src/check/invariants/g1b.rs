//! `g1b`: a `read_committed` consumer got a record of a transaction before its producer asked for the
//! commit.
//!
//! The transaction was committed later, or may have been: what was read is an intermediate state. If no
//! commit is ever asked for, it is an `aborted-read`. A coordinator whose log lost entries within the
//! contract may end a transaction early that it does not know.
//! Source: Adya's G1b, intermediate reads.

use crate::check::{Event, Ghost, Invariant, TransactionWitness, Violation};
use crate::sim::{ClientEvent, TransactionEvent, What};

#[derive(Default)]
pub(super) struct G1b;

impl Invariant for G1b {
    fn name(&self) -> &'static str {
        "g1b"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        let What::Client(ClientEvent::Transaction(TransactionEvent::Ending {
            producer,
            txn,
            commit: true,
        })) = &event.seen.what
        else {
            return Ok(());
        };
        let transaction = ghost.transactions().get(*producer, *txn);
        let Some((transaction, early)) = transaction.and_then(|one| Some((one, one.early?))) else {
            return Ok(());
        };
        let Some(send) = ghost.clients().send_of(early.value) else { return Ok(()) };
        if ghost.transaction_log().may_decide_anew(transaction) {
            return Ok(());
        }
        let witness = TransactionWitness::ReadEarly {
            offset: early.read.offset,
            record: ghost.clients().name_of(early.value),
            transaction: transaction.name(),
            consumer: early.read.consumer,
            read: early.read.at,
        };
        event.broke(self.name(), &send.partition, witness)
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    fn stored() -> Story {
        let mut story = Story::judging("g1b");
        story.reads_committed(0);
        story.begins(3, 1);
        story.stored_in(3, 1, 100, 7);
        story
    }

    #[test]
    fn silent_when_the_commit_was_asked_for_before() {
        let mut story = stored();
        story.ending(3, 1, true);
        story.polled(0, &[(7, 100)]);
        story.silent();
    }

    #[test]
    fn silent_about_other_readers_and_transactions_never_committed() {
        let mut story = stored();
        story.polled(1, &[(7, 100)]);
        story.commits_transaction(3, 1);
        story.silent();
        let mut story = stored();
        story.polled(0, &[(7, 100)]);
        story.aborts_transaction(3, 1);
        story.finish_silent();
    }

    #[test]
    fn silent_when_its_coordinator_has_forgotten_it() {
        let mut story = Story::judging("g1b");
        story.reads_committed(0);
        story.identified(3, "till", 7, 0);
        story.logs("till", (7, 0), 0, &[]);
        story.begins(3, 1);
        story.stored_in(3, 1, 100, 7);
        story.coordinator_loses(0);
        story.polled(0, &[(7, 100)]);
        story.later();
        story.ending(3, 1, true);
        story.silent();
    }

    #[test]
    fn fires_when_it_is_read_before() {
        let mut story = stored();
        story.polled(0, &[(7, 100)]);
        story.later();
        story.ending(3, 1, true);
        story.fired(
            "orders-0 offset 7 read by read_committed consumer k0 at 1.000 s is p3's record 100 of p3's \
             transaction 1, for which a commit was asked only at 2.000 s",
        );
    }
}
