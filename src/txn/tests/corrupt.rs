//! A record that can't be read takes one transactional id offline, and no more.

use bytes::Bytes;

use super::*;
use crate::decide::{KeyValue, LogRecord};

/// The record of an id whose value ends early.
fn torn(id: &str) -> KeyValue {
    let key = Record::Expired(id.into()).encode().key;
    KeyValue { key, value: Some(Bytes::from_static(&[0, 1, 0, 0])) }
}

#[test]
fn only_the_id_of_a_corrupt_record_is_offline() {
    let (mut shell, first) = ongoing();
    shell.init_as(InitRequest { id: "other", ..init() }).unwrap();
    shell.inject(torn(ID));
    let before = shell.log.clone();
    let offline = ErrorCode::UnknownServerError;
    assert_eq!(shell.init(None), Err(offline));
    assert_eq!(shell.add(first, &["pay-0"]), offline);
    assert_eq!(shell.verify(first, &["orders-0"]), Err(offline));
    for version in [TransactionVersion::V0, TransactionVersion::V2] {
        assert_eq!(shell.end_in(version, first, Outcome::Commit), Err(offline));
    }
    assert_eq!(shell.committed().describe(ID).error_code, offline.code());
    assert_eq!(shell.log, before);
    shell.pass_secs(TIMEOUT + 1);
    assert!(shell.init_as(InitRequest { id: "other", ..init() }).is_ok());
    let offline = shell.committed().iter().filter_map(|(id, found)| match found {
        Found::Offline { at, error } => Some(format!("{id} at {at}: {error}")),
        Found::Stored(_) => None,
    });
    let offline: Vec<_> = offline.collect();
    assert_eq!(offline.len(), 1);
    assert!(offline[0].starts_with("transfers at 3: malformed TransactionLogValue"), "{offline:?}");
}

#[test]
fn later_record_or_tombstone_brings_the_id_back() {
    let (mut shell, _) = started();
    shell.inject(torn(ID));
    let tombstone = Record::Expired(ID.into()).encode();
    shell.inject(tombstone);
    assert_eq!(shell.init(None), Ok(producer(1001, 0)));
    shell.inject(torn(ID));
    stage(&mut shell, TransactionState::CompleteAbort, 5);
    assert_eq!(shell.init(None), Ok(producer(7, 6)));
}

#[test]
fn record_without_a_readable_key_is_noted_and_changes_nothing() {
    let (mut shell, first) = started();
    shell.inject(KeyValue { key: Some(Bytes::from_static(&[0, 9])), value: None });
    shell.inject(KeyValue { key: None, value: None });
    let unreadable: Vec<_> = shell.committed().unreadable().map(|(at, _)| at.0).collect();
    assert_eq!(unreadable, [1, 2]);
    assert_eq!(shell.add(first, &["orders-0"]), ErrorCode::None);
}
