//! Transaction markers, and the index of aborted transactions (`.txnindex`, byte for byte Kafka's
//! version 0).
//!
//! A `read_committed` reader leaves out a producer's records from where an aborted transaction
//! begins to its marker, so an entry is data and not a shortcut: it is synced with its segment
//! and rebuilt from the batches whenever those are examined.

use std::io;
use std::path::Path;

use bytes::{Buf, BufMut, BytesMut};

use super::LogError;
use super::checkpoint::read_file;
use crate::base::config::Compression;
use crate::base::{Offset, ProducerEpoch, ProducerId, Timestamp};
use crate::io::{Disk, File, Open};
use crate::wire::batch::{self, BatchBuilder};

const VERSION: i16 = 0;
const ENTRY: usize = 34;
/// A marker's records take a few bytes.
const LARGEST_MARKER: usize = 1 << 16;

/// How a transaction ended. Source: Kafka's `ControlRecordType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// Its records count as never written.
    Abort,
    /// Its records may be read.
    Commit,
    /// Not about transactions.
    Other,
}

impl Marker {
    /// What the control batch in `bytes` says; `None` when a cleaner took its record.
    pub fn of(bytes: &[u8]) -> Result<Option<Self>, batch::BatchError> {
        let records = batch::records(bytes, LARGEST_MARKER)?;
        Ok(records.first().map(|record| {
            let mut key = record.key.as_deref().unwrap_or_default();
            if key.len() < 4 {
                return Self::Other;
            }
            let _version = key.get_i16();
            match key.get_i16() {
                0 => Self::Abort,
                1 => Self::Commit,
                _ => Self::Other,
            }
        }))
    }
}

/// The end of a transaction, as its coordinator has it written to every partition of the
/// transaction. Source: Kafka's `EndTransactionMarker`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionEnd {
    pub producer: ProducerId,
    /// The epoch in which the producer is fenced or has ended the transaction.
    pub producer_epoch: ProducerEpoch,
    /// Epoch of the coordinator that decided: an older coordinator is fenced.
    pub coordinator_epoch: i32,
    /// Whether the transaction's records may be read.
    pub commit: bool,
    /// `transaction.version` of the transaction (KIP-1228): from 2 on, `producer_epoch` is the one
    /// after that of its records. The marker does not have it.
    pub version: i8,
}

impl TransactionEnd {
    /// The control batch with the marker.
    pub fn batch(&self, now: Timestamp) -> BytesMut {
        let (mut key, mut value) = (Vec::with_capacity(4), Vec::with_capacity(6));
        key.put_i16(VERSION);
        key.put_i16(i16::from(self.commit));
        value.put_i16(VERSION);
        value.put_i32(self.coordinator_epoch);
        let mut builder = BatchBuilder::new(Compression::None, now).transactional().control();
        builder.append(now, Some(&key), Some(&value), &[]);
        BytesMut::from(&builder.finish(self.producer, self.producer_epoch, -1)[..])
    }
}

/// The epoch of the coordinator that wrote a marker; `None` where a cleaner took its record.
pub(crate) fn coordinator_epoch(bytes: &[u8]) -> Option<i32> {
    let records = batch::records(bytes, LARGEST_MARKER).ok()?;
    let mut value = records.first()?.value.as_deref()?;
    let _version = value.try_get_i16().ok()?;
    value.try_get_i32().ok()
}

/// A transaction that was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aborted {
    pub producer: ProducerId,
    /// Its first record.
    pub first: Offset,
    /// Its marker, behind the first record.
    pub last: Offset,
    /// Where the oldest transaction begins that was open when the marker was written, or the
    /// offset after the marker.
    pub last_stable: Offset,
}

impl Aborted {
    /// Bytes of an entry.
    pub(crate) const LEN: u64 = ENTRY as u64;

    fn write(&self, out: &mut Vec<u8>) {
        out.put_i16(VERSION);
        out.put_i64(self.producer.0);
        out.put_i64(self.first.0);
        out.put_i64(self.last.0);
        out.put_i64(self.last_stable.0);
    }

    fn read(mut entry: &[u8]) -> Option<Self> {
        if entry.len() != ENTRY || entry.get_i16() != VERSION {
            return None;
        }
        let producer = ProducerId(entry.get_i64());
        let (first, last) = (Offset(entry.get_i64()), Offset(entry.get_i64()));
        let last_stable = Offset(entry.get_i64());
        // Its marker has an offset of its own. So zeros, which a power loss leaves, are not an entry.
        let ordered = first >= Offset::ZERO && first < last;
        // Behind the marker only what comes after it can be undecided.
        let stable = last < Offset(i64::MAX) && (Offset::ZERO..=last.next()).contains(&last_stable);
        (ordered && stable).then_some(Self { producer, first, last, last_stable })
    }
}

/// The entries of a file, in the order of markers; none when there is no file. Bytes that can't be an
/// entry end it.
pub(crate) fn read<D: Disk>(disk: &D, path: &Path) -> Result<Vec<Aborted>, LogError> {
    read_with_rest(disk, path).map(|(entries, _)| entries)
}

/// The same, with the number of bytes that follow the entries. Nothing behind those is read.
pub(crate) fn read_with_rest<D: Disk>(
    disk: &D,
    path: &Path,
) -> Result<(Vec<Aborted>, usize), LogError> {
    let bytes = read_file(disk, path)?.unwrap_or_default();
    let mut entries: Vec<Aborted> = Vec::new();
    for entry in bytes.chunks(ENTRY) {
        let follows = |next: &Aborted| entries.last().is_none_or(|before| before.last < next.last);
        match Aborted::read(entry).filter(follows) {
            Some(entry) => entries.push(entry),
            None => {
                let file = path.display();
                tracing::warn!(%file, entries = entries.len(), "the rest can't be read");
                break;
            }
        }
    }
    let rest = bytes.len() - entries.len() * ENTRY;
    Ok((entries, rest))
}

/// Adds an entry at the end of a file, which is created when missing.
pub(crate) fn append<D: Disk>(disk: &D, path: &Path, aborted: &Aborted) -> Result<(), LogError> {
    let file = disk.open(path, Open::OrCreate).map_err(LogError::io("open", path))?;
    let len = file.len().map_err(LogError::io("measure", path))?;
    let mut bytes = Vec::with_capacity(ENTRY);
    aborted.write(&mut bytes);
    // Half an entry, which a crash may have left, is written over.
    file.write_at(&bytes, len - len % ENTRY as u64).map_err(LogError::io("append to", path))
}

/// Writes a file with exactly these entries. Without any, a file is left alone only if there is
/// none; `always` makes one. Entries that are there already are not written again: they may be synced,
/// and a power loss may come before the others are.
pub(crate) fn write<D: Disk>(
    disk: &D,
    path: &Path,
    entries: &[Aborted],
    always: bool,
) -> Result<Option<D::File>, LogError> {
    if entries.is_empty() && !always {
        match disk.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(LogError::io("remove", path)(error));
            }
            _ => return Ok(None),
        }
    }
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY);
    entries.iter().for_each(|entry| entry.write(&mut bytes));
    let there = read_file(disk, path)?.unwrap_or_default();
    let kept = already_there(&there, &bytes);
    let file = disk.open(path, Open::OrCreate).map_err(LogError::io("create", path))?;
    file.set_len(kept as u64).map_err(LogError::io("cut", path))?;
    file.write_at(&bytes[kept..], kept as u64).map_err(LogError::io("write", path))?;
    Ok(Some(file))
}

/// Bytes of the entries that a file begins with as it should.
fn already_there(there: &[u8], wanted: &[u8]) -> usize {
    let pairs = there.chunks_exact(ENTRY).zip(wanted.chunks_exact(ENTRY));
    pairs.take_while(|(there, wanted)| there == wanted).count() * ENTRY
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::real::RealDisk;

    fn aborted(producer: i64, first: i64, last: i64) -> Aborted {
        let last_stable = Offset(last + 1);
        Aborted {
            producer: ProducerId(producer),
            first: Offset(first),
            last: Offset(last),
            last_stable,
        }
    }

    #[test]
    fn entry_has_kafkas_layout_and_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00000000000000000000.txnindex");
        assert_eq!(read(&RealDisk, &path).unwrap(), []);
        append(&RealDisk, &path, &aborted(1000, 5, 9)).unwrap();
        append(&RealDisk, &path, &aborted(1001, 3, 12)).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let expected = [
            &0i16.to_be_bytes()[..],
            &1000i64.to_be_bytes(),
            &5i64.to_be_bytes(),
            &9i64.to_be_bytes(),
            &10i64.to_be_bytes(),
        ];
        assert_eq!(bytes[..34], expected.concat());
        assert_eq!(read(&RealDisk, &path).unwrap(), [aborted(1000, 5, 9), aborted(1001, 3, 12)]);
    }

    #[test]
    fn zeros_are_no_entries() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00000000000000000000.txnindex");
        std::fs::write(&path, [0; 2 * ENTRY]).unwrap();
        assert_eq!(read_with_rest(&RealDisk, &path).unwrap(), (vec![], 2 * ENTRY));
    }

    #[test]
    fn entries_that_stay_are_not_written_again() {
        let [first, second, third] = [aborted(1, 5, 9), aborted(2, 10, 11), aborted(3, 12, 13)];
        let bytes = |entries: &[Aborted]| {
            let mut bytes = Vec::new();
            entries.iter().for_each(|entry| entry.write(&mut bytes));
            bytes
        };
        let there = bytes(&[first, second]);
        for (wanted, kept) in [
            (&[first, third][..], 1),
            (&[third], 0),
            (&[first], 1),
            (&[first, second, third], 2),
            (&[], 0),
        ] {
            assert_eq!(already_there(&there, &bytes(wanted)), kept * ENTRY, "{wanted:?}");
            // Half an entry is none.
            assert_eq!(already_there(&there[..40], &bytes(wanted)), kept.min(1) * ENTRY);
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("00000000000000000000.txnindex");
            std::fs::write(&path, &there).unwrap();
            write(&RealDisk, &path, wanted, true).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), bytes(wanted));
        }
    }

    #[test]
    fn half_an_entry_or_one_that_goes_back_ends_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00000000000000000000.txnindex");
        write(&RealDisk, &path, &[aborted(1, 5, 9), aborted(1, 2, 7)], false).unwrap();
        assert_eq!(read(&RealDisk, &path).unwrap(), [aborted(1, 5, 9)]);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..40]).unwrap();
        assert_eq!(read_with_rest(&RealDisk, &path).unwrap(), (vec![aborted(1, 5, 9)], 6));
        append(&RealDisk, &path, &aborted(2, 10, 11)).unwrap();
        assert_eq!(read(&RealDisk, &path).unwrap(), [aborted(1, 5, 9), aborted(2, 10, 11)]);
        write(&RealDisk, &path, &[], false).unwrap();
        assert!(!path.exists());
    }
}
