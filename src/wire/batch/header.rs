//! The first 61 bytes of a batch.

use crate::base::config::{Compression, TimestampType};
use crate::base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

use super::BatchError;
use crate::wire::crc32c::crc32c;

/// Bytes of a batch before its records.
pub const HEADER_LEN: usize = 61;
/// Base offset and length: the bytes of a batch that its length does not count.
pub const LENGTH_PREFIX: usize = 12;
/// The version of the format.
pub const MAGIC: i8 = 2;

pub(super) const AT_LEADER_EPOCH: usize = 12;
pub(super) const AT_MAGIC: usize = 16;
pub(super) const AT_CRC: usize = 17;
pub(super) const AT_ATTRIBUTES: usize = 21;
const AT_LAST_OFFSET_DELTA: usize = 23;
const AT_BASE_TIMESTAMP: usize = 27;
pub(super) const AT_MAX_TIMESTAMP: usize = 35;
const AT_PRODUCER_ID: usize = 43;
const AT_PRODUCER_EPOCH: usize = 51;
pub(super) const AT_BASE_SEQUENCE: usize = 53;
const AT_COUNT: usize = 57;

pub(super) const CODEC: i16 = 0x07;
pub(super) const APPEND_TIME: i16 = 0x08;
pub(super) const TRANSACTIONAL: i16 = 0x10;
pub(super) const CONTROL: i16 = 0x20;
pub(super) const DELETE_HORIZON: i16 = 0x40;

/// A batch's header. What [`BatchHeader::parse`] returns has a known codec, and offsets that do
/// not overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record, at least as it was before compaction.
    pub base_offset: Offset,
    /// Bytes after this field.
    pub batch_length: i32,
    /// Epoch of the leader that appended the batch.
    pub leader_epoch: LeaderEpoch,
    /// Version of the format: 2.
    pub magic: i8,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Codec, timestamp type and flags, as bits.
    pub attributes: i16,
    /// Last offset less base offset, as it was before compaction.
    pub last_offset_delta: i32,
    /// What the records' timestamps are relative to.
    pub base_timestamp: Timestamp,
    /// The latest of the records' timestamps.
    pub max_timestamp: Timestamp,
    /// `NONE` when not idempotent.
    pub producer_id: ProducerId,
    /// `NONE` when not idempotent.
    pub producer_epoch: ProducerEpoch,
    /// Sequence number of the first record; -1 when not idempotent.
    pub base_sequence: i32,
    /// Records in the batch; fewer than offsets after compaction.
    pub count: i32,
}

impl BatchHeader {
    /// Reads the header at the beginning of `bytes`, which need not hold the whole batch.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let header = Self::read(bytes)?;
        header.validate()?;
        Ok(header)
    }

    /// As [`BatchHeader::parse`], whatever the fields say: for tools that show what is wrong.
    pub fn read(bytes: &[u8]) -> Result<Self, BatchError> {
        let Some(bytes) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(BatchError::Torn { needed: HEADER_LEN, have: bytes.len() });
        };
        Ok(Self {
            base_offset: Offset(i64::from_be_bytes(take(bytes, 0))),
            batch_length: i32::from_be_bytes(take(bytes, 8)),
            leader_epoch: LeaderEpoch(i32::from_be_bytes(take(bytes, AT_LEADER_EPOCH))),
            magic: i8::from_be_bytes(take(bytes, AT_MAGIC)),
            crc: u32::from_be_bytes(take(bytes, AT_CRC)),
            attributes: i16::from_be_bytes(take(bytes, AT_ATTRIBUTES)),
            last_offset_delta: i32::from_be_bytes(take(bytes, AT_LAST_OFFSET_DELTA)),
            base_timestamp: Timestamp(i64::from_be_bytes(take(bytes, AT_BASE_TIMESTAMP))),
            max_timestamp: Timestamp(i64::from_be_bytes(take(bytes, AT_MAX_TIMESTAMP))),
            producer_id: ProducerId(i64::from_be_bytes(take(bytes, AT_PRODUCER_ID))),
            producer_epoch: ProducerEpoch(i16::from_be_bytes(take(bytes, AT_PRODUCER_EPOCH))),
            base_sequence: i32::from_be_bytes(take(bytes, AT_BASE_SEQUENCE)),
            count: i32::from_be_bytes(take(bytes, AT_COUNT)),
        })
    }

    fn validate(&self) -> Result<(), BatchError> {
        if self.magic != MAGIC {
            return Err(BatchError::Magic(self.magic));
        }
        // Also refuses the zeros that a file system leaves after a crash.
        if usize::try_from(self.batch_length).is_err() || self.size() < HEADER_LEN {
            return Err(BatchError::Corrupt("its length is less than that of a header"));
        }
        if self.base_offset < Offset::ZERO {
            return Err(BatchError::Corrupt("its base offset is negative"));
        }
        if self.last_offset_delta < 0 || self.count < 0 {
            return Err(BatchError::Corrupt("it counts fewer than no records"));
        }
        if i64::from(self.count) > i64::from(self.last_offset_delta) + 1 {
            return Err(BatchError::Corrupt("it counts more records than offsets"));
        }
        // The offset after the last one must exist, too.
        if self.base_offset.0 > i64::MAX - i64::from(self.last_offset_delta) - 1 {
            return Err(BatchError::Corrupt("its last offset overflows"));
        }
        if self.codec().is_none() {
            return Err(BatchError::Corrupt("its codec is unknown"));
        }
        Ok(())
    }

    /// Writes the header over the first bytes of a batch.
    pub fn write(&self, to: &mut [u8; HEADER_LEN]) {
        put(to, 0, self.base_offset.0.to_be_bytes());
        put(to, 8, self.batch_length.to_be_bytes());
        put(to, AT_LEADER_EPOCH, self.leader_epoch.0.to_be_bytes());
        put(to, AT_MAGIC, self.magic.to_be_bytes());
        put(to, AT_CRC, self.crc.to_be_bytes());
        put(to, AT_ATTRIBUTES, self.attributes.to_be_bytes());
        put(to, AT_LAST_OFFSET_DELTA, self.last_offset_delta.to_be_bytes());
        put(to, AT_BASE_TIMESTAMP, self.base_timestamp.0.to_be_bytes());
        put(to, AT_MAX_TIMESTAMP, self.max_timestamp.0.to_be_bytes());
        put(to, AT_PRODUCER_ID, self.producer_id.0.to_be_bytes());
        put(to, AT_PRODUCER_EPOCH, self.producer_epoch.0.to_be_bytes());
        put(to, AT_BASE_SEQUENCE, self.base_sequence.to_be_bytes());
        put(to, AT_COUNT, self.count.to_be_bytes());
    }

    /// Bytes of the whole batch.
    pub fn size(&self) -> usize {
        LENGTH_PREFIX + usize::try_from(self.batch_length).unwrap_or(0)
    }

    /// Offset of the last record, as it was before compaction.
    pub fn last_offset(&self) -> Offset {
        self.base_offset.plus(i64::from(self.last_offset_delta))
    }

    /// Where the next batch begins.
    pub fn next_offset(&self) -> Offset {
        self.last_offset().next()
    }

    /// Sequence number of the last record; -1 when not idempotent.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return self.base_sequence;
        }
        add_to_sequence(self.base_sequence, self.last_offset_delta)
    }

    /// Every offset has its record, as in a batch that was not compacted.
    pub fn is_dense(&self) -> bool {
        i64::from(self.count) == i64::from(self.last_offset_delta) + 1
    }

    /// The codec of the records.
    pub fn compression(&self) -> Compression {
        self.codec().unwrap_or(Compression::None)
    }

    fn codec(&self) -> Option<Compression> {
        let code = (self.attributes & CODEC) as u8;
        Compression::ALL.into_iter().find(|codec| *codec as u8 == code)
    }

    /// Whose clock the timestamps are from.
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Part of a transaction: visible to `read_committed` only after its end.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Holds a marker of a coordinator or of the quorum; never shown to an application.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// The base timestamp is a delete horizon, which only a compacted batch has (KIP-534).
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes & DELETE_HORIZON != 0
    }

    /// When the batch's tombstones and markers may be removed, once a cleaner has said so.
    pub fn delete_horizon(&self) -> Option<Timestamp> {
        self.has_delete_horizon().then_some(self.base_timestamp)
    }

    /// From an idempotent producer.
    pub fn has_producer(&self) -> bool {
        self.producer_id.0 > ProducerId::NONE.0
    }
}

/// The sequence number `by` records after `sequence`; after the largest comes 0 (KIP-98).
pub fn add_to_sequence(sequence: i32, by: i32) -> i32 {
    ((i64::from(sequence) + i64::from(by)) & i64::from(i32::MAX)) as i32
}

/// What the checksum of a whole batch should be.
pub(super) fn crc_of(batch: &[u8]) -> u32 {
    crc32c(&batch[AT_ATTRIBUTES..])
}

fn take<const N: usize>(bytes: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    let mut value = [0; N];
    value.copy_from_slice(&bytes[at..at + N]);
    value
}

fn put<const N: usize>(to: &mut [u8; HEADER_LEN], at: usize, value: [u8; N]) {
    to[at..at + N].copy_from_slice(&value);
}
