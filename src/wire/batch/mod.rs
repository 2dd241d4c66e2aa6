//! Record batches, version 2 (KIP-98): producers send them, logs store them and consumers read them,
//! byte for byte the same. Brokers look at the header only; records are decoded by clients and tools.

mod builder;
mod glance;
mod header;
mod records;
mod rewrite;
mod varint;

pub use crate::base::config::TimestampType;
pub use builder::BatchBuilder;
pub use glance::{Glance, glance_over};
pub use header::{BatchHeader, HEADER_LEN, LENGTH_PREFIX, MAGIC, add_to_sequence};
pub use records::{Header, Record, Records, records, records_of, unchecked_records_of};
pub use rewrite::{emptied, rewritten};

use super::compression::{self, CompressionError};
use crate::base::config::Compression;
use crate::base::{LeaderEpoch, Offset, Timestamp};
use header::{AT_ATTRIBUTES, AT_BASE_SEQUENCE, AT_CRC, AT_LEADER_EPOCH, AT_MAX_TIMESTAMP};

/// Why bytes are not a record batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end inside the batch: a torn write, or a fetch that was truncated.
    #[error("batch is torn: {needed} bytes needed, {have} there")]
    Torn {
        /// Bytes that the batch, or its header, takes.
        needed: usize,
        /// Bytes there are.
        have: usize,
    },
    /// Another version of the format.
    #[error("batch has magic {0}; only magic 2 is supported")]
    Magic(i8),
    /// The checksum does not match.
    #[error("batch has CRC-32C {stored:#010x}, but its bytes have {computed:#010x}")]
    Crc {
        /// In the header.
        stored: u32,
        /// Of the bytes.
        computed: u32,
    },
    /// The bytes contradict themselves.
    #[error("batch is corrupt: {0}")]
    Corrupt(&'static str),
    /// The records can't be decompressed.
    #[error("batch can't be decompressed: {0}")]
    Compression(#[from] CompressionError),
}

/// Checks structure and checksum of the batch at the beginning of `bytes`.
pub fn check(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    let (header, batch) = split(bytes)?;
    let computed = header::crc_of(batch);
    if computed == header.crc {
        Ok(header)
    } else {
        Err(BatchError::Crc { stored: header.crc, computed })
    }
}

/// The batches in `bytes`, one after another, checksums not looked at. After an error there is
/// nothing more: where the next batch begins is unknown.
pub fn batches(bytes: &[u8]) -> Batches<'_> {
    Batches { rest: bytes }
}

/// See [`batches`].
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<(BatchHeader, &'a [u8]), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match split(self.rest) {
            Ok((header, batch)) => {
                self.rest = &self.rest[batch.len()..];
                Some(Ok((header, batch)))
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error))
            }
        }
    }
}

impl std::iter::FusedIterator for Batches<'_> {}

/// The first batch of `bytes`, whole.
fn split(bytes: &[u8]) -> Result<(BatchHeader, &[u8]), BatchError> {
    let header = BatchHeader::parse(bytes)?;
    let size = header.size();
    match bytes.get(..size) {
        Some(batch) => Ok((header, batch)),
        None => Err(BatchError::Torn { needed: size, have: bytes.len() }),
    }
}

/// The size of the batch at the beginning of `bytes`, whatever it holds; `None` if the bytes end
/// before the batch does. Source: Kafka's `ByteBufferLogInputStream`.
pub fn whole_size(bytes: &[u8]) -> Result<Option<usize>, BatchError> {
    /// The least length of a message before version 2.
    const LEAST: usize = 14;
    let (Some(length), Some(magic)) = (bytes.get(8..LENGTH_PREFIX), bytes.get(header::AT_MAGIC))
    else {
        return Ok(None);
    };
    let length = length.iter().fold(0u32, |length, byte| length << 8 | u32::from(*byte));
    let length = i32::try_from(length).ok().and_then(|length| usize::try_from(length).ok());
    let length = length.filter(|length| *length >= LEAST);
    let length = length.ok_or(BatchError::Corrupt("its length is less than that of a header"))?;
    let magic = *magic as i8;
    if !(0..=MAGIC).contains(&magic) {
        return Err(BatchError::Magic(magic));
    }
    Ok(Some(LENGTH_PREFIX + length).filter(|size| *size <= bytes.len()))
}

/// Whether a batch begins here that is whole and has the right checksum, whatever its fields say.
pub fn is_intact(bytes: &[u8]) -> bool {
    let Ok(header) = BatchHeader::read(bytes) else { return false };
    let batch = bytes.get(..header.size()).filter(|batch| batch.len() >= HEADER_LEN);
    header.magic == MAGIC && batch.is_some_and(|batch| header::crc_of(batch) == header.crc)
}

/// Gives a batch its place in a log. Offset and epoch are outside the checksum, so it stays valid.
///
/// # Panics
/// When `batch` is shorter than a header: parse it first.
pub fn assign(batch: &mut [u8], base: Offset, epoch: LeaderEpoch) {
    assert!(batch.len() >= HEADER_LEN, "a batch has a header");
    batch[..8].copy_from_slice(&base.0.to_be_bytes());
    batch[AT_LEADER_EPOCH..AT_LEADER_EPOCH + 4].copy_from_slice(&epoch.0.to_be_bytes());
}

/// Says that all records have the time at which they were appended
/// (`message.timestamp.type=LogAppendTime`), and renews the checksum.
///
/// # Panics
/// When `batch` is not exactly one whole batch: parse it first.
pub fn stamp_append_time(batch: &mut [u8], now: Timestamp) {
    assert!(batch.len() >= HEADER_LEN, "a batch has a header");
    batch[AT_ATTRIBUTES + 1] |= header::APPEND_TIME as u8;
    set_max_timestamp(batch, now);
}

/// Removes the flags that only a broker sets, without updating the checksum.
///
/// # Panics
/// When `batch` is shorter than a header: parse it first.
pub fn clear_broker_flags(batch: &mut [u8]) {
    assert!(batch.len() >= HEADER_LEN, "a batch has a header");
    batch[AT_ATTRIBUTES + 1] &= !((header::APPEND_TIME | header::DELETE_HORIZON) as u8);
}

/// Sets the latest timestamp of the records, and updates the checksum.
///
/// # Panics
/// When `batch` is not exactly one whole batch: parse it first.
pub fn set_max_timestamp(batch: &mut [u8], latest: Timestamp) {
    assert!(batch.len() >= HEADER_LEN, "a batch has a header");
    batch[AT_MAX_TIMESTAMP..AT_MAX_TIMESTAMP + 8].copy_from_slice(&latest.0.to_be_bytes());
    renew_crc(batch);
}

/// Sets the base sequence, and updates the checksum.
///
/// # Panics
/// When `batch` is not exactly one whole batch: parse it first.
pub fn set_base_sequence(batch: &mut [u8], sequence: i32) {
    assert!(batch.len() >= HEADER_LEN, "a batch has a header");
    batch[AT_BASE_SEQUENCE..AT_BASE_SEQUENCE + 4].copy_from_slice(&sequence.to_be_bytes());
    renew_crc(batch);
}

fn renew_crc(batch: &mut [u8]) {
    let crc = header::crc_of(batch);
    batch[AT_CRC..AT_CRC + 4].copy_from_slice(&crc.to_be_bytes());
}

/// Appends the batch to `out` with its records in another codec, as they are in all else. Refuses
/// to decompress to more than `max_decompressed` bytes.
///
/// # Panics
/// When `batch` is not exactly one whole batch: parse it first.
pub fn recompress(
    batch: &[u8],
    (codec, level): (Compression, i32),
    max_decompressed: usize,
    out: &mut Vec<u8>,
) -> Result<(), BatchError> {
    let mut header = BatchHeader::parse(batch)?;
    assert_eq!(header.size(), batch.len(), "one whole batch");
    let start = out.len();
    out.resize(start + HEADER_LEN, 0);
    let body = &batch[HEADER_LEN..];
    match header.compression() {
        Compression::None => compression::compress_at(codec, level, body, out)?,
        source => {
            let plain = compression::decompress(source, body, max_decompressed)?;
            compression::compress_at(codec, level, &plain, out)?;
        }
    }
    header.attributes = (header.attributes & !header::CODEC) | codec as i16;
    let length = i32::try_from(out.len() - start - LENGTH_PREFIX);
    header.batch_length = length.map_err(|_| BatchError::Corrupt("it is larger than 2 GiB"))?;
    let made = &mut out[start..];
    if let Some(place) = made.first_chunk_mut() {
        header.write(place);
    }
    renew_crc(made);
    Ok(())
}

#[cfg(test)]
mod tests;
