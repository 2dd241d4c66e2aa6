//! The files of compacted topics, byte for byte. Which record is the latest of a key shows only in
//! records, and not in batches.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::base::{Timestamp, TopicPartition};
use crate::sim::{HostId, Observation, What};
use crate::wire::batch::{self, Record};

/// Most bytes of a file or of a decompressed batch: no record of a scenario is larger.
const LARGEST: usize = 64 << 20;

/// Every host's files with batches of compacted topics.
#[derive(Debug, Default)]
pub(crate) struct CompactedFiles(BTreeMap<(HostId, Arc<str>), Vec<u8>>);

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

    /// Every record of a file, and the offset after its last batch.
    pub fn records_of(&self, host: HostId, path: &Arc<str>, base: i64) -> (Vec<Record>, i64) {
        self.0.get(&(host, path.clone())).map_or((Vec::new(), base), |bytes| read(bytes, base))
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

    /// Every record in the segments of a log: in `directory`, or in whichever has the partition's
    /// name.
    pub fn log(
        &self,
        host: HostId,
        partition: &TopicPartition,
        directory: Option<&str>,
    ) -> impl Iterator<Item = Record> {
        let own = self.0.range((host, "".into())..).take_while(move |((of, _), _)| *of == host);
        own.flat_map(move |((_, path), bytes)| {
            let name = FileName::read(path).filter(|name| {
                let here = directory.is_none_or(|directory| name.directory == directory);
                let counts =
                    name.suffix.is_empty() || directory.is_none() && name.suffix == ".swap";
                here && counts && name.partition == *partition
            });
            name.map_or(Vec::new(), |name| read(bytes, name.base).0)
        })
    }
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
