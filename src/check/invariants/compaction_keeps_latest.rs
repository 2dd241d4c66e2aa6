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
use crate::check::{Event, Ghost, Invariant, StorageWitness, Violation};
use crate::sim::{HostId, What};
use crate::wire::batch::{self, Record};

/// Clocks drift, and a horizon is in whole milliseconds of one of them.
const TOLERANCE: f64 = 0.99;
/// No record of a scenario is larger.
const LARGEST: usize = 64 << 20;

/// Files with batches of compacted topics, byte for byte.
#[derive(Default)]
pub(super) struct CompactionKeepsLatest {
    files: BTreeMap<(HostId, Arc<str>), Vec<u8>>,
    /// When a tombstone was first seen in a cleaned segment.
    waiting: BTreeMap<(TopicPartition, i64), Instant>,
}

/// A file of batches: of which partition, in which directory, from where on, and what follows
/// `.log` in its name.
struct Place<'a> {
    partition: TopicPartition,
    directory: &'a str,
    base: i64,
    suffix: &'a str,
}

fn place(path: &str) -> Option<Place<'_>> {
    let (directory, file) = path.rsplit_once('/')?;
    let (digits, suffix) = file.split_once(".log")?;
    let base = (digits.len() == 20).then(|| digits.parse().ok()).flatten()?;
    let name = directory.rsplit_once('/').map_or(directory, |(_, name)| name);
    Some(Place { partition: TopicPartition::from_directory(name)?, directory, base, suffix })
}

/// Every record of a file, and the offset after its last batch.
fn read(bytes: &[u8], base: i64) -> (Vec<Record>, i64) {
    let (mut found, mut end) = (Vec::new(), base);
    for each in batch::batches(bytes) {
        let Ok((header, whole)) = each else { break };
        end = header.next_offset().0;
        found.extend(batch::records(whole, LARGEST).unwrap_or_default());
    }
    (found, end)
}

impl Invariant for CompactionKeepsLatest {
    fn name(&self) -> &'static str {
        "compaction-keeps-latest"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        let host = event.seen.host;
        match &event.seen.what {
            What::Wrote { path, offset, bytes } if ghost.is_compacted_path(path) => {
                let file = self.files.entry((host, path.clone())).or_default();
                let from = usize::try_from(*offset).unwrap_or(usize::MAX).min(LARGEST);
                let end = from + bytes.len();
                if file.len() < end {
                    file.resize(end, 0);
                }
                file[from..end].copy_from_slice(bytes);
            }
            What::Cut { path, len } if ghost.is_compacted_path(path) => {
                let len = usize::try_from(*len).unwrap_or(usize::MAX).min(LARGEST);
                self.files.entry((host, path.clone())).or_default().resize(len, 0);
            }
            What::Removed { path } => {
                self.files.remove(&(host, path.clone()));
            }
            What::Renamed { from, to } => {
                let Some(bytes) = self.files.remove(&(host, from.clone())) else { return Ok(()) };
                self.files.insert((host, to.clone()), bytes);
                if from.ends_with(".log.cleaned") && to.ends_with(".log.swap") {
                    return self.swapped(event, to, ghost);
                }
            }
            What::PowerLost { .. } => self.files.retain(|(of, _), _| *of != host),
            What::Survived { path, bytes } if ghost.is_compacted_path(path) => {
                self.files.insert((host, path.clone()), bytes.to_vec());
            }
            _ => {}
        }
        Ok(())
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
        let Some(place_of_new) = place(path) else { return Ok(()) };
        let Some(broker) = ghost.host(host).map(|host| host.broker) else { return Ok(()) };
        let (partition, base) = (place_of_new.partition, place_of_new.base);
        let (new, end) = read(&self.files[&(host, path.clone())], base);
        let mut before = BTreeMap::new();
        let mut latest = BTreeMap::new();
        let own = self.files.range((host, "".into())..).take_while(|((of, _), _)| *of == host);
        for ((_, path), bytes) in own {
            let Some(other) = place(path).filter(|other| other.suffix.is_empty()) else { continue };
            if other.directory != place_of_new.directory {
                continue;
            }
            for record in read(bytes, other.base).0 {
                latest.insert(record.key.clone(), record.offset.0);
                before.insert(record.offset.0, record);
            }
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
    fn fires_on_a_record_that_was_never_there() {
        let mut story = written();
        cleaned(&mut story, &[(1, "a", Some("9")), (2, "b", None)]);
        assert!(story.sentence().contains("is not what was there"), "{}", story.sentence());
    }
}
