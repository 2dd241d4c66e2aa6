//! Reading: whole batches as a slice of a file, and records by their time.

use std::io;

use super::index::Moment;
use super::lookup::{Extent, Located};
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
    /// What a fetch counts for its `min_bytes`, and whether it waits at all.
    pub available: Available,
}

/// What a reader could have, which may be more than the whole batches that it gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Available {
    /// Bytes that it may read now, at most the size that it asked for, or that of a larger first
    /// batch.
    pub bytes: u64,
    /// They go on in the next segment, so that waiting for more of this one is pointless.
    pub in_next_segment: bool,
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
                return Ok(Self { slice, next: read.base_offset, ..self });
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
        let nothing = Fetched { slice: None, next: from, available: Available::default() };
        if from >= until.min(end) {
            return Ok(nothing);
        }
        let Some((segment, first)) = self.find(from)? else { return Ok(nothing) };
        if segment.dense && first.header.base_offset > from {
            let problem = format!("the batch with offset {from} is missing");
            return Err(segment.corrupt(first.position, from, &problem).into());
        }
        let max_bytes = max_bytes as u64;
        let extent = match segment.extent(&first, max_bytes, until, at_least_one) {
            // A header further on is damaged: the first batch may be read all the same.
            Err(LogError::Corrupt { .. }) => {
                let (len, next) = (first.header.size() as u64, first.header.next_offset());
                Extent { len, next, cut: true }
            }
            extent => extent?,
        };
        let available = Available {
            bytes: if extent.cut { extent.len.max(max_bytes) } else { extent.len },
            in_next_segment: until > segment.end && segment.end < end,
        };
        if extent.len == 0 {
            return Ok(Fetched { available, ..nothing });
        }
        let (len, next) = segment.vouch(&first, extent.len, extent.next, &self.epochs)?;
        let slice = Slice { file: segment.file.clone(), offset: first.position, len };
        Ok(Fetched { slice: Some(slice), next, available })
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

    /// The damage of a log that has an epoch above `newest`, the newest that can be there. Checksums don't
    /// cover the epochs of batches, and recovery learns from them.
    pub fn epoch_above(&self, newest: LeaderEpoch) -> Option<LogError> {
        let above = self.epochs.entries().iter().find(|(epoch, _)| *epoch > newest);
        let (epoch, offset) = above.copied()?;
        let problem = format!("leader epoch {epoch}, where none above {newest} can be");
        let (path, position) = match self.find(offset) {
            Ok(Some((segment, batch))) => (segment.path.clone(), batch.position),
            _ => (self.dir.clone(), 0),
        };
        Some(LogError::Corrupt { path, position, offset, problem })
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
            let moment = match segment.base < self.log_start {
                true => self.latest_from_start(segment)?,
                false => segment.latest()?,
            };
            if let Some(moment) = moment
                && latest.is_none_or(|(_, before)| moment.timestamp > before.timestamp)
            {
                latest = Some((segment, moment));
            }
        }
        let Some((segment, moment)) = latest else { return Ok(None) };
        let Some(found) = segment.locate(moment.last)? else { return Ok(None) };
        self.record(segment, &found, |record| record.timestamp >= moment.timestamp)
    }

    /// The latest moment of the segment in which the log starts. Its index also has moments of
    /// records below the start.
    fn latest_from_start(&self, segment: &Segment<D>) -> Result<Option<Moment>, LogError> {
        if let Some(moment) = segment.latest()?
            && self.is_readable_moment(segment, moment)?
        {
            return Ok(Some(moment));
        }
        let mut walk = segment.headers_from(self.log_start)?;
        let mut latest: Option<Moment> = None;
        while let Some(found) = segment.find(&mut walk, |_| true)? {
            let mut timestamp = found.header.max_timestamp;
            if found.header.base_offset < self.log_start {
                let records = self.records_of(segment, &found)?;
                let Some(of_readable) = records.iter().map(|record| record.timestamp).max() else {
                    continue;
                };
                timestamp = of_readable;
            }
            if latest.is_none_or(|before| timestamp > before.timestamp) {
                latest = Some(Moment { timestamp, last: found.header.last_offset() });
            }
        }
        Ok(latest)
    }

    /// Whether the moment is that of a batch at or above the log start.
    fn is_readable_moment(&self, segment: &Segment<D>, moment: Moment) -> Result<bool, LogError> {
        if moment.last < self.log_start {
            return Ok(false);
        }
        let found = segment.locate(moment.last)?;
        Ok(found.is_some_and(|found| found.header.base_offset >= self.log_start))
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
        let records = self.records_of(segment, found)?;
        Ok(records.into_iter().find(|record| wanted(record)).map(|record| RecordPosition {
            offset: record.offset,
            timestamp: record.timestamp,
            epoch: found.header.leader_epoch,
        }))
    }

    /// The records of a batch that may be read.
    fn records_of(&self, segment: &Segment<D>, found: &Located) -> Result<Vec<Record>, LogError> {
        let bytes = segment.load(found)?;
        let records = batch::records(&bytes, LARGEST_UNPACKED).map_err(|problem| {
            let (path, offset) = (segment.path.clone(), found.header.base_offset);
            let (position, problem) = (found.position, problem.to_string());
            LogError::Corrupt { path, position, offset, problem }
        })?;
        Ok(records.into_iter().filter(|record| record.offset >= self.log_start).collect())
    }
}
