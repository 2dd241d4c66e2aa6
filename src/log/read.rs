//! Reading: whole batches as a slice of a file, and records by their time.

use std::io;

use super::index::Moment;
use super::lookup::Located;
use super::segment::Segment;
use super::{Log, LogError, ReadError};
use crate::base::config::Compression;
use crate::base::{LeaderEpoch, Offset, Timestamp};
use crate::io::{Disk, File, Slice};
use crate::wire::batch::{self, BatchHeader, HEADER_LEN, Record};

/// A batch that unpacks to more is not searched by time.
const LARGEST_UNPACKED: usize = 256 << 20;

/// What a read found.
#[derive(Clone, Debug)]
pub struct Fetched<F> {
    /// Whole batches; `None` when there are none.
    pub slice: Option<Slice<F>>,
    /// Offset after the last of them; the asked offset when there are none.
    pub next: Offset,
}

impl<F: File> Fetched<F> {
    /// The same up to the first batch in a codec that the reader does not know.
    pub fn without(self, codec: Compression) -> io::Result<Self> {
        let Some(slice) = &self.slice else { return Ok(self) };
        let (mut len, mut header) = (0, [0; HEADER_LEN]);
        while len < slice.len {
            slice.file.read_exact_at(&mut header, slice.offset + len)?;
            // It was looked at when it was found.
            let read = BatchHeader::parse(&header).map_err(io::Error::other)?;
            if read.compression() == codec {
                let slice = (len > 0).then(|| Slice { len, ..slice.clone() });
                return Ok(Self { slice, next: read.base_offset });
            }
            len += read.size() as u64;
        }
        Ok(self)
    }
}

/// A record found by its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordPosition {
    pub offset: Offset,
    pub timestamp: Timestamp,
    /// The epoch in which it was written.
    pub epoch: LeaderEpoch,
}

impl<D: Disk> Log<D> {
    /// Whole batches from the one that holds `from`, none that begins at or above `until`, at most
    /// `max_bytes` and of one segment. `at_least_one`: the first, however large.
    ///
    /// What this process has not written or verified already, or what has left memory since, is
    /// verified here: what is returned never fails its checksum. In front of a batch that is
    /// damaged, fewer are returned; from it on, the error says where it is.
    pub fn read(
        &self,
        from: Offset,
        max_bytes: usize,
        until: Offset,
        at_least_one: bool,
    ) -> Result<Fetched<D::File>, ReadError> {
        let (start, end) = (self.log_start, self.log_end);
        if from < start || from > end {
            return Err(ReadError::OffsetOutOfRange { asked: from, start, end });
        }
        let nothing = Fetched { slice: None, next: from };
        if from >= until.min(end) {
            return Ok(nothing);
        }
        let Some((segment, first)) = self.find(from)? else { return Ok(nothing) };
        if segment.dense && first.header.base_offset > from {
            let problem = format!("the batch with offset {from} is missing");
            return Err(segment.corrupt(first.position, from, &problem).into());
        }
        let (len, next) = match segment.extent(&first, max_bytes as u64, until, at_least_one) {
            // A header further on is damaged: the first batch may be read all the same.
            Err(LogError::Corrupt { .. }) => {
                (first.header.size() as u64, first.header.next_offset())
            }
            extent => extent?,
        };
        if len == 0 {
            return Ok(nothing);
        }
        let (len, next) = segment.vouch(&first, len, next, &self.epochs)?;
        let slice = Slice { file: segment.file.clone(), offset: first.position, len };
        Ok(Fetched { slice: Some(slice), next })
    }

    /// The batch that holds `from`, or the first after it.
    fn find(&self, from: Offset) -> Result<Option<(&Segment<D>, Located)>, LogError> {
        if let Some((base, position)) = self.tail.filter(|(base, _)| *base == from)
            && let Some((_, active)) = self.segments.last_key_value()
            && let Some(found) = active.located_at(position)?
            && found.header.base_offset == base
        {
            return Ok(Some((active, found)));
        }
        let floor = self.segments.range(..=from).next_back().map_or(from, |(base, _)| *base);
        for segment in self.segments.range(floor..).map(|(_, segment)| segment) {
            if let Some(found) = segment.locate(from)? {
                return Ok(Some((segment, found)));
            }
            if segment.dense && from < segment.end {
                let problem = format!("it ends here, and {} should follow", segment.end);
                return Err(segment.corrupt(segment.size, from, &problem));
            }
        }
        Ok(None)
    }

    /// Where the log continues behind a hole that has `from`: a segment, or the end of one, is
    /// missing, and all before it is whole. `None` where the log has no such hole.
    pub fn beyond_hole(&self, from: Offset) -> Option<Offset> {
        let (_, segment) = self.segments.range(..=from).next_back()?;
        let behind = segment.dense && from < segment.end && segment.end < self.log_end;
        let end = behind.then(|| segment.whole_end()).flatten()?;
        (end <= from).then_some(segment.end)
    }

    /// The first record at or after `timestamp`, in the order of offsets.
    pub fn offset_for_timestamp(
        &self,
        timestamp: Timestamp,
    ) -> Result<Option<RecordPosition>, LogError> {
        for segment in self.readable() {
            if segment.latest()?.is_none_or(|latest| latest.timestamp < timestamp) {
                continue;
            }
            let mut walk = segment.headers_from_time(timestamp)?;
            while let Some(found) = segment.find(&mut walk, |header| {
                header.max_timestamp >= timestamp && header.last_offset() >= self.log_start
            })? {
                let wanted = |record: &Record| record.timestamp >= timestamp;
                if let Some(position) = self.record(segment, &found, wanted)? {
                    return Ok(Some(position));
                }
            }
        }
        Ok(None)
    }

    /// The record with the latest timestamp, the first of several.
    pub fn max_timestamp(&self) -> Result<Option<RecordPosition>, LogError> {
        let mut latest: Option<(&Segment<D>, Moment)> = None;
        for segment in self.readable() {
            if let Some(moment) = segment.latest()?
                && latest.is_none_or(|(_, before)| moment.timestamp > before.timestamp)
            {
                latest = Some((segment, moment));
            }
        }
        let Some((segment, moment)) = latest else { return Ok(None) };
        let Some(found) = segment.locate(moment.last)? else { return Ok(None) };
        self.record(segment, &found, |record| record.timestamp >= moment.timestamp)
    }

    /// Segments with offsets that may be read.
    fn readable(&self) -> impl Iterator<Item = &Segment<D>> {
        self.segments.values().map(Box::as_ref).filter(|segment| segment.end > self.log_start)
    }

    /// The first wanted record of a batch that may be read.
    fn record(
        &self,
        segment: &Segment<D>,
        found: &Located,
        wanted: impl Fn(&Record) -> bool,
    ) -> Result<Option<RecordPosition>, LogError> {
        let bytes = segment.load(found)?;
        let records = batch::records(&bytes, LARGEST_UNPACKED).map_err(|problem| {
            let (path, offset) = (segment.path.clone(), found.header.base_offset);
            let (position, problem) = (found.position, problem.to_string());
            LogError::Corrupt { path, position, offset, problem }
        })?;
        let readable = records.iter().filter(|record| record.offset >= self.log_start);
        Ok(readable.into_iter().find(|record| wanted(record)).map(|record| RecordPosition {
            offset: record.offset,
            timestamp: record.timestamp,
            epoch: found.header.leader_epoch,
        }))
    }
}
