//! AddPartitionsToTxn, AddOffsetsToTxn and verification.

use super::*;

#[test]
fn first_partition_begins_the_transaction_and_others_join_it() {
    let (mut shell, first) = started();
    shell.pass_secs(5);
    let began = shell.wall();
    assert_eq!(shell.add(first, &["orders-0"]), ErrorCode::None);
    shell.pass_secs(5);
    assert_eq!(shell.add(first, &["orders-1", "__consumer_offsets-7"]), ErrorCode::None);
    let stored = shell.stored();
    assert_eq!((stored.state, stored.started), (TransactionState::Ongoing, began));
    assert_eq!(*stored.partitions, partitions(["orders-0", "orders-1", "__consumer_offsets-7"]));
    assert_eq!(stored.client_version, TransactionVersion::V2);
}

#[test]
fn known_partitions_are_added_without_a_record() {
    let (mut shell, first) = ongoing();
    let before = shell.log.len();
    assert_eq!(shell.add(first, &["orders-1"]), ErrorCode::None);
    assert_eq!(shell.log.len(), before);
}

#[test]
fn producer_and_epoch_are_checked_in_every_state() {
    for state in STATES {
        let mut shell = Shell::new();
        stage(&mut shell, state, 5);
        let before = shell.log.clone();
        let waits = state.pending().is_some();
        for (who, error) in [
            (producer(8, 5), ErrorCode::InvalidProducerIdMapping),
            (producer(7, 4), ErrorCode::ProducerFenced),
            (producer(7, 6), ErrorCode::ProducerFenced),
        ] {
            let expected = if waits { ErrorCode::ConcurrentTransactions } else { error };
            assert_eq!(shell.add(who, &["orders-0"]), expected, "{state:?}");
            assert_eq!(shell.verify(who, &["orders-0"]), Err(error), "{state:?}");
        }
        assert_eq!(shell.log, before, "{state:?}");
        let expected = if waits { ErrorCode::ConcurrentTransactions } else { ErrorCode::None };
        assert_eq!(shell.add(producer(7, 5), &["pay-0"]), expected, "{state:?}");
    }
}

#[test]
fn unknown_and_invalid_transactional_ids_are_refused() {
    let mut shell = Shell::new();
    let partitions = &partitions(["orders-0"]);
    for (id, error) in
        [("", ErrorCode::InvalidRequest), ("other", ErrorCode::InvalidProducerIdMapping)]
    {
        let request = AddRequest {
            id,
            producer: producer(1, 1),
            partitions,
            version: TransactionVersion::V2,
        };
        let added = shell.decide(|machine, now, wall| machine.add_partitions(now, wall, request));
        assert_eq!(added, Some(error));
        assert_eq!(
            shell.decide(|machine, _, _| machine.verify_partitions(request)),
            Some(Err(error))
        );
    }
    assert!(shell.log.is_empty());
}

#[test]
fn next_transaction_waits_for_the_markers_of_the_last_one() {
    // KAFKA-18575: also if the client has the next producer id, which is not in force yet.
    for epoch in [5, LAST] {
        let (mut shell, first) = ongoing_at(epoch);
        let next = shell.end(first, Outcome::Commit).unwrap();
        assert_eq!(shell.add(next, &["pay-0"]), ErrorCode::ConcurrentTransactions);
        shell.write_markers();
        assert_eq!(shell.add(next, &["pay-0"]), ErrorCode::None);
        assert_eq!(*shell.stored().partitions, partitions(["pay-0"]));
    }
}

#[test]
fn verification_names_the_partitions_outside_the_transaction() {
    let (mut shell, first) = ongoing();
    let verified = shell.verify(first, &["orders-0", "pay-0"]).unwrap();
    let errors: Vec<_> = verified.into_iter().map(|(_, error)| error).collect();
    assert_eq!(errors, [ErrorCode::None, ErrorCode::TransactionAbortable]);
    let next = shell.end(first, Outcome::Abort).unwrap();
    assert_eq!(shell.verify(first, &["orders-0"]), Err(ErrorCode::ProducerFenced));
    assert_eq!(shell.verify(next, &["orders-0"]), Err(ErrorCode::ConcurrentTransactions));
    shell.write_markers();
    let verified = shell.verify(next, &["orders-0"]).unwrap();
    assert_eq!(verified[0].1, ErrorCode::TransactionAbortable, "it is not in a transaction");
}
