//! The historical bugs of this coordinator can be had again.

use super::*;

const COMMIT: Outcome = Outcome::Commit;

#[test]
fn without_epoch_bumps_a_late_end_tears_the_next_transaction() {
    let mut shell = Shell::flawed(Flaw::NoEpochBump);
    let first = shell.init(None).unwrap();
    assert_eq!(shell.add(first, &["orders-0"]), ErrorCode::None);
    assert_eq!(shell.end(first, COMMIT), Ok(first));
    shell.write_markers();
    assert_eq!(shell.add(first, &["orders-0"]), ErrorCode::None);
    assert_eq!(shell.end(first, COMMIT), Ok(first), "the retry of the first");
    assert_eq!(shell.state(), TransactionState::PrepareCommit);
}

#[test]
fn with_zombie_end_txn_a_fenced_producer_ends_the_transaction_of_its_successor() {
    for version in [TransactionVersion::V0, TransactionVersion::V2] {
        let mut shell = Shell::flawed(Flaw::ZombieEndTxn);
        let zombie = shell.init(None).unwrap();
        let (_, second) = (shell.init(None).unwrap(), shell.init(None).unwrap());
        assert_eq!(shell.add(second, &["orders-0"]), ErrorCode::None);
        assert!(shell.end_in(version, zombie, COMMIT).is_ok());
        assert_eq!(shell.state(), TransactionState::PrepareCommit);
    }
}

#[test]
fn with_next_while_completing_an_outcome_is_forgotten() {
    let mut shell = Shell::flawed(Flaw::NextWhileCompleting);
    let first = shell.init(None).unwrap();
    assert_eq!(shell.add(first, &["orders-0"]), ErrorCode::None);
    let second = shell.end(first, COMMIT).unwrap();
    assert_eq!(shell.add(second, &["pay-0"]), ErrorCode::None);
    assert_eq!(shell.state(), TransactionState::Ongoing, "and not complete");
}

#[test]
fn with_the_wrong_id_at_the_overflow_the_client_cannot_go_on() {
    let mut shell = Shell::flawed(Flaw::WrongIdAtOverflow);
    stage(&mut shell, TransactionState::Ongoing, LAST);
    let next = shell.end(producer(7, LAST), COMMIT).unwrap();
    assert_eq!(next, producer(7, i16::MAX));
    shell.write_markers();
    assert_eq!(shell.add(next, &["orders-0"]), ErrorCode::InvalidProducerIdMapping);
}

#[test]
fn without_rotation_at_a_fence_a_transaction_hangs() {
    let mut shell = Shell::flawed(Flaw::NoRotationAtFence);
    stage(&mut shell, TransactionState::Ongoing, LAST);
    shell.pass_secs(TIMEOUT + 1);
    shell.write_markers();
    let beyond = shell.end(producer(7, LAST), Outcome::Abort).unwrap();
    assert_eq!(beyond, producer(7, i16::MAX));
    assert_eq!(shell.add(beyond, &["orders-0"]), ErrorCode::None);
    assert_eq!(shell.end(beyond, COMMIT), Err(ErrorCode::UnknownServerError));
    shell.pass_secs(10 * TIMEOUT);
    assert_eq!(shell.state(), TransactionState::Ongoing);
}
