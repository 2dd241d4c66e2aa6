//! The history of leader epochs (KIP-101, KIP-279): `leader-epoch-checkpoint` in memory. Pure.

use std::fmt::Write;

use crate::base::{LeaderEpoch, Offset};

/// Leader epochs with their first offsets; both strictly increase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    starts: Vec<(LeaderEpoch, Offset)>,
}

impl Epochs {
    /// An empty history.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every epoch with its first offset, oldest first.
    pub fn entries(&self) -> &[(LeaderEpoch, Offset)] {
        &self.starts
    }

    /// The newest epoch; `NONE` if empty.
    pub fn latest(&self) -> LeaderEpoch {
        self.starts.last().map_or(LeaderEpoch::NONE, |(epoch, _)| *epoch)
    }

    /// Where the newest epoch began.
    pub fn latest_start(&self) -> Option<Offset> {
        self.starts.last().map(|(_, start)| *start)
    }

    /// Records that `epoch` begins at `start`, and returns whether that was new. Entries that
    /// contradict it (an equal or later start, or a newer epoch) have no record in the log, and are
    /// removed.
    pub fn assign(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        if epoch < LeaderEpoch(0) {
            return false;
        }
        if self.starts.last().is_some_and(|(last, at)| *last == epoch && *at <= start) {
            return false;
        }
        while self.starts.last().is_some_and(|(last, at)| *last >= epoch || *at >= start) {
            self.starts.pop();
        }
        self.starts.push((epoch, start));
        true
    }

    /// Derives where epochs began from a batch of `epoch` at `base`, after a batch that ends at
    /// `due`; `known` may list epochs in between. The batches of a compacted log are not enough: if
    /// an epoch seemed to begin too late, its leader would not notice that a follower still has
    /// records of an older leader there. Too early is harmless: the records in between were
    /// superseded.
    pub(crate) fn learn(
        &mut self,
        epoch: LeaderEpoch,
        (due, base): (Offset, Offset),
        known: &Self,
    ) {
        for (other, start) in known.starts.iter().filter(|(_, start)| (due..=base).contains(start))
        {
            if *other > self.latest() && *other <= epoch {
                self.assign(*other, *start);
            }
        }
        self.assign(epoch, self.latest_start().map_or(due, |latest| latest.max(due)));
    }

    /// The largest epoch not above `asked`, and its end: the start of the next epoch, or the log
    /// end. Both `NONE` if `asked` is newer than all epochs here. If `asked` is older than all:
    /// `asked` itself, and the start of the oldest. Kafka's `endOffsetFor`.
    pub fn end_offset_for(&self, asked: LeaderEpoch, log_end: Offset) -> (LeaderEpoch, Offset) {
        if asked == LeaderEpoch::NONE || self.starts.is_empty() || asked > self.latest() {
            return (LeaderEpoch::NONE, Offset::NONE);
        }
        if asked == self.latest() {
            return (asked, log_end);
        }
        let above = self.starts.partition_point(|(epoch, _)| *epoch <= asked);
        let end = self.starts.get(above).map_or(log_end, |(_, start)| *start);
        let floor = above.checked_sub(1).and_then(|below| self.starts.get(below));
        (floor.map_or(asked, |(epoch, _)| *epoch), end)
    }

    /// The epoch of the record at `offset`.
    pub fn at(&self, offset: Offset) -> LeaderEpoch {
        let after = self.starts.partition_point(|(_, start)| *start <= offset);
        let found = after.checked_sub(1).and_then(|index| self.starts.get(index));
        found.map_or(LeaderEpoch::NONE, |(epoch, _)| *epoch)
    }

    /// Removes epochs that begin at or after `end`, and returns whether there were any.
    pub fn truncate_from_end(&mut self, end: Offset) -> bool {
        let keep = self.starts.partition_point(|(_, start)| *start < end);
        let any = keep < self.starts.len();
        self.starts.truncate(keep);
        any
    }

    /// Removes epochs that end before `start`; the epoch that spans it begins there from now on.
    pub fn truncate_from_start(&mut self, start: Offset) -> bool {
        let above = self.starts.partition_point(|(_, at)| *at <= start);
        let Some(spanning) = above.checked_sub(1) else { return false };
        if spanning == 0 && self.starts[0].1 == start {
            return false;
        }
        self.starts.drain(..spanning);
        self.starts[0].1 = start;
        true
    }

    /// Removes all epochs, and returns whether there were any.
    pub fn clear(&mut self) -> bool {
        let any = !self.starts.is_empty();
        self.starts.clear();
        any
    }

    /// The text of the checkpoint: version, count, one line per epoch.
    pub fn to_text(&self) -> String {
        let mut text = format!("0\n{}\n", self.starts.len());
        for (epoch, start) in &self.starts {
            let _ = writeln!(text, "{epoch} {start}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(entries: &[(i32, i64)]) -> Epochs {
        let mut epochs = Epochs::new();
        for (epoch, start) in entries {
            epochs.assign(LeaderEpoch(*epoch), Offset(*start));
        }
        epochs
    }

    fn end_for(epochs: &Epochs, asked: i32) -> (i32, i64) {
        let (epoch, end) = epochs.end_offset_for(LeaderEpoch(asked), Offset(100));
        (epoch.0, end.0)
    }

    #[test]
    fn epoch_ends_where_the_next_begins_or_at_the_log_end() {
        let epochs = epochs(&[(2, 0), (4, 10), (7, 30)]);
        assert_eq!(end_for(&epochs, 7), (7, 100));
        assert_eq!(end_for(&epochs, 4), (4, 30));
        assert_eq!(end_for(&epochs, 2), (2, 10));
    }

    #[test]
    fn end_of_a_skipped_epoch_is_that_of_the_epoch_below() {
        let epochs = epochs(&[(2, 0), (4, 10), (7, 30)]);
        assert_eq!(end_for(&epochs, 5), (4, 30));
        assert_eq!(end_for(&epochs, 3), (2, 10));
    }

    #[test]
    fn unknown_epoch_has_no_end() {
        let epochs = epochs(&[(2, 5), (4, 10)]);
        assert_eq!(end_for(&epochs, 9), (-1, -1));
        assert_eq!(end_for(&epochs, -1), (-1, -1));
        assert_eq!(end_for(&epochs, 1), (1, 5));
        assert_eq!(end_for(&Epochs::new(), 0), (-1, -1));
    }

    #[test]
    fn epoch_without_records_is_replaced_by_the_next() {
        let mut epochs = epochs(&[(2, 0), (4, 10)]);
        assert!(epochs.assign(LeaderEpoch(5), Offset(10)));
        assert_eq!(epochs.entries(), [(LeaderEpoch(2), Offset(0)), (LeaderEpoch(5), Offset(10))]);
        assert!(!epochs.assign(LeaderEpoch(5), Offset(20)), "the epoch has already begun");
    }

    #[test]
    fn epoch_keeps_its_start_in_a_compacted_log() {
        let known = epochs(&[(2, 0), (4, 10), (5, 12), (7, 30)]);
        let learnt = |known: &Epochs, batches: &[(i32, i64)]| {
            let (mut learnt, mut due) = (Epochs::new(), Offset(0));
            for (epoch, base) in batches {
                learnt.learn(LeaderEpoch(*epoch), (due, Offset(*base)), known);
                due = Offset(base + 1);
            }
            learnt
        };
        assert_eq!(learnt(&known, &[(2, 5), (5, 20), (7, 30)]), known);
        let batches = [(2, 5), (4, 10), (5, 20), (7, 40)];
        assert_eq!(learnt(&known, &batches), known);
        assert_eq!(learnt(&Epochs::new(), &batches), epochs(&[(2, 0), (4, 6), (5, 11), (7, 21)]));
        let dense = [(2, 0), (4, 1), (5, 2)];
        assert_eq!(learnt(&known, &dense), epochs(&dense), "and never before an older epoch");
    }

    #[test]
    fn truncation_removes_epochs_at_either_end() {
        let mut epochs = epochs(&[(2, 0), (4, 10), (7, 30)]);
        assert!(epochs.truncate_from_end(Offset(30)));
        assert!(!epochs.truncate_from_end(Offset(30)));
        assert_eq!(epochs.latest(), LeaderEpoch(4));
        assert!(epochs.truncate_from_start(Offset(12)));
        assert!(!epochs.truncate_from_start(Offset(12)));
        assert_eq!(epochs.entries(), [(LeaderEpoch(4), Offset(12))]);
        assert_eq!(epochs.at(Offset(11)), LeaderEpoch::NONE);
        assert_eq!(epochs.at(Offset(12)), LeaderEpoch(4));
    }

    #[test]
    fn checkpoint_is_text() {
        assert_eq!(epochs(&[(2, 0), (4, 10)]).to_text(), "0\n2\n2 0\n4 10\n");
    }
}
