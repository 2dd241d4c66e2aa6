//! A machine on a log in memory, for tests: commits when a test says so, time that a test moves.

use std::time::Duration;

use super::{Active, Decision, Loading, LogRecord, Machine, RecordOf};
use crate::base::{Instant, Offset, Timestamp};

/// A machine that leads its log.
pub(crate) struct OnLog<M: Machine> {
    active: Active<M, ()>,
    /// What is appended; the committed part is a prefix of it.
    pub(crate) log: Vec<RecordOf<M>>,
    /// Where batches end.
    ends: Vec<usize>,
    pub(crate) now: Instant,
    /// Added to the host's clock, in milliseconds.
    pub(crate) clock_offset: i64,
    /// Whether what is appended is committed at once.
    pub(crate) commits: bool,
    /// Whether appends are refused.
    pub(crate) refuses: bool,
}

impl<M: Machine> OnLog<M>
where
    RecordOf<M>: PartialEq,
{
    /// An empty log with its first leader.
    pub(crate) fn new(machine: M, now: Instant) -> Self {
        Self {
            active: load(machine, &[], 0, now),
            log: Vec::new(),
            ends: Vec::new(),
            now,
            clock_offset: 0,
            commits: true,
            refuses: false,
        }
    }

    pub(crate) fn machine(&self) -> &M {
        self.active.machine()
    }

    pub(crate) fn committed(&self) -> &M::State {
        self.active.committed()
    }

    /// How many records are committed.
    pub(crate) fn committed_end(&self) -> usize {
        self.active.committed_end().0 as usize
    }

    /// The date, in an arbitrary year.
    pub(crate) fn wall(&self) -> Timestamp {
        Timestamp((self.now.0 / 1_000_000) as i64 + 1_700_000_000_000 + self.clock_offset)
    }

    /// Decides; the answer is none if the append was refused.
    pub(crate) fn decide<T>(
        &mut self,
        handler: impl FnOnce(&M, Instant, Timestamp) -> Decision<RecordOf<M>, T, M::Effect>,
    ) -> Option<T> {
        let decision = handler(self.active.machine(), self.now, self.wall());
        if !decision.records.is_empty() {
            if self.refuses {
                return None;
            }
            let records: Vec<_> = decision.records.iter().map(written).collect();
            assert_eq!(records, decision.records, "records are written and read alike");
            let base = self.active.end();
            self.log.extend(decision.records);
            self.ends.push(self.log.len());
            self.active.appended(base, records).unwrap();
        }
        self.active.carry_out(self.now, decision.effects);
        self.active.defer(self.now, decision.after);
        if self.commits {
            self.commit(self.log.len());
        }
        Some(decision.response)
    }

    /// Something outside of the log changes.
    pub(crate) fn affect(&mut self, effect: M::Effect) {
        self.active.carry_out(self.now, [effect]);
    }

    /// Commits the log up to here.
    pub(crate) fn commit(&mut self, end: usize) {
        let commit = self.active.commit(Offset(end as i64)).unwrap();
        self.active.carry_out(self.now, commit.after);
    }

    /// Moves time to the next deadline, if there is one until `end`.
    pub(crate) fn reach_deadline(&mut self, end: Instant) -> bool {
        let deadline = self.active.deadline().filter(|at| *at <= end);
        self.now = deadline.map_or(self.now, |at| self.now.max(at));
        deadline.is_some()
    }

    /// Where the log may end after a failover: everything that is committed is kept, and batches
    /// are whole.
    pub(crate) fn survivors(&self) -> Vec<usize> {
        let committed = self.committed_end();
        let beyond = self.ends.iter().copied().filter(|end| *end > committed);
        std::iter::once(committed).chain(beyond).collect()
    }

    /// How many records each batch has that was appended from `start` on.
    pub(crate) fn batches_since(&self, start: usize) -> Vec<usize> {
        let ends = self.ends.iter().copied().filter(|end| *end > start);
        let mut last = start;
        ends.map(|end| end - std::mem::replace(&mut last, end)).collect()
    }

    /// Adds the record of another writer. The machine doesn't see it before it is loaded again.
    pub(crate) fn inject(&mut self, record: RecordOf<M>) {
        self.log.push(record);
        self.ends.push(self.log.len());
    }

    /// Another machine takes over with the first `kept` records of the log, `committed` of which it
    /// knows to be committed. An election takes a millisecond.
    pub(crate) fn elect(&mut self, machine: M, kept: usize, committed: usize) {
        self.log.truncate(kept);
        self.ends.retain(|end| *end <= kept);
        self.now = self.now + Duration::from_millis(1);
        self.active = load(machine, &self.log, committed, self.now);
    }
}

fn load<M: Machine>(
    machine: M,
    log: &[RecordOf<M>],
    committed: usize,
    now: Instant,
) -> Active<M, ()> {
    let mut loading = Loading::new(machine, Offset::ZERO);
    for (offset, record) in (0..).map(Offset).zip(log) {
        loading.replay(offset.next(), vec![(offset, written(record))]).unwrap();
    }
    loading.commit(Offset(committed as i64)).unwrap();
    loading.activate(now)
}

/// The record as it is read from a log.
fn written<R: LogRecord>(record: &R) -> R {
    R::decode(record.encode()).unwrap()
}
