//! Old records: compaction, retention and deletion on request, each in the order of calls that a
//! broker makes (`src/broker/cleanup.rs`).

use std::collections::BTreeMap;

use brokerquake::base::Offset;
use brokerquake::base::config::Compression;
use brokerquake::io::{Disk, File, Open};
use brokerquake::log::{Keeper, LogConfig, Pace, Retired};
use brokerquake::sim::crash::Recorder;
use brokerquake::sim::disk::SimDisk;
use brokerquake::wire::batch::{self, BatchBuilder, BatchHeader};
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use super::workload::{Bench, Content, NOW, RecordedLog, partition};

/// Enough for all keys.
const MEMORY: (usize, f64) = (1 << 12, 0.9);

impl Bench {
    /// Appends a record for each key, or a tombstone if `size` is `None`.
    pub fn put(&mut self, keys: &str, size: Option<usize>) {
        let bytes = self.keyed(keys, size);
        self.append(bytes);
    }

    pub fn follow(&mut self, missing: i64, keys: &str) {
        let bytes = self.keyed(keys, Some(60));
        let placed = self.expect(&bytes, missing);
        self.log().append_as_follower(&placed, NOW).unwrap();
    }

    fn keyed(&mut self, keys: &str, size: Option<usize>) -> BytesMut {
        let value = size.map(|size| vec![self.next_value(); size]);
        let mut builder = BatchBuilder::new(Compression::None, NOW);
        for key in keys.bytes() {
            builder.append(NOW, Some(&[key]), value.as_deref(), &[]);
        }
        BytesMut::from(&*builder.finish_plain())
    }

    /// Like `broker::cleanup::compact` and its callees.
    pub async fn clean(&mut self) {
        let end = self.log().log_end();
        let Some(mut cleaning) = self.log().cleaning(end, NOW, MEMORY).unwrap() else { return };
        let (disk, unseen) = (self.disk.clone(), self.unseen.clone());
        let lent = Lent { disk, unseen, log: Mutex::new(self.log()), told: Mutex::default() };
        let until = cleaning.carry_out(&lent, &mut Headlong).await.unwrap().unwrap();
        let Told { may, batches, retired } = lent.told.into_inner();
        let history = self.told.keyed.as_mut().unwrap();
        batches.iter().for_each(|batch| drop(history.note(batch)));
        self.content.clone_from(&may.last().unwrap().1);
        self.told.may.extend(may);
        // Each step was synced: earlier files are gone.
        self.told.renewed.push(self.now());
        self.told.may.push((self.now(), self.content.clone()));
        let synced = self.told.must.last().map_or(Offset::ZERO, |(_, must)| must.end());
        self.promise(synced);
        retired.into_iter().for_each(|retired| retired.remove(&self.disk));
        self.checkpoint().await;
        let clean = BTreeMap::from([(partition(), until)]);
        self.dir.save_cleaner_offsets(&clean).await.unwrap();
    }

    /// Like `broker::cleanup::expire`.
    pub async fn expire(&mut self, keep: u64) {
        let config = LogConfig { retention_bytes: Some(keep), ..self.config };
        let (end, now) = (self.content.end(), self.now());
        self.log().set_config(config);
        let Some((start, _)) = self.log().expire(end, NOW).unwrap() else { return };
        self.told.starts.push((now, start));
        self.save_start().await;
        let retired = self.log().retire_segments(start).unwrap();
        retired.remove(&self.disk);
    }

    pub fn delete_records(&mut self, batches: usize) {
        let start = self.log().log_start();
        let readable = |batch: &&BatchHeader| batch.base_offset >= start;
        let to = self.content.batches.iter().filter(readable).nth(batches);
        let to = to.map_or(self.content.end(), |batch| batch.base_offset);
        self.told.starts.push((self.now(), to));
        self.log().advance_log_start(to);
    }

    pub async fn save_start(&mut self) {
        let start = self.log().log_start();
        self.dir.save_log_starts(&BTreeMap::from([(partition(), start)])).await.unwrap();
        self.told.least_start.push((self.now(), start));
    }
}

struct Headlong;

impl Pace for Headlong {
    async fn spent(&mut self, _: u64) {}
}

/// A log that is cleaned.
struct Lent<'a> {
    disk: Recorder<SimDisk>,
    unseen: SimDisk,
    log: Mutex<&'a mut RecordedLog>,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    may: Vec<(usize, Content)>,
    batches: Vec<Bytes>,
    retired: Vec<Retired>,
}

impl Keeper<Recorder<SimDisk>> for Lent<'_> {
    fn lend<T>(&self, step: impl FnOnce(&mut RecordedLog) -> T) -> Option<T> {
        let (now, mut log) = (self.disk.len(), self.log.lock());
        let done = step(&mut log);
        let mut told = self.told.lock();
        let batches = standing(&self.unseen, &log);
        let content =
            Content { batches: batches.iter().map(|b| batch::check(b).unwrap()).collect() };
        told.batches.extend(batches);
        if told.may.last().is_none_or(|(_, last)| *last != content) {
            told.may.push((now, content));
        }
        Some(done)
    }

    fn retire(&self, retired: Retired) {
        self.told.lock().retired.push(retired);
    }
}

/// The batches in the files of a log, in segment order.
fn standing(disk: &SimDisk, log: &RecordedLog) -> Vec<Bytes> {
    let mut all = Vec::new();
    for base in log.segment_bases() {
        let path = log.dir().join(format!("{:020}.log", base.0));
        let swap = path.with_extension("log.swap");
        let path = if disk.exists(&swap).unwrap() { swap } else { path };
        let file = disk.open(&path, Open::Existing).unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        all.extend(batch::batches(&bytes).map(|found| Bytes::copy_from_slice(found.unwrap().1)));
    }
    all
}
