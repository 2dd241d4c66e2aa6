//! Batches and logs for tests, on real files in a directory of their own.

use std::path::PathBuf;

use bytes::BytesMut;
use parking_lot::Mutex;

use super::{
    Appended, Cleaning, Keeper, Log, LogConfig, LogError, Pace, Recovery, RecoveryReport, Retired,
};
use crate::base::config::Compression;
use crate::base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use crate::io::File;
use crate::io::real::RealDisk;
use crate::wire::batch::{self, BatchBuilder, BatchHeader, Record};

pub(crate) const NOW: Timestamp = Timestamp(1_000_000);

/// A batch of `count` records of `size` bytes each, all at `timestamp`.
pub(crate) fn batch_at(count: usize, size: usize, timestamp: i64) -> BytesMut {
    let mut builder = BatchBuilder::new(Compression::None, Timestamp(timestamp));
    for _ in 0..count {
        builder.append(Timestamp(timestamp), None, Some(&vec![b'v'; size]), &[]);
    }
    BytesMut::from(&*builder.finish_plain())
}

/// A batch of `count` small records.
pub(crate) fn batch(count: usize) -> BytesMut {
    batch_at(count, 20, NOW.0)
}

/// A batch of an idempotent producer.
pub(crate) fn batch_of(producer: i64, epoch: i16, sequence: i32, count: usize) -> BytesMut {
    let mut builder = BatchBuilder::new(Compression::None, NOW);
    for _ in 0..count {
        builder.append(NOW, None, Some(b"value"), &[]);
    }
    let bytes = builder.finish(ProducerId(producer), ProducerEpoch(epoch), sequence);
    BytesMut::from(&*bytes)
}

/// Segments of a few batches, an index entry for nearly each.
pub(crate) fn tiny() -> LogConfig {
    LogConfig {
        segment_bytes: 1000,
        index_interval_bytes: 100,
        segment_index_bytes: 4096,
        ..LogConfig::default()
    }
}

/// A batch of records with keys; without a value, a tombstone.
pub(crate) fn keyed(
    records: &[(u8, Option<&[u8]>)],
    codec: Compression,
    now: Timestamp,
) -> BytesMut {
    let mut builder = BatchBuilder::new(codec, now);
    for (key, value) in records {
        builder.append(now, Some(&[*key]), *value, &[]);
    }
    BytesMut::from(&*builder.finish_plain())
}

/// A cleaner that never waits.
pub(crate) struct Headlong;

impl Pace for Headlong {
    async fn spent(&mut self, _: u64) {}
}

/// Cleans the log once, all of it synced, with memory for keys in bytes; returns up to where it is
/// clean.
pub(crate) async fn clean(log: &mut RealLog, now: Timestamp, memory: usize) -> Option<Offset> {
    flush(log).await;
    let end = log.log_end();
    let mut cleaning = log.cleaning(end, now, (memory, 0.9)).unwrap()?;
    carry_out(&mut cleaning, log).await.unwrap()
}

/// Carries a cleaning out that has begun.
pub(crate) async fn carry_out(
    cleaning: &mut Cleaning<RealDisk>,
    log: &mut RealLog,
) -> Result<Option<Offset>, LogError> {
    cleaning.carry_out(&Lent(Mutex::new(log)), &mut Headlong).await
}

struct Lent<'a>(Mutex<&'a mut RealLog>);

impl Keeper<RealDisk> for Lent<'_> {
    fn lend<T>(&self, step: impl FnOnce(&mut RealLog) -> T) -> Option<T> {
        Some(step(&mut self.0.lock()))
    }

    fn retire(&self, retired: Retired) {
        retired.remove(&RealDisk);
    }
}

/// Every record that can be read, in order.
pub(crate) fn records_of(log: &RealLog) -> Vec<Record> {
    let (mut found, mut at) = (Vec::new(), log.log_start());
    while at < log.log_end() {
        let fetched = log.read(at, 1 << 20, log.log_end(), true).unwrap();
        let slice = fetched.slice.expect("there is more to read");
        let mut bytes = vec![0; slice.len as usize];
        slice.file.read_exact_at(&mut bytes, slice.offset).unwrap();
        for each in batch::batches(&bytes) {
            let records = batch::records(each.unwrap().1, 1 << 20).unwrap();
            found.extend(records.into_iter().filter(|record| record.offset >= at));
        }
        at = fetched.next;
    }
    found
}

/// A log in a directory that goes with it.
pub(crate) struct Home {
    dir: tempfile::TempDir,
    pub(crate) config: LogConfig,
}

pub(crate) type RealLog = Log<RealDisk>;

impl Home {
    pub(crate) fn new(config: LogConfig) -> Self {
        // Syncs cost nothing in memory, and no test cuts the power here.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        Self { dir, config }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("orders-0")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// A process died in the middle of an append: these bytes are at the end of the last segment.
    pub(crate) fn tear(&self, bytes: &[u8]) {
        let last = self.names().into_iter().rfind(|name| name.ends_with(".log")).unwrap();
        let path = self.file(&last);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole, bytes].concat()).unwrap();
    }

    /// Names of all files, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) async fn try_open(
        &self,
        recovery: Recovery,
    ) -> Result<(RealLog, RecoveryReport), LogError> {
        Log::open(RealDisk, self.path(), self.config, recovery, NOW).await
    }

    /// Opens it as after a crash.
    pub(crate) async fn open(&self) -> RealLog {
        self.try_open(Recovery::default()).await.unwrap().0
    }

    /// Opens it as after a clean end.
    pub(crate) async fn reopen(&self) -> RealLog {
        let recovery = Recovery { clean: true, ..Recovery::default() };
        self.try_open(recovery).await.unwrap().0
    }
}

/// Appends as the leader of `epoch`.
pub(crate) fn lead(log: &mut RealLog, mut bytes: BytesMut, epoch: i32) -> Appended {
    log.append_as_leader(&mut bytes, LeaderEpoch(epoch), NOW).unwrap()
}

/// Appends `batches` batches of `count` records each.
pub(crate) fn fill(log: &mut RealLog, batches: usize, count: usize, epoch: i32) {
    for _ in 0..batches {
        lead(log, batch(count), epoch);
    }
}

/// Flushes all there is.
pub(crate) async fn flush(log: &mut RealLog) {
    let flushed = log.flush_plan().run().await.unwrap();
    log.flushed(&flushed);
}

/// Every batch that can be read from `from`, by reads of at most `max_bytes`.
pub(crate) fn read_all(log: &RealLog, from: Offset, max_bytes: usize) -> Vec<BatchHeader> {
    let (mut found, mut at) = (Vec::new(), from);
    while at < log.log_end() {
        let fetched = log.read(at, max_bytes, log.log_end(), true).unwrap();
        let slice = fetched.slice.expect("there is more to read");
        let mut bytes = vec![0; slice.len as usize];
        slice.file.read_exact_at(&mut bytes, slice.offset).unwrap();
        let before = found.len();
        for each in batch::batches(&bytes) {
            found.push(batch::check(each.unwrap().1).unwrap());
        }
        assert_eq!(fetched.next, found[before..].last().unwrap().next_offset());
        at = fetched.next;
    }
    found
}
