//! Statistics of the brokers' page caches and disks, for reports.

use std::time::Duration;

use serde::Serialize;

use crate::base::thousands;
use crate::sim::disk::DiskStats;

/// One broker's page cache and disk, in one run or in all runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DiskLine {
    pub broker: String,
    /// Page accesses served from memory.
    pub page_hits: u64,
    /// Page accesses that waited for the disk.
    pub page_misses: u64,
    /// Pages read ahead of sequential readers.
    pub read_ahead: u64,
    /// Pages evicted from memory.
    pub evicted: u64,
    /// Pages written to the platter without a sync.
    pub written_back: u64,
    /// Syncs that succeeded.
    pub syncs: u64,
    /// Syncs and reads that stalled.
    pub stalls: u64,
    /// Total time of these stalls, in simulated milliseconds.
    pub stalled_ms: u64,
    /// Writes that waited because too many pages were dirty.
    pub throttled: u64,
    /// Total time of these waits, in simulated milliseconds.
    pub throttled_ms: u64,
}

impl DiskLine {
    /// The statistics of a broker's disk so far.
    pub fn new(broker: &str, stats: &DiskStats) -> Self {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            broker: broker.to_owned(),
            page_hits: stats.page_hits,
            page_misses: stats.page_misses,
            read_ahead: stats.read_ahead,
            evicted: stats.evicted,
            written_back: stats.written_back,
            syncs: stats.syncs,
            stalls: stats.stalls,
            stalled_ms: ms(stats.stalled),
            throttled: stats.throttled,
            throttled_ms: ms(stats.throttled_for),
        }
    }

    /// A summary in one line.
    pub fn summary(&self) -> String {
        let reached = self.page_hits + self.page_misses;
        let mut text = format!(
            "{}: {} of {} page reads and writes missed the cache; {} fsyncs",
            self.broker,
            thousands(self.page_misses),
            thousands(reached),
            thousands(self.syncs)
        );
        let parts = [
            (self.read_ahead, "pages read ahead", None),
            (self.evicted, "pages evicted", None),
            (self.written_back, "pages written back", None),
            (self.stalls, "stalls", Some(self.stalled_ms)),
            (self.throttled, "writes throttled", Some(self.throttled_ms)),
        ];
        for (count, what, ms) in parts.into_iter().filter(|(count, ..)| *count > 0) {
            let took = ms.map_or(String::new(), |ms| format!(" ({ms} ms)"));
            text.push_str(&format!(", {} {what}{took}", thousands(count)));
        }
        text
    }
}

impl std::ops::AddAssign<&Self> for DiskLine {
    fn add_assign(&mut self, other: &Self) {
        self.page_hits += other.page_hits;
        self.page_misses += other.page_misses;
        self.read_ahead += other.read_ahead;
        self.evicted += other.evicted;
        self.written_back += other.written_back;
        self.syncs += other.syncs;
        self.stalls += other.stalls;
        self.stalled_ms += other.stalled_ms;
        self.throttled += other.throttled;
        self.throttled_ms += other.throttled_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_summary_omits_zero_counters() {
        let calm = DiskStats { page_hits: 9, page_misses: 1, syncs: 4, ..DiskStats::default() };
        let mut line = DiskLine::new("b2", &calm);
        assert_eq!(line.summary(), "b2: 1 of 10 page reads and writes missed the cache; 4 fsyncs");
        let stalled = Duration::from_millis(1500);
        line += &DiskLine::new("b2", &DiskStats { stalls: 2, stalled, evicted: 7, ..calm });
        let text = "b2: 2 of 20 page reads and writes missed the cache; 8 fsyncs, 7 pages evicted, \
                    2 stalls (1500 ms)";
        assert_eq!(line.summary(), text);
    }
}
