//! `compaction-keeps-latest`: a cleaned segment has the latest record of each key in the segments
//! that it replaces, and no other record; a latest tombstone is missing only when
//! `delete.retention.ms` has passed since the first cleaning of it anywhere began, of those whose
//! segments counted (KIP-534). A marker is there as long as any record of its transaction is
//! (KAFKA-14055).
//!
//! Records of aborted transactions may be gone, and supersede no other; nor do those of open ones.
//! Read from the bytes of the files of compacted topics. Judged when a cleaned segment begins to
//! count: when it is renamed from `.cleaned` to `.swap`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::{BrokerId, Instant, Offset, TopicPartition};
use crate::check::ghost::{Batches, FileName, Standing};
use crate::check::{Event, Ghost, Invariant, StorageWitness, Violation};
use crate::sim::{EPOCH_MS, HostId, What};
use crate::wire::batch::Record;

/// Clocks drift, and a horizon is in whole milliseconds of one of them.
const TOLERANCE: f64 = 0.99;

#[derive(Default)]
pub(super) struct CompactionKeepsLatest {
    /// When the first cleaning of a tombstone began, the latest of its key or not: what came after
    /// it may be truncated later, and its time runs on.
    waiting: BTreeMap<(TopicPartition, i64, Option<Bytes>), Instant>,
    /// When a segment of a log was last written to: no cleaner began to clean it before.
    written: BTreeMap<(HostId, Arc<str>), Instant>,
}

impl Invariant for CompactionKeepsLatest {
    fn name(&self) -> &'static str {
        "compaction-keeps-latest"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for gone in event.gone() {
            self.waiting.retain(|(partition, ..), _| partition != gone);
        }
        match &event.seen.what {
            What::Wrote { path, .. } if path.ends_with(".log") && ghost.is_compacted_path(path) => {
                self.written.insert((event.seen.host, path.clone()), event.seen.at);
                Ok(())
            }
            What::Renamed { from, to }
                if from.ends_with(".log.cleaned")
                    && to.ends_with(".log.swap")
                    && ghost.is_compacted_path(to) =>
            {
                self.swapped(event, to, ghost)
            }
            _ => Ok(()),
        }
    }
}

impl CompactionKeepsLatest {
    /// A cleaned segment begins to count.
    fn swapped(
        &mut self,
        event: &Event<'_>,
        path: &Arc<str>,
        ghost: &Ghost,
    ) -> Result<(), Violation> {
        let (host, at) = (event.seen.host, event.seen.at);
        let Some(name) = FileName::read(path) else { return Ok(()) };
        let Some(broker) = ghost.host(host).map(|host| host.broker) else { return Ok(()) };
        let FileName { partition, directory, base, .. } = name;
        let (cleaned, end) = ghost.compacted().file(host, path, base);
        let log = ghost.compacted().log(host, &partition, Some(directory));
        let mut before = BTreeMap::new();
        let mut latest = BTreeMap::new();
        for (record, standing) in log.records() {
            if standing == Standing::Counts {
                latest.insert(record.key.clone(), record.offset.0);
            }
            before.insert(record.offset.0, (record, standing));
        }
        let mut last = None;
        let new: Vec<_> = cleaned.records().map(|(record, _)| record).collect();
        for record in &new {
            let rises = last.replace(record.offset).is_none_or(|last| last < record.offset);
            let was = before.get(&record.offset.0).map(|(record, _)| *record);
            if !rises || was != Some(*record) {
                return broke(event, &partition, broker, record, "is not what was there");
            }
        }
        if let Some(witness) = lost_marker(broker, &log, &cleaned, Offset(base)..Offset(end)) {
            return event.broke(self.name(), &partition, witness);
        }
        let kept = |offset: i64| new.binary_search_by_key(&offset, |record| record.offset.0);
        let retention = ghost.delete_retention(&partition.topic);
        let wait = retention.mul_f64(TOLERANCE);
        let sealed = self.sealed((host, directory), base..end);
        let horizons = ghost.compacted().horizons_of(host, path);
        let judged = before.range(base..end).map(|(_, known)| known);
        for (record, _) in judged.filter(|(_, standing)| *standing != Standing::Aborted) {
            let offset = record.offset.0;
            let there = kept(offset).is_ok();
            let is_latest = record.key.is_some() && latest.get(&record.key) == Some(&offset);
            if record.value.is_some() {
                if is_latest && !there {
                    return broke(event, &partition, broker, record, "is gone");
                }
                continue;
            }
            let tombstone = (partition.clone(), offset, record.key.clone());
            // Its time runs since the cleaner began, which may have taken long.
            let began = horizons.get(&offset).map_or(at, |horizon| {
                let until = horizon.0.saturating_sub(EPOCH_MS);
                let until = Instant(u64::try_from(until).unwrap_or(0).saturating_mul(1_000_000));
                let retention = u64::try_from(retention.as_nanos()).unwrap_or(u64::MAX);
                Instant(until.0.saturating_sub(retention)).clamp(sealed.min(at), at)
            });
            // A replica that began to clean earlier than another may swap later.
            let first = self.waiting.entry(tombstone).or_insert(began);
            *first = began.min(*first);
            if is_latest && !there && at.since(*first) < wait {
                return broke(
                    event,
                    &partition,
                    broker,
                    record,
                    "is a tombstone, and gone too early",
                );
            }
        }
        Ok(())
    }
}

impl CompactionKeepsLatest {
    /// When the last of a log's segments in this range was last written to.
    fn sealed(&self, (host, directory): (HostId, &str), range: Range<i64>) -> Instant {
        let inside = |path: &str| {
            FileName::read(path)
                .is_some_and(|name| name.directory == directory && range.contains(&name.base))
        };
        let of_host = self.written.range((host, "".into())..);
        let of_host = of_host.take_while(|((of, _), _)| *of == host);
        let times = of_host.filter(|((_, path), _)| inside(path)).map(|(_, at)| *at);
        times.max().unwrap_or(Instant::START)
    }
}

/// A marker that cleaning removed though a record of its transaction is left.
fn lost_marker(
    broker: BrokerId,
    log: &Batches,
    cleaned: &Batches,
    range: Range<Offset>,
) -> Option<StorageWitness> {
    let left: BTreeSet<_> = cleaned.markers().collect();
    let mut begins = BTreeMap::new();
    for (producer, marker) in log.markers() {
        let begin = begins.insert(producer, marker).unwrap_or(Offset::ZERO);
        if !range.contains(&marker) || left.contains(&(producer, marker)) {
            continue;
        }
        // Below the cleaned segment, the log is as it was.
        let below = log.in_transaction(producer, begin..marker.min(range.start));
        let record = below.or_else(|| cleaned.in_transaction(producer, begin..marker));
        if let Some(record) = record {
            return Some(StorageWitness::MarkerGone { broker, producer, marker, record });
        }
    }
    None
}

fn broke(
    event: &Event<'_>,
    partition: &TopicPartition,
    broker: BrokerId,
    record: &Record,
    why: &'static str,
) -> Result<(), Violation> {
    let key = record.key.as_deref().map(|key| String::from_utf8_lossy(key).into_owned());
    let witness =
        StorageWitness::Stale { broker, key: key.unwrap_or_default(), offset: record.offset, why };
    event.broke("compaction-keeps-latest", partition, witness)
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    const CLEANED: &str = ".cleaned";

    /// Two old segments, offsets 0 and 1 of key a, offset 2 of key b, and one that is written.
    fn written() -> Story {
        let mut story = Story::compacting("compaction-keeps-latest");
        write(&mut story);
        story
    }

    fn write(story: &mut Story) {
        story.writes_keyed(1, 0, "", &[(0, "a", Some("1")), (1, "a", Some("2"))], 2);
        story.writes_keyed(1, 2, "", &[(2, "b", None)], 3);
        story.writes_keyed(1, 3, "", &[(3, "c", Some("1"))], 4);
    }

    fn cleaned(story: &mut Story, records: &[(i64, &str, Option<&str>)]) {
        story.writes_keyed(1, 0, CLEANED, records, 3);
        story.swaps(1, 0, &[2]);
    }

    #[test]
    fn silent_when_each_keys_latest_record_is_there() {
        let mut story = written();
        cleaned(&mut story, &[(1, "a", Some("2")), (2, "b", None)]);
        story.silent();
    }

    #[test]
    fn silent_about_a_tombstone_whose_time_is_over() {
        let mut story = written();
        cleaned(&mut story, &[(1, "a", Some("2")), (2, "b", None)]);
        story.long_later();
        cleaned(&mut story, &[(1, "a", Some("2"))]);
        story.silent();
    }

    #[test]
    fn fires_on_a_tombstone_that_is_gone_the_first_time() {
        let mut story = written();
        cleaned(&mut story, &[(1, "a", Some("2"))]);
        story.fired(
            "orders-0 compaction on b1: the record of key b at offset 2 is a tombstone, and gone \
             too early at 1.000 s",
        );
    }

    #[test]
    fn silent_about_a_tombstone_whose_time_ran_before_a_later_record_was_truncated() {
        let mut story = written();
        story.writes_keyed(1, 3, "", &[(3, "b", Some("1"))], 4);
        cleaned(&mut story, &[(1, "a", Some("2")), (2, "b", None)]);
        story.long_later();
        story.writes_keyed(1, 3, "", &[(3, "c", Some("1"))], 4);
        story.writes_keyed(1, 0, CLEANED, &[(1, "a", Some("2"))], 3);
        story.swaps(1, 0, &[]);
        story.silent();
    }

    #[test]
    fn fires_when_only_the_topic_before_had_the_tombstone_long_enough() {
        let mut story = written();
        cleaned(&mut story, &[(1, "a", Some("2")), (2, "b", None)]);
        story.long_later();
        story.created_again();
        write(&mut story);
        cleaned(&mut story, &[(1, "a", Some("2"))]);
        story.fired(
            "orders-0 compaction on b1: the record of key b at offset 2 is a tombstone, and gone \
             too early at 61.000 s",
        );
    }

    /// Two replicas clean a tombstone 20 s apart. The one that began first, at 2 s, swaps last, at 22 s; it
    /// removes the tombstone this many seconds later.
    fn removed_after(seconds: usize) -> Story {
        let mut story = Story::compacting("compaction-keeps-latest");
        for broker in [1, 2] {
            story.writes_keyed(broker, 0, "", &[(0, "a", None)], 1);
            story.writes_keyed(broker, 1, "", &[(1, "c", Some("1"))], 2);
        }
        for _ in 0..21 {
            story.later();
        }
        for (broker, horizon) in [(2, 52), (1, 32)] {
            story.writes_tombstone_until(broker, 0, CLEANED, "a", horizon);
            story.swaps(broker, 0, &[]);
        }
        for _ in 0..seconds {
            story.later();
        }
        story.writes_keyed(1, 0, CLEANED, &[], 1);
        story.swaps(1, 0, &[]);
        story
    }

    #[test]
    fn silent_about_a_tombstone_whose_first_cleaning_was_the_last_to_count() {
        removed_after(10).silent();
    }

    #[test]
    fn fires_on_a_tombstone_that_is_gone_before_its_first_horizon() {
        removed_after(9).fired(
            "orders-0 compaction on b1: the record of key a at offset 0 is a tombstone, and gone \
             too early at 31.000 s",
        );
    }

    #[test]
    fn fires_when_an_older_value_is_left_for_the_latest() {
        let mut story = written();
        cleaned(&mut story, &[(0, "a", Some("1")), (2, "b", None)]);
        story
            .fired("orders-0 compaction on b1: the record of key a at offset 1 is gone at 1.000 s");
    }

    #[test]
    fn silent_about_the_records_of_a_log_that_was_given_up() {
        let mut story = written();
        story.gives_up(1);
        story.writes_keyed(1, 0, "", &[(0, "a", Some("1"))], 3);
        story.writes_keyed(1, 3, "", &[(3, "c", Some("2"))], 4);
        cleaned(&mut story, &[(0, "a", Some("1"))]);
        story.silent();
    }

    #[test]
    fn fires_when_the_log_after_one_that_was_given_up_lacks_its_own_record() {
        let mut story = written();
        story.gives_up(1);
        story.writes_keyed(1, 0, "", &[(0, "a", Some("1"))], 3);
        cleaned(&mut story, &[]);
        assert!(story.sentence().contains("key a at offset 0 is gone"), "{}", story.sentence());
    }

    #[test]
    fn fires_on_a_record_that_was_never_there() {
        let mut story = written();
        cleaned(&mut story, &[(1, "a", Some("9")), (2, "b", None)]);
        assert!(story.sentence().contains("is not what was there"), "{}", story.sentence());
    }

    /// A transaction of key a and its marker, which another segment follows.
    fn with_transaction(commit: bool) -> Story {
        let mut story = Story::compacting("compaction-keeps-latest");
        let committed = [(0, Some(7), "a"), (1, None, "a"), (2, Some(7), "b")];
        story.writes_keyed_in(1, 0, "", &committed, Some((3, 7, commit)));
        story.writes_keyed(1, 4, "", &[(4, "c", Some("1"))], 5);
        story
    }

    #[test]
    fn silent_when_records_of_an_aborted_transaction_are_gone_and_supersede_nothing() {
        let mut story = with_transaction(false);
        story.writes_keyed_in(1, 0, CLEANED, &[(1, None, "a")], Some((3, 7, false)));
        story.swaps(1, 0, &[]);
        story.silent();
    }

    #[test]
    fn fires_when_an_aborted_record_superseded_another() {
        let mut story = Story::compacting("compaction-keeps-latest");
        story.writes_keyed_in(1, 0, "", &[(0, None, "a"), (1, Some(7), "a")], Some((2, 7, false)));
        story.writes_keyed(1, 3, "", &[(3, "c", Some("1"))], 4);
        story.writes_keyed_in(1, 0, CLEANED, &[], Some((2, 7, false)));
        story.swaps(1, 0, &[]);
        story
            .fired("orders-0 compaction on b1: the record of key a at offset 0 is gone at 1.000 s");
    }

    #[test]
    fn fires_when_a_marker_is_gone_before_the_records_of_its_transaction() {
        let mut story = with_transaction(true);
        // The segment ends with another marker, so that it reaches as far as before.
        let left = [(1, None, "a"), (2, Some(7), "b")];
        story.writes_keyed_in(1, 0, CLEANED, &left, Some((3, 8, true)));
        story.swaps(1, 0, &[]);
        story.fired(
            "orders-0 compaction on b1: the marker of producer id 7 at offset 3 is gone at 1.000 s, \
             though the record at offset 2 of its transaction is left",
        );
    }

    #[test]
    fn silent_when_a_marker_goes_with_the_last_record_of_its_transaction() {
        let mut story = Story::compacting("compaction-keeps-latest");
        story.writes_keyed_in(1, 0, "", &[(0, Some(7), "a")], Some((1, 7, true)));
        story.writes_keyed(1, 2, "", &[(2, "a", Some("2"))], 3);
        story.writes_keyed(1, 3, "", &[(3, "c", Some("1"))], 4);
        story.writes_keyed(1, 0, CLEANED, &[(2, "a", Some("2"))], 3);
        story.swaps(1, 0, &[2]);
        story.silent();
    }
}
