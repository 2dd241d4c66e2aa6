//! A machine that replays what its log has, before it may decide.

use super::machine::ErrorOf;
use super::prefix::Prefix;
use super::{Active, ChangeOf, Content, Machine, RecordOf, Resigned};
use crate::base::{Instant, Offset};

/// The first phase: the log is replayed, nothing is decided.
pub struct Loading<M: Machine> {
    machine: M,
    prefix: Prefix<M::State>,
}

impl<M: Machine> Loading<M> {
    /// Begins with a machine whose state is everything below `start`.
    pub fn new(machine: M, start: Offset) -> Self {
        let prefix = Prefix::new(machine.state().clone(), start);
        Self { machine, prefix }
    }

    /// Reads on behind the committed prefix: as a standby, or to lead again. Only for a log whose
    /// committed records are never taken back, as those of the metadata log.
    pub fn after(resigned: Resigned<M>) -> Self {
        let (machine, committed_end) = resigned.into_parts();
        Self::new(machine, committed_end)
    }

    /// Where the next batch is to be read.
    pub fn next(&self) -> Offset {
        self.prefix.end()
    }

    /// Replays a batch of the log, which ends at `end`.
    pub fn replay(
        &mut self,
        end: Offset,
        content: impl Into<Content<RecordOf<M>>>,
    ) -> Result<(), ErrorOf<M>> {
        let content = content.into();
        let mut ignored = Vec::new();
        match &content {
            Content::Records(records) => {
                for (offset, record) in records {
                    self.machine.replay(*offset, record, &mut ignored)?;
                    ignored.clear();
                }
            }
            Content::InTransaction(producer, records) => {
                for (offset, record) in records {
                    let at = (*offset, *producer);
                    self.machine.replay_in_transaction(at, record, &mut ignored)?;
                    ignored.clear();
                }
            }
            Content::EndOfTransaction { producer, is_committed } => {
                self.machine.end_transaction(*producer, *is_committed, &mut ignored);
            }
        }
        self.machine.reached(end.plus(-1));
        self.prefix.push(end, content);
        Ok(())
    }

    /// Everything below `end` is committed. Returns what that changed.
    pub fn commit(&mut self, end: Offset) -> Result<Vec<ChangeOf<M>>, ErrorOf<M>> {
        let mut changes = Vec::new();
        self.prefix.commit(end, &mut changes)?;
        Ok(changes)
    }

    /// Everything that the log has is loaded: the machine leads from now on.
    pub fn activate<P>(mut self, now: Instant) -> Active<M, P> {
        self.machine.activated(now);
        Active::new(self.machine, self.prefix)
    }
}
