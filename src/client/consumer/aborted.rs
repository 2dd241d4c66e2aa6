//! What a `read_committed` reader leaves out of a fetch: the records of aborted transactions.
//!
//! The leader names the transactions that were aborted below the last stable offset, each by its
//! producer and first offset; where one ends is said by its marker among the batches. Source: Kafka's
//! `CompletedFetch`.

use std::collections::{BTreeSet, VecDeque};

use crate::base::{Offset, ProducerId};
use crate::log::Marker;
use crate::wire::batch::{BatchError, BatchHeader};
use crate::wire::messages::fetch_response::PartitionData;

/// The aborted transactions of one fetch, as far as their batches are still to come.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Aborted {
    /// By first offset.
    ahead: VecDeque<(Offset, ProducerId)>,
    /// Producers of whose aborted transaction the marker is still to come.
    open: BTreeSet<ProducerId>,
}

impl Aborted {
    /// Those that an answer names; none for `read_uncommitted`.
    pub(super) fn of(data: &PartitionData) -> Self {
        let named = data.aborted_transactions.iter().flatten();
        let mut ahead: Vec<_> = named
            .map(|aborted| (Offset(aborted.first_offset), ProducerId(aborted.producer_id)))
            .collect();
        ahead.sort();
        Self { ahead: ahead.into(), open: BTreeSet::new() }
    }

    /// Whether the records of the next batch are left out. `batch`: its bytes.
    pub(super) fn leaves_out(
        &mut self,
        header: &BatchHeader,
        batch: &[u8],
    ) -> Result<bool, BatchError> {
        if !header.has_producer() {
            return Ok(false);
        }
        while let Some((first, producer)) = self.ahead.front().copied()
            && first <= header.last_offset()
        {
            self.ahead.pop_front();
            self.open.insert(producer);
        }
        if header.is_control() {
            if Marker::of(batch)? == Some(Marker::Abort) {
                self.open.remove(&header.producer_id);
            }
            return Ok(false);
        }
        Ok(header.is_transactional() && self.open.contains(&header.producer_id))
    }
}
