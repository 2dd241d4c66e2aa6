//! A machine that decides.

use std::collections::VecDeque;

use super::machine::{ChangeOf, ErrorOf};
use super::prefix::Prefix;
use super::{Content, Machine, RecordOf, Resigned};
use crate::base::{Instant, Offset, ProducerId};

/// The second phase: decisions are appended and replayed at once, and answered once they are
/// committed.
pub struct Active<M: Machine, P> {
    /// Its state is everything appended.
    machine: M,
    prefix: Prefix<M::State>,
    /// Responses, each with the offset below which everything must be committed before it leaves.
    held: VecDeque<(Offset, P)>,
    /// Effects that wait for a commit in the same way.
    deferred: VecDeque<(Offset, M::Effect)>,
}

/// What a commit brings about.
pub struct Commit<M: Machine, P> {
    /// What the committed records changed. To be published before any response leaves.
    pub changes: Vec<ChangeOf<M>>,
    /// Effects that waited for the commit, in the order of their decisions. To be carried out before
    /// any response leaves.
    pub after: Vec<M::Effect>,
    /// Responses that may leave, in the order of their decisions.
    pub released: Vec<P>,
}

impl<M: Machine, P> Active<M, P> {
    pub(super) fn new(machine: M, prefix: Prefix<M::State>) -> Self {
        Self { machine, prefix, held: VecDeque::new(), deferred: VecDeque::new() }
    }

    /// The machine, to decide with.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// The state up to `committed_end`. A read that must not see what may still be lost asks it.
    pub fn committed(&self) -> &M::State {
        self.prefix.committed()
    }

    /// Everything below is in the committed state.
    pub fn committed_end(&self) -> Offset {
        self.prefix.committed_end()
    }

    /// Where the next batch goes, unless others append to this log.
    pub fn end(&self) -> Offset {
        self.prefix.end()
    }

    /// A decision's records were appended from `base` on, without gaps: replays them.
    ///
    /// An error means that the machine decided what contradicts its state. It must resign.
    pub fn appended(&mut self, base: Offset, records: Vec<RecordOf<M>>) -> Result<(), ErrorOf<M>> {
        self.appended_by(base, None, records)
    }

    /// The same for records that are part of a producer's transaction.
    pub fn appended_in_transaction(
        &mut self,
        base: Offset,
        producer: ProducerId,
        records: Vec<RecordOf<M>>,
    ) -> Result<(), ErrorOf<M>> {
        self.appended_by(base, Some(producer), records)
    }

    /// The marker that ends a producer's transaction was appended; the log ends at `end` now.
    pub fn transaction_ended(&mut self, end: Offset, producer: ProducerId, is_committed: bool) {
        let before = cfg!(debug_assertions).then(|| self.machine.state().clone());
        let mut changes = Vec::new();
        self.machine.end_transaction(producer, is_committed, &mut changes);
        // A marker that is replayed late is behind what was appended after it.
        let end = end.max(self.prefix.end());
        self.machine.reached(end.plus(-1));
        self.prefix.push(end, Content::EndOfTransaction { producer, is_committed });
        if let Some(before) = before {
            self.machine.check(&before, &changes);
            self.check();
        }
    }

    fn appended_by(
        &mut self,
        base: Offset,
        producer: Option<ProducerId>,
        records: Vec<RecordOf<M>>,
    ) -> Result<(), ErrorOf<M>> {
        assert!(
            base >= self.prefix.end(),
            "appended at {base}, though the log ends at {}",
            self.prefix.end()
        );
        // Shared, so that what the batch changes is copied: for assertions only.
        let before = cfg!(debug_assertions).then(|| self.machine.state().clone());
        let mut changes = Vec::new();
        let mut end = base;
        let mut replayed = Vec::with_capacity(records.len());
        for record in records {
            match producer {
                None => self.machine.replay(end, &record, &mut changes)?,
                Some(producer) => {
                    self.machine.replay_in_transaction((end, producer), &record, &mut changes)?;
                }
            }
            replayed.push((end, record));
            end = end.next();
        }
        self.machine.reached(end.plus(-1));
        self.prefix.push(
            end,
            match producer {
                None => Content::Records(replayed),
                Some(producer) => Content::InTransaction(producer, replayed),
            },
        );
        if let Some(before) = before {
            self.machine.check(&before, &changes);
            self.check();
        }
        Ok(())
    }

    /// Carries out what a decision wants besides its records, after these were appended.
    pub fn carry_out(&mut self, now: Instant, effects: impl IntoIterator<Item = M::Effect>) {
        for effect in effects {
            self.machine.carry_out(now, effect);
        }
    }

    /// Keeps effects until everything appended so far is committed. Carries them out at once if that
    /// is the case already.
    pub fn defer(&mut self, now: Instant, effects: impl IntoIterator<Item = M::Effect>) {
        let end = self.prefix.end();
        if self.prefix.committed_end() >= end {
            self.carry_out(now, effects);
        } else {
            self.deferred.extend(effects.into_iter().map(|effect| (end, effect)));
        }
    }

    /// Holds a response back until everything appended so far is committed: its decision may rest
    /// on any of it. Returns the response if that is the case already.
    #[must_use]
    pub fn hold(&mut self, response: P) -> Option<P> {
        let end = self.prefix.end();
        if self.prefix.committed_end() >= end {
            return Some(response);
        }
        self.held.push_back((end, response));
        None
    }

    /// Everything below `end` is committed.
    pub fn commit(&mut self, end: Offset) -> Result<Commit<M, P>, ErrorOf<M>> {
        let mut changes = Vec::new();
        self.prefix.commit(end, &mut changes)?;
        let committed = self.prefix.committed_end();
        let mut after = Vec::new();
        while self.deferred.front().is_some_and(|(end, _)| *end <= committed) {
            after.extend(self.deferred.pop_front().map(|(_, effect)| effect));
        }
        let mut released = Vec::new();
        while self.held.front().is_some_and(|(end, _)| *end <= committed) {
            released.extend(self.held.pop_front().map(|(_, response)| response));
        }
        if cfg!(debug_assertions) {
            self.check();
        }
        Ok(Commit { changes, after, released })
    }

    /// When to call `expire`, unless something else happens before.
    pub fn deadline(&self) -> Option<Instant> {
        self.machine.deadline()
    }

    /// Leadership is lost, or an append failed and left the log unknown. What is not committed is
    /// forgotten: it may be in the log or not. Returns the responses that will never leave.
    pub fn resign(mut self) -> (Resigned<M>, Vec<P>) {
        let (committed, end) = self.prefix.into_committed();
        self.machine.restore(committed);
        let refused = self.held.into_iter().map(|(_, response)| response).collect();
        (Resigned::new(self.machine, end), refused)
    }

    fn check(&self) {
        self.prefix.check();
        self.check_waiting("responses", self.held.iter().map(|(end, _)| *end));
        self.check_waiting("effects", self.deferred.iter().map(|(end, _)| *end));
    }

    fn check_waiting(&self, kind: &str, ends: impl Iterator<Item = Offset> + Clone) {
        assert!(ends.clone().is_sorted(), "waiting {kind} are out of order");
        if let (Some(first), Some(last)) = (ends.clone().next(), ends.last()) {
            let (committed, end) = (self.prefix.committed_end(), self.prefix.end());
            assert!(
                committed < first && last <= end,
                "{kind} wait for {first} to {last}, committed up to {committed} of {end}"
            );
        }
    }
}
