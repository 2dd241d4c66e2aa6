//! What readers get of a partition's committed log, and what they don't: markers, records of aborted
//! transactions, and everything above the last stable offset.

use std::ops::Range;

use super::*;

impl Ghost {
    /// Whether a consumer may go from one offset to another without the records between: they were
    /// compacted, or are none that it gets. `read_in`: the leader epoch of what it read after them, if it
    /// reports that; records that took the place of those of a lost log are not what it went past.
    pub(crate) fn explains_gap(
        &self,
        consumer: u32,
        name: &TopicPartition,
        gap: Range<Offset>,
        read_in: Option<LeaderEpoch>,
    ) -> bool {
        if self.is_compacted(&name.topic) {
            return true;
        }
        let stable = self.transactions.reads_committed(consumer);
        let mut next = gap.start;
        if let Some(partition) = self.partitions.get(name) {
            // A reader may have passed by what was aborted before the marker was lost.
            let hidden = |batch: &Batch| match stable {
                true => {
                    partition.stability.is_hidden(batch)
                        || partition.lost_outcome(batch.base) == Some(false)
                }
                false => batch.stamp.is_control(),
            };
            let took_its_place = |batch: &Batch| {
                let lost =
                    |epoch, loss: &partition::Loss| loss.epoch > epoch && loss.from <= batch.base;
                read_in.is_some_and(|epoch| {
                    batch.epoch > epoch && partition.losses.iter().any(|loss| lost(epoch, loss))
                })
            };
            while let Some(promised) = partition.promise_of(next).filter(|_| next < gap.end) {
                if !hidden(&promised.batch) && !took_its_place(&promised.batch) {
                    return false;
                }
                next = promised.batch.next;
            }
        }
        next >= gap.end
            || self.clients.is_transactional(&name.topic)
                && !self.must_be_read(name, next..gap.end, stable)
    }

    /// Whether clients know of a record in a range that a reader must get.
    fn must_be_read(&self, name: &TopicPartition, range: Range<Offset>, stable: bool) -> bool {
        self.clients.stored_in(name, range).any(|send| match stable {
            true => send.acknowledged().is_some(),
            false => send.stored().is_some(),
        })
    }

    /// Whether a record may be gone because its partition lost committed records; without a known offset,
    /// any loss may have taken it.
    pub(crate) fn was_lost(&self, name: &TopicPartition, offset: Option<Offset>) -> bool {
        let losses = self.partitions.get(name).map_or(&[][..], |partition| &partition.losses);
        losses.iter().any(|loss| offset.is_none_or(|offset| loss.from <= offset))
    }

    /// Whether a record was committed or aborted by a marker that its partition has lost since.
    pub(crate) fn lost_outcome(&self, name: &TopicPartition, offset: Offset) -> Option<bool> {
        self.partitions.get(name)?.lost_outcome(offset)
    }

    /// Whether a record was sent before its partition lost committed records from its offset on. Another
    /// record may have that offset now.
    pub(crate) fn was_lost_since(&self, send: &Send) -> bool {
        let losses = self.partitions.get(&send.partition).map(|partition| &partition.losses);
        let offset = send.offset();
        losses.into_iter().flatten().any(|loss| send.at < loss.at && offset >= Some(loss.from))
    }

    /// Where the records end that readers of committed ones get, below an offset.
    pub(crate) fn readable_below(&self, name: &TopicPartition, end: Offset) -> Offset {
        let Some(partition) = self.partitions.get(name) else { return end };
        let stable = partition.stability.last_stable(partition.frontier());
        let mut end = end.min(stable);
        // Most partitions have no markers: the last batch is asked only.
        while let Some(before) = end.0.checked_sub(1).map(Offset).filter(|before| before.0 >= 0) {
            let Some(promised) = partition.promise_of(before) else { break };
            if !partition.stability.is_hidden(&promised.batch) {
                break;
            }
            end = promised.batch.base;
        }
        end
    }
}
