//! The committed prefix of a log as a state, and the batches appended beyond it.

use std::collections::VecDeque;

use super::{Content, State};
use crate::base::Offset;

/// A batch that is appended and may still be lost.
#[derive(Debug)]
struct Batch<R> {
    /// The offset after its last record.
    end: Offset,
    content: Content<R>,
}

/// A committed state and how to continue it.
///
/// The records are kept until they are committed and then replayed a second time. That costs less
/// than it seems: a snapshot after each batch would make every batch copy what it changes.
#[derive(Debug)]
pub(super) struct Prefix<S: State> {
    committed: S,
    /// Everything below is in `committed`.
    committed_end: Offset,
    /// Appended beyond, in order.
    pending: VecDeque<Batch<S::Record>>,
    /// Where the next batch goes.
    end: Offset,
}

impl<S: State> Prefix<S> {
    pub(super) fn new(committed: S, end: Offset) -> Self {
        Self { committed, committed_end: end, pending: VecDeque::new(), end }
    }

    pub(super) fn committed(&self) -> &S {
        &self.committed
    }

    pub(super) fn committed_end(&self) -> Offset {
        self.committed_end
    }

    pub(super) fn end(&self) -> Offset {
        self.end
    }

    /// A batch was appended. It may have no records of this state.
    pub(super) fn push(&mut self, end: Offset, content: impl Into<Content<S::Record>>) {
        assert!(end >= self.end, "a batch that ends at {end} was appended at {}", self.end);
        self.pending.push_back(Batch { end, content: content.into() });
        self.end = end;
    }

    /// Everything below `end` is committed. A batch counts once all of it is.
    pub(super) fn commit(
        &mut self,
        end: Offset,
        changes: &mut Vec<S::Change>,
    ) -> Result<(), S::Error> {
        while self.pending.front().is_some_and(|batch| batch.end <= end) {
            let Some(batch) = self.pending.pop_front() else { break };
            match &batch.content {
                Content::Records(records) => {
                    for (offset, record) in records {
                        self.committed.replay(*offset, record, changes)?;
                    }
                }
                Content::InTransaction(producer, records) => {
                    for (offset, record) in records {
                        let at = (*offset, *producer);
                        self.committed.replay_in_transaction(at, record, changes)?;
                    }
                }
                Content::EndOfTransaction { producer, is_committed } => {
                    self.committed.end_transaction(*producer, *is_committed, changes);
                }
            }
            self.committed.reached(batch.end.plus(-1));
            self.committed_end = batch.end;
        }
        Ok(())
    }

    /// Forgets what is not committed.
    pub(super) fn into_committed(self) -> (S, Offset) {
        (self.committed, self.committed_end)
    }

    pub(super) fn check(&self) {
        assert!(
            self.committed_end <= self.end,
            "committed up to {}, appended only up to {}",
            self.committed_end,
            self.end
        );
        let mut ends = self.pending.iter().map(|batch| batch.end);
        assert!(ends.clone().is_sorted(), "pending batches are out of order");
        let last = ends.next_back().unwrap_or(self.committed_end);
        assert!(last == self.end, "pending batches end at {last}, the log at {}", self.end);
    }
}
