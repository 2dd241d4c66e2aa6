//! The records of a batch, decoded. For clients and tools; a broker never needs them.

#![warn(missing_docs, reason = "in the prelude")]

use std::iter::FusedIterator;

use bytes::Bytes;

use super::header::{BatchHeader, HEADER_LEN};
use super::{BatchError, check, split, varint};
use crate::base::config::{Compression, TimestampType};
use crate::base::{Offset, Timestamp};
use crate::wire::compression;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the partition.
    pub offset: Offset,
    /// When it was created, or appended: see [`BatchHeader::timestamp_type`].
    pub timestamp: Timestamp,
    /// Its key, if it has one.
    pub key: Option<Bytes>,
    /// Its value; none is a tombstone for compaction.
    pub value: Option<Bytes>,
    /// In the order in which they were sent. A key may occur more than once.
    pub headers: Vec<Header>,
}

/// One header of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// UTF-8, if the producer kept to the protocol.
    pub key: Bytes,
    /// Its value, if it has one.
    pub value: Option<Bytes>,
}

/// The records of the batch at the beginning of `batch`, which is checked and, if it is not
/// compressed, copied once. Refuses to decompress to more than `max_decompressed` bytes.
pub fn records(batch: &[u8], max_decompressed: usize) -> Result<Vec<Record>, BatchError> {
    let header = check(batch)?;
    let body = &batch[HEADER_LEN..header.size()];
    let body = match header.compression() {
        Compression::None => Bytes::copy_from_slice(body),
        codec => compression::decompress(codec, body, max_decompressed)?,
    };
    Records::new(header, body).collect()
}

/// As [`records`], one by one, and without a copy if the batch is not compressed.
pub fn records_of(batch: &Bytes, max_decompressed: usize) -> Result<Records, BatchError> {
    check(batch)?;
    unchecked_records_of(batch, max_decompressed)
}

/// As [`records_of`], though the checksum may be wrong: for tools that show what is there.
pub fn unchecked_records_of(batch: &Bytes, max_decompressed: usize) -> Result<Records, BatchError> {
    let header = split(batch)?.0;
    let body = batch.slice(HEADER_LEN..header.size());
    let body = match header.compression() {
        Compression::None => body,
        codec => compression::decompress(codec, &body, max_decompressed)?,
    };
    Ok(Records::new(header, body))
}

/// Decodes records one by one. After an error there is nothing more.
#[derive(Clone, Debug)]
pub struct Records {
    header: BatchHeader,
    body: Bytes,
    at: usize,
    left: i32,
    /// The smallest offset delta that the next record may have.
    next_delta: i32,
}

impl Records {
    fn new(header: BatchHeader, body: Bytes) -> Self {
        Self { header, body, at: 0, left: header.count, next_delta: 0 }
    }

    /// The header of the batch.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// Bytes of the records so far, uncompressed.
    pub fn bytes_read(&self) -> usize {
        self.at
    }

    fn decode(&mut self) -> Result<Record, BatchError> {
        let length = varint::read_int(&self.body, &mut self.at)?;
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        let Some(end) = end.filter(|end| *end <= self.body.len()) else {
            return Err(BatchError::Corrupt("a record is longer than its batch"));
        };
        let mut reader = Reader { body: &self.body, bytes: &self.body[..end], at: self.at };
        let _attributes = reader.byte()?;
        let timestamp = varint::read_long(reader.bytes, &mut reader.at)?;
        let delta = varint::read_int(reader.bytes, &mut reader.at)?;
        if delta < self.next_delta || delta > self.header.last_offset_delta {
            return Err(BatchError::Corrupt("a record's offset is out of order"));
        }
        let key = reader.nullable()?;
        let value = reader.nullable()?;
        let headers = reader.headers()?;
        if reader.at != end {
            return Err(BatchError::Corrupt("a record is longer than its fields"));
        }
        self.at = end;
        self.next_delta = delta.saturating_add(1);
        Ok(Record {
            offset: self.header.base_offset.plus(i64::from(delta)),
            timestamp: self.timestamp(timestamp)?,
            key,
            value,
            headers,
        })
    }

    fn timestamp(&self, delta: i64) -> Result<Timestamp, BatchError> {
        match self.header.timestamp_type() {
            TimestampType::LogAppendTime => Ok(self.header.max_timestamp),
            TimestampType::CreateTime => {
                let timestamp = self.header.base_timestamp.0.checked_add(delta);
                timestamp.map(Timestamp).ok_or(BatchError::Corrupt("a timestamp overflows"))
            }
        }
    }
}

impl Iterator for Records {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            let trailing = std::mem::replace(&mut self.at, self.body.len()) != self.body.len();
            let error = BatchError::Corrupt("bytes follow the last record");
            return trailing.then_some(Err(error));
        }
        self.left -= 1;
        let record = self.decode();
        if record.is_err() {
            self.left = 0;
            self.at = self.body.len();
        }
        Some(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // The count is the sender's word; seven bytes is what the smallest record takes.
        let left = usize::try_from(self.left).unwrap_or(0);
        (left.min((self.body.len() - self.at) / 7), Some(left.saturating_add(1)))
    }
}

impl FusedIterator for Records {}

/// Reads the fields of one record, and not beyond its end.
struct Reader<'a> {
    /// What slices are taken of, without a copy.
    body: &'a Bytes,
    /// The same bytes, up to the record's end.
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, BatchError> {
        let byte = self.bytes.get(self.at).ok_or(BatchError::Corrupt("a record is cut"))?;
        self.at += 1;
        Ok(*byte)
    }

    fn nullable(&mut self) -> Result<Option<Bytes>, BatchError> {
        match varint::read_int(self.bytes, &mut self.at)? {
            -1 => Ok(None),
            length => self.take(length).map(Some),
        }
    }

    fn take(&mut self, length: i32) -> Result<Bytes, BatchError> {
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        let Some(end) = end.filter(|end| *end <= self.bytes.len()) else {
            return Err(BatchError::Corrupt("a field is longer than its record"));
        };
        let field = self.body.slice(self.at..end);
        self.at = end;
        Ok(field)
    }

    fn headers(&mut self) -> Result<Vec<Header>, BatchError> {
        let count = varint::read_int(self.bytes, &mut self.at)?;
        // The smallest header takes two bytes.
        let most = (self.bytes.len() - self.at) / 2;
        let Some(count) = usize::try_from(count).ok().filter(|count| *count <= most) else {
            return Err(BatchError::Corrupt("a record has more headers than bytes"));
        };
        let mut headers = Vec::with_capacity(count);
        for _ in 0..count {
            let length = varint::read_int(self.bytes, &mut self.at)?;
            let key = self.take(length)?;
            headers.push(Header { key, value: self.nullable()? });
        }
        Ok(headers)
    }
}
