//! Transactions as a log knows them: what a marker says, and which transactions were aborted
//! (`.txnindex`, byte for byte Kafka's version 0).
//!
//! A `read_committed` reader leaves out a producer's records from where an aborted transaction
//! begins to its marker, so an entry is the truth and not a shortcut: it is synced with its segment
//! and built anew from the batches wherever those are examined.

use std::io;
use std::path::Path;

use bytes::{Buf, BufMut};

use super::LogError;
use super::checkpoint::read_file;
use crate::base::{Offset, ProducerId};
use crate::io::{Disk, File, Open};
use crate::wire::batch;

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

/// A transaction that was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aborted {
    /// Whose.
    pub producer: ProducerId,
    /// Its first record.
    pub first: Offset,
    /// Its marker.
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
        let ordered = first >= Offset::ZERO && first <= last;
        // Behind the marker only what comes after it can be undecided.
        let stable = last < Offset(i64::MAX) && (Offset::ZERO..=last.next()).contains(&last_stable);
        (ordered && stable).then_some(Self { producer, first, last, last_stable })
    }
}

/// The entries of a file, in the order of markers; none when there is no file. What can't be an
/// entry ends it.
pub(crate) fn read<D: Disk>(disk: &D, path: &Path) -> Result<Vec<Aborted>, LogError> {
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
    Ok(entries)
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
/// none; `always` makes one.
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
    let file = disk.open(path, Open::OrCreate).map_err(LogError::io("create", path))?;
    file.set_len(0).map_err(LogError::io("empty", path))?;
    file.write_at(&bytes, 0).map_err(LogError::io("write", path))?;
    Ok(Some(file))
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
    fn an_entry_has_kafkas_layout_and_is_read_as_it_was_written() {
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
    fn half_an_entry_or_one_that_goes_back_ends_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00000000000000000000.txnindex");
        write(&RealDisk, &path, &[aborted(1, 5, 9), aborted(1, 2, 7)], false).unwrap();
        assert_eq!(read(&RealDisk, &path).unwrap(), [aborted(1, 5, 9)]);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..40]).unwrap();
        append(&RealDisk, &path, &aborted(2, 10, 11)).unwrap();
        assert_eq!(read(&RealDisk, &path).unwrap(), [aborted(1, 5, 9), aborted(2, 10, 11)]);
        write(&RealDisk, &path, &[], false).unwrap();
        assert!(!path.exists());
    }
}
