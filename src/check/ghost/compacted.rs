//! The files of compacted topics, byte for byte. Which record is the latest of a key shows only in
//! records, and not in batches.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::stamp::Stamp;
use crate::base::{Offset, ProducerId, Timestamp, TopicPartition};
use crate::sim::{HostId, Observation, What};
use crate::wire::batch::{self, Record};

/// Most bytes of a file or of a decompressed batch: no record of a scenario is larger.
const LARGEST: usize = 64 << 20;

/// Every host's files with batches of compacted topics.
#[derive(Debug, Default)]
pub(crate) struct CompactedFiles(BTreeMap<(HostId, Arc<str>), Vec<u8>>);

/// What a log says about the transaction of one of its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It belongs to none, or to one that is committed.
    Counts,
    Aborted,
    /// No marker follows it.
    Open,
}

/// A batch of a log, with its records.
#[derive(Clone, Debug)]
struct Whole {
    base: Offset,
    stamp: Stamp,
    records: Vec<Record>,
}

/// The batches of a log or of one of its files, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batches(Vec<Whole>);

impl Batches {
    /// Every record that is not of a control batch.
    pub fn records(&self) -> impl Iterator<Item = (&Record, Standing)> {
        let mut ends: BTreeMap<ProducerId, Standing> = BTreeMap::new();
        let mut standings = Vec::new();
        for batch in self.0.iter().rev() {
            standings.push(match batch.stamp {
                Stamp::Plain => Some(Standing::Counts),
                Stamp::Data { producer, .. } => {
                    Some(ends.get(&producer).copied().unwrap_or(Standing::Open))
                }
                Stamp::Marker { producer, commit, .. } => {
                    let standing = if commit { Standing::Counts } else { Standing::Aborted };
                    ends.insert(producer, standing);
                    None
                }
                Stamp::Control => None,
            });
        }
        let known = self.0.iter().zip(standings.into_iter().rev());
        let known = known.filter_map(|(batch, standing)| Some((batch, standing?)));
        known.flat_map(|(batch, standing)| {
            batch.records.iter().map(move |record| (record, standing))
        })
    }

    /// Every marker: its producer and its offset.
    pub fn markers(&self) -> impl Iterator<Item = (ProducerId, Offset)> {
        self.0.iter().filter_map(|batch| match batch.stamp {
            Stamp::Marker { producer, .. } => Some((producer, batch.base)),
            _ => None,
        })
    }

    /// The first record of a producer's transaction, within these offsets.
    pub fn in_transaction(&self, producer: ProducerId, within: Range<Offset>) -> Option<Offset> {
        let of_it = self.0.iter().filter(
            |batch| matches!(batch.stamp, Stamp::Data { producer: other, .. } if other == producer),
        );
        let mut offsets = of_it.flat_map(|batch| &batch.records).map(|record| record.offset);
        offsets.find(|offset| within.contains(offset))
    }
}

/// A file of batches, read from its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileName<'a> {
    pub partition: TopicPartition,
    pub directory: &'a str,
    /// Its first offset.
    pub base: i64,
    /// The end of its name after `.log`.
    pub suffix: &'a str,
}

impl<'a> FileName<'a> {
    pub fn read(path: &'a str) -> Option<Self> {
        let (directory, file) = path.rsplit_once('/')?;
        let (digits, suffix) = file.split_once(".log")?;
        let base = (digits.len() == 20).then(|| digits.parse().ok()).flatten()?;
        let name = directory.rsplit_once('/').map_or(directory, |(_, name)| name);
        Some(Self { partition: TopicPartition::from_directory(name)?, directory, base, suffix })
    }
}

impl CompactedFiles {
    /// Takes an observation in. `ours`: whether a path is of a compacted topic's log.
    pub(super) fn observe(&mut self, seen: &Observation, ours: impl Fn(&str) -> bool) {
        let host = seen.host;
        match &seen.what {
            What::Wrote { path, offset, bytes } if ours(path) => {
                let file = self.0.entry((host, path.clone())).or_default();
                let from = usize::try_from(*offset).unwrap_or(usize::MAX).min(LARGEST);
                let end = from + bytes.len();
                if file.len() < end {
                    file.resize(end, 0);
                }
                file[from..end].copy_from_slice(bytes);
            }
            What::Cut { path, len } if ours(path) => {
                let len = usize::try_from(*len).unwrap_or(usize::MAX).min(LARGEST);
                self.0.entry((host, path.clone())).or_default().resize(len, 0);
            }
            What::Removed { path } => drop(self.0.remove(&(host, path.clone()))),
            What::Renamed { from, to } => match self.0.remove(&(host, from.clone())) {
                Some(bytes) => drop(self.0.insert((host, to.clone()), bytes)),
                None => self.directory_renamed(host, from, to),
            },
            What::PowerLost { .. } => self.0.retain(|(of, _), _| *of != host),
            What::Survived { path, bytes } if ours(path) => {
                self.0.insert((host, path.clone()), bytes.to_vec());
            }
            _ => {}
        }
    }

    /// All files of a directory have other paths: a new log of the same name begins without them.
    fn directory_renamed(&mut self, host: HostId, from: &str, to: &str) {
        let first = (host, Arc::from(format!("{from}/")));
        let inside = self.0.range(first..).map_while(|((of, path), _)| {
            let file = path.strip_prefix(from)?.strip_prefix('/')?;
            (*of == host).then(|| (path.clone(), Arc::from(format!("{to}/{file}"))))
        });
        for (old, new) in inside.collect::<Vec<_>>() {
            if let Some(bytes) = self.0.remove(&(host, old)) {
                self.0.insert((host, new), bytes);
            }
        }
    }

    /// The batches of a file, and the offset after the last one.
    pub fn file(&self, host: HostId, path: &Arc<str>, base: i64) -> (Batches, i64) {
        let (found, end) = self
            .0
            .get(&(host, path.clone()))
            .map_or_else(|| (Vec::new(), base), |bytes| read(bytes, base));
        (Batches(found), end)
    }

    /// The delete horizons of a file's records, by offset (KIP-534).
    pub fn horizons_of(&self, host: HostId, path: &Arc<str>) -> BTreeMap<i64, Timestamp> {
        let bytes = self.0.get(&(host, path.clone()));
        let whole = bytes.into_iter().flat_map(|bytes| batch::batches(bytes)).map_while(Result::ok);
        let stamped = whole.filter_map(|(header, bytes)| Some((header.delete_horizon()?, bytes)));
        let records = stamped.flat_map(|(horizon, bytes)| {
            let records = batch::records(bytes, LARGEST).unwrap_or_default();
            records.into_iter().map(move |record| (record.offset.0, horizon))
        });
        records.collect()
    }

    /// The records of one batch that was just written to a file.
    pub fn records_in(&self, host: HostId, path: &Arc<str>, bytes: Range<u64>) -> Vec<Record> {
        let place = |at| usize::try_from(at).unwrap_or(usize::MAX);
        let file = self.0.get(&(host, path.clone()));
        let bytes = file.and_then(|file| file.get(place(bytes.start)..place(bytes.end)));
        bytes.and_then(|bytes| batch::records(bytes, LARGEST).ok()).unwrap_or_default()
    }

    /// The batches in the segments of a log: in `directory`, or in whichever has the partition's name.
    pub fn log(
        &self,
        host: HostId,
        partition: &TopicPartition,
        directory: Option<&str>,
    ) -> Batches {
        let own = self.0.range((host, "".into())..).take_while(|((of, _), _)| *of == host);
        let segments = own.filter_map(|((_, path), bytes)| {
            let name = FileName::read(path).filter(|name| {
                let here = directory.is_none_or(|directory| name.directory == directory);
                let counts =
                    name.suffix.is_empty() || directory.is_none() && name.suffix == ".swap";
                here && counts && name.partition == *partition
            });
            name.map(|name| read(bytes, name.base).0)
        });
        Batches(segments.flatten().collect())
    }
}

/// Every batch of a file, and the offset after the last one.
fn read(bytes: &[u8], base: i64) -> (Vec<Whole>, i64) {
    let (mut found, mut end) = (Vec::new(), base);
    for each in batch::batches(bytes) {
        let Ok((header, whole)) = each else { break };
        end = header.next_offset().0;
        found.push(Whole {
            base: header.base_offset,
            stamp: Stamp::of(&header, whole),
            records: batch::records(whole, LARGEST).unwrap_or_default(),
        });
    }
    (found, end)
}
