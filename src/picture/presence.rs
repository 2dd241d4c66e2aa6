//! When a replica had a record at an offset, read off its log's ends.

use std::collections::BTreeMap;

use super::recorder::End;
use crate::base::{Instant, LeaderEpoch, Offset};
use crate::sim::HostId;

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

/// The copies of a record over time.
pub(super) struct Copies {
    /// Of the record, the oldest first.
    pub own: Vec<(HostId, Copy)>,
    /// Of other records at the same offset, later.
    pub others: Vec<(HostId, Copy)>,
}

impl Copies {
    /// The record's are those of the epoch in which it was first written.
    pub fn of(all: BTreeMap<HostId, Vec<Copy>>, sent: Instant) -> Self {
        let mut found: Vec<(HostId, Copy)> = all
            .into_iter()
            .flat_map(|(host, copies)| copies.into_iter().map(move |copy| (host, copy)))
            .filter(|(_, copy)| copy.from >= sent)
            .collect();
        found.sort_by_key(|(host, copy)| (copy.from, *host));
        let epoch = found.first().map(|(_, copy)| copy.epoch);
        let (own, others) = found.into_iter().partition(|(_, copy)| Some(copy.epoch) == epoch);
        Self { own, others }
    }

    /// The hosts that have a copy right after a moment.
    pub fn at(&self, at: Instant) -> Vec<HostId> {
        let there = |copy: &Copy| copy.from <= at && copy.until.is_none_or(|(until, _)| until > at);
        let mut hosts: Vec<_> =
            self.own.iter().filter(|(_, copy)| there(copy)).map(|(host, _)| *host).collect();
        hosts.sort();
        hosts
    }

    /// When the last copy was gone, if it is.
    pub fn over(&self) -> Option<Instant> {
        let ends: Option<Vec<Instant>> =
            self.own.iter().map(|(_, copy)| copy.until.map(|(at, _)| at)).collect();
        ends?.into_iter().max()
    }
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
