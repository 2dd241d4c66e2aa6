//! Retention: which of the oldest segments expire, and how they are removed.
//!
//! The decision only raises the log start. Segments are removed once that start is durable in
//! `log-start-offset-checkpoint`: a crash may undo any of their renames and keep any other, and
//! without the checkpoint the log would have a hole. Files get the suffix `.deleted` at once and are
//! removed after `file.delete.delay.ms`, because readers may have them open.

use std::path::PathBuf;

use super::{Log, LogConfig, LogError, names};
use crate::base::{Offset, Timestamp};
use crate::io::Disk;

/// Why a segment is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// All of it is below the log's start.
    LogStart,
    /// `retention.bytes`: the younger ones have as much.
    Size,
    /// `retention.ms`: its latest record is older.
    Time,
}

/// A segment, as retention sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Where the next one begins, or the log ends.
    pub(crate) end: Offset,
    /// Its batches.
    pub(crate) bytes: u64,
    /// Its latest record, by its producer's clock.
    pub(crate) latest: Timestamp,
    /// It is the one that is appended to.
    pub(crate) active: bool,
}

/// Which of the oldest segments are due, and each one's reason. Never what is not committed, and
/// never an empty last one. Source: Kafka's `UnifiedLog.deleteOldSegments`.
pub(crate) fn due(
    segments: &[Standing],
    config: &LogConfig,
    (log_start, high_watermark): (Offset, Offset),
    now: Timestamp,
) -> Vec<Due> {
    let total: u64 = segments.iter().map(|segment| segment.bytes).sum();
    let mut due = Vec::new();
    let (mut gone, mut first) = (0, 0);
    // One reason after the other, each over what the ones before it have left.
    for reason in [Due::LogStart, Due::Size, Due::Time] {
        if reason != Due::LogStart && !config.deletes {
            break;
        }
        for segment in &segments[first..] {
            let holds = match reason {
                Due::LogStart => !segment.active && segment.end <= log_start,
                Due::Size => config
                    .retention_bytes
                    .is_some_and(|keep| total - gone >= keep.saturating_add(segment.bytes)),
                Due::Time => config.retention.is_some_and(|keep| {
                    let age = i128::from(now.0) - i128::from(segment.latest.0);
                    u128::try_from(age).is_ok_and(|age| age > keep.as_millis())
                }),
            };
            let empty = segment.active && segment.bytes == 0;
            if !holds || empty || segment.end > high_watermark {
                break;
            }
            due.push(reason);
            gone += segment.bytes;
            first += 1;
        }
    }
    due
}

/// Files that left the log, under the names that they have until they are removed.
#[derive(Debug, Default)]
pub struct Retired {
    pub(super) files: Vec<PathBuf>,
}

impl Retired {
    /// Whether there is nothing to remove.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Removes the files. What is left of them when that fails goes at the next start.
    pub fn remove<D: Disk>(self, disk: &D) {
        for path in self.files {
            match disk.remove(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!(file = %path.display(), %error, "can't remove");
                }
                _ => {}
            }
        }
    }
}

impl<D: Disk> Log<D> {
    /// Raises the log's start over segments that are due, and says to where and why. Save it
    /// ([`super::LogDir::save_log_starts`]), then [`Log::retire_segments`]. When all are due, a new
    /// one is begun: a log has at least one.
    pub fn expire(
        &mut self,
        high_watermark: Offset,
        now: Timestamp,
    ) -> Result<Option<(Offset, Due)>, LogError> {
        self.durability.check_online()?;
        let active = self.segments.keys().next_back().copied();
        let mut ends: Vec<Offset> = self.segments.keys().skip(1).copied().collect();
        ends.push(self.log_end);
        let mut standing = Vec::with_capacity(ends.len());
        for ((base, segment), end) in self.segments.iter().zip(&ends) {
            let latest = segment.latest()?.map_or(segment.begun, |latest| latest.timestamp);
            standing.push(Standing {
                end: *end,
                bytes: segment.size,
                latest,
                active: Some(*base) == active,
            });
        }
        let bounds = (self.log_start, high_watermark.min(self.log_end));
        let due = due(&standing, &self.config, bounds, now);
        let Some((last, reason)) = due.len().checked_sub(1).zip(due.last().copied()) else {
            return Ok(None);
        };
        if due.len() == standing.len() {
            self.roll(self.log_end, now)?;
        }
        let start = ends[last];
        // What is below the log's start already needs no more than to go.
        self.advance_log_start(start);
        Ok(Some((self.log_start, reason)))
    }

    /// Takes out the segments that lie wholly below `start`, which must be durable as the log's
    /// start. Their files are renamed; the caller removes them.
    pub fn retire_segments(&mut self, start: Offset) -> Result<Retired, LogError> {
        self.durability.check_online()?;
        let start = start.min(self.log_start);
        let mut retired = Retired::default();
        loop {
            let mut bases = self.segments.keys();
            let (Some(base), Some(next)) = (bases.next().copied(), bases.next().copied()) else {
                break;
            };
            if next > start {
                break;
            }
            let Some(segment) = self.segments.remove(&base) else { break };
            self.durability.names_changed();
            let taken = segment.take_out();
            retired.files.extend(self.or_offline(taken)?);
        }
        let first = self.segments.keys().next().copied().unwrap_or(start);
        // A producer's state outlives its records (KIP-360): the newest snapshot stays.
        let newest = self.snapshots.last().copied();
        let stale = self.snapshots.iter().copied();
        let stale: Vec<Offset> = stale.filter(|at| *at < first && Some(*at) != newest).collect();
        for at in stale {
            let path = names::snapshot(&self.dir, at);
            if let Some(renamed) = rename_away(&self.disk, &path)? {
                retired.files.push(renamed);
            }
            self.snapshots.remove(&at);
        }
        self.check();
        Ok(retired)
    }
}

/// Gives a file the suffix `.deleted`; says under which name it is now, if it was there.
pub(super) fn rename_away<D: Disk>(
    disk: &D,
    path: &std::path::Path,
) -> Result<Option<PathBuf>, LogError> {
    let to = names::with_suffix(path, names::DELETED);
    match disk.rename(path, &to) {
        Ok(()) => Ok(Some(to)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LogError::io("rename", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn segments() -> Vec<Standing> {
        let segment = |index: i64| Standing {
            end: Offset(10 * (index + 1)),
            bytes: 100,
            latest: Timestamp(1000 * index),
            active: index == 3,
        };
        (0..4).map(segment).collect()
    }

    fn config(retention_ms: Option<u64>, bytes: Option<u64>) -> LogConfig {
        LogConfig {
            retention: retention_ms.map(Duration::from_millis),
            retention_bytes: bytes,
            ..LogConfig::default()
        }
    }

    fn count(config: &LogConfig, start: i64, high_watermark: i64, now: i64) -> usize {
        let bounds = (Offset(start), Offset(high_watermark));
        due(&segments(), config, bounds, Timestamp(now)).len()
    }

    #[test]
    fn segment_expires_by_the_age_of_its_latest_record() {
        let keep = config(Some(500), None);
        assert_eq!(count(&keep, 0, 40, 500), 0, "as old as may be");
        assert_eq!(count(&keep, 0, 40, 501), 1);
        assert_eq!(count(&keep, 0, 40, 2501), 3);
        assert_eq!(count(&keep, 0, 40, 9999), 4, "the last one too");
        assert_eq!(count(&config(None, None), 0, 40, i64::MAX), 0);
    }

    #[test]
    fn segment_expires_while_younger_ones_have_retention_bytes() {
        assert_eq!(count(&config(None, Some(300)), 0, 40, 0), 1);
        assert_eq!(count(&config(None, Some(301)), 0, 40, 0), 0);
        assert_eq!(count(&config(None, Some(0)), 0, 40, 0), 4);
    }

    #[test]
    fn segment_below_the_log_start_expires_under_any_policy() {
        let compact = LogConfig { deletes: false, ..config(Some(1), Some(1)) };
        assert_eq!(count(&compact, 20, 40, 9999), 2);
        assert_eq!(count(&compact, 29, 40, 9999), 2, "part of the third may be read");
        assert_eq!(count(&compact, 40, 40, 9999), 3, "but not the last one");
    }

    #[test]
    fn nothing_above_the_high_watermark_is_due() {
        assert_eq!(count(&config(Some(1), None), 0, 25, 9999), 2);
        assert_eq!(count(&config(None, Some(0)), 0, 9, 9999), 0);
    }

    #[test]
    fn each_reason_looks_at_what_the_ones_before_it_left() {
        let keep = config(Some(500), Some(200));
        let bounds = (Offset(10), Offset(40));
        let found = due(&segments(), &keep, bounds, Timestamp(2501));
        assert_eq!(found, [Due::LogStart, Due::Size, Due::Time]);
    }
}
