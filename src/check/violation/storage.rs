//! Evidence about the files of one replica.

use std::fmt;

use serde::Serialize;

use super::Seconds;
use crate::base::{BrokerId, LeaderEpoch, Offset, ProducerId};

/// Evidence about the files of one replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum StorageWitness {
    /// A batch does not begin where the log ended.
    Gap { broker: BrokerId, expected: Offset, found: Offset },
    /// Bytes inside a log are not a record batch, and the log continues after them.
    Unreadable { broker: BrokerId, after: Offset, position: u64 },
    /// A batch holds another number of records than of offsets.
    Hollow { broker: BrokerId, offset: Offset, offsets: i64, records: i32 },
    /// A batch's epoch is less than that of the batch before.
    EpochFell { broker: BrokerId, offset: Offset, before: LeaderEpoch, after: LeaderEpoch },
    /// After a power loss, a log was opened with bytes in it that are not a valid prefix.
    TrustsUnsynced {
        broker: BrokerId,
        valid: Offset,
        position: Option<u64>,
        claims: Option<Offset>,
        stale: Option<Offset>,
    },
    /// A log was opened without a part that had been synced.
    ShorterThanSynced { broker: BrokerId, end: Offset, point: Offset },
    /// A log was refused as corrupt although its disk did nothing wrong.
    CalledDamaged { broker: BrokerId, offset: Offset },
    /// A cleaned segment lacks or keeps the wrong records.
    Stale { broker: BrokerId, key: String, offset: Offset, why: &'static str },
    /// A cleaned segment lacks the marker of a transaction of which records are left.
    MarkerGone { broker: BrokerId, producer: ProducerId, marker: Offset, record: Offset },
    /// An index entry points at something else than it claims.
    IndexDisagrees { broker: BrokerId, file: String, entry: u64, says: String, instead: String },
}

impl StorageWitness {
    /// Writes the rest of the sentence that begins with the subject. `at`: when it was found.
    pub(super) fn say(&self, f: &mut fmt::Formatter<'_>, at: Seconds) -> fmt::Result {
        match self {
            Self::Gap { broker, expected, found } => {
                write!(f, "log of b{broker} goes from offset {expected} to offset {found} at {at}")
            }
            Self::Unreadable { broker, after, position } => {
                write!(
                    f,
                    "log of b{broker} goes on at {at} after bytes that are not a batch, at position {position} after offset {after}"
                )
            }
            Self::Hollow { broker, offset, offsets, records } => {
                write!(
                    f,
                    "batch at offset {offset} of b{broker} spans {offsets} offsets and holds {records} records at {at}"
                )
            }
            Self::EpochFell { broker, offset, before, after } => {
                write!(
                    f,
                    "log of b{broker} falls from epoch {before} to epoch {after} at offset {offset} at {at}"
                )
            }
            Self::TrustsUnsynced { broker, valid, position, claims, stale } => {
                write!(
                    f,
                    "log of b{broker} is valid below offset {valid} since the power failed; at {at} it was opened "
                )?;
                match (position, claims, stale) {
                    (_, Some(claims), _) => write!(f, "as one that ends at offset {claims}"),
                    (Some(at), ..) => {
                        write!(f, "with bytes that are not a batch, at position {at}")
                    }
                    (.., Some(at)) => write!(f, "with an older batch than the last at offset {at}"),
                    (None, None, None) => write!(f, "with what follows a gap"),
                }
            }
            Self::ShorterThanSynced { broker, end, point } => write!(
                f,
                "log of b{broker} was opened at {at} and ends at offset {end}; everything below offset \
                 {point} was synced"
            ),
            Self::CalledDamaged { broker, offset } => write!(
                f,
                "b{broker} found its log damaged at offset {offset} at {at}, though its disk did nothing \
                 wrong: what a crash leaves is cut"
            ),
            Self::Stale { broker, key, offset, why } => write!(
                f,
                "compaction on b{broker}: the record of key {key} at offset {offset} {why} at {at}"
            ),
            Self::MarkerGone { broker, producer, marker, record } => write!(
                f,
                "compaction on b{broker}: the marker of producer id {producer} at offset {marker} is gone \
                 at {at}, though the record at offset {record} of its transaction is left"
            ),
            Self::IndexDisagrees { broker, file, entry, says, instead } => {
                write!(
                    f,
                    "entry {entry} of {file} on b{broker} says at {at} that {says}; {instead}"
                )
            }
        }
    }
}
