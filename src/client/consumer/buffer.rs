//! Records that were fetched and not yet returned.

use bytes::Bytes;

use super::aborted::Aborted;
use super::position::Position;
use crate::base::{Offset, TopicPartition};
use crate::client::ConsumerRecord;
use crate::wire::batch::{BatchError, BatchHeader, Records, records_of};

/// The most that one batch may grow to when it is decompressed.
const MAX_DECOMPRESSED: usize = 128 << 20;

/// The records of one fetch of one partition, decoded batch by batch as they are taken.
#[derive(Debug)]
pub(super) struct Buffered {
    rest: Bytes,
    aborted: Aborted,
    current: Option<Records>,
    /// The size of the records that were taken, in the uncompressed batch.
    bytes_taken: usize,
}

impl Buffered {
    /// The batches of a fetch; `None` if there is no whole one. A fetch may end inside a batch.
    pub(super) fn new(bytes: Bytes, aborted: Aborted) -> Result<Option<Self>, BatchError> {
        match BatchHeader::parse(&bytes) {
            Ok(header) if header.size() <= bytes.len() => {
                Ok(Some(Self { rest: bytes, aborted, current: None, bytes_taken: 0 }))
            }
            Ok(_) | Err(BatchError::Torn { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn bytes_taken(&self) -> usize {
        self.bytes_taken
    }

    /// The offset after the last whole batch.
    pub(super) fn end(&self) -> Option<Offset> {
        let mut end = self.current.as_ref().map(|records| records.header().next_offset());
        let mut rest = &self.rest[..];
        while let Ok(header) = BatchHeader::parse(rest)
            && let Some(next) = rest.get(header.size()..)
        {
            end = Some(header.next_offset());
            rest = next;
        }
        end
    }

    /// Moves up to `limit` records at or after the position into `into`, and the position past them.
    /// Returns whether there may be more. An error leaves the position in front of the corrupt batch.
    pub(super) fn take(
        &mut self,
        partition: &TopicPartition,
        position: &mut Position,
        limit: usize,
        into: &mut Vec<ConsumerRecord>,
    ) -> Result<bool, BatchError> {
        let mut taken = 0;
        while taken < limit {
            let Some(records) = &mut self.current else {
                if !self.next_batch(position)? {
                    return Ok(false);
                }
                continue;
            };
            let epoch = records.header().leader_epoch;
            let before = records.bytes_read();
            match records.next() {
                Some(record) => {
                    let record = record?;
                    let size = records.bytes_read() - before;
                    if record.offset < position.offset() {
                        continue;
                    }
                    position.advance(record.offset, record.offset.next(), epoch);
                    into.push(ConsumerRecord {
                        partition: partition.clone(),
                        offset: record.offset,
                        timestamp: record.timestamp,
                        key: record.key,
                        value: record.value,
                        headers: record.headers,
                        leader_epoch: epoch,
                    });
                    self.bytes_taken += size;
                    taken += 1;
                }
                None => {
                    // Also over what compaction removed at the batch's end.
                    let next = records.header().next_offset();
                    if next > position.offset() {
                        position.advance(records.header().base_offset, next, epoch);
                    }
                    self.current = None;
                }
            }
        }
        Ok(true)
    }

    /// Turns to the next batch that reaches to the position or beyond.
    fn next_batch(&mut self, position: &mut Position) -> Result<bool, BatchError> {
        let header = match BatchHeader::parse(&self.rest) {
            Ok(header) if header.size() <= self.rest.len() => header,
            Ok(_) | Err(BatchError::Torn { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let batch = self.rest.split_to(header.size());
        if header.next_offset() <= position.offset() {
            return Ok(true);
        }
        let is_aborted = self.aborted.leaves_out(&header, &batch)?;
        if header.is_control() || is_aborted {
            // Neither markers nor aborted records are for applications, but they have offsets.
            crate::wire::batch::check(&batch)?;
            position.advance(header.base_offset, header.next_offset(), header.leader_epoch);
        } else {
            self.current = Some(records_of(&batch, MAX_DECOMPRESSED)?);
        }
        Ok(true)
    }
}
