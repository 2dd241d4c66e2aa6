//! InitProducerId: new ids, fencing, recovery, exhausted epochs.

use super::*;

#[test]
fn new_transactional_id_gets_a_producer_with_epoch_0() {
    let (shell, _) = started();
    let stored = shell.stored();
    assert_eq!((stored.state, stored.timeout_ms), (TransactionState::Empty, 60_000));
    assert_eq!((stored.started.0, stored.updated), (-1, shell.wall()));
}

#[test]
fn new_transactional_id_may_begin_near_the_end_of_its_epochs() {
    let mut shell =
        Shell::with(TxnSettings { first_epoch: ProducerEpoch(LAST), ..TxnSettings::default() });
    let first = shell.init(None).unwrap();
    assert_eq!(first, producer(1000, LAST));
    assert_eq!(shell.add(first, &["orders-0"]), ErrorCode::None);
    assert_eq!(shell.end(first, Outcome::Commit), Ok(producer(1001, 0)), "another id, from 0 on");
}

#[test]
fn producer_that_starts_again_gets_the_next_epoch_and_fences_the_one_before() {
    let (mut shell, first) = started();
    assert_eq!(shell.init(None), Ok(producer(1000, 1)));
    assert_eq!(shell.add(first, &["orders-0"]), ErrorCode::ProducerFenced);
    assert_eq!(shell.init(Some(first)), Err(ErrorCode::ProducerFenced));
}

#[test]
fn requests_that_are_not_valid_change_nothing() {
    let mut shell = Shell::new();
    let long = "x".repeat(32_768);
    for (request, error) in [
        (InitRequest { id: "", ..init() }, ErrorCode::InvalidRequest),
        (InitRequest { id: &long, ..init() }, ErrorCode::UnknownServerError),
        (InitRequest { timeout_ms: 0, ..init() }, ErrorCode::InvalidTransactionTimeout),
        (InitRequest { timeout_ms: -1, ..init() }, ErrorCode::InvalidTransactionTimeout),
        (InitRequest { timeout_ms: 900_001, ..init() }, ErrorCode::InvalidTransactionTimeout),
        (InitRequest { two_phase: true, ..init() }, ErrorCode::TransactionalIdAuthorizationFailed),
        (InitRequest { keep_prepared: true, ..init() }, ErrorCode::UnsupportedVersion),
    ] {
        assert_eq!(shell.init_as(request), Err(error));
    }
    assert!(shell.log.is_empty());
    assert!(shell.init_as(InitRequest { timeout_ms: 900_000, ..init() }).is_ok());
}

#[test]
fn without_a_producer_id_nothing_is_decided() {
    let mut shell = Shell::new();
    shell.has_producers = false;
    assert_eq!(shell.init(None), Err(ErrorCode::CoordinatorLoadInProgress));
    assert!(shell.log.is_empty());
}

#[test]
fn producer_that_names_its_epoch_gets_the_next_one_and_a_retry_the_same() {
    let (mut shell, first) = started();
    assert_eq!(shell.init(Some(first)), Ok(producer(1000, 1)));
    assert_eq!(shell.init(Some(first)), Ok(producer(1000, 1)), "the answer may have been lost");
    assert_eq!(shell.init(Some(producer(1000, 1))), Ok(producer(1000, 2)));
    assert_eq!(shell.init(Some(first)), Err(ErrorCode::ProducerFenced));
    assert_eq!(shell.init(Some(producer(999, 2))), Err(ErrorCode::ProducerFenced));
}

#[test]
fn retry_after_a_failover_is_fenced_because_no_record_has_the_last_epoch() {
    let (mut shell, first) = started();
    assert_eq!(shell.init(Some(first)), Ok(producer(1000, 1)));
    shell.fail_over(shell.log.len());
    assert_eq!(shell.init(Some(first)), Err(ErrorCode::ProducerFenced));
}

#[test]
fn unknown_id_takes_any_producer_that_wants_to_go_on() {
    let mut shell = Shell::new();
    assert_eq!(shell.init(Some(producer(5, 9))), Ok(producer(1000, 0)));
}

#[test]
fn producer_with_any_id_and_epoch_waits_while_markers_travel() {
    for outcome in [Outcome::Commit, Outcome::Abort] {
        let (mut shell, first) = ongoing();
        let next = shell.end(first, outcome).unwrap();
        for expected in [None, Some(first), Some(next), Some(producer(1, 1))] {
            assert_eq!(shell.init(expected), Err(ErrorCode::ConcurrentTransactions));
        }
        shell.write_markers();
        assert_eq!(shell.init(None), Ok(producer(1000, 2)));
    }
}

#[test]
fn ongoing_transaction_is_aborted_with_an_epoch_that_no_client_gets() {
    let (mut shell, first) = ongoing();
    assert_eq!(shell.init(None), Err(ErrorCode::ConcurrentTransactions));
    assert_eq!(shell.state(), TransactionState::PrepareAbort);
    assert_eq!(shell.markers[0].epoch, ProducerEpoch(1));
    assert_eq!(shell.end(first, Outcome::Commit), Err(ErrorCode::ConcurrentTransactions));
    shell.write_markers();
    assert_eq!(shell.init(None), Ok(producer(1000, 2)));
    assert_eq!(shell.add(first, &["orders-0"]), ErrorCode::ProducerFenced);
}

#[test]
fn fence_of_version_1_has_the_next_epoch_and_no_version_of_a_client() {
    let mut shell = Shell::at(TransactionVersion::V1);
    let first = shell.init(None).unwrap();
    assert_eq!(shell.add_in(TransactionVersion::V0, first, &["orders-0"]), ErrorCode::None);
    assert_eq!(shell.init(None), Err(ErrorCode::ConcurrentTransactions));
    let stored = shell.stored();
    assert_eq!((stored.epoch.0, stored.client_version), (1, TransactionVersion::V0));
    shell.write_markers();
    assert_eq!(shell.init(None), Ok(producer(1000, 2)));
}

#[test]
fn exhausted_epochs_bring_another_producer_id() {
    for state in [TransactionState::Empty, TransactionState::CompleteCommit] {
        let mut shell = Shell::new();
        stage(&mut shell, state, LAST);
        assert_eq!(shell.init(None), Ok(producer(1000, 0)));
        assert_eq!(shell.stored().previous, ProducerId(7));
    }
}

#[test]
fn producer_whose_id_was_replaced_may_ask_again() {
    let mut shell = Shell::new();
    stage(&mut shell, TransactionState::Empty, LAST);
    let exhausted = producer(7, LAST);
    assert_eq!(shell.init(Some(exhausted)), Ok(producer(1000, 0)));
    assert_eq!(shell.init(Some(exhausted)), Ok(producer(1000, 0)), "the answer may have been lost");
    assert_eq!(shell.init(Some(producer(7, LAST - 1))), Err(ErrorCode::ProducerFenced));
}

#[test]
fn retry_for_the_last_epoch_fails_as_in_kafka() {
    let mut shell = Shell::new();
    stage(&mut shell, TransactionState::Empty, LAST - 1);
    let before = producer(7, LAST - 1);
    assert_eq!(shell.init(Some(before)), Ok(producer(7, LAST)));
    assert_eq!(shell.init(Some(before)), Err(ErrorCode::UnknownServerError));
}

#[test]
fn fence_that_exhausts_the_epochs_changes_the_producer_id() {
    // KAFKA-20090.
    let (mut shell, last) = ongoing_at(LAST);
    assert_eq!(shell.init(None), Err(ErrorCode::ConcurrentTransactions));
    assert_eq!(shell.markers[0].epoch, ProducerEpoch(i16::MAX));
    shell.write_markers();
    let stored = shell.stored();
    assert_eq!((stored.producer, stored.epoch.0), (ProducerId(1000), 0));
    assert_eq!(shell.end(last, Outcome::Abort), Ok(producer(1000, 0)), "it did what was asked");
    assert_eq!(shell.init(None), Ok(producer(1000, 1)));
}

#[test]
fn fence_of_version_1_in_the_last_epoch_is_followed_by_another_producer_id() {
    let mut shell = Shell::at(TransactionVersion::V1);
    stage(&mut shell, TransactionState::Ongoing, LAST);
    assert_eq!(shell.init(None), Err(ErrorCode::ConcurrentTransactions));
    shell.write_markers();
    assert_eq!(shell.stored().epoch, ProducerEpoch(i16::MAX));
    assert_eq!(shell.init(None), Ok(producer(1000, 0)));
}

#[test]
fn epoch_beyond_the_last_is_aborted_and_the_producer_id_replaced() {
    let (mut shell, beyond) = ongoing_at(i16::MAX);
    assert_eq!(shell.end(beyond, Outcome::Commit), Err(ErrorCode::UnknownServerError));
    assert_eq!(shell.end(beyond, Outcome::Abort), Ok(producer(1001, 0)));
    shell.write_markers();
    assert_eq!(shell.init(None), Ok(producer(1001, 1)));
}
