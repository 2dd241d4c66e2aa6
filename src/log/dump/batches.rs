//! Files of batches: `.log`, and the snapshots of the metadata log.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use bytes::Bytes;

use super::{Dump, DumpError, decoder};
use crate::base::{Offset, Timestamp};
use crate::io::File;
use crate::wire::batch::{
    self, BatchError, BatchHeader, HEADER_LEN, LENGTH_PREFIX, MAGIC, Record, TimestampType,
};
use crate::wire::crc32c::Crc32c;

/// A batch that unpacks to more is not shown record by record.
const LARGEST_UNPACKED: usize = 256 << 20;
/// Source: Kafka's `Records.HEADER_SIZE_UP_TO_MAGIC`.
const UP_TO_MAGIC: u64 = 17;
/// Source: Kafka's `LegacyRecord.RECORD_OVERHEAD_V0`.
const LEAST_LENGTH: i32 = 14;
/// The checksum covers everything from the attributes on.
const CRC_FROM: u64 = 21;
const CHUNK: usize = 256 << 10;

/// A batch where it is in a file; what its header says may be anything.
pub(super) struct Placed {
    pub(super) header: BatchHeader,
    pub(super) position: u64,
}

impl Placed {
    pub(super) fn size(&self) -> u64 {
        LENGTH_PREFIX as u64 + u64::try_from(self.header.batch_length).unwrap_or(0)
    }

    pub(super) fn last_offset(&self) -> Offset {
        let delta = i64::from(self.header.last_offset_delta);
        Offset(self.header.base_offset.0.wrapping_add(delta))
    }

    fn last_sequence(&self) -> i32 {
        self.sequence(self.header.last_offset_delta)
    }

    fn sequence(&self, delta: i32) -> i32 {
        match self.header.base_sequence {
            -1 => -1,
            base => batch::add_to_sequence(base, delta),
        }
    }

    /// All of its bytes.
    pub(super) fn load<F: File>(&self, file: &F) -> io::Result<Bytes> {
        // The walk made sure that the file has them.
        let mut bytes = vec![0; self.size() as usize];
        file.read_exact_at(&mut bytes, self.position)?;
        Ok(Bytes::from(bytes))
    }

    /// Whether the checksum is that of the bytes.
    fn is_valid<F: File>(&self, file: &F) -> io::Result<bool> {
        if self.size() < HEADER_LEN as u64 {
            return Ok(false);
        }
        let (mut at, end) = (self.position + CRC_FROM, self.position + self.size());
        let (mut computed, mut buffer) = (Crc32c::new(), vec![0; CHUNK.min((end - at) as usize)]);
        while at < end {
            let len = CHUNK.min((end - at) as usize);
            file.read_exact_at(&mut buffer[..len], at)?;
            computed.update(&buffer[..len]);
            at += len as u64;
        }
        Ok(computed.finish() == self.header.crc)
    }
}

/// The batch at `position` of a file that counts up to `end`; `None` when no whole one is there.
pub(super) fn batch_at<F: File>(
    file: &F,
    path: &Path,
    position: u64,
    end: u64,
) -> Result<Option<Placed>, DumpError> {
    if position.saturating_add(UP_TO_MAGIC) >= end {
        return Ok(None);
    }
    let mut bytes = [0; HEADER_LEN];
    let there = HEADER_LEN.min((end - position) as usize);
    let read = file.read_at(&mut bytes[..there], position).map_err(DumpError::read(path))?;
    if read < there {
        return Ok(None);
    }
    let corrupt = |problem: String| DumpError::corrupt(path, position, problem);
    let header = BatchHeader::read(&bytes).map_err(|error| corrupt(error.to_string()))?;
    if header.batch_length < LEAST_LENGTH {
        let length = header.batch_length;
        return Err(corrupt(format!("a length of {length} is less than any batch has")));
    }
    let placed = Placed { header, position };
    if placed.size() > end - position {
        return Ok(None);
    }
    if header.magic != MAGIC {
        return Err(corrupt(BatchError::Magic(header.magic).to_string()));
    }
    Ok(Some(placed))
}

impl<F: File, O: Fn(&Path) -> io::Result<F>, W: Write> Dump<'_, O, W> {
    /// Shows a file of batches.
    pub(super) fn batches(&mut self, path: &Path) -> Result<(), DumpError> {
        let (file, len) = self.opened(path)?;
        let end = self.options.max_bytes.map_or(len, |most| len.min(most));
        let (mut position, mut last) = (0, Offset(-1));
        while let Some(placed) = batch_at(&file, path, position, end)? {
            let valid = placed.is_valid(&file).map_err(DumpError::read(path))?;
            self.line(batch_line(&placed, valid))?;
            if self.options.deep {
                self.records(path, &file, &placed, &mut last)?;
            }
            position += placed.size();
        }
        if position < end && self.options.max_bytes.is_none() {
            let (left, name) = (end - position, path.file_name().unwrap_or_default());
            let name = name.display();
            self.line(format_args!("Found {left} invalid bytes at the end of {name}"))?;
        }
        Ok(())
    }

    fn records(
        &mut self,
        path: &Path,
        file: &F,
        placed: &Placed,
        last: &mut Offset,
    ) -> Result<(), DumpError> {
        let bytes = placed.load(file).map_err(DumpError::read(path))?;
        let corrupt = |error: BatchError| DumpError::corrupt(path, placed.position, error);
        for record in batch::unchecked_records_of(&bytes, LARGEST_UNPACKED).map_err(corrupt)? {
            let record = record.map_err(corrupt)?;
            if last.0.checked_add(1) != Some(record.offset.0) {
                self.problems.gap(path, *last, record.offset);
            }
            *last = record.offset;
            let mut line = String::new();
            if !self.options.skip_record_metadata {
                line = record_line(placed, &record);
            }
            if self.options.contents && !placed.header.is_control() {
                let mut prefix = if self.options.skip_record_metadata { "| " } else { " " };
                let shown = self.options.decoder.show(&record);
                let (key, value) =
                    shown.map_err(|p| DumpError::corrupt(path, placed.position, p))?;
                if let Some(key) = key {
                    let _ = write!(line, "{prefix}key: {key}");
                    prefix = " ";
                }
                if let Some(value) = value {
                    let _ = write!(line, "{prefix}payload: {value}");
                }
            }
            self.line(line)?;
        }
        Ok(())
    }
}

fn batch_line(placed: &Placed, valid: bool) -> String {
    let header = &placed.header;
    let horizon = header.has_delete_horizon().then_some(header.base_timestamp.0);
    format!(
        "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} producerId: {} \
         producerEpoch: {} partitionLeaderEpoch: {} isTransactional: {} isControl: {} \
         deleteHorizonMs: {} position: {} {}: {} size: {} magic: {} compresscodec: {} crc: {} \
         isvalid: {valid}",
        header.base_offset,
        placed.last_offset(),
        header.count,
        header.base_sequence,
        placed.last_sequence(),
        header.producer_id,
        header.producer_epoch,
        header.leader_epoch,
        header.is_transactional(),
        header.is_control(),
        optional(horizon),
        placed.position,
        timestamp_type(header),
        header.max_timestamp.0,
        placed.size(),
        header.magic,
        header.compression(),
        header.crc,
    )
}

fn record_line(placed: &Placed, record: &Record) -> String {
    let size = |field: &Option<Bytes>| field.as_ref().map_or(-1, |bytes| bytes.len() as i64);
    let keys = record.headers.iter().map(|header| String::from_utf8_lossy(&header.key));
    let keys: Vec<_> = keys.collect();
    let delta = record.offset.0.wrapping_sub(placed.header.base_offset.0) as i32;
    let mut line = format!(
        "| offset: {} {}: {} keySize: {} valueSize: {} sequence: {} headerKeys: [{}]",
        record.offset,
        timestamp_type(&placed.header),
        record.timestamp.0,
        size(&record.key),
        size(&record.value),
        placed.sequence(delta),
        keys.join(","),
    );
    if placed.header.is_control() {
        line.push_str(&decoder::control(record));
    }
    line
}

fn timestamp_type(header: &BatchHeader) -> &'static str {
    match header.timestamp_type() {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    }
}

/// As Java shows an `OptionalLong`.
pub(super) fn optional(value: Option<i64>) -> String {
    value.map_or("OptionalLong.empty".to_owned(), |value| format!("OptionalLong[{value}]"))
}

/// The latest timestamp among a batch's records.
pub(super) fn latest<F: File>(
    file: &F,
    path: &Path,
    placed: &Placed,
) -> Result<Timestamp, DumpError> {
    let bytes = placed.load(file).map_err(DumpError::read(path))?;
    let corrupt = |error: BatchError| DumpError::corrupt(path, placed.position, error);
    let mut latest = Timestamp::NONE;
    for record in batch::unchecked_records_of(&bytes, LARGEST_UNPACKED).map_err(corrupt)? {
        latest = latest.max(record.map_err(corrupt)?.timestamp);
    }
    Ok(latest)
}
