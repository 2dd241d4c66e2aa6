//! What the cleaner keeps of one batch. Pure. Source: Kafka's `Cleaner.cleanInto` and
//! `MemoryRecords.filterTo`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::map::OffsetMap;
use super::markers::Transactions;
use crate::base::{Flaw, Flaws, ProducerId, Timestamp};
use crate::log::producers::LastRecord;
use crate::log::transactions::Marker;
use crate::wire::batch::{self, BatchError, BatchHeader, Record};

/// Limit in bytes for an unpacked batch; a larger one prevents the cleaning of its log.
pub(super) const LARGEST_UNPACKED: usize = 256 << 20;

/// What the decisions of a cleaner depend on.
pub(crate) struct Rules<'a> {
    pub(crate) latest: &'a OffsetMap,
    /// The last record of each active producer.
    pub(crate) producers: &'a BTreeMap<ProducerId, LastRecord>,
    /// The host's wall clock.
    pub(crate) now: Timestamp,
    pub(crate) delete_retention: Duration,
    pub(crate) flaws: Flaws,
}

/// What remains of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing.
    Nothing,
    /// All of it, unchanged.
    AsItWas,
    /// These bytes: some or none of its records, with the same offsets.
    Less(Vec<u8>),
}

/// What remains of the batch in `bytes`. The last batch of a segment keeps at least its header,
/// because it shows where the segment ends.
pub(crate) fn filter(
    bytes: &[u8],
    header: &BatchHeader,
    rules: &Rules<'_>,
    transactions: &mut Transactions,
    last_of_segment: bool,
) -> Result<Left, BatchError> {
    let horizon_passed = match header.delete_horizon() {
        Some(horizon) => horizon <= rules.now,
        None => rules.flaws.has(Flaw::EarlyTombstone),
    };
    let marker = if header.is_control() { Marker::of(bytes)? } else { None };
    let done_with = match header.is_control() {
        true => transactions.marker(header, marker),
        false => transactions.batch(header),
    };
    let discard = done_with && (!header.is_control() || horizon_passed)
        || header.is_control() && rules.flaws.has(Flaw::DropMarkers);
    let needed = last_of_segment || is_last_of_producer(header, rules);
    if discard {
        return Ok(emptied(header, needed));
    }
    let records = batch::records(bytes, LARGEST_UNPACKED)?;
    let all = records.len();
    let stays = |record: &Record| header.is_control() || stays(record, horizon_passed, rules);
    let left: Vec<Record> = records.into_iter().filter(stays).collect();
    if left.is_empty() {
        return Ok(emptied(header, needed));
    }
    let tombstones = !header.is_control() && left.iter().any(|record| record.value.is_none());
    let begins_to_wait =
        header.delete_horizon().is_none() && (tombstones || header.is_control() && done_with);
    if left.len() == all && !begins_to_wait {
        return Ok(Left::AsItWas);
    }
    let wait = i64::try_from(rules.delete_retention.as_millis()).unwrap_or(i64::MAX);
    let horizon = begins_to_wait.then_some(Timestamp(rules.now.0.saturating_add(wait)));
    batch::rewritten(header, &left, horizon).map(Left::Less)
}

fn emptied(header: &BatchHeader, needed: bool) -> Left {
    if !needed {
        Left::Nothing
    } else if header.count == 0 {
        Left::AsItWas
    } else {
        Left::Less(batch::emptied(header))
    }
}

fn stays(record: &Record, horizon_passed: bool, rules: &Rules<'_>) -> bool {
    if record.offset > rules.latest.latest() {
        return true;
    }
    // A record without a key can't be found by its key.
    let Some(key) = &record.key else { return false };
    let is_latest = rules.latest.get(key).is_none_or(|latest| record.offset >= latest);
    is_latest && (record.value.is_some() || !horizon_passed)
}

/// An active producer is identified by its last batch, or, without one, by the marker of its epoch.
fn is_last_of_producer(header: &BatchHeader, rules: &Rules<'_>) -> bool {
    let last = rules.producers.get(&header.producer_id).filter(|_| header.has_producer());
    last.is_some_and(|last| match last.data {
        Some(offset) => header.last_offset() == offset,
        None => header.is_control() && header.producer_epoch == last.epoch,
    })
}
