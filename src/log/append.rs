//! Appends batches: checks them, assigns offsets and epochs, and writes them.

use super::admission::Writer;
use super::producers::Duplicate;
use super::validate::{self, Checked};
use super::verification::Guard;
use super::{AppendError, Log, LogError};
use crate::base::{LeaderEpoch, Offset, Timestamp};
use crate::io::Disk;
use crate::wire::batch::{self, BatchError, BatchHeader};

use super::segment::{LARGEST, Segment};

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first record (of the earlier batch, for a duplicate).
    pub base: Offset,
    /// Offset after the last record (of the earlier batch, for a duplicate).
    pub end: Offset,
    /// The batches had been appended before: nothing was written.
    pub duplicate: bool,
    /// They were the first of their leader epoch: [`Log::save_epochs`] is due.
    pub new_epoch: bool,
    /// A new segment was begun: [`Log::roll_flush_plan`] is due.
    pub rolled: bool,
    /// The time that all records got (`message.timestamp.type=LogAppendTime`).
    pub append_time: Option<Timestamp>,
}

impl<D: Disk> Log<D> {
    /// Appends what a client sent: checks it, gives it offsets and the leader's epoch in place,
    /// writes it. Several batches are appended all or none. Bytes are copied only where the topic
    /// asks for another codec.
    pub fn append_as_leader(
        &mut self,
        batches: &mut [u8],
        epoch: LeaderEpoch,
        now: Timestamp,
    ) -> Result<Appended, AppendError> {
        self.append_as(batches, epoch, now, Writer::Client(Guard::NONE))
    }

    /// Appends what this broker's coordinators decided, or what a client sent whose transaction was
    /// verified: see [`Writer`]. As [`Log::append_as_leader`], but a coordinator's batches have no
    /// sequence numbers; those of a fenced producer or of a fenced transaction coordinator are
    /// refused.
    pub fn append_as(
        &mut self,
        batches: &mut [u8],
        epoch: LeaderEpoch,
        now: Timestamp,
        writer: Writer,
    ) -> Result<Appended, AppendError> {
        self.durability.check_online()?;
        if epoch < self.epochs.latest() {
            return Err(AppendError::EpochFell { current: self.epochs.latest(), found: epoch });
        }
        let config = self.config;
        let mut checked = Checked::new(batches, &config, now, writer.origin())?;
        if let Some(Duplicate { base, end }) = self.admit(batches, &checked.headers, writer)? {
            return Ok(Appended {
                base,
                end,
                duplicate: true,
                new_epoch: false,
                rolled: false,
                append_time: None,
            });
        }
        let mut converted = checked.recompress(batches, &config)?;
        let batches = converted.as_deref_mut().unwrap_or(batches);
        let append_time = checked.stamp(batches, &config, now);
        let (mut at, mut next) = (0, self.log_end);
        for header in &mut checked.headers {
            batch::assign(&mut batches[at..], next, epoch);
            (header.base_offset, header.leader_epoch) = (next, epoch);
            at += header.size();
            next = header.next_offset();
        }
        Ok(Appended { append_time, ..self.write(batches, &checked.headers, now)? })
    }

    /// Appends what a leader sent, which must begin where the log ends. A torn batch at the end,
    /// as a fetch may have it, is left out.
    pub fn append_as_follower(
        &mut self,
        batches: &[u8],
        now: Timestamp,
    ) -> Result<Appended, AppendError> {
        self.durability.check_online()?;
        let (mut headers, mut at) = (Vec::new(), 0);
        let (mut expected, mut current) = (self.log_end, self.epochs.latest());
        let mut first = None;
        while at < batches.len() {
            let header = match validate::whole(&batches[at..], self.config.flaws) {
                Ok(header) => header,
                Err(BatchError::Torn { .. }) if at > 0 => break,
                Err(problem) => return Err(AppendError::Invalid { at, problem }),
            };
            // A compacted leader has gaps, but nothing ever goes back.
            let continues = if self.config.may_have_gaps() {
                header.base_offset >= expected
            } else {
                header.base_offset == expected
            };
            if !continues {
                return Err(AppendError::NotContinuous { expected, found: header.base_offset });
            }
            if header.leader_epoch < current {
                return Err(AppendError::EpochFell { current, found: header.leader_epoch });
            }
            // The leader sends the rest again; it needs another segment.
            let from = *first.get_or_insert_with(|| self.rolled_base(&header));
            if header.last_offset().0.saturating_sub(from.0) > LARGEST as i64 && at > 0 {
                break;
            }
            (expected, current) = (header.next_offset(), header.leader_epoch);
            at += header.size();
            headers.push(header);
        }
        self.write(&batches[..at], &headers, now)
    }

    /// Writes batches that have their place, and remembers what follows from them.
    fn write(
        &mut self,
        bytes: &[u8],
        headers: &[BatchHeader],
        now: Timestamp,
    ) -> Result<Appended, AppendError> {
        let (Some(first), Some(last)) = (headers.first(), headers.last()) else {
            return Err(AppendError::Empty);
        };
        let limit = self.config.segment_bytes;
        if bytes.len() as u64 > limit {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            return Err(AppendError::LargerThanSegment { size: bytes.len(), limit });
        }
        let latest = headers.iter().map(|h| h.max_timestamp).max().unwrap_or(Timestamp::NONE);
        let config = self.config;
        let last_offset = last.last_offset();
        let rolled =
            self.active()?.must_roll(bytes.len() as u64, last_offset, latest, now, &config);
        if rolled {
            self.roll(self.rolled_base(first), now)?;
        }
        let active = self.active()?;
        let position = active.size;
        if let Err(error) = active.append(bytes, headers) {
            if let LogError::Offline(_) = error {
                self.durability.go_offline();
            }
            return Err(error.into());
        }
        self.tail = Some((first.base_offset, position));
        let mut due = std::mem::replace(&mut self.log_end, last.next_offset());
        let (mut new_epoch, mut at) = (false, 0);
        for header in headers {
            let remembered = self.remember(header, &bytes[at..]);
            self.or_offline(remembered)?;
            at += header.size();
            // Where the one before ends: see [`super::Epochs::learn`].
            new_epoch |= self.epochs.assign(header.leader_epoch, due);
            due = header.next_offset();
        }
        if new_epoch {
            self.durability.epochs_changed();
        }
        self.check_append(headers);
        let (base, end) = (first.base_offset, self.log_end);
        Ok(Appended { base, end, duplicate: false, new_epoch, rolled, append_time: None })
    }

    /// Where a segment begins whose first batch this is: where the log ends, though a compacted
    /// leader may have nothing until further on. So segments meet wherever nothing was lost, and
    /// recovery can tell. (Kafka begins it with the batch.) Only what an index can't reach from
    /// there has a segment of its own.
    fn rolled_base(&self, first: &BatchHeader) -> Offset {
        match first.last_offset().0.saturating_sub(self.log_end.0) > LARGEST as i64 {
            true => first.base_offset,
            false => self.log_end,
        }
    }

    /// Begins a new segment. Its name is not durable until a plan has run.
    pub(super) fn roll(&mut self, base: Offset, now: Timestamp) -> Result<(), LogError> {
        let fresh = Segment::create(&self.disk, &self.dir, base, &self.config, now)?;
        self.active()?.seal();
        self.segments.insert(base, Box::new(fresh));
        self.tail = None;
        self.durability.names_changed();
        self.write_snapshot();
        Ok(())
    }
}
