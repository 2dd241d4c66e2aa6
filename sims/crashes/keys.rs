//! Checks the keys of a recovered compacted log.

use std::collections::BTreeMap;

use brokerquake::base::{LeaderEpoch, Offset};
use brokerquake::io::Disk;
use brokerquake::log::Log;
use brokerquake::wire::batch::{self, BatchHeader, Record};

use super::workload::{Content, Recording};

/// Far more than any batch here.
const LARGEST: usize = 1 << 16;

/// Everything that was ever in a compacted log, including truncated, superseded and lost records.
#[derive(Clone, Default)]
pub struct History {
    /// Appended records by offset: several after a truncation.
    appended: BTreeMap<Offset, Vec<Record>>,
    /// The records of each batch, as appended or as the cleaner left them.
    batches: BTreeMap<(Offset, u32), Vec<Record>>,
    /// The first batch of each leader epoch.
    epochs: BTreeMap<LeaderEpoch, Offset>,
}

impl History {
    /// A batch was appended.
    pub fn append(&mut self, bytes: &[u8]) {
        for record in self.note(bytes) {
            self.appended.entry(record.offset).or_default().push(record);
        }
        let header = batch::check(bytes).unwrap();
        self.epochs.entry(header.leader_epoch).or_insert(header.base_offset);
    }

    /// A batch is in the log.
    pub fn note(&mut self, bytes: &[u8]) -> Vec<Record> {
        let (header, records) =
            (batch::check(bytes).unwrap(), batch::records(bytes, LARGEST).unwrap());
        self.batches.insert((header.base_offset, header.crc), records.clone());
        records
    }

    fn of(&self, header: &BatchHeader) -> &[Record] {
        self.batches.get(&(header.base_offset, header.crc)).map_or(&[], Vec::as_slice)
    }
}

/// The latest record of each key from an offset on.
fn latest<'a>(
    records: impl IntoIterator<Item = &'a Record>,
    from: Offset,
) -> BTreeMap<&'a [u8], &'a Record> {
    let keyed = records.into_iter().filter(|record| record.offset >= from);
    keyed.filter_map(|record| Some((record.key.as_deref()?, record))).collect()
}

/// Checks that records are as they were appended; that the latest synced record of each key is
/// there, or a later one, or none for a tombstone; and that epochs begin no later than they did.
pub fn check<D: Disk>(
    recording: &Recording,
    history: &History,
    calls: usize,
    log: &Log<D>,
    content: &Content,
) -> Result<(), String> {
    let found: Vec<&Record> = content.batches.iter().flat_map(|batch| history.of(batch)).collect();
    for record in &found {
        if !history.appended.get(&record.offset).is_some_and(|all| all.contains(record)) {
            return Err(format!("no such record was appended: {record:?}"));
        }
    }
    let (start, must) = (log.log_start(), recording.must_after(calls));
    if log.log_end() < must.end() {
        return Err(format!("the log ends at {}, below {}", log.log_end(), must.end()));
    }
    let synced = latest(must.batches.iter().flat_map(|batch| history.of(batch)), start);
    let found = latest(found, start);
    for (key, last) in &synced {
        let name = String::from_utf8_lossy(key);
        match found.get(key) {
            Some(newer) if newer.offset > last.offset || newer == last => {}
            None if last.value.is_none() => {}
            None => return Err(format!("key {name} is missing, last written at {}", last.offset)),
            Some(older) => {
                let (was, is) = (last.offset, older.offset);
                return Err(format!("key {name} came back from {is}, last written at {was}"));
            }
        }
    }
    check_epochs(history, log, content)
}

/// If an epoch begins too late, a leader does not see where a follower's log diverges from its own.
fn check_epochs<D: Disk>(history: &History, log: &Log<D>, content: &Content) -> Result<(), String> {
    let epochs = log.epochs();
    for batch in &content.batches {
        for at in [batch.base_offset.max(log.log_start()), batch.last_offset()] {
            if epochs.at(at) != batch.leader_epoch {
                let is = batch.leader_epoch;
                return Err(format!("offset {at} has epoch {is}, epochs are {epochs:?}"));
            }
        }
    }
    for (epoch, start) in epochs.entries() {
        let began = history.epochs.get(epoch).map(|began| (*began).max(log.log_start()));
        if began.is_some_and(|began| *start > began) {
            return Err(format!("epoch {epoch} begins at {start} now, at {began:?} before"));
        }
    }
    Ok(())
}

/// The first record that can be read.
pub fn first(history: &History, log_start: Offset, content: &Content) -> Option<Offset> {
    let mut records = content.batches.iter().flat_map(|batch| history.of(batch));
    records.find(|record| record.offset >= log_start).map(|record| record.offset)
}
