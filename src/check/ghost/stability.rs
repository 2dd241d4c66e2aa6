//! The transactions of one partition, as its committed batches say: which are open, where each was
//! settled, and so the last stable offset.
//!
//! Source: Kafka's `ProducerStateManager` and `UnifiedLog.fetchLastStableOffsetMetadata`. The ghost
//! counts a marker only when it is below the high watermark, as Kafka does.

use std::collections::BTreeMap;

use super::segment::Batch;
use super::stamp::Stamp;
use crate::base::{Instant, Offset, ProducerEpoch, ProducerId};

/// A transaction without a marker yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    pub producer: ProducerId,
    /// Of its last batch.
    pub epoch: ProducerEpoch,
    pub first: Offset,
    /// Its first record that retention has not deleted; `None` if it has deleted them all.
    pub left: Option<Offset>,
    /// When its first batch was exposed.
    pub since: Instant,
    /// When its first batch was written. A batch may be exposed much later: its high watermark was
    /// frozen, or it came back with a log that had been behind.
    pub written: Instant,
}

/// A marker, and the records that it settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    pub producer: ProducerId,
    /// Of the marker.
    pub epoch: ProducerEpoch,
    pub commit: bool,
    /// The marker's own offset.
    pub marker: Offset,
    /// When the marker was written.
    pub written: Instant,
    /// The transaction that was open; `None` if none was.
    pub open: Option<Open>,
}

/// The effect of a committed batch on the transactions of its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Records of a transaction. `newest`: the newest epoch of their producer in this partition.
    Wrote { producer: ProducerId, epoch: ProducerEpoch, newest: ProducerEpoch, base: Offset },
    /// A marker. `newest`: as above.
    Marked { settled: Settled, newest: ProducerEpoch },
}

/// The transactions of one partition.
#[derive(Debug, Default)]
pub(crate) struct Stability {
    open: BTreeMap<ProducerId, Open>,
    /// By producer, and then by the marker's offset.
    settled: BTreeMap<(ProducerId, Offset), Settled>,
    /// Markers that were committed once, and lost.
    lost: Vec<Settled>,
    /// The newest epoch of each producer in a transaction.
    epochs: BTreeMap<ProducerId, ProducerEpoch>,
    /// Every last stable offset that there ever was is at or below this.
    stable: Offset,
}

impl Stability {
    /// Takes a committed batch in, in order, that was exposed at a time and first written at another.
    pub fn promise(&mut self, at: Instant, written: Instant, batch: &Batch) -> Option<Step> {
        let step = match batch.stamp {
            Stamp::Plain | Stamp::Control => None,
            Stamp::Data { producer, epoch } => {
                let first = batch.base;
                let open = Open { producer, epoch, first, left: None, since: at, written };
                let open = self.open.entry(producer).or_insert(open);
                open.epoch = epoch;
                open.left.get_or_insert(first);
                let newest = self.seen(producer, epoch);
                Some(Step::Wrote { producer, epoch, newest, base: batch.base })
            }
            Stamp::Marker { producer, epoch, commit } => {
                let (marker, open) = (batch.base, self.open.remove(&producer));
                let settled = Settled { producer, epoch, commit, marker, written, open };
                self.settled.insert((producer, marker), settled);
                let newest = self.seen(producer, epoch);
                Some(Step::Marked { settled, newest })
            }
        };
        self.note_stable(batch.next);
        step
    }

    /// Retention deleted everything below `start`, and left these committed batches, up to `end`. In
    /// memory a leader still knows a transaction whose records are gone, but not after a restart without
    /// a snapshot, as in Kafka.
    pub fn delete<'a>(
        &mut self,
        start: Offset,
        left: impl Iterator<Item = &'a Batch> + Clone,
        end: Offset,
    ) {
        for open in self.open.values_mut().filter(|open| open.first < start) {
            let is_own = |batch: &&Batch| {
                matches!(batch.stamp, Stamp::Data { producer, .. } if producer == open.producer)
                    && batch.base >= open.first
            };
            open.left = left.clone().find(is_own).map(|batch| batch.base);
        }
        self.note_stable(end);
    }

    /// Everything below `end` is committed, and a leader knows the transactions that its log still has.
    fn note_stable(&mut self, end: Offset) {
        let least = self.open.values().filter_map(|open| open.left).min();
        self.stable = self.stable.max(least.unwrap_or(end));
    }

    /// Notes an epoch of a producer, and returns the newest before.
    fn seen(&mut self, producer: ProducerId, epoch: ProducerEpoch) -> ProducerEpoch {
        let newest = self.epochs.entry(producer).or_insert(epoch);
        let before = *newest;
        *newest = before.max(epoch);
        before
    }

    /// Everything from an offset on was lost: begins over with what is still promised. What was stable
    /// once stays known.
    pub fn restart(&mut self, from: Offset) {
        let Self { settled, mut lost, stable, .. } = std::mem::take(self);
        lost.extend(settled.into_values().filter(|settled| settled.marker >= from));
        *self = Self { lost, stable, ..Self::default() };
    }

    /// The marker of a batch that was first written at a time, if it was lost: the next one of its
    /// producer that was written since. The batch is open again, or was open in a log that came back.
    /// Its coordinator calls the transaction complete, so the marker of the producer's next
    /// transaction settles it too, as in Kafka.
    pub fn lost_marker(&self, batch: &Batch, written: Instant) -> Option<&Settled> {
        let Stamp::Data { producer, .. } = batch.stamp else { return None };
        let since = |settled: &&Settled| settled.producer == producer && settled.written > written;
        let lost = self.lost.iter().filter(since).min_by_key(|settled| settled.written)?;
        let kept = self.markers(producer).filter(since).map(|settled| settled.written).min();
        kept.is_none_or(|kept| lost.written < kept).then_some(lost)
    }

    /// The last stable offset, if everything below `end` is committed.
    pub fn last_stable(&self, end: Offset) -> Offset {
        self.open.values().map(|open| open.first).min().unwrap_or(end)
    }

    /// No last stable offset was ever above this.
    pub fn ever_stable(&self) -> Offset {
        self.stable
    }

    /// Transactions without a marker, by their producers.
    pub fn open(&self) -> impl Iterator<Item = &Open> {
        self.open.values()
    }

    /// What became of the records of a batch: the marker after them.
    pub fn fate(&self, batch: &Batch) -> Option<&Settled> {
        let Stamp::Data { producer, .. } = batch.stamp else { return None };
        let after = (producer, batch.base)..=(producer, Offset(i64::MAX));
        self.settled.range(after).next().map(|(_, settled)| settled)
    }

    /// Whether readers of committed records get none of a batch.
    pub fn is_hidden(&self, batch: &Batch) -> bool {
        batch.stamp.is_control() || self.fate(batch).is_some_and(|settled| !settled.commit)
    }

    /// The markers of a producer.
    pub fn markers(&self, producer: ProducerId) -> impl Iterator<Item = &Settled> {
        let all = (producer, Offset::ZERO)..=(producer, Offset(i64::MAX));
        self.settled.range(all).map(|(_, settled)| settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::ghost::segment::Segment;

    const FIRST: &[u8] =
        include_bytes!("../../../sims/fixtures/kafka/data/payments-0/00000000000000000000.log");
    const SECOND: &[u8] =
        include_bytes!("../../../sims/fixtures/kafka/data/payments-0/00000000000000000005.log");

    fn payments() -> Stability {
        let mut stability = Stability::default();
        for file in [FIRST, SECOND] {
            let segment = Segment::survived(file, None);
            for batch in segment.batches() {
                stability.promise(Instant::from_secs(1), Instant::START, batch);
            }
        }
        stability
    }

    #[test]
    fn log_that_kafka_wrote_has_one_open_transaction_and_two_aborted_ones() {
        let stability = payments();
        let open: Vec<_> = stability.open().map(|open| (open.producer.0, open.first.0)).collect();
        assert_eq!(open, [(7, 24)]);
        assert_eq!(stability.last_stable(Offset(26)), Offset(24));
        let aborted = stability.settled.values().filter(|settled| !settled.commit);
        let aborted: Vec<_> = aborted
            .map(|settled| (settled.producer.0, settled.open.unwrap().first.0, settled.marker.0))
            .collect();
        // As its .txnindex says.
        assert_eq!(aborted, [(5, 6, 9), (6, 12, 18)]);
    }

    #[test]
    fn last_stable_offset_never_falls_while_nothing_is_lost() {
        let stability = payments();
        assert_eq!(stability.ever_stable(), Offset(24));
        let mut lost = stability;
        lost.restart(Offset::ZERO);
        assert_eq!((lost.last_stable(Offset(5)), lost.ever_stable()), (Offset(5), Offset(24)));
    }

    #[test]
    fn transaction_whose_records_retention_deleted_holds_nothing_back() {
        const DELETED: Offset = Offset(20);
        let sample = *Segment::survived(FIRST, None).batches().first().unwrap();
        let batch = |base: i64, stamp| Batch {
            base: Offset(base),
            next: Offset(base + 10),
            stamp,
            ..sample
        };
        let of = |id| Stamp::Data { producer: ProducerId(id), epoch: ProducerEpoch(0) };
        let stable_after = |batches: &[Batch]| {
            let (mut stability, now) = (Stability::default(), Instant::from_secs(1));
            for batch in batches {
                stability.promise(now, now, batch);
            }
            assert_eq!(stability.ever_stable(), Offset(10));
            let left = batches.iter().filter(|batch| batch.next > DELETED);
            stability.delete(DELETED, left, batches.last().unwrap().next);
            let deleted = stability.ever_stable();
            stability.promise(now, now, &batch(40, Stamp::Plain));
            assert_eq!(stability.last_stable(Offset(50)), Offset(10), "it may still be known");
            (deleted.0, stability.ever_stable().0)
        };
        let (plain, open, other) = (Stamp::Plain, of(7), of(8));
        let log = |third, fourth| [(0, plain), (10, open), (20, third), (30, fourth)];
        for (third, fourth, stable) in [
            (plain, plain, (40, 50)),
            (plain, open, (30, 30)),
            (open, plain, (20, 20)),
            (other, open, (20, 20)),
        ] {
            let batches = log(third, fourth).map(|(base, stamp)| batch(base, stamp));
            assert_eq!(stable_after(&batches), stable, "{third:?}, {fourth:?}");
        }
    }
}
