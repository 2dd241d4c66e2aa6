//! Where a consumer reads next in one partition.

use std::time::Duration;

use crate::base::{LeaderEpoch, Offset, Timestamp};

/// The next offset to read, and the epoch of the record before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    offset: Offset,
    epoch: LeaderEpoch,
    epoch_began: Offset,
}

impl Position {
    pub(super) fn new(offset: Offset, epoch: LeaderEpoch) -> Self {
        Self { offset, epoch, epoch_began: offset }
    }

    /// The next offset to read.
    pub(super) fn offset(&self) -> Offset {
        self.offset
    }

    /// Epoch of the last record before the position; `NONE` if none was read.
    pub(super) fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// The first offset that was read of that epoch.
    pub(super) fn epoch_began(&self) -> Offset {
        self.epoch_began
    }

    /// Moves past a record or batch that begins at `first` and ends before `next`.
    pub(super) fn advance(&mut self, first: Offset, next: Offset, epoch: LeaderEpoch) {
        let offset = self.offset;
        assert!(next >= offset, "reading moves the position back from {offset} to {next}");
        if epoch != self.epoch {
            self.epoch = epoch;
            self.epoch_began = first.max(self.offset);
        }
        self.offset = next;
    }

    /// Panics if an invariant is broken.
    pub(super) fn check(&self) {
        let Self { offset, epoch_began, .. } = self;
        assert!(epoch_began <= offset, "position {offset} is before its epoch, {epoch_began}");
    }
}

/// Where to start over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whence {
    Earliest,
    Latest,
    /// At the first record that is at least as young as this.
    Ago(Duration),
    /// At the first record that has this timestamp or a later one.
    Time(Timestamp),
}

impl Whence {
    /// The timestamp of ListOffsets.
    pub(super) fn timestamp(self, today: Timestamp) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::Ago(age) => {
                let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
                today.0.saturating_sub(age).max(0)
            }
            Self::Time(timestamp) => timestamp.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_remembers_where_its_epoch_began() {
        let mut position = Position::new(Offset(10), LeaderEpoch::NONE);
        position.advance(Offset(8), Offset(12), LeaderEpoch(3));
        assert_eq!(position.epoch_began, Offset(10), "what was before is not known");
        position.advance(Offset(12), Offset(20), LeaderEpoch(3));
        assert_eq!((position.offset, position.epoch_began), (Offset(20), Offset(10)));
        position.advance(Offset(20), Offset(21), LeaderEpoch(4));
        assert_eq!(position.epoch_began, Offset(20));
    }

    #[test]
    #[should_panic(expected = "reading moves the position back from 10 to 9")]
    fn reading_backwards_trips_an_assertion() {
        let mut position = Position::new(Offset(10), LeaderEpoch(3));
        position.advance(Offset(8), Offset(9), LeaderEpoch(3));
    }
}
