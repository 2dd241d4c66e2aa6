//! Tracks transactions while the cleaner reads a log from its start. Pure. Source: Kafka's
//! `CleanedTransactionMetadata`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::base::{Offset, ProducerId};
use crate::log::transactions::{Aborted, Marker};
use crate::wire::batch::BatchHeader;

/// An aborted transaction that is open at the cleaner's position.
struct Open {
    aborted: Aborted,
    /// Whether any of its batches is still there.
    seen: bool,
}

/// Transactions that are open at the cleaner's position.
#[derive(Default)]
pub(crate) struct Transactions {
    committed: BTreeSet<ProducerId>,
    aborted: BTreeMap<ProducerId, Open>,
    /// Aborted transactions that begin later, by first offset.
    coming: VecDeque<Aborted>,
    /// Aborted transactions whose marker stays: the index of the new segment.
    kept: Vec<Aborted>,
}

impl Transactions {
    /// Adds aborted transactions, which may begin before the known ones.
    pub(crate) fn expect(&mut self, aborted: impl IntoIterator<Item = Aborted>) {
        self.coming.extend(aborted);
        self.coming.make_contiguous().sort_by_key(|aborted| (aborted.first, aborted.last));
        let mut before = None;
        self.coming.retain(|aborted| before.replace(*aborted) != Some(*aborted));
    }

    /// Advances over a batch of records; returns whether it belongs to an aborted transaction.
    pub(crate) fn batch(&mut self, header: &BatchHeader) -> bool {
        self.begin_up_to(header.last_offset());
        if !header.is_transactional() {
            return false;
        }
        match self.aborted.get_mut(&header.producer_id) {
            Some(open) => {
                open.seen = true;
                true
            }
            None => {
                self.committed.insert(header.producer_id);
                false
            }
        }
    }

    /// Advances over a control batch; returns whether nothing is left of the transaction that it
    /// ends, so that the marker may expire.
    pub(crate) fn marker(&mut self, header: &BatchHeader, marker: Option<Marker>) -> bool {
        self.begin_up_to(header.last_offset());
        match marker {
            Some(Marker::Abort) => match self.aborted.remove(&header.producer_id) {
                Some(open) if open.seen => {
                    self.kept.push(open.aborted);
                    false
                }
                _ => true,
            },
            Some(Marker::Commit) => !self.committed.remove(&header.producer_id),
            Some(Marker::Other) => false,
            // The marker of an emptied transaction has no purpose left.
            None => true,
        }
    }

    /// Aborted transactions whose markers stay, in the order of markers, since the last call.
    pub(crate) fn take_kept(&mut self) -> Vec<Aborted> {
        std::mem::take(&mut self.kept)
    }

    fn begin_up_to(&mut self, offset: Offset) {
        while self.coming.front().is_some_and(|aborted| aborted.first <= offset)
            && let Some(aborted) = self.coming.pop_front()
        {
            self.aborted.insert(aborted.producer, Open { aborted, seen: false });
        }
    }
}
