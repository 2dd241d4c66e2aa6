//! EndTxn in both protocols: every state, current and earlier epochs, both outcomes.

use super::*;

const COMMIT: Outcome = Outcome::Commit;
const ABORT: Outcome = Outcome::Abort;

/// What EndTxn answers in a state: the outcome asked for, and whether with the epoch before.
fn answer(
    version: TransactionVersion,
    state: TransactionState,
    outcome: Outcome,
    is_retry: bool,
) -> Result<Ended, ErrorCode> {
    let mut shell = Shell::new();
    stage(&mut shell, state, 5);
    let before = shell.log.len();
    let epoch = if is_retry { 4 } else { 5 };
    let ended = shell.end_in(version, producer(7, epoch), outcome);
    let stored = shell.log.len() > before;
    assert_eq!(stored, ended.is_ok() && shell.stored().state == outcome.prepared(), "{state:?}");
    ended
}

#[test]
fn version_1_is_judged_by_the_state() {
    let v1 = TransactionVersion::V0;
    for state in STATES {
        for outcome in [COMMIT, ABORT] {
            let expected = match state {
                TransactionState::Ongoing => Ok(producer(7, 5)),
                _ if state.pending().is_some() => Err(ErrorCode::ConcurrentTransactions),
                _ if state.completed() == Some(outcome) => Ok(producer(7, 5)),
                _ => Err(ErrorCode::InvalidTxnState),
            };
            assert_eq!(answer(v1, state, outcome, false), expected, "{state:?} {outcome:?}");
            let fenced = Err(ErrorCode::ProducerFenced);
            assert_eq!(answer(v1, state, outcome, true), fenced, "{state:?} {outcome:?}");
        }
    }
}

#[test]
fn version_2_is_judged_by_the_epoch() {
    use TransactionState::{CompleteAbort, CompleteCommit, Empty, Ongoing};
    let done = Ok(producer(7, 5));
    let next = Ok(producer(7, 6));
    let (fenced, invalid) = (Err(ErrorCode::ProducerFenced), Err(ErrorCode::InvalidTxnState));
    for (state, outcome, retry, current) in [
        (Empty, ABORT, fenced, next),
        (Empty, COMMIT, fenced, invalid),
        (Ongoing, ABORT, fenced, next),
        (Ongoing, COMMIT, fenced, next),
        (CompleteAbort, ABORT, done, next),
        (CompleteAbort, COMMIT, invalid, invalid),
        (CompleteCommit, ABORT, invalid, next),
        (CompleteCommit, COMMIT, done, invalid),
    ] {
        let v2 = TransactionVersion::V2;
        assert_eq!(answer(v2, state, outcome, true), retry, "{state:?} {outcome:?}, retried");
        assert_eq!(answer(v2, state, outcome, false), current, "{state:?} {outcome:?}");
    }
}

#[test]
fn end_waits_while_markers_travel() {
    let waits = Err(ErrorCode::ConcurrentTransactions);
    for state in [TransactionState::PrepareCommit, TransactionState::PrepareAbort] {
        for outcome in [COMMIT, ABORT] {
            for is_retry in [true, false] {
                let answer = answer(TransactionVersion::V2, state, outcome, is_retry);
                assert_eq!(answer, waits, "{state:?} {outcome:?}");
            }
        }
    }
}

#[test]
fn wrong_producers_are_refused_in_every_state() {
    for version in [TransactionVersion::V0, TransactionVersion::V2] {
        for state in STATES.into_iter().filter(|state| state.pending().is_none()) {
            let mut shell = Shell::new();
            stage(&mut shell, state, 5);
            let before = shell.log.clone();
            for (who, error) in [
                (producer(8, 5), ErrorCode::InvalidProducerIdMapping),
                (producer(7, 3), ErrorCode::ProducerFenced),
                (producer(7, 6), ErrorCode::ProducerFenced),
                (producer(7, -1), ErrorCode::ProducerFenced),
            ] {
                for outcome in [COMMIT, ABORT] {
                    assert_eq!(shell.end_in(version, who, outcome), Err(error), "{state:?}");
                }
            }
            assert_eq!(shell.log, before, "{state:?}");
        }
    }
}

#[test]
fn unknown_and_invalid_transactional_ids_are_refused() {
    let mut shell = Shell::new();
    for version in [TransactionVersion::V0, TransactionVersion::V2] {
        for (id, error) in
            [("", ErrorCode::InvalidRequest), ("other", ErrorCode::InvalidProducerIdMapping)]
        {
            let request = EndRequest { id, producer: producer(1, 1), outcome: COMMIT, version };
            let ended = shell.ask(|machine, now, wall, id| machine.end(now, wall, request, id));
            assert_eq!(ended, Err(error));
        }
    }
}

#[test]
fn each_transaction_of_version_2_has_an_epoch_of_its_own() {
    let (mut shell, first) = ongoing();
    let second = shell.end(first, COMMIT).unwrap();
    assert_eq!(second, producer(1000, 1));
    shell.write_markers();
    assert_eq!(shell.end(first, COMMIT), Ok(second), "a retry changes nothing");
    assert_eq!(shell.add(second, &["orders-0"]), ErrorCode::None);
    assert_eq!(shell.end(first, COMMIT), Err(ErrorCode::ProducerFenced), "it came too late");
    assert_eq!(shell.state(), TransactionState::Ongoing);
}

#[test]
fn transactions_of_version_1_share_an_epoch() {
    let (mut shell, first) = started();
    for outcome in [COMMIT, ABORT] {
        assert_eq!(shell.add_in(TransactionVersion::V0, first, &["orders-0"]), ErrorCode::None);
        assert_eq!(shell.end_in(TransactionVersion::V0, first, outcome), Ok(first));
        assert_eq!((shell.markers[0].epoch, shell.markers[0].outcome), (first.1, outcome));
        assert_eq!(shell.markers[0].version, TransactionVersion::V0);
        shell.write_markers();
        assert_eq!(shell.state(), outcome.completed());
        assert_eq!(shell.end_in(TransactionVersion::V0, first, outcome), Ok(first));
    }
}

#[test]
fn last_epoch_of_a_producer_id_is_followed_by_the_first_of_the_next() {
    // KAFKA-18660: the answer names what is in force once the transaction is complete.
    let (mut shell, last) = ongoing_at(LAST);
    let next = producer(1000, 0);
    assert_eq!(shell.end(last, COMMIT), Ok(next));
    let markers = &shell.markers[0];
    assert_eq!((markers.producer, markers.epoch.0), (ProducerId(7), i16::MAX));
    shell.write_markers();
    let stored = shell.stored();
    assert_eq!((stored.producer, stored.epoch), next);
    assert_eq!((stored.previous, stored.next), (ProducerId(7), ProducerId::NONE));
    assert_eq!(shell.end(last, COMMIT), Ok(next), "a retry, with the id before");
    assert_eq!(shell.end(last, ABORT), Err(ErrorCode::InvalidTxnState));
    shell.fail_over(shell.log.len());
    assert_eq!(shell.end(last, COMMIT), Ok(next), "the record has what it takes");
    assert_eq!(shell.add(next, &["orders-0"]), ErrorCode::None);
    assert_eq!(shell.end(next, COMMIT), Ok(producer(1000, 1)));
}

#[test]
fn last_epoch_cannot_be_ended_without_a_producer_id() {
    let (mut shell, last) = ongoing_at(LAST);
    shell.has_producers = false;
    assert_eq!(shell.end(last, COMMIT), Err(ErrorCode::CoordinatorLoadInProgress));
    assert_eq!(shell.state(), TransactionState::Ongoing);
}

#[test]
fn client_that_recovers_may_go_on_with_the_epoch_that_its_end_gave() {
    let (mut shell, first) = ongoing();
    let second = shell.end(first, ABORT).unwrap();
    shell.write_markers();
    assert_eq!(shell.init(Some(first)), Ok(second), "as after a lost answer");
    assert_eq!(shell.init(Some(second)), Ok(producer(1000, 2)));
}

#[test]
fn end_that_is_not_appended_changes_nothing() {
    let (mut shell, first) = ongoing();
    shell.refuses = true;
    assert_eq!(shell.end(first, COMMIT), Err(ErrorCode::CoordinatorNotAvailable));
    assert!(shell.markers.is_empty());
    shell.refuses = false;
    assert_eq!(shell.end(first, ABORT), Ok(producer(1000, 1)), "the outcome was not decided");
}

#[test]
fn abort_without_a_transaction_is_completed_at_once() {
    let (mut shell, first) = started();
    assert_eq!(shell.end(first, ABORT), Ok(producer(1000, 1)));
    assert!(shell.markers.is_empty(), "no partition has to be told");
    shell.pass(Duration::ZERO);
    assert_eq!(shell.state(), TransactionState::CompleteAbort);
    assert_eq!(shell.stored().started, shell.wall());
}
