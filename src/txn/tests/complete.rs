//! Markers and completion, through failovers at every point.

use super::*;
use crate::txn::SoftEffect;

#[test]
fn markers_leave_only_when_the_outcome_is_committed() {
    let (mut shell, first) = ongoing();
    shell.commits = false;
    shell.end(first, Outcome::Commit).unwrap();
    shell.pass_secs(1);
    assert!(shell.markers.is_empty());
    shell.commit_all();
    let markers = &shell.markers[0];
    assert_eq!((markers.partition, markers.coordinator.0, markers.id.as_str()), (3, 0, ID));
    assert_eq!((markers.outcome, markers.version), (Outcome::Commit, TransactionVersion::V2));
    assert_eq!(*markers.partitions, partitions(["orders-0", "orders-1"]));
}

#[test]
fn transaction_is_complete_when_the_last_partition_has_written_its_marker() {
    let (mut shell, first) = ongoing();
    shell.end(first, Outcome::Commit).unwrap();
    let markers = shell.markers.remove(0);
    shell.written(&markers, &partitions(["orders-1", "unknown-0"]));
    assert_eq!(shell.state(), TransactionState::PrepareCommit);
    assert_eq!(shell.machine().waits_for(ID), Some(partitions(["orders-0"])));
    shell.written(&markers, &partitions(["orders-1", "orders-0"]));
    assert_eq!(shell.state(), TransactionState::CompleteCommit);
    assert_eq!(shell.machine().waits_for(ID), None);
    assert!(shell.stored().partitions.is_empty());
}

#[test]
fn completion_that_is_not_appended_is_tried_again() {
    let (mut shell, first) = ongoing();
    shell.end(first, Outcome::Abort).unwrap();
    shell.refuses = true;
    shell.write_markers();
    assert_eq!(shell.state(), TransactionState::PrepareAbort);
    shell.refuses = false;
    shell.pass(Duration::ZERO);
    assert_eq!(shell.state(), TransactionState::CompleteAbort);
}

#[test]
fn markers_of_another_coordinator_or_transaction_do_not_count() {
    let (mut shell, first) = ongoing();
    shell.end(first, Outcome::Commit).unwrap();
    let stale = shell.markers[0].clone();
    shell.fail_over(shell.log.len());
    let fresh = shell.markers[0].clone();
    assert_eq!(fresh.coordinator.0, stale.coordinator.0 + 1);
    shell.written(&stale, &stale.partitions);
    assert_eq!(shell.state(), TransactionState::PrepareCommit);
    let other = Markers { epoch: ProducerEpoch(9), ..fresh.clone() };
    shell.written(&other, &other.partitions);
    assert_eq!(shell.state(), TransactionState::PrepareCommit);
    shell.written(&fresh, &fresh.partitions);
    assert_eq!(shell.state(), TransactionState::CompleteCommit);
    shell.written(&fresh, &fresh.partitions);
    assert_eq!(shell.state(), TransactionState::CompleteCommit, "a second answer changes nothing");
}

#[test]
fn new_coordinator_sends_the_markers_of_every_prepared_transaction() {
    for outcome in [Outcome::Commit, Outcome::Abort] {
        let (mut shell, first) = ongoing();
        let next = shell.end(first, outcome).unwrap();
        let markers = shell.markers.remove(0);
        shell.written(&markers, &partitions(["orders-0"]));
        shell.fail_over(shell.log.len());
        assert_eq!(shell.markers.len(), 1);
        assert_eq!(
            shell.markers[0].partitions, markers.partitions,
            "partitions that have written theirs get it too"
        );
        shell.write_markers();
        assert_eq!(shell.state(), outcome.completed());
        assert_eq!(shell.add(next, &["orders-0"]), ErrorCode::None);
    }
}

#[test]
fn outcome_that_may_be_lost_is_not_resumed_before_it_is_committed() {
    let (mut shell, first) = ongoing();
    shell.commits = false;
    shell.end(first, Outcome::Commit).unwrap();
    shell.fail_over(shell.log.len());
    assert!(shell.markers.is_empty(), "another replica may lead, and abort the transaction");
    shell.commit_all();
    assert_eq!(shell.markers.len(), 1);
}

#[test]
fn outcome_that_was_lost_is_decided_again() {
    let (mut shell, first) = ongoing();
    shell.commits = false;
    shell.end(first, Outcome::Commit).unwrap();
    shell.fail_over(shell.log.len() - 1);
    shell.commits = true;
    assert_eq!(shell.speculative().stored(ID).unwrap().state, TransactionState::Ongoing);
    assert_eq!(shell.end(first, Outcome::Abort), Ok(producer(1000, 1)));
    assert_eq!(shell.markers[0].outcome, Outcome::Abort);
}

#[test]
fn completion_that_was_lost_is_repeated() {
    let (mut shell, first) = ongoing();
    shell.end(first, Outcome::Commit).unwrap();
    shell.commits = false;
    shell.write_markers();
    assert_eq!(shell.state(), TransactionState::PrepareCommit);
    shell.fail_over(shell.log.len() - 1);
    shell.commits = true;
    shell.pass(Duration::ZERO);
    shell.write_markers();
    assert_eq!(shell.state(), TransactionState::CompleteCommit);
}

#[test]
fn requests_before_a_new_coordinator_has_looked_around_change_no_outcome() {
    let (mut shell, first) = ongoing();
    let next = shell.end(first, Outcome::Commit).unwrap();
    shell.elect(shell.log.len());
    assert_eq!(shell.add(next, &["pay-0"]), ErrorCode::ConcurrentTransactions);
    assert_eq!(shell.init(None), Err(ErrorCode::ConcurrentTransactions));
    shell.pass(Duration::ZERO);
    assert_eq!(shell.markers.len(), 1, "once");
}

#[test]
fn deposed_coordinator_takes_its_markers_back() {
    let (outgoing, mut received) = tokio::sync::mpsc::unbounded_channel();
    let at = (3, crate::base::LeaderEpoch(4));
    let mut machine = TxnCoordinator::new(at, TxnSettings::default(), outgoing);
    crate::decide::Machine::restore(&mut machine, Transactions::default());
    let resigned = Outgoing::Resigned { partition: 3, epoch: crate::base::LeaderEpoch(4) };
    assert_eq!(received.try_recv(), Ok(resigned));
    let late = SoftEffect::Written {
        coordinator: crate::base::LeaderEpoch(4),
        id: ID.into(),
        producer: producer(7, 5),
        partitions: Vec::new(),
    };
    let now = crate::base::Instant::START;
    crate::decide::Machine::carry_out(&mut machine, now, Effect::Soft(late));
    assert_eq!(crate::decide::Machine::deadline(&machine), None);
}
