//! Timeouts of transactions, and the expiry of transactional ids.

use super::*;

#[test]
fn transaction_that_takes_too_long_is_aborted_and_its_producer_fenced() {
    let (mut shell, first) = ongoing();
    shell.pass_secs(TIMEOUT);
    assert_eq!(shell.state(), TransactionState::Ongoing, "the last millisecond counts");
    shell.pass(Duration::from_millis(1));
    assert_eq!(shell.state(), TransactionState::PrepareAbort);
    assert_eq!(shell.end(first, Outcome::Commit), Err(ErrorCode::ConcurrentTransactions));
    shell.write_markers();
    assert_eq!(shell.end(first, Outcome::Commit), Err(ErrorCode::InvalidTxnState));
    assert_eq!(shell.add(first, &["orders-0"]), ErrorCode::ProducerFenced);
}

#[test]
fn partitions_that_join_do_not_prolong_a_transaction() {
    let (mut shell, first) = ongoing();
    shell.pass_secs(TIMEOUT - 1);
    assert_eq!(shell.add(first, &["pay-0"]), ErrorCode::None);
    shell.pass_secs(2);
    assert_eq!(shell.state(), TransactionState::PrepareAbort);
}

#[test]
fn transaction_that_ends_in_time_does_not_time_out() {
    let (mut shell, first) = ongoing();
    let next = shell.end(first, Outcome::Commit).unwrap();
    shell.write_markers();
    shell.pass_secs(TIMEOUT - 1);
    assert_eq!(shell.add(next, &["orders-0"]), ErrorCode::None);
    shell.pass_secs(2);
    assert_eq!(shell.state(), TransactionState::Ongoing, "its own time counts");
}

#[test]
fn new_coordinator_knows_how_long_a_transaction_has_taken() {
    let (mut shell, _) = ongoing();
    shell.pass_secs(TIMEOUT - 10);
    shell.fail_over(shell.log.len());
    shell.pass_secs(9);
    assert_eq!(shell.state(), TransactionState::Ongoing);
    shell.pass_secs(2);
    assert_eq!(shell.state(), TransactionState::PrepareAbort);
}

#[test]
fn clock_that_is_behind_prolongs_a_transaction_by_its_timeout_at_most() {
    let (mut shell, _) = ongoing();
    shell.clock_offset = -1_000_000_000;
    shell.fail_over(shell.log.len());
    shell.pass_secs(TIMEOUT + 1);
    assert_eq!(shell.state(), TransactionState::PrepareAbort);
}

#[test]
fn timeout_that_is_not_appended_is_tried_again() {
    let (mut shell, _) = ongoing();
    shell.refuses = true;
    shell.pass_secs(TIMEOUT + 1);
    assert_eq!(shell.state(), TransactionState::Ongoing);
    shell.refuses = false;
    shell.pass(Duration::ZERO);
    assert_eq!(shell.state(), TransactionState::PrepareAbort);
}

#[test]
fn timeout_in_the_last_epoch_waits_for_a_producer_id() {
    let (mut shell, _) = ongoing_at(LAST);
    shell.has_producers = false;
    shell.pass_secs(TIMEOUT + 1);
    assert_eq!(shell.state(), TransactionState::Ongoing);
    shell.set_producers(true);
    shell.pass(Duration::ZERO);
    assert_eq!(shell.state(), TransactionState::PrepareAbort);
    assert_eq!(shell.stored().next, ProducerId(1000));
    shell.write_markers();
    assert_eq!(shell.stored().producer, ProducerId(1000));
}

#[test]
fn transaction_of_two_phases_never_times_out() {
    let mut shell = Shell::new();
    let ongoing = Transaction {
        epoch: ProducerEpoch(1),
        timeout_ms: i32::MAX,
        state: TransactionState::Ongoing,
        started: shell.wall(),
        updated: shell.wall(),
        ..Transaction::new(ProducerId(7))
    };
    shell.begin_with(ongoing);
    shell.pass_secs(3 * 24 * 60 * 60);
    assert_eq!(shell.state(), TransactionState::Ongoing);
}

#[test]
fn idle_transactional_id_expires_with_a_tombstone() {
    let week = 7 * 24 * 60 * 60;
    for state in STATES.into_iter().filter(|state| state.is_idle()) {
        let mut shell = Shell::new();
        stage(&mut shell, state, 5);
        shell.pass_secs(week - 60 * 60);
        assert_eq!(shell.state(), state);
        shell.pass_secs(2 * 60 * 60);
        assert_eq!(shell.committed().stored(ID), None);
        assert_eq!(shell.log.last(), Some(&Record::Expired(ID.into())));
        assert_eq!(shell.add(producer(7, 5), &["a-0"]), ErrorCode::InvalidProducerIdMapping);
        assert_eq!(shell.init(Some(producer(7, 5))), Ok(producer(1000, 0)));
    }
}

#[test]
fn transactional_id_whose_markers_travel_does_not_expire() {
    let (mut shell, first) = ongoing();
    shell.end(first, Outcome::Commit).unwrap();
    shell.pass_secs(30 * 24 * 60 * 60);
    assert_eq!(shell.state(), TransactionState::PrepareCommit);
}

#[test]
fn many_ids_expire_in_batches_of_a_bounded_size() {
    let mut shell = Shell::new();
    let ids: Vec<_> = (0..6000).map(|number| format!("{number:0>90}")).collect();
    for id in &ids {
        shell.init_as(InitRequest { id, ..init() }).unwrap();
    }
    let before = shell.log.len();
    shell.pass_secs(8 * 24 * 60 * 60);
    assert_eq!(shell.log.len(), before + ids.len());
    assert_eq!(shell.committed().iter().count(), 0);
}
