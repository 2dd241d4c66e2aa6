//! A small data directory with one of everything, and the requirements on a damaged copy: no panic,
//! only written batches are served, and missing ones are reported.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use brokerquake::base::config::Compression;
use brokerquake::base::{
    BrokerEpoch, BrokerId, DirectoryId, Flaws, LeaderEpoch, Offset, ProducerEpoch, ProducerId,
    Timestamp, TopicId, TopicPartition,
};
use brokerquake::io::{Disk, File};
use brokerquake::log::{Aborted, Identity, Log, LogConfig, LogDir, LogError, Recovery};
use brokerquake::wire::batch::{self, BatchBuilder};
use bytes::BytesMut;

use super::memory::MemoryDisk;

pub const ROOT: &str = "/data";
const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// A directory after a clean shutdown, and the content of each partition: batches by offset.
#[derive(Clone)]
pub struct Specimen {
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    pub truth: BTreeMap<TopicPartition, Batches>,
    /// The aborted transactions of each partition.
    aborted: BTreeMap<TopicPartition, Vec<Aborted>>,
}

/// How the previous process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A clean shutdown.
    Clean,
    /// Killed after everything was synced.
    Synced,
    /// Killed, possibly before anything was synced.
    Unsynced,
}

/// The result of opening a damaged directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is missing.
    Whole,
    /// Something is missing, and it was reported with this text.
    Told(String),
    /// Something was refused with this error.
    Refused(String),
}

/// Runs a future that never waits: files in memory answer at once.
pub fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("files in memory never wait"),
    }
}

pub fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 500,
        index_interval_bytes: 80,
        segment_index_bytes: 120,
        ..LogConfig::default()
    }
}

fn identity() -> Identity {
    Identity {
        node: BrokerId(1),
        cluster: None,
        fresh_cluster: TopicId([8; 16]),
        fresh_directory: DirectoryId([9; 16]),
        flaws: Flaws::default(),
    }
}

fn a_batch(number: i64, codec: Compression, producer: Option<(i64, i32)>) -> BytesMut {
    let time = Timestamp(NOW.0 + number * 1000);
    let mut builder = BatchBuilder::new(codec, time);
    for record in 0..2 {
        let value = format!("{number}.{record} {}", "a".repeat(20));
        builder.append(time, Some(b"k"), Some(value.as_bytes()), &[]);
    }
    let bytes = match producer {
        Some((id, sequence)) => builder.finish(ProducerId(id), ProducerEpoch(0), sequence),
        None => builder.finish_plain(),
    };
    BytesMut::from(&*bytes)
}

/// A batch of a transaction of producer 11; without a number, the marker that aborts it.
fn of_a_transaction(number: Option<i64>, sequence: i32) -> BytesMut {
    let mut builder = BatchBuilder::new(Compression::None, NOW).transactional();
    match number {
        Some(number) => builder.append(NOW, None, Some(number.to_string().as_bytes()), &[]),
        None => {
            builder = builder.control();
            builder.append(NOW, Some(&[0; 4]), Some(&[0; 6]), &[])
        }
    };
    BytesMut::from(&*builder.finish(ProducerId(11), ProducerEpoch(0), sequence))
}

/// Appends a marker like a leader on behalf of a coordinator.
fn append_aborted(log: &mut Log<MemoryDisk>, sequence: i32, epoch: LeaderEpoch) {
    for number in [Some(i64::from(sequence)), Some(i64::from(sequence) + 1), None] {
        let sequence = number.map_or(-1, |number| number as i32);
        let mut bytes = of_a_transaction(number, sequence);
        batch::assign(&mut bytes, log.log_end(), epoch);
        log.append_as_follower(&bytes, NOW).unwrap();
    }
}

impl Specimen {
    /// Two partitions, several segments, each codec, two producers, aborted transactions in two
    /// segments, two leader epochs.
    pub fn new() -> Self {
        let disk = MemoryDisk::default();
        let (mut truth, mut aborted) = (BTreeMap::new(), BTreeMap::new());
        at_once(async {
            let opened = LogDir::open(disk.clone(), ROOT.into(), identity()).await;
            let (dir, _) = opened.unwrap();
            let (mut points, mut starts) = (BTreeMap::new(), BTreeMap::new());
            for (name, batches) in [("orders", 12), ("bills", 3)] {
                let partition = TopicPartition::new(name, 0);
                let topic = TopicId([name.len() as u8; 16]);
                let path = dir.create_partition(&partition, topic).await.unwrap();
                let opened = Log::open(disk.clone(), path, config(), Recovery::default(), NOW);
                let mut log = opened.await.unwrap().0;
                for number in 0..batches {
                    let codec = Compression::ALL[number as usize % Compression::ALL.len()];
                    let producer = [None, Some((7, number as i32 / 3 * 2)), Some((9, 0))];
                    let producer =
                        producer[number as usize % 3].filter(|(id, _)| *id == 7 || number == 2);
                    let mut bytes = a_batch(number, codec, producer);
                    let epoch = LeaderEpoch(if number < batches / 2 { 0 } else { 3 });
                    log.append_as_leader(&mut bytes, epoch, NOW).unwrap();
                    if name == "orders" && [5, 6, 11].contains(&number) {
                        append_aborted(&mut log, number as i32 * 2, epoch);
                    }
                }
                let told = log.aborted_transactions(Offset(0), log.log_end()).unwrap();
                aborted.insert(partition.clone(), told);
                let (written, refused) = served(&log, forward(&log));
                assert_eq!(refused, None);
                truth.insert(partition.clone(), written);
                points.insert(partition.clone(), log.close().await.unwrap());
                starts.insert(partition, Offset(0));
            }
            dir.save_recovery_points(&points).await.unwrap();
            dir.save_high_watermarks(&points.iter().map(|(p, m)| (p.clone(), m.offset)).collect())
                .await
                .unwrap();
            dir.save_log_starts(&starts).await.unwrap();
            dir.mark_clean(BrokerEpoch(5)).await.unwrap();
        });
        Self { files: disk.files(), truth, aborted }
    }

    /// The same directory after another end.
    pub fn after(&self, end: End) -> Self {
        let mut specimen = self.clone();
        if end != End::Clean {
            specimen.files.retain(|path, _| !path.ends_with(".kafka_cleanshutdown"));
        }
        if end == End::Unsynced {
            specimen.files.retain(|path, _| !path.ends_with("recovery-point-offset-checkpoint"));
        }
        specimen
    }

    /// Opens a damaged directory, and reads everything that it serves.
    pub fn judge(&self, disk: &MemoryDisk) -> Outcome {
        at_once(async {
            let opened = LogDir::open(disk.clone(), ROOT.into(), identity()).await;
            let (dir, found) = match opened {
                Ok(opened) => opened,
                Err(error) => return Outcome::Refused(error.to_string()),
            };
            let mut worst = Outcome::Whole;
            for (partition, truth) in &self.truth {
                if let Some(unreadable) = found.unreadable.get(partition) {
                    worst = Outcome::Refused(LogError::from(unreadable.clone()).to_string());
                    continue;
                }
                let path = dir.partition_dir(partition);
                let recovery = found.recovery(partition);
                let committed = found.high_watermarks.get(partition).copied();
                let outcome = self.judge_log(disk, path, recovery, truth, committed).await;
                if worst == Outcome::Whole || matches!(outcome, Outcome::Refused(_)) {
                    worst = outcome;
                }
            }
            worst
        })
    }

    async fn judge_log(
        &self,
        disk: &MemoryDisk,
        path: PathBuf,
        recovery: Recovery,
        truth: &Batches,
        committed: Option<Offset>,
    ) -> Outcome {
        let opened = Log::open(disk.clone(), path, config(), recovery, NOW).await;
        let (mut log, report) = match opened {
            Ok(opened) => opened,
            Err(error) => return Outcome::Refused(error.to_string()),
        };
        let (jumped, _) = served(&log, backward(&log));
        let (read, refused) = served(&log, forward(&log));
        for (offset, bytes) in jumped.iter().chain(&read) {
            batch::check(bytes).unwrap_or_else(|error| panic!("served at {offset}: {error}"));
            // After a crash only the batches define their leader epochs and their partition, and no
            // checksum covers these.
            let mut written = self.truth.values().filter_map(|truth| truth.get(offset));
            let is_written = match recovery.clean {
                true => truth.get(offset) == Some(bytes),
                false => written.any(|written| without_epoch(written) == without_epoch(bytes)),
            };
            assert!(is_written, "what is served at {offset} was not written");
        }
        if let Some(refused) = refused {
            return Outcome::Refused(refused);
        }
        match log.aborted_transactions(log.log_start(), log.log_end()) {
            Ok(told) => self.assert_aborted(&told, &read),
            Err(error) => return Outcome::Refused(error.to_string()),
        }
        for time in (0..13).map(|number| Timestamp(NOW.0 + number * 1000)) {
            let known = |record: &brokerquake::log::RecordPosition| {
                truth.range(..=record.offset).next_back().is_some()
            };
            match log.offset_for_timestamp(time) {
                Ok(found) => assert!(found.as_ref().is_none_or(known), "{found:?} was not written"),
                Err(error) => return Outcome::Refused(error.to_string()),
            }
        }
        let end = log.log_end();
        let mut more = a_batch(20, Compression::None, None);
        if let Err(error) = log.append_as_leader(&mut more, LeaderEpoch(i32::MAX), NOW) {
            return Outcome::Refused(error.to_string());
        }
        let missing: Vec<Offset> =
            truth.keys().filter(|at| !read.contains_key(at)).copied().collect();
        let Some(first) = missing.first() else { return Outcome::Whole };
        if let Some(reason) = report.cut_because {
            return Outcome::Told(reason);
        }
        if report.shorter_than_synced {
            return Outcome::Told("shorter than what was synced".to_owned());
        }
        if let Some(began) = report.begins_late_after {
            return Outcome::Told(format!("what began at {began} is gone"));
        }
        if let Some(committed) = committed.filter(|committed| *committed > end) {
            return Outcome::Told(format!(
                "the log ends at {end}, below its high watermark {committed}"
            ));
        }
        let start = log.log_start();
        let below = missing.iter().all(|at| *at < start);
        if below && recovery.log_start > Offset(0) {
            return Outcome::Told(format!("the log starts at {start}, says the checkpoint"));
        }
        panic!(
            "{} of {} batches from {first} are gone without a report",
            missing.len(),
            truth.len()
        );
    }
}

impl Specimen {
    /// The reported aborted transactions are exactly those of the read batches.
    fn assert_aborted(&self, told: &[Aborted], read: &Batches) {
        let mut expected = Vec::new();
        for (partition, aborted) in &self.aborted {
            // Files of one partition may have replaced another's.
            let truth = &self.truth[partition];
            let is_there = |at: &Offset| {
                let found = read.get(at).map(|bytes| without_epoch(bytes));
                found.is_some() && found == truth.get(at).map(|bytes| without_epoch(bytes))
            };
            expected.extend(aborted.iter().filter(|of| is_there(&of.last)).copied());
        }
        // How far a reader has to look for more is a hint, which may be too cautious.
        let what = |of: &[Aborted]| -> Vec<_> {
            of.iter().map(|aborted| (aborted.producer, aborted.first, aborted.last)).collect()
        };
        assert_eq!(what(told), what(&expected), "aborted transactions");
    }
}

fn without_epoch(batch: &[u8]) -> (&[u8], &[u8]) {
    (&batch[..12], &batch[16..])
}

/// Batches by their offset.
pub type Batches = BTreeMap<Offset, Vec<u8>>;

/// Reads forward from the start, to where each read points next.
pub fn forward<D: Disk>(log: &Log<D>) -> impl FnMut(Option<Offset>) -> Option<Offset> + use<D> {
    let (start, end) = (log.log_start(), log.log_end());
    move |next| Some(next.unwrap_or(start)).filter(|at| *at < end)
}

/// Reads backward from the end, in steps of three offsets.
fn backward<D: Disk>(log: &Log<D>) -> impl FnMut(Option<Offset>) -> Option<Offset> + use<D> {
    // A damaged batch may claim any offset, so the number of steps is limited.
    let (start, end) = (log.log_start().0, log.log_end().0.min(log.log_start().0 + 60));
    let mut at = end + 2;
    move |_| {
        at -= 3;
        (at >= start && at < end).then_some(Offset(at))
    }
}

/// Every batch that a log serves in short reads, and the error of the last read. `step` returns the
/// next offset, given where the previous read ended.
pub fn served<D: Disk>(
    log: &Log<D>,
    mut step: impl FnMut(Option<Offset>) -> Option<Offset>,
) -> (Batches, Option<String>) {
    let (mut found, mut next) = (BTreeMap::new(), None);
    while let Some(at) = step(next) {
        let fetched = match log.read(at, 300, log.log_end(), true) {
            Ok(fetched) => fetched,
            Err(error) => return (found, Some(error.to_string())),
        };
        let Some(slice) = fetched.slice else { break };
        let mut bytes = vec![0; slice.len as usize];
        slice.file.read_exact_at(&mut bytes, slice.offset).unwrap();
        for each in batch::batches(&bytes) {
            let (header, bytes) = each.unwrap_or_else(|error| panic!("served at {at}: {error}"));
            let before = found.insert(header.base_offset, bytes.to_vec());
            assert!(before.is_none_or(|before| before == bytes), "served at {at}: another batch");
        }
        assert!(fetched.next > at, "a read at {at} continues at {}", fetched.next);
        next = Some(fetched.next);
    }
    (found, None)
}

/// Whether a message names this file.
pub fn names(words: &str, path: &Path) -> bool {
    words.contains(&path.display().to_string())
}
