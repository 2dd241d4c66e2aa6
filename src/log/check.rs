//! The invariants of a log, asserted after each step in tests and simulations.

use super::segment::Segment;
use super::{Log, LogError};
use crate::io::Disk;
use crate::wire::batch::BatchHeader;

impl<D: Disk> Log<D> {
    /// Asserts what must hold after every step. Costs time with the number of segments and epochs.
    pub(super) fn check(&self) {
        if !self.is_checked() {
            return;
        }
        let segments: Vec<&Segment<D>> = self.segments.values().map(|segment| &**segment).collect();
        for pair in segments.windows(2) {
            assert_order(pair[0], pair[1]);
        }
        for pair in self.epochs.entries().windows(2) {
            let [(epoch, start), (next, next_start)] = [pair[0], pair[1]];
            assert!(
                epoch < next && start < next_start,
                "epoch {next} begins at {next_start}, after epoch {epoch} at {start}"
            );
        }
        if let (Some((base, first)), start) = (self.segments.first_key_value(), self.log_start) {
            assert!(*base == first.base, "the segment at {base} begins at {}", first.base);
            assert!(*base <= start, "the first segment begins at {base}, the log at {start}");
        }
        self.check_end();
    }

    /// Asserts what an append can break: the end of the log, and the producers of its batches.
    pub(super) fn check_append(&self, headers: &[BatchHeader]) {
        if !self.is_checked() {
            return;
        }
        self.check_end();
        for header in headers.iter().filter(|header| header.has_producer()) {
            self.producers.assert_remembers(header, self.log_end);
        }
    }

    /// Asserts that only what is in the log counts as durable, while the log closes, too.
    pub(super) fn check_durable(&self) {
        let (durable, end) = (self.recovery_point(), self.log_end);
        assert!(
            durable <= end || !self.is_checked(),
            "the recovery point is {durable}, the log ends at {end}"
        );
    }

    fn check_end(&self) {
        let (start, end) = (self.log_start, self.log_end);
        assert!(start <= end, "the log starts at {start} and ends at {end}");
        let mut last = self.segments.values().rev();
        let Some(active) = last.next() else { panic!("no segment: the log ends at {end}") };
        assert!(active.active, "the last segment, at {}, is sealed", active.base);
        let (base, at) = (active.base, active.end);
        assert!(at == end, "the segment at {base} ends at {at}, the log at {end}");
        if let Some(before) = last.next() {
            assert_order(before, active);
        }
        if let Some(epoch) = self.epochs.latest_start() {
            assert!(epoch <= end, "the latest epoch begins at {epoch}, the log ends at {end}");
        }
        self.check_durable();
        let clean = self.cleaned_to;
        assert!(clean <= end, "the log is clean up to {clean}, and ends at {end}");
        if let Some((offset, position)) = self.tail {
            assert!(
                offset < end && position < active.size,
                "the last append is at {offset}, byte {position}: the log ends at {end}, its \
                 segment has {} bytes",
                active.size
            );
        }
        if let Some(open) = self.producers.first_open_transaction() {
            assert!(open < end, "a transaction is open since {open}, the log ends at {end}");
        }
    }

    /// In tests and simulations. After a failed write or cut, memory and files may differ: such a
    /// log serves nothing until it is recovered.
    fn is_checked(&self) -> bool {
        cfg!(debug_assertions)
            && !matches!(self.durability.check_online(), Err(LogError::Offline(_)))
    }
}

fn assert_order<D: Disk>(one: &Segment<D>, next: &Segment<D>) {
    assert!(!one.active, "the segment at {} is not sealed, though not the last", one.base);
    assert!(
        one.base <= one.end && one.end <= next.base,
        "a segment holds {}..{}, the next begins at {}",
        one.base,
        one.end,
        next.base
    );
}

#[cfg(test)]
mod tests {
    use crate::base::{LeaderEpoch, Offset, Timestamp};
    use crate::log::testing::{Home, batch, batch_of, fill, lead, tiny};

    #[tokio::test]
    async fn sound_log_passes_its_check_after_every_kind_of_step() {
        let home = Home::new(tiny());
        let mut log = home.open().await;
        fill(&mut log, 40, 3, 2);
        log.check();
        log.begin_epoch(LeaderEpoch(4));
        lead(&mut log, batch_of(7, 0, 0, 2), 4);
        log.truncate_to(Offset(50)).unwrap();
        log.advance_log_start(Offset(30));
        log.retire_segments(Offset(30)).unwrap();
        log.expire(Offset(50), Timestamp(1)).unwrap();
        log.truncate_fully_and_start_at(Offset(500)).unwrap();
        log.check();
    }

    #[tokio::test]
    #[should_panic(expected = "the segment at 0 ends at 1, the log at 6")]
    async fn segment_that_does_not_end_where_the_log_does_trips_the_check() {
        let home = Home::new(tiny());
        let mut log = home.open().await;
        lead(&mut log, batch(1), 2);
        log.log_end = Offset(6);
        log.check();
    }

    #[tokio::test]
    #[should_panic(expected = "the log is clean up to 99, and ends at 2")]
    async fn append_checks_the_log() {
        let home = Home::new(tiny());
        let mut log = home.open().await;
        log.cleaned_to = Offset(99);
        lead(&mut log, batch(2), 2);
    }
}
