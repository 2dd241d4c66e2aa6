//! A machine that leads no more.

use super::Machine;
use crate::base::Offset;

/// The last phase: the state is the committed prefix again, and nothing is decided.
pub struct Resigned<M: Machine> {
    machine: M,
    committed_end: Offset,
}

impl<M: Machine> Resigned<M> {
    pub(super) fn new(machine: M, committed_end: Offset) -> Self {
        Self { machine, committed_end }
    }

    /// The machine; its state is everything below `committed_end`.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// Where the committed prefix ends.
    pub fn committed_end(&self) -> Offset {
        self.committed_end
    }

    pub(super) fn into_parts(self) -> (M, Offset) {
        (self.machine, self.committed_end)
    }
}
