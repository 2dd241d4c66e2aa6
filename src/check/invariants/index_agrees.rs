//! `index-agrees`: each index entry points at a batch. An entry of the offset index names the
//! position and last offset of one batch; an entry of the time index names the last offset and
//! timestamp of one, later than all before it. And a kept index says what a rebuilt one would say.
//!
//! Entries are judged when they are written, and again, with those that are missing, when the file
//! is cut to its used size: when its segment is sealed, its log closed, or the index rebuilt. A
//! time index may have more entries than a rebuilt one: closing a log adds its latest timestamp. On
//! a full disk entries are left out, and so is an entry that the disk refused: an index that ends too
//! early is rebuilt before it is searched. The remains of an index after a crash are not judged: the log
//! treats them as hints and reads the batch before it believes the entry. Nor is the index of a
//! segment in which a fault damaged a batch, nor one that is renamed into place with room behind its
//! entries: its log was cut while the segment was swapped in, and the remains of the cut are in front.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Offset, Probe, StorageProbe, Timestamp, TopicPartition};
use crate::check::ghost::{Batch, is_inside};
use crate::check::{Event, Ghost, Invariant, StorageWitness, Violation};
use crate::sim::{HostId, What};

#[derive(Default)]
pub(super) struct IndexAgrees {
    /// What is in files that were written from their beginning on since the power was last off.
    kept: BTreeMap<(HostId, Arc<str>), Kept>,
}

/// What is in a file.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    /// The disk refused an entry: some may be missing.
    is_sparse: bool,
}

/// Kafka's default, `ServerLogConfigs.LOG_INDEX_INTERVAL_BYTES_DEFAULT`.
const DEFAULT_INTERVAL: u64 = 4096;

/// An index file: of which segment, and which of its two.
struct Place {
    partition: TopicPartition,
    base: i64,
    of_time: bool,
}

impl Place {
    fn read(path: &str) -> Option<Self> {
        let (directory, file) = path.rsplit_once('/')?;
        let (digits, of_time) = match file.strip_suffix(".index") {
            Some(digits) => (digits, false),
            None => (file.strip_suffix(".timeindex")?, true),
        };
        let base = (digits.len() == 20).then(|| digits.parse().ok()).flatten()?;
        let (_, directory) = directory.rsplit_once('/')?;
        let partition = TopicPartition::from_directory(directory)?;
        Some(Self { partition, base, of_time })
    }

    /// Bytes of an entry.
    fn size(&self) -> usize {
        if self.of_time { 12 } else { 8 }
    }

    fn entry(&self, bytes: &[u8]) -> Option<Entry> {
        let (first, rest) = bytes.split_at_checked(self.size() - 4)?;
        let relative = |bytes: &[u8]| Some(u32::from_be_bytes(bytes.try_into().ok()?));
        let last = |bytes| Some(Offset(self.base.checked_add(i64::from(relative(bytes)?))?));
        match self.of_time {
            true => {
                let at = Timestamp(i64::from_be_bytes(first.try_into().ok()?));
                Some(Entry::Moment { at, last: last(rest)? })
            }
            false => {
                let position = u64::from(relative(rest)?);
                Some(Entry::Place { position, last: last(first)? })
            }
        }
    }
}

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Place { position: u64, last: Offset },
    Moment { at: Timestamp, last: Offset },
}

impl Entry {
    fn says(self) -> String {
        match self {
            Self::Place { position, last } => {
                format!("the batch at position {position} ends with offset {last}")
            }
            Self::Moment { at, last } => format!("the batch of {} ends with offset {last}", at.0),
        }
    }

    /// What is there instead, if it is wrong. `before` has the latest time before each batch, for who
    /// wants to look that far.
    fn instead(self, batches: &[Batch], before: &[Timestamp]) -> Option<String> {
        let ends = |batch: &Batch| Offset(batch.next.0 - 1);
        match self {
            Self::Place { position, last } => {
                match batches.binary_search_by_key(&position, |batch| batch.position) {
                    Ok(index) if ends(&batches[index]) == last => None,
                    Ok(index) => {
                        Some(format!("the batch there ends with offset {}", ends(&batches[index])))
                    }
                    Err(_) => Some("no batch begins there".into()),
                }
            }
            Self::Moment { at, last } => {
                let index = batches.partition_point(|batch| ends(batch) < last);
                let batch = batches.get(index).filter(|batch| ends(batch) == last);
                match batch {
                    None => Some("no batch does".into()),
                    Some(batch) if batch.latest != at => {
                        Some(format!("it is of {}", batch.latest.0))
                    }
                    Some(_) => {
                        let before = before.get(index).filter(|before| **before >= at);
                        before.map(|before| format!("one before it is of {}", before.0))
                    }
                }
            }
        }
    }
}

/// The first place in which an index is denser or sparser than one that is built from scratch, and which of
/// both: an entry is due for each batch that begins more than the interval behind the last that has
/// one. A broker that opens a log before it knows the topic takes the default for the interval, so it
/// lies between two.
fn misplaced(
    batches: &[Batch],
    kept: &[Entry],
    (least, most): (u64, u64),
) -> Option<(usize, &'static str)> {
    let (mut entry, mut since) = (0, 0);
    for batch in batches {
        let is_here = |entry: &Entry| matches!(entry, Entry::Place { position, .. } if *position == batch.position);
        match kept.get(entry).is_some_and(is_here) {
            true if since <= least => return Some((entry, "one built from scratch does not")),
            true => (entry, since) = (entry + 1, 0),
            false if since > most => return Some((entry, "one built from scratch has more")),
            false => {}
        }
        since += u64::from(batch.size);
    }
    None
}

/// The last moment of a segment.
fn last_moment(batches: &[Batch]) -> Option<Entry> {
    let mut latest: Option<&Batch> = None;
    for batch in batches {
        let before = latest.map_or(Timestamp::NONE, |latest| latest.latest);
        if batch.latest > before {
            latest = Some(batch);
        }
    }
    latest.map(|batch| Entry::Moment { at: batch.latest, last: Offset(batch.next.0 - 1) })
}

impl IndexAgrees {
    /// A file was cut to what is used of it.
    fn ended(&self, event: &Event<'_>, path: &Arc<str>, ghost: &Ghost) -> Result<(), Violation> {
        let Some(file) = self.kept.get(&(event.seen.host, path.clone())) else { return Ok(()) };
        let Some(place) = Place::read(path) else { return Ok(()) };
        let Some(log) = ghost.log_with(event.seen.host, &place.partition, path) else {
            return Ok(());
        };
        let promise = ghost.promise(&place.partition.topic);
        if promise.compacted || log.is_damaged(place.base) {
            return Ok(());
        }
        let batches = log.batches_of(place.base);
        let size = place.size();
        let kept: Vec<Entry> =
            file.bytes.chunks_exact(size).filter_map(|bytes| place.entry(bytes)).collect();
        let mut latest = Timestamp::NONE;
        let before = batches.iter().map(|batch| {
            let before = latest;
            latest = latest.max(batch.latest);
            before
        });
        let before: Vec<Timestamp> = before.collect();
        for (index, entry) in kept.iter().enumerate() {
            if let Some(instead) = entry.instead(batches, &before) {
                return Self::broke(event, path, ghost, index, entry.says(), instead);
            }
        }
        if file.is_sparse {
            return Ok(());
        }
        let says = |index: usize| kept.get(index).map_or("nothing".into(), |entry| entry.says());
        if place.of_time {
            let last = last_moment(batches).filter(|last| kept.last() != Some(last));
            return last.map_or(Ok(()), |last| {
                let instead = format!("one built from scratch ends so that {}", last.says());
                let index = kept.len().saturating_sub(1);
                Self::broke(event, path, ghost, index, says(index), instead)
            });
        }
        let Some(interval) = promise.index_interval else { return Ok(()) };
        let range = (interval.min(DEFAULT_INTERVAL), interval.max(DEFAULT_INTERVAL));
        misplaced(batches, &kept, range).map_or(Ok(()), |(index, instead)| {
            Self::broke(event, path, ghost, index, says(index), instead.into())
        })
    }

    fn broke(
        event: &Event<'_>,
        path: &Arc<str>,
        ghost: &Ghost,
        entry: usize,
        says: String,
        instead: String,
    ) -> Result<(), Violation> {
        let Some(host) = ghost.host(event.seen.host) else { return Ok(()) };
        let Some(place) = Place::read(path) else { return Ok(()) };
        let file = path.rsplit_once('/').map_or(&**path, |(_, file)| file).to_owned();
        let (broker, entry) = (host.broker, entry as u64);
        let witness = StorageWitness::IndexDisagrees { broker, file, entry, says, instead };
        event.broke("index-agrees", &place.partition, witness)
    }

    fn wrote(
        &mut self,
        event: &Event<'_>,
        (path, offset, bytes): (&Arc<str>, u64, &[u8]),
        ghost: &Ghost,
    ) -> Result<(), Violation> {
        let Some(place) = Place::read(path) else { return Ok(()) };
        let has_room = bytes.len() > place.size() && bytes.ends_with(&[0; 12][..place.size()]);
        if has_room {
            self.kept.remove(&(event.seen.host, path.clone()));
            return Ok(());
        }
        if let Some(kept) = self.kept.get_mut(&(event.seen.host, path.clone())) {
            // An index grows at its end; what lies behind is left from before a cut.
            let at = usize::try_from(offset).unwrap_or(usize::MAX);
            kept.bytes.truncate(at);
            if kept.bytes.len() == at {
                kept.bytes.extend_from_slice(bytes);
            }
            // A full disk may refuse an entry as a whole.
            kept.is_sparse |= bytes.is_empty() || !bytes.len().is_multiple_of(place.size());
        }
        let Some(log) = ghost.log_with(event.seen.host, &place.partition, path) else {
            return Ok(());
        };
        if log.is_damaged(place.base) {
            return Ok(());
        }
        let batches = log.batches_of(place.base);
        let first = usize::try_from(offset).unwrap_or(0) / place.size();
        for (index, entry) in (first..).zip(bytes.chunks_exact(place.size())) {
            if let Some(entry) = place.entry(entry)
                && let Some(instead) = entry.instead(batches, &[])
            {
                return Self::broke(event, path, ghost, index, entry.says(), instead);
            }
        }
        Ok(())
    }
}

impl Invariant for IndexAgrees {
    fn name(&self) -> &'static str {
        "index-agrees"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        let host = event.seen.host;
        match &event.seen.what {
            What::Wrote { path, offset, bytes } if path.ends_with("index") => {
                self.wrote(event, (path, *offset, bytes), ghost)
            }
            What::Cut { path, len } if path.ends_with("index") => {
                let key = (host, path.clone());
                if *len == 0 {
                    self.kept.insert(key, Kept::default());
                    return Ok(());
                }
                let Some(kept) = self.kept.get_mut(&key) else { return Ok(()) };
                let len = usize::try_from(*len).unwrap_or(usize::MAX);
                kept.bytes.truncate(len);
                if kept.bytes.len() == len { self.ended(event, path, ghost) } else { Ok(()) }
            }
            What::Removed { path } | What::Renamed { from: path, .. } => {
                match path.ends_with("index") {
                    true => drop(self.kept.remove(&(host, path.clone()))),
                    // It may be a directory.
                    false => {
                        self.kept.retain(|(of, kept), _| *of != host || !is_inside(kept, path))
                    }
                }
                Ok(())
            }
            What::PowerLost { .. }
            | What::Probe(Probe::Storage(StorageProbe::Failed { full: true, .. })) => {
                self.kept.retain(|(of, _), _| *of != host);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::DEFAULT_INTERVAL;
    use crate::check::testing::{Story, batch};

    fn written() -> (Story, u32) {
        let mut story = Story::judging("index-agrees");
        story.writes(1, 0, 0, &[1, 2]);
        story.writes(1, 2, 0, &[3, 4, 5]);
        (story, batch(0, 0, &[1, 2]).len() as u32)
    }

    #[test]
    fn silent_about_entries_that_are_right_in_both_indexes() {
        let (mut story, second) = written();
        story.indexes(1, 0, (4, second));
        story.indexes_time(1, 0, (0, 4));
        story.silent();
    }

    #[test]
    fn silent_about_an_entry_of_a_segment_that_rotted_and_fires_on_one_of_the_next() {
        let (mut story, _) = written();
        story.rots(1, 0);
        story.indexes_time(1, 0, (1 << 14, 1));
        story.silent();
        story.rolls(1, 5);
        story.writes(1, 5, 0, &[6]);
        story.indexes_time(1, 5, (1 << 14, 0));
        assert!(story.sentence().ends_with("it is of 0"), "{}", story.sentence());
    }

    #[test]
    fn silent_about_a_metadata_log_whose_batches_are_the_controllers() {
        let (mut story, _) = written();
        story.indexes(0, 0, (77, 77));
        story.silent();
    }

    #[test]
    fn fires_on_another_offset() {
        let (mut story, second) = written();
        story.indexes(1, 0, (2, second));
        let size = second;
        story.fired(&format!(
            "orders-0 entry 0 of 00000000000000000000.index on b1 says at 1.000 s that the batch at \
             position {size} ends with offset 2; the batch there ends with offset 4"
        ));
    }

    #[test]
    fn fires_on_a_position_between_batches_and_on_a_time_of_no_batch() {
        let (mut story, second) = written();
        story.indexes(1, 0, (4, second - 1));
        assert!(story.sentence().ends_with("no batch begins there"), "{}", story.sentence());
        let (mut story, _) = written();
        story.indexes_time(1, 0, (0, 5));
        let said = "that the batch of 0 ends with offset 5; no batch does";
        assert!(story.sentence().ends_with(said), "{}", story.sentence());
    }

    #[test]
    fn silent_about_remains_of_a_cut_while_the_segment_was_swapped_in() {
        let (mut story, _) = written();
        story.swaps_index_in(1, &[(9, 7), (0, 0)]);
        story.silent();
        let (mut story, _) = written();
        story.swaps_index_in(1, &[(9, 7)]);
        assert!(story.sentence().ends_with("no batch begins there"), "{}", story.sentence());
    }

    #[test]
    fn fires_on_another_time() {
        let (mut story, _) = written();
        story.indexes_time(1, 0, (1, 4));
        let said = "that the batch of 1 ends with offset 4; it is of 0";
        assert!(story.sentence().ends_with(said), "{}", story.sentence());
    }

    /// Three batches, an entry wanted for each but the first.
    fn sealed(places: &[(u32, u32)], moments: &[(i64, u32)]) -> Story {
        let mut story = Story::judging("index-agrees");
        story.cuts_index(1, "index", 0);
        story.cuts_index(1, "timeindex", 0);
        story.writes(1, 0, 0, &[1, 2]);
        story.writes(1, 2, 0, &[3, 4, 5]);
        story.writes(1, 5, 0, &[6]);
        story.fills_index(1, places);
        story.fills_time_index(1, moments);
        story.cuts_index(1, "index", 8 * places.len() as u64);
        story.cuts_index(1, "timeindex", 12 * moments.len() as u64);
        story
    }

    fn positions() -> (u32, u32) {
        let second = batch(0, 0, &[1, 2]).len() as u32;
        (second, second + batch(2, 0, &[3, 4, 5]).len() as u32)
    }

    #[test]
    fn silent_about_a_kept_index_that_says_what_a_new_one_does() {
        let (second, third) = positions();
        sealed(&[(4, second), (5, third)], &[(0, 1)]).silent();
    }

    #[test]
    fn fires_on_a_kept_index_that_lacks_entries_or_has_too_many() {
        let (second, third) = positions();
        let more = sealed(&[(1, 0), (4, second), (5, third)], &[(0, 1)]);
        assert!(more.sentence().ends_with("ends with offset 1; one built from scratch does not"));
        let mut lacks = sparse(None);
        lacks.cuts_index(1, "index", 8);
        let said = "ends with offset 1001; one built from scratch has more";
        assert!(lacks.sentence().ends_with(said), "{}", lacks.sentence());
        let mut early = sealed(&[(4, second), (5, third)], &[]);
        early.cuts_index(1, "timeindex", 12);
        early.silent();
    }

    /// The second of three batches is due for an entry, and only the third has one.
    /// The disk may have refused the first after so many bytes.
    fn sparse(refused: Option<usize>) -> Story {
        let many: Vec<u64> = (1..=1000).collect();
        let mut story = Story::judging("index-agrees");
        story.cuts_index(1, "index", 0);
        story.writes(1, 0, 0, &many);
        story.writes(1, 1000, 0, &[1001]);
        story.writes(1, 1001, 0, &[1002]);
        let large = batch(0, 0, &many).len();
        assert!(large > DEFAULT_INTERVAL as usize);
        if let Some(written) = refused {
            story.refuses_place(1, written);
        }
        story.fills_index(1, &[(1001, (large + batch(1000, 0, &[1001]).len()) as u32)]);
        story
    }

    #[test]
    fn silent_about_an_entry_that_the_disk_refused() {
        for written in [3, 0] {
            let mut story = sparse(Some(written));
            story.cuts_index(1, "index", 8);
            story.silent();
        }
        let mut wrong = sparse(Some(0));
        wrong.fills_index(1, &[(1002, 0)]);
        wrong.cuts_index(1, "index", 8);
        assert!(wrong.sentence().ends_with("the batch there ends with offset 999"));
    }

    #[test]
    fn fires_on_a_kept_moment_that_was_reached_before() {
        let (second, third) = positions();
        let late = sealed(&[(4, second), (5, third)], &[(0, 1), (0, 4)]);
        assert!(late.sentence().ends_with("ends with offset 4; one before it is of 0"));
    }

    #[test]
    fn silent_about_an_index_that_the_power_took() {
        let (mut story, _) = written();
        story.cuts_index(1, "index", 0);
        story.power_loss(1, 5);
        story.boot(1);
        story.cuts_index(1, "index", 8);
        story.silent();
    }
}
