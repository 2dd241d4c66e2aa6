//! Work on a data directory, as data: what is done to a log, recorded call by call, with what a
//! crash at any moment may take and must leave.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use brokerquake::base::config::Compression;
use brokerquake::base::{
    BrokerEpoch, BrokerId, Flaws, Instant, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Seed,
    Stream, Timestamp, TopicId, TopicPartition,
};
use brokerquake::io::Disk;
use brokerquake::log::{Found, Identity, Log, LogConfig, LogDir, LogError};
use brokerquake::sim::crash::{Recorder, Step};
use brokerquake::sim::disk::{DiskProfile, SimDisk, Sleep};
use brokerquake::sim::{HostId, Observer, Trace};
use brokerquake::wire::batch::{self, BatchBuilder, BatchHeader};
use bytes::BytesMut;
use parking_lot::Mutex;
use rand::RngExt as _;

/// Where all of it happens.
pub const ROOT: &str = "/data";
pub const NOW: Timestamp = Timestamp(1_000_000);
pub const TOPIC: TopicId = TopicId([9; 16]);

/// One thing that a broker does to its log.
#[derive(Clone, Copy, Debug)]
pub enum Deed {
    /// A leader appends a batch.
    Append { records: usize, size: usize },
    /// A leader appends the next batch of an idempotent producer.
    Produce { producer: i64, records: usize },
    /// A new leader epoch begins, with its first batch or without one.
    NewEpoch { saved: bool },
    /// A segment was rolled: what is sealed is synced.
    FlushRolled,
    /// Everything is synced.
    Flush,
    /// The recovery point is saved.
    Checkpoint,
    /// The log is cut, by so many batches.
    Truncate { batches: usize },
    /// The log is emptied and begins further on.
    StartAnew { ahead: i64 },
    /// So many batches from the start may not be read any more; that is saved.
    AdvanceStart { batches: usize },
    /// The process ends in order, and starts again.
    CleanRestart,
    /// The process dies, and starts again.
    Killed,
    /// The partition is deleted, and created again.
    Recreate,
}

pub const APPEND: Deed = Deed::Append { records: 2, size: 40 };
pub const BIG: Deed = Deed::Append { records: 1, size: 500 };

/// Deeds that nobody thought of.
pub fn drawn(seed: u64) -> Vec<Deed> {
    let mut random = Seed(seed).stream(Stream::named("deeds"));
    let mut deeds = Vec::new();
    for _ in 0..14 {
        let deed = match random.random_range(0..20u32) {
            0..6 => Deed::Append {
                records: random.random_range(1..4),
                size: random.random_range(1..90),
            },
            6..8 => BIG,
            8..11 => Deed::Produce { producer: random.random_range(1..3), records: 1 },
            11 => Deed::NewEpoch { saved: random.random_bool(0.5) },
            12 => Deed::FlushRolled,
            13..15 => Deed::Flush,
            15 => Deed::Checkpoint,
            16 => {
                // A log is cut where another leader's differs.
                deeds.push(Deed::Truncate { batches: random.random_range(1..4) });
                Deed::NewEpoch { saved: random.random_bool(0.5) }
            }
            17 => Deed::Killed,
            18 => Deed::CleanRestart,
            _ => Deed::AdvanceStart { batches: 1 },
        };
        deeds.push(deed);
    }
    deeds
}

/// What stands in a log at some moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    pub batches: Vec<BatchHeader>,
}

impl Content {
    pub fn end(&self) -> Offset {
        self.batches.last().map_or(Offset::ZERO, BatchHeader::next_offset)
    }
}

/// From the call of this number on.
type Since = usize;

/// Everything that a recording says about what a crash may leave.
#[derive(Default)]
pub struct Recording {
    pub steps: Vec<Step>,
    /// Contents that may be found: any beginning of any of them.
    pub may: Vec<(Since, Content)>,
    /// What must be found.
    pub must: Vec<(Since, Content)>,
    /// Log starts that may be found.
    pub starts: Vec<(Since, Offset)>,
    /// Since when the partition must be there; `None` since when it need not.
    pub there: Vec<(Since, bool)>,
    /// What was found by the first start of a log that came after: earlier contents are no more.
    pub renewed: Vec<Since>,
}

impl Recording {
    /// What must be found after so many calls.
    pub fn must_after(&self, calls: usize) -> &Content {
        let known = self.must.iter().rfind(|(since, _)| *since <= calls);
        known.map_or(&EMPTY, |(_, content)| content)
    }

    /// What may be found after so many calls.
    pub fn may_after(&self, calls: usize) -> Vec<&Content> {
        let renewed = self.renewed.iter().copied().rfind(|since| *since <= calls).unwrap_or(0);
        let all = self.may.iter().filter(|(since, _)| (renewed..=calls).contains(since));
        all.map(|(_, content)| content).collect()
    }

    /// The newest leader epoch in which anything was written.
    pub fn newest_epoch(&self) -> i32 {
        let batches = self.may.iter().flat_map(|(_, content)| &content.batches);
        batches.map(|batch| batch.leader_epoch.0).max().unwrap_or(0)
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

/// Segments of a few batches, an index entry for nearly each.
pub fn config(flaws: Flaws) -> LogConfig {
    LogConfig {
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
        fresh_directory: TopicId([5; 16]),
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

/// Does deeds to a log and notes everything.
pub struct Bench {
    disk: Recorder<SimDisk>,
    dir: LogDir<Recorder<SimDisk>>,
    log: Option<Log<Recorder<SimDisk>>>,
    flaws: Flaws,
    epoch: i32,
    sequences: BTreeMap<i64, i32>,
    content: Content,
    told: Recording,
    appended: u8,
}

/// What comes of deeds.
pub fn record(deeds: &[Deed], flaws: Flaws) -> Recording {
    go_on(&machine(), deeds, flaws, &Content::default())
}

/// What comes of deeds on a machine that has this in its log.
pub fn go_on(machine: &SimDisk, deeds: &[Deed], flaws: Flaws, content: &Content) -> Recording {
    let disk = Recorder::new(boot(machine), ROOT);
    let opened = LogDir::open(disk.clone(), PathBuf::from(ROOT), identity(flaws));
    let (dir, found) = block_on(opened).unwrap();
    let told = Recording::default();
    let (sequences, content) = (BTreeMap::new(), content.clone());
    let epoch = content.batches.last().map_or(0, |last| last.leader_epoch.0) + 1;
    let mut bench =
        Bench { disk, dir, log: None, flaws, epoch, sequences, content, told, appended: 0 };
    bench.sequences_from_content();
    // What a loss of power left is on the platter.
    bench.told.may.push((0, bench.content.clone()));
    bench.told.must.push((0, bench.content.clone()));
    block_on(async {
        bench.create(&found).await;
        let start = bench.log().log_start();
        bench.told.starts.push((0, start));
        for deed in deeds {
            bench.run(*deed).await;
        }
    });
    Recording { steps: bench.disk.steps(), ..bench.told }
}

impl Bench {
    fn log(&mut self) -> &mut Log<Recorder<SimDisk>> {
        self.log.as_mut().unwrap()
    }

    fn now(&self) -> Since {
        self.disk.len()
    }

    async fn create(&mut self, found: &Found) {
        let path = self.dir.create_partition(&partition(), TOPIC).await.unwrap();
        self.told.there.push((self.now(), true));
        let recovery = found.recovery(&partition());
        let config = config(self.flaws);
        let opened = Log::open(self.disk.clone(), path, config, recovery, NOW).await;
        let (log, report) = opened.unwrap();
        assert!(!report.shorter_than_synced);
        self.log = Some(log);
    }

    async fn run(&mut self, deed: Deed) {
        match deed {
            Deed::Append { records, size } => {
                let mut builder = BatchBuilder::new(Compression::None, NOW);
                self.appended = self.appended.wrapping_add(1);
                for _ in 0..records {
                    builder.append(NOW, None, Some(&vec![self.appended; size]), &[]);
                }
                self.append(BytesMut::from(&*builder.finish_plain()));
            }
            Deed::Produce { producer, records } => {
                let mut builder = BatchBuilder::new(Compression::None, NOW);
                for _ in 0..records {
                    builder.append(NOW, None, Some(b"idempotent"), &[]);
                }
                let next = self.sequences.get(&producer).copied().unwrap_or(0);
                let bytes = builder.finish(ProducerId(producer), ProducerEpoch(0), next);
                self.append(BytesMut::from(&*bytes));
                self.sequences.insert(producer, next + records as i32);
            }
            Deed::NewEpoch { saved } => {
                self.epoch += 1;
                let epoch = LeaderEpoch(self.epoch);
                assert!(self.log().begin_epoch(epoch));
                if saved {
                    self.log().save_epochs().await.unwrap();
                }
            }
            Deed::FlushRolled => {
                let plan = self.log().roll_flush_plan();
                self.flush(plan.upto(), plan.run().await.unwrap());
            }
            Deed::Flush => {
                let plan = self.log().flush_plan();
                self.flush(plan.upto(), plan.run().await.unwrap());
            }
            Deed::Checkpoint => self.checkpoint().await,
            Deed::Truncate { batches } => {
                let keep = self.content.batches.len().saturating_sub(batches);
                let to = self.content.batches.get(keep).map(|first| first.base_offset);
                let to = to.unwrap_or(self.content.end());
                self.shrink(to);
                self.cut(|log| log.truncate_to(to).map(|_| ())).await;
                self.log().save_epochs().await.unwrap();
                self.sequences_from_content();
            }
            Deed::StartAnew { ahead } => {
                let to = self.content.end().plus(ahead);
                self.shrink(Offset::ZERO);
                // Old segments may go one by one: all of them are deleted.
                let bases: Vec<Offset> = self.log().segment_bases().collect();
                let now = self.now();
                self.told.starts.extend(bases.into_iter().chain([to]).map(|start| (now, start)));
                self.cut(|log| log.truncate_fully_and_start_at(to).map(|_| ())).await;
                self.log().save_epochs().await.unwrap();
                self.sequences.clear();
            }
            Deed::AdvanceStart { batches } => {
                let to = self.content.batches.get(batches).map(|batch| batch.base_offset);
                let to = to.unwrap_or(self.content.end());
                self.told.starts.push((self.now(), to));
                self.log().advance_log_start(to);
                let starts = BTreeMap::from([(partition(), to)]);
                self.dir.save_log_starts(&starts).await.unwrap();
            }
            Deed::CleanRestart => {
                let mark = self.log.take().unwrap().close().await.unwrap();
                self.promise(self.content.end());
                let marks = BTreeMap::from([(partition(), mark)]);
                self.dir.save_recovery_points(&marks).await.unwrap();
                self.dir.mark_clean(BrokerEpoch(7)).await.unwrap();
                self.restart().await;
            }
            Deed::Killed => {
                self.log = None;
                self.restart().await;
            }
            Deed::Recreate => {
                self.shrink(Offset::ZERO);
                self.told.there.push((self.now(), false));
                self.log = None;
                let remove = self.dir.delete_partition(&partition(), TOPIC).await.unwrap();
                remove().unwrap();
                self.told.renewed.push(self.now());
                self.told.may.push((self.now(), Content::default()));
                self.sequences.clear();
                self.create(&Found::default()).await;
            }
        }
    }

    fn append(&mut self, mut bytes: BytesMut) {
        let mut next = self.content.clone();
        let mut at = bytes.clone();
        batch::assign(&mut at, self.log().log_end(), LeaderEpoch(self.epoch));
        next.batches.push(batch::check(&at).unwrap());
        self.told.may.push((self.now(), next.clone()));
        self.content = next;
        let epoch = LeaderEpoch(self.epoch);
        let appended = self.log().append_as_leader(&mut bytes, epoch, NOW).unwrap();
        assert!(!appended.duplicate);
    }

    fn flush(&mut self, upto: Offset, flushed: brokerquake::log::Flushed) {
        self.log().flushed(&flushed);
        self.promise(upto);
    }

    /// What is below is durable.
    fn promise(&mut self, upto: Offset) {
        let below = |batch: &&BatchHeader| batch.next_offset() <= upto;
        let batches: Vec<_> = self.content.batches.iter().filter(below).copied().collect();
        self.told.must.push((self.now(), Content { batches }));
    }

    /// From here on, what is at or above `to` may be gone.
    fn shrink(&mut self, to: Offset) {
        let now = self.now();
        self.content.batches.retain(|batch| batch.next_offset() <= to);
        let mut must = self.told.must.last().map_or_else(Content::default, |(_, m)| m.clone());
        must.batches.retain(|batch| batch.next_offset() <= to);
        self.told.must.push((now, must));
        self.told.may.push((now, self.content.clone()));
    }

    fn sequences_from_content(&mut self) {
        self.sequences.clear();
        for batch in self.content.batches.iter().filter(|batch| batch.has_producer()) {
            self.sequences.insert(batch.producer_id.0, batch.last_sequence() + 1);
        }
    }

    async fn checkpoint(&mut self) {
        let mark = self.log().mark_recovery_point();
        let marks = BTreeMap::from([(partition(), mark)]);
        self.dir.save_recovery_points(&marks).await.unwrap();
        self.log().recovery_point_saved(&mark);
    }

    /// As a broker does: what is on disk is lowered first.
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
            LogDir::open(self.disk.clone(), PathBuf::from(ROOT), identity(self.flaws)).await;
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

/// The recovered log of a disk, opened as a broker does; `None` when there is no such partition.
pub async fn recover<D: Disk>(
    disk: &D,
    flaws: Flaws,
) -> Result<Option<(LogDir<D>, Log<D>)>, String> {
    let opened = LogDir::open(disk.clone(), PathBuf::from(ROOT), identity(flaws)).await;
    let (dir, found) = opened.map_err(|error| format!("the directory can't be opened: {error}"))?;
    if !found.partitions.contains_key(&partition()) {
        return Ok(None);
    }
    let path = dir.partition_dir(&partition());
    let recovery = found.recovery(&partition());
    let opened = Log::open(disk.clone(), path, config(flaws), recovery, NOW).await;
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
