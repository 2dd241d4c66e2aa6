//! Builds batches from records.

use bytes::Bytes;

use super::header::{self, AT_CRC, BatchHeader, HEADER_LEN, LENGTH_PREFIX, MAGIC};
use super::varint;
use crate::base::config::Compression;
use crate::base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use crate::wire::compression;

/// A record's header as it is given to a builder.
type HeaderRef<'a> = (&'a [u8], Option<&'a [u8]>);

/// Collects records into one batch. Its base offset is 0 until a log assigns one.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    compression: Compression,
    level: i32,
    flags: i16,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
    count: i32,
    /// Space for the header, then records as they are without compression.
    bytes: Vec<u8>,
}

impl BatchBuilder {
    /// An empty batch whose timestamps are stored relative to `base_timestamp`: take the first
    /// record's.
    pub fn new(compression: Compression, base_timestamp: Timestamp) -> Self {
        Self {
            compression,
            level: compression::default_level(compression),
            flags: 0,
            base_timestamp,
            max_timestamp: Timestamp(i64::MIN),
            count: 0,
            bytes: vec![0; HEADER_LEN],
        }
    }

    /// Makes the codec try as hard as this, where it has levels.
    #[must_use]
    pub fn at_level(mut self, level: i32) -> Self {
        self.level = level;
        self
    }

    /// Makes the batch part of a transaction.
    #[must_use]
    pub fn transactional(mut self) -> Self {
        self.flags |= header::TRANSACTIONAL;
        self
    }

    /// Makes the batch one of markers, which applications never see.
    #[must_use]
    pub fn control(mut self) -> Self {
        self.flags |= header::CONTROL;
        self
    }

    /// Appends a record, returns which offset it has relative to the first.
    pub fn append(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[HeaderRef<'_>],
    ) -> i32 {
        let delta = self.count;
        let body = self.body_len(timestamp, key, value, headers);
        let out = &mut self.bytes;
        out.reserve(body + 5);
        varint::write(out, body as i64);
        out.push(0);
        varint::write(out, timestamp.0.wrapping_sub(self.base_timestamp.0));
        varint::write(out, i64::from(delta));
        write_nullable(out, key);
        write_nullable(out, value);
        varint::write(out, headers.len() as i64);
        for (key, value) in headers {
            write_nullable(out, Some(key));
            write_nullable(out, *value);
        }
        self.count += 1;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        delta
    }

    /// Records appended.
    pub fn count(&self) -> i32 {
        self.count
    }

    /// Whether nothing was appended.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the batch before compression: what `batch.size` is compared with.
    pub fn estimated_size(&self) -> usize {
        self.bytes.len()
    }

    /// As [`BatchBuilder::estimated_size`], if this record were appended.
    pub fn estimated_size_with(
        &self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[HeaderRef<'_>],
    ) -> usize {
        let body = self.body_len(timestamp, key, value, headers);
        self.bytes.len() + varint::len(body as i64) + body
    }

    /// Bytes of the next record after its length.
    fn body_len(
        &self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[HeaderRef<'_>],
    ) -> usize {
        let headers_len: usize =
            headers.iter().map(|(key, value)| nullable_len(Some(key)) + nullable_len(*value)).sum();
        1 + varint::len(timestamp.0.wrapping_sub(self.base_timestamp.0))
            + varint::len(i64::from(self.count))
            + nullable_len(key)
            + nullable_len(value)
            + varint::len(headers.len() as i64)
            + headers_len
    }

    /// The batch. Without an idempotent producer: `ProducerId::NONE`, `ProducerEpoch::NONE`, -1.
    ///
    /// # Panics
    /// When nothing was appended, or more than 2 GiB.
    pub fn finish(self, producer: ProducerId, epoch: ProducerEpoch, base_sequence: i32) -> Bytes {
        assert!(self.count > 0, "a batch has at least one record");
        let mut codec = Compression::None;
        let mut bytes = self.bytes;
        if self.compression != Compression::None {
            let mut compressed = Vec::with_capacity(HEADER_LEN + bytes.len() / 2);
            compressed.resize(HEADER_LEN, 0);
            // A codec fails for want of memory only; the records are as good without it.
            let body = &bytes[HEADER_LEN..];
            if compression::compress_at(self.compression, self.level, body, &mut compressed).is_ok()
            {
                codec = self.compression;
                bytes = compressed;
            }
        }
        let batch_length = i32::try_from(bytes.len() - LENGTH_PREFIX);
        let header = BatchHeader {
            base_offset: Offset::ZERO,
            batch_length: batch_length.expect("a batch is at most 2 GiB"),
            leader_epoch: LeaderEpoch::NONE,
            magic: MAGIC,
            crc: 0,
            attributes: self.flags | codec as i16,
            last_offset_delta: self.count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: producer,
            producer_epoch: epoch,
            base_sequence,
            count: self.count,
        };
        if let Some(place) = bytes.first_chunk_mut() {
            header.write(place);
        }
        let crc = header::crc_of(&bytes);
        bytes[AT_CRC..AT_CRC + 4].copy_from_slice(&crc.to_be_bytes());
        Bytes::from(bytes)
    }

    /// The batch of a producer that is not idempotent.
    ///
    /// # Panics
    /// As [`BatchBuilder::finish`].
    pub fn finish_plain(self) -> Bytes {
        self.finish(ProducerId::NONE, ProducerEpoch::NONE, -1)
    }
}

fn write_nullable(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => varint::write(out, -1),
        Some(field) => {
            varint::write(out, field.len() as i64);
            out.extend_from_slice(field);
        }
    }
}

fn nullable_len(field: Option<&[u8]>) -> usize {
    field.map_or(1, |field| varint::len(field.len() as i64) + field.len())
}
