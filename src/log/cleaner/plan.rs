//! Which part of a log is dirty, and which segments are merged. Pure. Source: Kafka's
//! `LogCleanerManager` and `Cleaner.groupSegmentsBySize`.

use std::time::Duration;

use crate::base::{Offset, Timestamp};
use crate::log::LogConfig;

/// A segment as the cleaner sees it; never the active one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) base: Offset,
    /// Base offset of the next segment.
    pub(crate) end: Offset,
    /// Size of its batches.
    pub(crate) bytes: u64,
    /// Timestamp of its first batch (set by the producer).
    pub(crate) first: Timestamp,
    /// Largest timestamp of its records.
    pub(crate) latest: Timestamp,
}

/// How dirty a log is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dirtiness {
    /// End of the part that was cleaned before.
    pub(crate) from: Offset,
    /// End of the part that may be cleaned now.
    pub(crate) until: Offset,
    /// Bytes below `from`.
    pub(crate) clean: u64,
    /// Bytes from `from` to `until`.
    pub(crate) dirty: u64,
    /// How long its oldest dirty record has waited beyond `max.compaction.lag.ms`.
    pub(crate) overdue: Duration,
}

impl Dirtiness {
    /// The dirty share of the part that may be cleaned.
    pub fn ratio(&self) -> f64 {
        match self.clean + self.dirty {
            0 => 0.0,
            all => self.dirty as f64 / all as f64,
        }
    }

    /// Whether it reaches `min.cleanable.dirty.ratio`, or has waited too long.
    pub fn is_due(&self, config: &LogConfig) -> bool {
        self.dirty > 0 && (!self.overdue.is_zero() || self.ratio() > config.min_dirty_ratio)
    }
}

/// How dirty a log with these sealed segments is, if it was cleaned up to `cleaned_to` before.
/// Ignores segments that reach above `stable` (not committed, undecided or unsynced), and too
/// recent ones.
pub(crate) fn dirtiness(
    segments: &[Sealed],
    config: &LogConfig,
    cleaned_to: Offset,
    stable: Offset,
    now: Timestamp,
) -> Dirtiness {
    let start = segments.first().map_or(Offset::ZERO, |segment| segment.base);
    let end = segments.last().map_or(start, |segment| segment.end);
    // A checkpoint from before a truncation is void.
    let from = if (start..=end).contains(&cleaned_to) { cleaned_to } else { start };
    let dirty = || segments.iter().filter(|segment| segment.end > from);
    let age_of = |at: Timestamp| u128::try_from(i128::from(now.0) - i128::from(at.0)).unwrap_or(0);
    let young = |segment: &&Sealed| age_of(segment.latest) < config.min_compaction_lag.as_millis();
    let young = dirty().filter(|_| !config.min_compaction_lag.is_zero()).find(young);
    let bound = young.map_or(end, |segment| segment.base).min(stable);
    // Only whole segments.
    let until = dirty().take_while(|segment| segment.end <= bound).last();
    let until = until.map_or(from, |segment| segment.end);
    let bytes = |segment: &Sealed| segment.bytes;
    let oldest = dirty().take_while(|segment| segment.end <= until).map(|s| s.first).min();
    let overdue = config
        .max_compaction_lag
        .zip(oldest)
        .map_or(0, |(lag, oldest)| age_of(oldest).saturating_sub(lag.as_millis()));
    Dirtiness {
        from,
        until,
        clean: segments.iter().filter(|segment| segment.end <= from).map(bytes).sum(),
        dirty: dirty().filter(|segment| segment.end <= until).map(bytes).sum(),
        overdue: Duration::from_millis(u64::try_from(overdue).unwrap_or(u64::MAX)),
    }
}

/// Runs of segments that fit into one, by size and by the offsets that an index can represent.
pub(crate) fn group(segments: &[Sealed], config: &LogConfig) -> Vec<std::ops::Range<usize>> {
    let mut groups: Vec<std::ops::Range<usize>> = Vec::new();
    let mut bytes = 0;
    for (index, segment) in segments.iter().enumerate() {
        let fits = groups.last().is_some_and(|group| {
            let first = segments[group.start].base;
            let offsets = segment.end.0.saturating_sub(1).saturating_sub(first.0);
            bytes + segment.bytes <= config.segment_bytes && offsets <= i64::from(i32::MAX)
        });
        match groups.last_mut().filter(|_| fits) {
            Some(group) => group.end = index + 1,
            None => {
                groups.push(index..index + 1);
                bytes = 0;
            }
        }
        bytes += segment.bytes;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments() -> Vec<Sealed> {
        let segment = |index: i64| Sealed {
            base: Offset(index * 10),
            end: Offset(index * 10 + 10),
            bytes: 100,
            first: Timestamp(1000 * index),
            latest: Timestamp(1000 * index + 900),
        };
        (0..4).map(segment).collect()
    }

    fn compacting() -> LogConfig {
        LogConfig { compacted: true, ..LogConfig::default() }
    }

    fn found(config: &LogConfig, cleaned_to: i64, stable: i64, now: i64) -> Dirtiness {
        dirtiness(&segments(), config, Offset(cleaned_to), Offset(stable), Timestamp(now))
    }

    #[test]
    fn stable_uncleaned_records_are_dirty() {
        let dirty = found(&compacting(), 10, 30, 9999);
        assert_eq!((dirty.from, dirty.until), (Offset(10), Offset(30)));
        assert_eq!((dirty.clean, dirty.dirty), (100, 200));
        assert!(dirty.is_due(&compacting()));
        let less = found(&compacting(), 10, 29, 9999);
        assert_eq!((less.until, less.dirty), (Offset(20), 100), "only whole segments");
        assert!(!less.is_due(&compacting()), "exactly the half is not enough");
        assert_eq!(found(&compacting(), 40, 40, 9999).dirty, 0);
    }

    #[test]
    fn checkpoint_outside_the_log_counts_as_none() {
        assert_eq!(found(&compacting(), 77, 40, 9999).from, Offset(0));
        assert_eq!(found(&compacting(), -1, 40, 9999).dirty, 400);
    }

    #[test]
    fn records_younger_than_the_minimum_lag_wait() {
        let lag = LogConfig { min_compaction_lag: Duration::from_secs(1), ..compacting() };
        assert_eq!(found(&lag, 0, 40, 3899).until, Offset(20));
        assert_eq!(found(&lag, 0, 40, 3900).until, Offset(30));
    }

    #[test]
    fn record_older_than_the_maximum_lag_makes_the_log_due() {
        let lag = LogConfig {
            max_compaction_lag: Some(Duration::from_secs(5)),
            min_dirty_ratio: 1.0,
            ..compacting()
        };
        assert!(!found(&lag, 10, 40, 6000).is_due(&lag));
        assert_eq!(found(&lag, 10, 40, 6500).overdue, Duration::from_millis(500));
        assert!(found(&lag, 10, 40, 6001).is_due(&lag));
    }

    #[test]
    fn segments_are_merged_while_bytes_and_offsets_fit() {
        let sized = |bytes| LogConfig { segment_bytes: bytes, ..compacting() };
        assert_eq!(group(&segments(), &sized(250)), [0..2, 2..4]);
        assert_eq!(
            group(&segments(), &sized(50)),
            [0..1, 1..2, 2..3, 3..4],
            "at least one per group"
        );
        let mut far = segments();
        far[3].end = Offset(i64::from(i32::MAX) + 2);
        assert_eq!(group(&far, &sized(1000)), [0..3, 3..4]);
        assert!(group(&[], &sized(1000)).is_empty());
    }
}
