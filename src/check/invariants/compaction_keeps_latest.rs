//! `compaction-keeps-latest`: a cleaned segment has the latest record of each key in the segments
//! that it replaces, and no other record; a latest tombstone is missing only when
//! `delete.retention.ms` has passed since it was first seen in a cleaned segment anywhere
//! (KIP-534).
//!
//! Read from the bytes of the files of compacted topics. Judged when a cleaned segment begins to
//! count: when it is renamed from `.cleaned` to `.swap`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{BrokerId, Instant, TopicPartition};
use crate::check::ghost::FileName;
use crate::check::{Event, Ghost, Invariant, StorageWitness, Violation};
use crate::sim::What;
use crate::wire::batch::Record;

/// Clocks drift, and a horizon is in whole milliseconds of one of them.
const TOLERANCE: f64 = 0.99;

#[derive(Default)]
pub(super) struct CompactionKeepsLatest {
    /// When a tombstone was first seen in a cleaned segment.
    waiting: BTreeMap<(TopicPartition, i64), Instant>,
}

impl Invariant for CompactionKeepsLatest {
    fn name(&self) -> &'static str {
        "compaction-keeps-latest"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        match &event.seen.what {
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
        let (new, end) = ghost.compacted().records_of(host, path, base);
        let mut before = BTreeMap::new();
        let mut latest = BTreeMap::new();
        for record in ghost.compacted().log(host, &partition, Some(directory)) {
            latest.insert(record.key.clone(), record.offset.0);
            before.insert(record.offset.0, record);
        }
        let mut last = None;
        for record in &new {
            let rises = last.replace(record.offset).is_none_or(|last| last < record.offset);
            if !rises || before.get(&record.offset.0) != Some(record) {
                return broke(event, &partition, broker, record, "is not what was there");
            }
        }
        let kept = |offset: i64| new.binary_search_by_key(&offset, |record| record.offset.0);
        let wait = ghost.delete_retention(&partition.topic).mul_f64(TOLERANCE);
        for record in before.range(base..end).map(|(_, record)| record) {
            let offset = record.offset.0;
            if record.key.is_none() || latest.get(&record.key) != Some(&offset) {
                continue;
            }
            let there = kept(offset).is_ok();
            if record.value.is_some() {
                if !there {
                    return broke(event, &partition, broker, record, "is gone");
                }
                continue;
            }
            let seen = *self.waiting.entry((partition.clone(), offset)).or_insert(at);
            if !there && at.since(seen) < wait {
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
        story.writes_keyed(1, 0, "", &[(0, "a", Some("1")), (1, "a", Some("2"))], 2);
        story.writes_keyed(1, 2, "", &[(2, "b", None)], 3);
        story.writes_keyed(1, 3, "", &[(3, "c", Some("1"))], 4);
        story
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
}
