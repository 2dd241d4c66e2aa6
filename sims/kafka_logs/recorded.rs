//! One recorded partition, copied to where it may be modified.

use std::fs;
use std::path::PathBuf;

use brokerquake::base::{Offset, Timestamp};
use brokerquake::io::File;
use brokerquake::io::real::RealDisk;
use brokerquake::log::{Log, LogConfig, Recovery, RecoveryReport};
use brokerquake::wire::batch::{self, BatchHeader, Record};

pub type RealLog = Log<RealDisk>;

/// When the logs are opened: a minute after they were written, so that no producer has expired.
const NOW: Timestamp = Timestamp(1_700_000_700_000);

pub fn clean(end: Offset) -> Recovery {
    Recovery { recovery_point: end, clean: true, ..Recovery::default() }
}

pub fn crashed() -> Recovery {
    Recovery::default()
}

pub struct Recorded {
    dir: tempfile::TempDir,
    partition: &'static str,
    /// The log end.
    pub end: Offset,
}

impl Recorded {
    pub fn of(partition: &'static str) -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let from = super::kafka::fixture().join("data").join(partition);
        fs::create_dir(dir.path().join(partition)).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), dir.path().join(partition).join(entry.file_name())).unwrap();
        }
        let end = match partition {
            "orders-0" => 102,
            "payments-0" => 26,
            "accounts-0" => 52,
            "__consumer_offsets-0" => 34,
            "__transaction_state-0" => 23,
            "__share_group_state-0" => 2,
            "__cluster_metadata-0" => 109,
            other => panic!("{other} was not recorded"),
        };
        Self { dir, partition, end: Offset(end) }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join(self.partition)
    }

    pub fn open(&self, recovery: Recovery) -> (RealLog, RecoveryReport) {
        let config = LogConfig {
            index_interval_bytes: if self.partition.starts_with("__") { 4096 } else { 256 },
            compacted: self.partition == "accounts-0",
            ..LogConfig::default()
        };
        block_on(Log::open(RealDisk, self.path(), config, recovery, NOW)).unwrap()
    }

    pub fn close(&self, log: RealLog) {
        block_on(log.close()).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub fn remove(&self, which: impl Fn(&str) -> bool) {
        for name in self.names().iter().filter(|name| which(name)) {
            fs::remove_file(self.path().join(name)).unwrap();
        }
    }

    pub fn remove_indexes(&self) {
        self.remove(is_index);
    }

    /// The content of every index.
    pub fn indexes(&self) -> Vec<(String, Vec<u8>)> {
        let names = self.names().into_iter().filter(|name| is_index(name));
        names.map(|name| (name.clone(), fs::read(self.path().join(name)).unwrap())).collect()
    }

    /// Number of complete batches in the files.
    pub fn whole_batches(&self) -> usize {
        let names = self.names().into_iter().filter(|name| name.ends_with(".log"));
        let count = |name| batch::batches(&fs::read(self.path().join(name)).unwrap()).count();
        names.map(count).sum()
    }

    /// The batches that a read at `from` returns, and the next offset.
    fn read(&self, log: &RealLog, from: Offset) -> (Vec<Vec<u8>>, Offset) {
        let fetched = log.read(from, 1000, log.log_end(), true).unwrap();
        let Some(slice) = fetched.slice else { return (Vec::new(), fetched.next) };
        let mut bytes = vec![0; slice.len as usize];
        slice.file.read_exact_at(&mut bytes, slice.offset).unwrap();
        let batches = batch::batches(&bytes).map(|found| found.unwrap().1.to_vec());
        (batches.collect(), fetched.next)
    }

    pub fn first_read_at(&self, log: &RealLog, from: Offset) -> Offset {
        let (batches, _) = self.read(log, from);
        BatchHeader::parse(&batches[0]).unwrap().base_offset
    }

    /// All batches, by reads smaller than a segment.
    pub fn batches(&self, log: &RealLog) -> Vec<Vec<u8>> {
        let (mut found, mut at) = (Vec::new(), log.log_start());
        while at < log.log_end() {
            let (batches, next) = self.read(log, at);
            assert!(next > at, "{}: nothing at {at}", self.partition);
            found.extend(batches);
            at = next;
        }
        found
    }

    pub fn records(&self, log: &RealLog) -> Vec<(BatchHeader, Record)> {
        let mut records = Vec::new();
        for bytes in self.batches(log) {
            let header = batch::check(&bytes).unwrap();
            let decoded = batch::records(&bytes, 1 << 20).unwrap();
            records.extend(decoded.into_iter().map(|record| (header, record)));
        }
        records
    }
}

fn is_index(name: &str) -> bool {
    name.ends_with(".index") || name.ends_with(".timeindex")
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}
