//! What a cleaner knows of transactions while it goes through a log from the front. Pure. Source:
//! Kafka's `CleanedTransactionMetadata`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::base::{Offset, ProducerId};
use crate::log::transactions::{Aborted, Marker};
use crate::wire::batch::BatchHeader;

/// An aborted transaction that the cleaner is inside of.
struct Open {
    aborted: Aborted,
    /// Some of its batches were still there.
    seen: bool,
}

/// Transactions that are open where the cleaner is.
#[derive(Default)]
pub(crate) struct Transactions {
    committed: BTreeSet<ProducerId>,
    aborted: BTreeMap<ProducerId, Open>,
    /// Aborted ones that begin further on, by their first offset.
    coming: VecDeque<Aborted>,
    /// Aborted ones whose marker stays: the index of what is written.
    kept: Vec<Aborted>,
}

impl Transactions {
    /// More aborted transactions, which may begin before those that are known.
    pub(crate) fn expect(&mut self, aborted: impl IntoIterator<Item = Aborted>) {
        self.coming.extend(aborted);
        self.coming.make_contiguous().sort_by_key(|aborted| (aborted.first, aborted.last));
        let mut before = None;
        self.coming.retain(|aborted| before.replace(*aborted) != Some(*aborted));
    }

    /// A batch of records: whether it belongs to an aborted transaction.
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

    /// A control batch: whether nothing is left of the transaction that it ends, so that the
    /// marker may go too, in time.
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
            // One that was emptied has done all it could.
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
