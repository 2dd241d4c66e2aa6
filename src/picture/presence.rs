//! When a replica had a record at an offset, read off its log's ends.

use super::recorder::End;
use crate::base::{Instant, LeaderEpoch, Offset};

/// A record at an offset in one replica's log, for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Copy {
    pub from: Instant,
    /// When it went, and where the log ended then.
    pub until: Option<(Instant, Offset)>,
    /// Epoch of the leader that wrote the record.
    pub epoch: LeaderEpoch,
}

/// All records that were ever at this offset.
pub(super) fn copies_of(offset: Offset, ends: &[End]) -> Vec<Copy> {
    let mut found: Vec<Copy> = Vec::new();
    let mut there = false;
    for end in ends {
        let now = end.end > offset;
        if now && !there {
            found.push(Copy { from: end.at, until: None, epoch: end.epoch });
        } else if there
            && !now
            && let Some(last) = found.last_mut()
        {
            last.until = Some((end.at, end.end));
        }
        there = now;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(at: u64, end: i64, epoch: i32) -> End {
        End { at: Instant(at), end: Offset(end), epoch: LeaderEpoch(epoch) }
    }

    #[test]
    fn a_cut_ends_one_copy_and_what_is_written_there_later_is_another() {
        let ends = [end(1, 5, 0), end(2, 7, 0), end(3, 6, 0), end(4, 9, 1), end(5, 12, 1)];
        let copy = |from, until: Option<(u64, i64)>, epoch| Copy {
            from: Instant(from),
            until: until.map(|(at, end)| (Instant(at), Offset(end))),
            epoch: LeaderEpoch(epoch),
        };
        assert_eq!(copies_of(Offset(6), &ends), [copy(2, Some((3, 6)), 0), copy(4, None, 1)]);
        assert_eq!(copies_of(Offset(5), &ends), [copy(2, None, 0)]);
        assert_eq!(copies_of(Offset(12), &ends), []);
    }
}
