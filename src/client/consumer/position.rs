//! Where a consumer stands in one partition, and what it does there next.

use super::buffer::Buffered;
use crate::base::{Instant, LeaderEpoch, Offset};
use crate::client::ConsumeError;
use crate::client::kernel::RequestId;

/// What comes next, and what was read before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// The next offset to read.
    pub(super) offset: Offset,
    /// Epoch of the last record before it; `NONE` if nothing was read yet.
    pub(super) epoch: LeaderEpoch,
    /// The first offset that was read of that epoch.
    pub(super) epoch_began: Offset,
}

impl Position {
    pub(super) fn new(offset: Offset, epoch: LeaderEpoch) -> Self {
        Self { offset, epoch, epoch_began: offset }
    }

    /// What begins at `first` and ends before `next` was read.
    pub(super) fn advance(&mut self, first: Offset, next: Offset, epoch: LeaderEpoch) {
        if epoch != self.epoch {
            self.epoch = epoch;
            self.epoch_began = first.max(self.offset);
        }
        self.offset = next;
    }
}

/// Where to begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whence {
    Earliest,
    Latest,
}

impl Whence {
    /// As ListOffsets writes it.
    pub(super) fn timestamp(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
        }
    }
}

/// What is to be done about a partition.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum State {
    /// To find out where to read.
    Reset { whence: Whence, announce: bool },
    /// To find out whether what was read is still there: the leader changed (KIP-320).
    Validate,
    /// To read.
    Fetch,
    /// To be told by the application.
    Stuck(ConsumeError),
}

/// One assigned partition.
#[derive(Debug)]
pub(super) struct Assigned {
    pub(super) state: State,
    pub(super) position: Option<Position>,
    /// Epoch of the leader for which the position is known to be good.
    pub(super) good_for: LeaderEpoch,
    /// The request that concerns it. An answer to another one is out of date.
    pub(super) asked: Option<RequestId>,
    pub(super) not_before: Instant,
    pub(super) failures: u32,
    pub(super) buffered: Option<Buffered>,
    pub(super) high_watermark: Option<Offset>,
}

impl Assigned {
    pub(super) fn new(state: State) -> Self {
        Self {
            state,
            position: None,
            good_for: LeaderEpoch::NONE,
            asked: None,
            not_before: Instant::START,
            failures: 0,
            buffered: None,
            high_watermark: None,
        }
    }

    /// Turns to something else: what was asked for before no longer counts.
    pub(super) fn turn(&mut self, state: State) {
        self.state = state;
        self.asked = None;
        self.buffered = None;
        self.not_before = Instant::START;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_knows_where_its_epoch_began() {
        let mut position = Position::new(Offset(10), LeaderEpoch::NONE);
        position.advance(Offset(8), Offset(12), LeaderEpoch(3));
        assert_eq!(position.epoch_began, Offset(10), "what was before is not known");
        position.advance(Offset(12), Offset(20), LeaderEpoch(3));
        assert_eq!((position.offset, position.epoch_began), (Offset(20), Offset(10)));
        position.advance(Offset(20), Offset(21), LeaderEpoch(4));
        assert_eq!(position.epoch_began, Offset(20));
    }
}
