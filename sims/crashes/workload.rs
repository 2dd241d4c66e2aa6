//! Work on a data directory as data: operations on a log, recorded call by call, with what a crash
//! at any time may lose and must keep.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use brokerquake::base::config::Compression;
use brokerquake::base::{
    BrokerEpoch, BrokerId, DirectoryId, Flaws, Instant, LeaderEpoch, Offset, ProducerEpoch,
    ProducerId, Seed, Timestamp, TopicId, TopicPartition,
};
use brokerquake::io::Disk;
use brokerquake::log::{Found, Identity, Log, LogConfig, LogDir, LogError};
use brokerquake::sim::crash::{FileNo, Recorder, Step};
use brokerquake::sim::disk::{DiskProfile, SimDisk, Sleep};
use brokerquake::sim::{HostId, Observer, Trace};
use brokerquake::wire::batch::{self, BatchBuilder, BatchHeader};
use bytes::BytesMut;
use parking_lot::Mutex;

use super::keys::History;
use super::operations::Operation;

/// Where all of it happens.
pub const ROOT: &str = "/data";
pub const NOW: Timestamp = Timestamp(1_000_000);
pub const TOPIC: TopicId = TopicId([9; 16]);

/// The content of a log at some time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    pub batches: Vec<BatchHeader>,
}

impl Content {
    pub fn end(&self) -> Offset {
        self.batches.last().map_or(Offset::ZERO, BatchHeader::next_offset)
    }
}

/// Valid from the call of this number on.
type Since = usize;

/// A recording, with its requirements on the state after a crash.
#[derive(Default)]
pub struct Recording {
    pub steps: Vec<Step>,
    /// Contents that may be found: any prefix of any of them.
    pub may: Vec<(Since, Content)>,
    /// What must be found.
    pub must: Vec<(Since, Content)>,
    /// Log starts that may be found.
    pub starts: Vec<(Since, Offset)>,
    /// Lower bounds of the log start.
    pub least_start: Vec<(Since, Offset)>,
    /// From when the partition must exist, or need not.
    pub there: Vec<(Since, bool)>,
    /// First starts of later logs: earlier contents are gone.
    pub renewed: Vec<Since>,
    /// The newest leader epoch.
    pub epoch: i32,
    /// For a compacted log: everything that was ever in it.
    pub keyed: Option<History>,
}

impl Recording {
    /// The content that must be found after this many calls.
    pub fn must_after(&self, calls: usize) -> &Content {
        let known = self.must.iter().rfind(|(since, _)| *since <= calls);
        known.map_or(&EMPTY, |(_, content)| content)
    }

    /// The contents that may be found after this many calls.
    pub fn may_after(&self, calls: usize) -> Vec<&Content> {
        let renewed = self.renewed.iter().copied().rfind(|since| *since <= calls).unwrap_or(0);
        let all = self.may.iter().filter(|(since, _)| (renewed..=calls).contains(since));
        all.map(|(_, content)| content).collect()
    }

    /// The newest leader epoch with a batch.
    pub fn newest_epoch(&self) -> i32 {
        let batches = self.may.iter().flat_map(|(_, content)| &content.batches);
        batches.map(|batch| batch.leader_epoch.0).max().unwrap_or(0)
    }

    /// The lowest valid log start after this many calls.
    pub fn least_start_after(&self, calls: usize) -> Offset {
        let known = self.least_start.iter().rfind(|(since, _)| *since <= calls);
        known.map_or(Offset::ZERO, |(_, start)| *start)
    }

    /// The name under which a file was opened.
    pub fn name_of(&self, number: FileNo) -> String {
        let opened = self.steps.iter().find_map(|step| match step {
            Step::Open { path, file, .. } if *file == number => Some(path.clone()),
            _ => None,
        });
        opened.unwrap_or_default()
    }

    pub fn is_compacted(&self) -> bool {
        self.keyed.is_some()
    }

    pub fn starts_after(&self, calls: usize) -> Vec<Offset> {
        let all = self.starts.iter().filter(|(since, _)| *since <= calls);
        all.map(|(_, start)| *start).collect()
    }

    pub fn is_there_after(&self, calls: usize) -> bool {
        self.there.iter().rfind(|(since, _)| *since <= calls).is_some_and(|(_, there)| *there)
    }
}

static EMPTY: Content = Content { batches: Vec::new() };

/// Segments of a few batches, with an index entry for nearly each. A tombstone is removed by the
/// second cleaning that sees it.
pub fn config(flaws: Flaws, compacted: bool) -> LogConfig {
    LogConfig {
        compacted,
        delete_retention: Duration::ZERO,
        segment_bytes: 700,
        index_interval_bytes: 60,
        segment_index_bytes: 96,
        segment_span: Duration::from_secs(3600),
        flaws,
        ..LogConfig::default()
    }
}

pub fn identity(flaws: Flaws) -> Identity {
    Identity {
        node: BrokerId(1),
        cluster: Some("us".to_owned()),
        fresh_cluster: TopicId::ZERO,
        fresh_directory: DirectoryId([5; 16]),
        flaws,
    }
}

pub fn partition() -> TopicPartition {
    TopicPartition::new("t", 0)
}

/// A machine whose disk takes no time.
pub fn machine() -> SimDisk {
    let trace = Arc::new(Mutex::new(Trace::default()));
    let now = Arc::new(|| Instant::START);
    let disk = SimDisk::new(HostId(0), Seed(1), now, Observer::default(), trace);
    disk.set_profile(DiskProfile::instant());
    disk
}

pub fn boot(machine: &SimDisk) -> SimDisk {
    let sleep: Sleep = Arc::new(|_| Box::pin(std::future::ready(())));
    machine.boot(sleep, Arc::new(|| {}))
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    loop {
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(value) = polled {
            return value;
        }
    }
}

pub type RecordedLog = Log<Recorder<SimDisk>>;

/// Applies operations to a log and records the calls.
pub struct Bench {
    pub disk: Recorder<SimDisk>,
    /// The same disk, without recording.
    pub unseen: SimDisk,
    pub dir: LogDir<Recorder<SimDisk>>,
    log: Option<RecordedLog>,
    pub config: LogConfig,
    epoch: i32,
    sequences: BTreeMap<i64, i32>,
    pub content: Content,
    pub told: Recording,
    appended: u8,
}

/// The recording of a series of operations.
pub fn record(operations: &[Operation], flaws: Flaws) -> Recording {
    let keyed = operations.iter().any(Operation::compacts).then(History::default);
    go_on(&machine(), operations, flaws, (&Content::default(), keyed, 0))
}

/// The recording of operations on a machine that already has this content in its log.
pub fn go_on(
    machine: &SimDisk,
    operations: &[Operation],
    flaws: Flaws,
    (content, keyed, given): (&Content, Option<History>, i32),
) -> Recording {
    let unseen = boot(machine);
    let disk = Recorder::new(unseen.clone(), ROOT);
    let opened = LogDir::open(disk.clone(), PathBuf::from(ROOT), identity(flaws));
    let (dir, found) = block_on(opened).unwrap();
    let compacted = keyed.is_some();
    let told = Recording { keyed, ..Recording::default() };
    let (sequences, content) = (BTreeMap::new(), content.clone());
    // Controllers never reuse an epoch.
    let epoch = content.batches.last().map_or(0, |last| last.leader_epoch.0).max(given) + 1;
    let config = config(flaws, compacted);
    let mut bench = Bench {
        disk,
        unseen,
        dir,
        log: None,
        config,
        epoch,
        sequences,
        content,
        told,
        appended: 0,
    };
    // Content found after a power loss is on the platter.
    bench.told.may.push((0, bench.content.clone()));
    bench.told.must.push((0, bench.content.clone()));
    block_on(async {
        bench.create(&found).await;
        bench.sequences_from_log();
        if !bench.content.batches.is_empty() || given > 0 {
            // As in a broker, the truncation of a recovery is durable before anything is appended.
            bench.run(Operation::Flush).await;
        }
        let start = bench.log().log_start();
        bench.told.starts.push((0, start));
        for operation in operations {
            bench.run(*operation).await;
        }
    });
    Recording { steps: bench.disk.steps(), epoch: bench.epoch, ..bench.told }
}

impl Bench {
    pub fn log(&mut self) -> &mut RecordedLog {
        self.log.as_mut().unwrap()
    }

    pub fn now(&self) -> Since {
        self.disk.len()
    }

    async fn create(&mut self, found: &Found) {
        let path = self.dir.create_partition(&partition(), TOPIC).await.unwrap();
        self.told.there.push((self.now(), true));
        let recovery = found.recovery(&partition());
        let opened = Log::open(self.disk.clone(), path, self.config, recovery, NOW).await;
        let (mut log, report) = opened.unwrap();
        assert!(!report.shorter_than_synced);
        let clean = found.cleaner_offsets.get(&partition()).copied();
        log.set_cleaned_to(clean.unwrap_or(Offset::NONE));
        self.log = Some(log);
    }

    async fn run(&mut self, operation: Operation) {
        match operation {
            Operation::Append { records, size } => {
                let mut builder = BatchBuilder::new(Compression::None, NOW);
                let value = self.next_value();
                for _ in 0..records {
                    builder.append(NOW, None, Some(&vec![value; size]), &[]);
                }
                self.append(BytesMut::from(&*builder.finish_plain()));
            }
            Operation::Produce { producer, records } => {
                let mut builder = BatchBuilder::new(Compression::None, NOW);
                for _ in 0..records {
                    builder.append(NOW, None, Some(b"idempotent"), &[]);
                }
                let next = self.sequences.get(&producer).copied().unwrap_or(0);
                let bytes = builder.finish(ProducerId(producer), ProducerEpoch(0), next);
                self.append(BytesMut::from(&*bytes));
                self.sequences.insert(producer, next + records as i32);
            }
            Operation::NewEpoch { saved } => {
                self.epoch += 1;
                let epoch = LeaderEpoch(self.epoch);
                assert!(self.log().begin_epoch(epoch));
                if saved {
                    self.log().save_epochs().await.unwrap();
                }
            }
            Operation::FlushRolled => {
                let plan = self.log().roll_flush_plan();
                self.flush(plan.upto(), plan.run().await.unwrap());
            }
            Operation::Flush => {
                let plan = self.log().flush_plan();
                self.flush(plan.upto(), plan.run().await.unwrap());
            }
            Operation::Checkpoint => self.checkpoint().await,
            Operation::Truncate { batches } => {
                let keep = self.content.batches.len().saturating_sub(batches);
                let to = self.content.batches.get(keep).map(|first| first.base_offset);
                // Only committed records were deleted.
                let to = to.unwrap_or(self.content.end()).max(self.log().log_start());
                self.shrink(to);
                self.cut(|log| log.truncate_to(to).map(|_| ())).await;
                self.log().save_epochs().await.unwrap();
                self.sequences_from_content();
            }
            Operation::StartOver { ahead } => {
                let to = self.content.end().plus(ahead);
                self.shrink(Offset::ZERO);
                // Segments may be removed one by one: all of them are deleted.
                let bases: Vec<Offset> = self.log().segment_bases().collect();
                let now = self.now();
                self.told.starts.extend(bases.into_iter().chain([to]).map(|start| (now, start)));
                self.cut(|log| log.truncate_fully_and_start_at(to).map(|_| ())).await;
                self.log().save_epochs().await.unwrap();
                self.sequences.clear();
            }
            Operation::AdvanceStart { batches } => {
                let to = self.content.batches.get(batches).map(|batch| batch.base_offset);
                let to = to.unwrap_or(self.content.end());
                self.told.starts.push((self.now(), to));
                self.log().advance_log_start(to);
                self.save_start().await;
            }
            Operation::CleanRestart => {
                let mark = self.log.take().unwrap().close().await.unwrap();
                self.promise(self.content.end());
                let marks = BTreeMap::from([(partition(), mark)]);
                self.dir.save_recovery_points(&marks).await.unwrap();
                self.dir.mark_clean(BrokerEpoch(7)).await.unwrap();
                self.restart().await;
            }
            Operation::Killed => {
                self.log = None;
                self.restart().await;
            }
            Operation::Recreate => {
                self.shrink(Offset::ZERO);
                self.told.there.push((self.now(), false));
                self.log = None;
                let remove = self.dir.delete_partition(&partition(), TOPIC).await.unwrap();
                remove().unwrap();
                self.told.renewed.push(self.now());
                self.told.may.push((self.now(), Content::default()));
                self.sequences.clear();
                self.told.least_start.push((self.now(), Offset::ZERO));
                self.create(&Found::default()).await;
            }
            Operation::Put { keys, size } => self.put(keys, Some(size)),
            Operation::Remove { keys } => self.put(keys, None),
            Operation::Follow { missing, keys } => self.follow(missing, keys),
            Operation::Clean => self.clean().await,
            Operation::Expire { keep } => self.expire(keep).await,
            Operation::DeleteRecords { batches } => self.delete_records(batches),
            Operation::SaveStart => self.save_start().await,
        }
    }

    /// A new byte for each call.
    pub fn next_value(&mut self) -> u8 {
        self.appended = self.appended.wrapping_add(1);
        self.appended
    }

    pub fn append(&mut self, mut bytes: BytesMut) {
        self.expect(&bytes, 0);
        let epoch = LeaderEpoch(self.epoch);
        let appended = self.log().append_as_leader(&mut bytes, epoch, NOW).unwrap();
        assert!(!appended.duplicate);
    }

    /// Registers a batch that is about to be appended, `missing` offsets behind the end. Returns it
    /// as it will be.
    pub fn expect(&mut self, bytes: &BytesMut, missing: i64) -> BytesMut {
        let mut placed = bytes.clone();
        let base = self.log().log_end().plus(missing);
        batch::assign(&mut placed, base, LeaderEpoch(self.epoch));
        self.content.batches.push(batch::check(&placed).unwrap());
        self.told.may.push((self.now(), self.content.clone()));
        self.told.keyed.iter_mut().for_each(|keyed| keyed.append(&placed));
        placed
    }

    fn flush(&mut self, upto: Offset, flushed: brokerquake::log::Flushed) {
        self.log().flushed(&flushed);
        self.promise(upto);
    }

    /// Everything below is durable.
    pub fn promise(&mut self, upto: Offset) {
        let below = |batch: &&BatchHeader| batch.next_offset() <= upto;
        let batches: Vec<_> = self.content.batches.iter().filter(below).copied().collect();
        self.told.must.push((self.now(), Content { batches }));
    }

    /// From now on, everything at or above `to` may be gone.
    fn shrink(&mut self, to: Offset) {
        let now = self.now();
        self.content.batches.retain(|batch| batch.next_offset() <= to);
        let least = self.told.least_start_after(now).min(to);
        self.told.least_start.push((now, least));
        self.told.may.push((now, self.content.clone()));
        let synced = self.told.must.last().map_or(Offset::ZERO, |(_, must)| must.end());
        self.promise(synced);
    }

    /// A producer is still known when its records were deleted (KIP-360).
    fn sequences_from_log(&mut self) {
        let known = self.log().producers().iter();
        let last =
            known.filter_map(|(id, known)| Some((id.0, known.batches.back()?.last_sequence)));
        self.sequences = last.map(|(id, last)| (id, last + 1)).collect();
    }

    fn sequences_from_content(&mut self) {
        self.sequences.clear();
        for batch in self.content.batches.iter().filter(|batch| batch.has_producer()) {
            self.sequences.insert(batch.producer_id.0, batch.last_sequence() + 1);
        }
    }

    pub async fn checkpoint(&mut self) {
        let mark = self.log().mark_recovery_point();
        let marks = BTreeMap::from([(partition(), mark)]);
        self.dir.save_recovery_points(&marks).await.unwrap();
        self.log().recovery_point_saved(&mark);
    }

    /// As in a broker, the checkpoint is lowered first.
    async fn cut(&mut self, cut: impl Fn(&mut Log<Recorder<SimDisk>>) -> Result<(), LogError>) {
        match cut(self.log()) {
            Ok(()) => {}
            Err(LogError::CheckpointFirst { .. }) => {
                self.checkpoint().await;
                cut(self.log()).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn restart(&mut self) {
        let opened =
            LogDir::open(self.disk.clone(), PathBuf::from(ROOT), identity(self.config.flaws)).await;
        let (dir, found) = opened.unwrap();
        self.dir = dir;
        self.create(&found).await;
        let end = self.content.batches.last().map(BatchHeader::next_offset);
        assert!(
            end.is_none_or(|end| self.log().log_end() == end),
            "a killed process loses nothing"
        );
    }
}

/// Recovers the log of a disk like a broker; `None` if there is no such partition.
pub async fn recover<D: Disk>(
    disk: &D,
    flaws: Flaws,
    compacted: bool,
) -> Result<Option<(LogDir<D>, Log<D>)>, String> {
    let opened = LogDir::open(disk.clone(), PathBuf::from(ROOT), identity(flaws)).await;
    let (dir, found) = opened.map_err(|error| format!("the directory can't be opened: {error}"))?;
    if !found.partitions.contains_key(&partition()) {
        return Ok(None);
    }
    let path = dir.partition_dir(&partition());
    let recovery = found.recovery(&partition());
    let config = config(flaws, compacted);
    let opened = Log::open(disk.clone(), path, config, recovery, NOW).await;
    let (log, report) = opened.map_err(|error| format!("the log can't be opened: {error}"))?;
    if report.shorter_than_synced {
        return Err(format!(
            "the log ends at {}, below its recovery point {}",
            log.log_end(),
            recovery.recovery_point
        ));
    }
    Ok(Some((dir, log)))
}

pub fn root() -> &'static Path {
    Path::new(ROOT)
}
