//! Stories of a hanging and of a torn transaction, as their ledgers tell them.

use super::*;
use crate::base::{BrokerId, Offset, ProducerEpoch, ProducerId, TopicPartition};
use crate::check::{RecordName, Subject as Accused, TransactionName, Violation};
use crate::picture::members::Members;
use crate::picture::recorder::{Read, Recorder};
use crate::picture::subject::choose;
use crate::picture::transactions::Transactions;
use crate::picture::transactions::tests::{COORDINATOR, LEADER, P1, P2, Story, orders};
use crate::run::caught::caught;
use crate::run::outcome::Broken;
use crate::run::{Lane, LaneKind};
use crate::scenario::Expect;
use crate::sim::{Ended, TransactionEvent};
use crate::txn::TransactionState;

/// What is told of a violation, a line for each step.
fn told(story: Story, reads: Vec<Read>, violation: Violation) -> String {
    let lane = |host, name: &str, kind| Lane { host, name: name.to_owned(), kind };
    let mut run = Recorder::default();
    run.lanes = vec![
        lane(LEADER, "b1", LaneKind::Broker(BrokerId(1))),
        lane(COORDINATOR, "b2", LaneKind::Broker(BrokerId(2))),
        lane(P1, "p1", LaneKind::Producer),
        lane(P2, "p2", LaneKind::Producer),
        lane(HostId(21), "k1", LaneKind::Consumer),
    ];
    run.now = Instant::from_secs(99);
    run.ledger = story.ledger();
    run.reads = reads;
    let mut outcome = caught(0, || panic!("only the rest of the outcome counts"));
    outcome.broken = vec![Broken::new(violation.invariant, violation.at, violation.to_string())];
    run.violations = vec![violation];
    let (members, transactions) =
        (Members::of(&run), Transactions::of(&run.ledger, run.verified()));
    let (violation, subject) = choose(&Expect::default(), &run, &outcome, &[], &transactions);
    let teller = Teller {
        run: &run,
        outcome: &outcome,
        subject: &subject,
        violation,
        marks: &[],
        spans: &[],
        members: &members,
        transactions: &transactions,
    };
    let line = |step: Step| format!("{:>9} {}: {}\n", seconds(step.at), step.title, step.text);
    teller.tell().into_iter().map(line).collect()
}

fn found(invariant: &'static str, subject: Accused, witness: TransactionWitness) -> Violation {
    Violation::found(invariant, Instant::from_secs(60), subject, witness).unwrap_err()
}

#[test]
fn hanging_transaction_is_told_from_its_first_record_to_the_missing_marker() {
    let mut story = Story::hanging();
    story.succeeded();
    let witness = TransactionWitness::Hanging {
        producer_id: ProducerId(7),
        epoch: ProducerEpoch(3),
        first: Offset(20),
        since: Instant::from_secs(5),
        healed: Instant::from_secs(30),
        within: std::time::Duration::from_secs(30),
    };
    let subject = Accused::Partition(orders(1));
    let told = told(story, Vec::new(), found("no-hanging-transaction", subject, witness));
    insta::assert_snapshot!("fate_of_a_hanging_transaction", told);
}

#[test]
fn torn_transaction_is_told_with_the_record_that_was_read_and_the_one_that_was_not() {
    let mut story = Story::committing();
    story.marked(0, true, 11);
    story.marked(1, false, 21);
    story.stored(4, TransactionState::CompleteCommit);
    story.says(P1, TransactionEvent::Ended { producer: 1, txn: 5, outcome: Ended::Committed });
    let name = |value| RecordName { value, sent: Some((1, value)) };
    let witness = TransactionWitness::Torn {
        transaction: TransactionName { producer: 1, number: 5 },
        seen: name(8),
        seen_in: orders(0),
        seen_at: Offset(10),
        missing: name(9),
        offset: Some(Offset(20)),
        consumer: 1,
        later: Offset(22),
    };
    let (at, host, partition) =
        (Instant::from_secs(40), HostId(21), TopicPartition::new("orders", 0));
    let reads = vec![Read { at, host, partition, offset: Offset(10), value: 8 }];
    let told =
        told(story, reads, found("torn-transaction", Accused::Partition(orders(1)), witness));
    insta::assert_snapshot!("fate_of_a_torn_transaction", told);
}
