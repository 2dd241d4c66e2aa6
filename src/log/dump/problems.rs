//! What does not fit together: told after all files, on another stream, as Kafka does.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::base::{Offset, Timestamp};

/// What does not fit together. Its text is Kafka's, a line for each finding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    ignored: Vec<PathBuf>,
    bad_snapshots: Vec<(PathBuf, &'static str)>,
    /// By file: offsets of an index, the latest first, and of the batch they point at.
    mismatches: BTreeMap<PathBuf, BTreeMap<std::cmp::Reverse<Offset>, Offset>>,
    wrong_times: BTreeMap<PathBuf, Vec<(Timestamp, Timestamp)>>,
    falling_times: BTreeMap<PathBuf, Vec<(Timestamp, Timestamp)>>,
    /// By file: offsets of a time index, and what the log has instead.
    not_found: BTreeMap<PathBuf, Vec<(Offset, Offset)>>,
    /// By file: a record's offset, and that of the next.
    gaps: BTreeMap<PathBuf, BTreeMap<Offset, Offset>>,
}

impl Problems {
    /// Whether everything fits.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn ignored(&mut self, path: &Path) {
        self.ignored.push(path.to_owned());
    }

    pub(super) fn bad_snapshot(&mut self, path: &Path, problem: &'static str) {
        self.bad_snapshots.push((path.to_owned(), problem));
    }

    pub(super) fn mismatch(&mut self, path: &Path, index: Offset, log: Offset) {
        self.mismatches.entry(path.to_owned()).or_default().insert(std::cmp::Reverse(index), log);
    }

    pub(super) fn wrong_time(&mut self, path: &Path, index: Timestamp, log: Timestamp) {
        self.wrong_times.entry(path.to_owned()).or_default().push((index, log));
    }

    pub(super) fn falling_time(&mut self, path: &Path, index: Timestamp, before: Timestamp) {
        self.falling_times.entry(path.to_owned()).or_default().push((index, before));
    }

    pub(super) fn not_found(&mut self, path: &Path, index: Offset, log: Offset) {
        self.not_found.entry(path.to_owned()).or_default().push((index, log));
    }

    pub(super) fn gap(&mut self, path: &Path, before: Offset, after: Offset) {
        self.gaps.entry(path.to_owned()).or_default().insert(before, after);
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for path in &self.ignored {
            writeln!(f, "Ignoring unknown file {}", path.display())?;
        }
        for (path, problem) in &self.bad_snapshots {
            writeln!(f, "{}: the snapshot is corrupt: {problem}", path.display())?;
        }
        for (path, found) in &self.mismatches {
            writeln!(f, "Mismatches in :{}", path.display())?;
            for (index, log) in found {
                writeln!(f, "  Index offset: {}, log offset: {log}", index.0)?;
            }
        }
        for (path, found) in &self.wrong_times {
            writeln!(f, "Found timestamp mismatch in :{}", path.display())?;
            for (index, log) in found {
                writeln!(f, "  Index timestamp: {}, log timestamp: {}", index.0, log.0)?;
            }
        }
        for (path, found) in &self.falling_times {
            writeln!(f, "Found out of order timestamp in :{}", path.display())?;
            for (index, before) in found {
                let (index, before) = (index.0, before.0);
                writeln!(f, "  Index timestamp: {index}, Previously indexed timestamp: {before}")?;
            }
        }
        for (path, found) in &self.not_found {
            writeln!(f, "The following indexed offsets are not found in :{}", path.display())?;
            for (index, log) in found {
                writeln!(f, "Indexed offset: {index}, found log offset: {log}")?;
            }
        }
        for (path, found) in &self.gaps {
            writeln!(f, "Non-consecutive offsets in {}", path.display())?;
            for (before, after) in found {
                writeln!(f, "  {before} is followed by {after}")?;
            }
        }
        Ok(())
    }
}
