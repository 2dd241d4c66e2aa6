//! Logs by themselves: appends, lookups, opening, recovery.

use std::future::Future;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

use brokerquake::base::config::Compression;
use brokerquake::base::{
    BrokerEpoch, BrokerId, DirectoryId, Flaws, LeaderEpoch, Offset, ProducerEpoch, ProducerId,
    Timestamp, TopicId, TopicPartition,
};
use brokerquake::io::real::RealDisk;
use brokerquake::io::{Disk, File, Open};
use brokerquake::log::{Identity, Log, LogConfig, LogDir, Recovery};
use brokerquake::wire::batch::{self, BatchBuilder, BatchHeader};

use super::{median, place, timed, told};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const CLEAN: Recovery = Recovery {
    recovery_point: Offset::ZERO,
    clean: true,
    log_start: Offset::ZERO,
    cleaned_to: Offset::ZERO,
};
const UNCLEAN: Recovery = Recovery { clean: false, ..CLEAN };

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

fn open_log(dir: PathBuf, config: LogConfig, recovery: Recovery) -> Log<RealDisk> {
    wait(Log::open(RealDisk, dir, config, recovery, NOW)).expect("the log opens").0
}

/// A batch of records of 1,000 bytes, `size` bytes in all, or a little less.
fn batch_of(size: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None, NOW);
    let value: Vec<u8> = (0..1000u32).map(|n| (n * 31) as u8).collect();
    while builder.estimated_size_with(NOW, None, Some(&value), &[]) <= size {
        builder.append(NOW, None, Some(&value), &[]);
    }
    builder.finish_plain().to_vec()
}

/// Bytes that one round writes: less than what the kernel would stop a writer for.
const ROUND: usize = 256 << 20;
const ROUNDS: usize = 12;

fn write_plainly(bytes: &[u8], count: usize) -> Duration {
    let place = place();
    let file = RealDisk.open(&place.path().join("plain"), Open::New).expect("a new file");
    let write = |index| {
        let at = (index * bytes.len()) as u64;
        file.write_at(black_box(bytes), at).expect("there is room");
    };
    timed(|| (0..count).for_each(write)).0
}

fn append_all(bytes: &mut [u8], count: usize) -> Duration {
    let place = place();
    let mut log = open_log(place.path().join("t-0"), LogConfig::default(), CLEAN);
    let append = |_| {
        let done = log.append_as_leader(black_box(bytes), LeaderEpoch(1), NOW);
        done.expect("it is appended");
    };
    timed(|| (0..count).for_each(append)).0
}

/// Appends beside plain writes of the same bytes into a file that is as new. The second one
/// finds the kernel busy with what the first left, so they take turns.
pub fn append() {
    for size in [16 << 10, 1 << 20] {
        let mut bytes = batch_of(size);
        let (mut ratios, mut appends, mut writes) = (Vec::new(), Vec::new(), Vec::new());
        let count = ROUND / size;
        for round in 0..ROUNDS {
            let (plain, appended);
            if round % 2 == 0 {
                plain = write_plainly(&bytes, count);
                appended = append_all(&mut bytes, count);
            } else {
                appended = append_all(&mut bytes, count);
                plain = write_plainly(&bytes, count);
            }
            ratios.push(plain.as_secs_f64() / appended.as_secs_f64());
            let megabytes =
                |time: Duration| (count * bytes.len()) as f64 / 1e6 / time.as_secs_f64();
            appends.push(megabytes(appended));
            writes.push(megabytes(plain));
        }
        let ratio = median(ratios);
        let figure = format!(
            "{:.0} MB/s, plain write {:.0} MB/s: {:.0} %",
            median(appends),
            median(writes),
            ratio * 100.0
        );
        told(&format!("append {} KiB", size >> 10), figure, "at least 80 %", ratio >= 0.8);
    }
}

/// A segment of batches of 64 KiB, of which only the headers are on disk: the rest are holes.
fn sparse_segment(dir: &Path, base: Offset, batches: i64, records: i32) {
    const SIZE: i32 = 64 << 10;
    /// Behind the checksum: what it covers begins here, and is the same in all of them.
    const COVERED: usize = 21;
    let path = dir.join(format!("{:020}.log", base.0));
    let file = RealDisk.open(&path, Open::New).expect("a new file");
    let mut crc = None;
    for index in 0..batches {
        let mut header = BatchHeader {
            base_offset: base.plus(index * i64::from(records)),
            batch_length: SIZE - 12,
            leader_epoch: LeaderEpoch(1),
            magic: 2,
            crc: 0,
            attributes: 0,
            last_offset_delta: records - 1,
            base_timestamp: NOW,
            max_timestamp: NOW,
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch::NONE,
            base_sequence: -1,
            count: records,
        };
        let mut bytes = [0; batch::HEADER_LEN];
        header.write(&mut bytes);
        header.crc = *crc.get_or_insert_with(|| {
            let holes = vec![0; SIZE as usize - batch::HEADER_LEN];
            crc32c::crc32c_append(crc32c::crc32c(&bytes[COVERED..]), &holes)
        });
        header.write(&mut bytes);
        file.write_at(&bytes, index as u64 * SIZE as u64).expect("there is room");
    }
    file.set_len(batches as u64 * SIZE as u64).expect("a hole at the end");
}

/// Looks up random offsets in ten segments of 1 GiB, an index entry for each of their 163,830
/// batches.
pub fn lookup() {
    const SEGMENTS: i64 = 10;
    /// A gibibyte, less one batch.
    const BATCHES: i64 = (1 << 14) - 1;
    const RECORDS: i32 = 64;
    const LOOKUPS: u64 = 200_000;
    let place = place();
    let dir = place.path().join("t-0");
    std::fs::create_dir(&dir).expect("a new directory");
    let offsets = SEGMENTS * BATCHES * i64::from(RECORDS);
    for segment in 0..SEGMENTS {
        sparse_segment(&dir, Offset(segment * BATCHES * i64::from(RECORDS)), BATCHES, RECORDS);
    }
    let log = open_log(dir, LogConfig::default(), CLEAN);
    assert_eq!(log.log_end(), Offset(offsets));
    let find = |offset: i64| {
        let found = log.read(Offset(offset), 1, log.log_end(), true).expect("it is there");
        assert!(black_box(found).slice.is_some());
    };
    let mut random = 1_u64;
    let mut find_any = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        find((random >> 20) as i64 % offsets);
    };
    let gibibytes = log.size() as f64 / (1u64 << 30) as f64;
    // The first look at each segment builds its indexes, and pages come into memory.
    (0..LOOKUPS).for_each(|_| find_any());
    let (spent, ()) = timed(|| (0..LOOKUPS).for_each(|_| find_any()));
    let micros = spent.as_secs_f64() * 1e6 / LOOKUPS as f64;
    let figure = format!("{micros:.2} µs in {gibibytes:.1} GiB, its batch of 64 KiB verified");
    told("lookup of a random offset, warm", figure, "under 20 µs", micros < 20.0);
}

/// Anonymous memory of this process, in bytes: what is neither of a file nor shared.
fn anonymous_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("RssAnon")).expect("since Linux 4.5");
    let kibibytes = line.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok());
    kibibytes.expect("a number") * 1024
}

/// Opens many partitions that were closed cleanly.
pub fn open() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let most = rustix::process::Rlimit { current: limit.maximum, ..limit };
    let raised = rustix::process::setrlimit(rustix::process::Resource::Nofile, most);
    raised.expect("a process may use what it is allowed");
    let allowed = limit.maximum.map_or(u64::MAX, |files| files.saturating_sub(100));
    // One open file each: maps hold none.
    let partitions = i32::try_from(allowed).unwrap_or(i32::MAX).min(10_000);
    let place = tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| place());
    let identity = || Identity {
        node: BrokerId(1),
        cluster: Some("bench".into()),
        fresh_cluster: TopicId([1; 16]),
        fresh_directory: DirectoryId([2; 16]),
        flaws: Flaws::default(),
    };
    let config = LogConfig::default();
    let mut bytes = batch_of(4 << 10);
    wait(async {
        let (dir, _) = LogDir::open(RealDisk, place.path().to_owned(), identity()).await.unwrap();
        for index in 0..partitions {
            let name = TopicPartition::new("t", index);
            let path = dir.create_partition(&name, TopicId([3; 16])).await.expect("a directory");
            let mut log = Log::open(RealDisk, path, config, CLEAN, NOW).await.expect("a log").0;
            log.append_as_leader(&mut bytes, LeaderEpoch(1), NOW).expect("it is appended");
            log.close().await.expect("it closes");
        }
        dir.mark_clean(BrokerEpoch(1)).await.expect("the marker is written");
    });
    let before = anonymous_memory();
    let (spent, logs) = timed(|| {
        wait(async {
            let opened = LogDir::open(RealDisk, place.path().to_owned(), identity()).await;
            let (dir, found) = opened.expect("it opens");
            let mut logs = Vec::new();
            for name in found.partitions.keys() {
                let (path, recovery) = (dir.partition_dir(name), found.recovery(name));
                let log = Log::open(RealDisk, path, config, recovery, NOW).await;
                logs.push(log.expect("the log opens").0);
            }
            logs
        })
    });
    assert_eq!(logs.len(), partitions as usize);
    let each = anonymous_memory().saturating_sub(before) / logs.len() as u64;
    let seconds = spent.as_secs_f64();
    let bound = 2.0 * f64::from(partitions) / 10_000.0;
    let figure = format!("{partitions} in {seconds:.2} s");
    told("opening clean partitions", figure, "10,000 in under 2 s", seconds < bound);
    let figure = format!("{each} bytes of anonymous memory each");
    told("memory of an idle partition", figure, "under 4,096 bytes", each < 4096);
}

/// Recovers a log that was not closed, beside the checksum of the same bytes in memory.
pub fn recovery() {
    for size in [16 << 10, 1 << 20] {
        let place = place();
        let dir = place.path().join("t-0");
        let mut bytes = batch_of(size);
        let count = (1 << 30) / size;
        let mut log = open_log(dir.clone(), LogConfig::default(), CLEAN);
        for _ in 0..count {
            let done = log.append_as_leader(&mut bytes, LeaderEpoch(1), NOW);
            done.expect("it is appended");
        }
        let (end, total) = (log.log_end(), log.size() as f64);
        drop(log);
        let (mut recovered, mut checksums) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            let (spent, ()) = timed(|| {
                for _ in 0..count {
                    black_box(crc32c::crc32c(black_box(&bytes)));
                }
            });
            checksums.push(total / 1e6 / spent.as_secs_f64());
            let (spent, log) = timed(|| open_log(dir.clone(), LogConfig::default(), UNCLEAN));
            assert_eq!(log.log_end(), end);
            recovered.push(total / 1e6 / spent.as_secs_f64());
        }
        let (speed, checksum) = (median(recovered), median(checksums));
        let figure = format!("{speed:.0} MB/s; CRC-32C in memory {checksum:.0} MB/s");
        let kept = speed >= checksum.min(1000.0);
        told(&format!("recovery, batches of {} KiB", size >> 10), figure, "1,000 MB/s", kept);
    }
}
