//! Unique values, by which a record is found again wherever it is read.

use std::sync::Arc;

use bytes::Bytes;

use crate::check::TopicPromise;
use crate::client::{ConsumerRecord, Header, ProducerRecord};

/// A record's value begins with its unique number.
pub(super) const MIN_RECORD: u64 = 8;

/// Holds the unique number of a record whose value is not ours.
const NUMBER: &str = "brokerquake-number";

/// The record of a value, with one of `keys` keys; a tombstone has no value, so its number is in a
/// header.
pub(super) fn record(topic: &Arc<str>, keys: u64, value: u64, size: u64) -> ProducerRecord {
    let mut record = ProducerRecord::new(topic.clone(), padded(value, size));
    let promise = TopicPromise { keys, ..TopicPromise::default() };
    if let Some(key) = promise.key_of(value) {
        record = record.with_key(key.to_string());
        if value & TopicPromise::TOMBSTONE != 0 {
            record.value = None;
            number(&mut record, value);
        }
    }
    record
}

/// A value that begins with its unique number.
fn padded(value: u64, size: u64) -> Bytes {
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(8).max(8)];
    bytes[..8].copy_from_slice(&value.to_be_bytes());
    bytes.into()
}

/// Gives a record its unique number beside its value.
pub(crate) fn number(record: &mut ProducerRecord, number: u64) {
    let value = Some(Bytes::copy_from_slice(&number.to_be_bytes()));
    record.headers.push(Header { key: NUMBER.into(), value });
}

/// Takes the number off again, so that a reader gets what was sent.
pub(crate) fn unnumber(record: &mut ConsumerRecord) {
    record.headers.retain(|header| header.key != NUMBER);
}

/// The unique number of a record; `None` for bytes that no producer of ours sent.
pub(crate) fn number_of(record: &ConsumerRecord) -> Option<u64> {
    let beside = record.headers.iter().find(|header| header.key == NUMBER);
    let number = beside.map_or(record.value.as_ref(), |header| header.value.as_ref());
    number?.get(..8)?.try_into().ok().map(u64::from_be_bytes)
}
