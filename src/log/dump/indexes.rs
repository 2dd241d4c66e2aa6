//! Indexes, compared with the log beside them.

use std::io::{self, Write};
use std::path::Path;

use super::batches::{batch_at, latest};
use super::{Dump, DumpError};
use crate::base::{Offset, Timestamp};
use crate::io::File;

/// Bytes of an aborted transaction (KIP-98): version, producer, first and last offset, last stable
/// offset.
const ABORTED_LEN: usize = 34;

/// Entries of `N` bytes in a file.
struct Entries<F, const N: usize> {
    file: F,
    len: u64,
}

impl<F: File, const N: usize> Entries<F, N> {
    fn count(&self) -> u64 {
        self.len / N as u64
    }

    fn get(&self, path: &Path, entry: u64) -> Result<[u8; N], DumpError> {
        let mut bytes = [0; N];
        let read = self.file.read_exact_at(&mut bytes, entry * N as u64);
        read.map_err(DumpError::read(path))?;
        Ok(bytes)
    }

    /// What a start asks of every index.
    fn check_length(&self, path: &Path) -> Result<(), DumpError> {
        if self.len.is_multiple_of(N as u64) {
            return Ok(());
        }
        let problem = format!("{} bytes are not a multiple of {N}: half an entry", self.len);
        Err(DumpError::corrupt(path, self.count() * N as u64, problem))
    }
}

fn place(base: Offset, [a, b, c, d, position @ ..]: [u8; 8]) -> (Offset, u64) {
    let offset = base.0.wrapping_add(i64::from(i32::from_be_bytes([a, b, c, d])));
    (Offset(offset), u64::from(u32::from_be_bytes(position)))
}

fn moment(base: Offset, [a, b, c, d, e, f, g, h, offset @ ..]: [u8; 12]) -> (Timestamp, Offset) {
    let timestamp = Timestamp(i64::from_be_bytes([a, b, c, d, e, f, g, h]));
    (timestamp, Offset(base.0.wrapping_add(i64::from(i32::from_be_bytes(offset)))))
}

impl<F: File, O: Fn(&Path) -> io::Result<F>, W: Write> Dump<'_, O, W> {
    fn entries<const N: usize>(&self, path: &Path) -> Result<Entries<F, N>, DumpError> {
        let (file, len) = self.opened(path)?;
        Ok(Entries { file, len })
    }

    /// Shows an `.index`.
    pub(super) fn index(&mut self, path: &Path, base: Offset) -> Result<(), DumpError> {
        let log_path = path.with_extension("log");
        let (log, log_len) = self.opened(&log_path)?;
        let places = self.entries::<8>(path)?;
        if places.count() == 0 {
            return self.line(format_args!("{} is empty.", path.display()));
        }
        if self.options.index_sanity_check {
            let (last, _) = place(base, places.get(path, places.count() - 1)?);
            if last < base {
                let problem = format!("its last offset {last} is below its base offset {base}");
                return Err(DumpError::corrupt(path, 0, problem));
            }
            places.check_length(path)?;
            return self.line(format_args!("{} passed sanity check.", path.display()));
        }
        for entry in 0..places.count() {
            let (offset, position) = place(base, places.get(path, entry)?);
            // Zeros, which were never written: what was preallocated.
            if offset == base && entry > 0 {
                return Ok(());
            }
            let end = position.saturating_add(self.options.max_message_size).min(log_len);
            let Some(found) = batch_at(&log, &log_path, position, end)? else {
                let problem = format!("no batch is at byte {position} of the log");
                return Err(DumpError::corrupt(path, entry * 8, problem));
            };
            if found.last_offset() != offset {
                self.problems.mismatch(path, offset, found.last_offset());
            }
            if !self.options.verify_index_only {
                self.line(format_args!("offset: {offset} position: {position}"))?;
            }
        }
        Ok(())
    }

    /// Shows a `.timeindex`.
    pub(super) fn time_index(&mut self, path: &Path, base: Offset) -> Result<(), DumpError> {
        let (log_path, index_path) = (path.with_extension("log"), path.with_extension("index"));
        let (log, log_len) = self.opened(&log_path)?;
        let places = self.entries::<8>(&index_path)?;
        let moments = self.entries::<12>(path)?;
        if self.options.index_sanity_check {
            self.check_times(path, base, &moments)?;
            return self.line(format_args!("{} passed sanity check.", path.display()));
        }
        let mut before = Timestamp::NONE;
        for entry in 0..moments.count() {
            let (timestamp, offset) = moment(base, moments.get(path, entry)?);
            // Zeros, which were never written: what was preallocated.
            if offset == base && entry > 0 {
                return Ok(());
            }
            let mut position = floor(&places, &index_path, base, offset)?;
            let found = loop {
                match batch_at(&log, &log_path, position, log_len)? {
                    Some(found) if found.last_offset() >= offset => break Some(found),
                    Some(found) => position += found.size(),
                    None => break None,
                }
            };
            match found {
                None => self.problems.not_found(path, offset, Offset(-1)),
                Some(found) if found.last_offset() != offset => {
                    self.problems.not_found(path, offset, found.last_offset());
                }
                Some(found) => {
                    let latest = latest(&log, &log_path, &found)?;
                    if latest != timestamp {
                        self.problems.wrong_time(path, timestamp, latest);
                    }
                    if before >= timestamp {
                        self.problems.falling_time(path, timestamp, before);
                    }
                }
            }
            if !self.options.verify_index_only {
                self.line(format_args!("timestamp: {} offset: {offset}", timestamp.0))?;
            }
            before = timestamp;
        }
        Ok(())
    }

    fn check_times(
        &self,
        path: &Path,
        base: Offset,
        moments: &Entries<F, 12>,
    ) -> Result<(), DumpError> {
        if let Some(last) = moments.count().checked_sub(1) {
            let (first, _) = moment(base, moments.get(path, 0)?);
            let (latest, offset) = moment(base, moments.get(path, last)?);
            let corrupt = |problem| Err(DumpError::corrupt(path, last * 12, problem));
            if latest < first {
                let (latest, first) = (latest.0, first.0);
                return corrupt(format!("its last timestamp {latest} is below its first {first}"));
            }
            if offset < base {
                return corrupt(format!("its last offset {offset} is below its base {base}"));
            }
        }
        moments.check_length(path)
    }

    /// Shows a `.txnindex`.
    pub(super) fn transaction_index(&mut self, path: &Path) -> Result<(), DumpError> {
        let aborted = self.entries::<ABORTED_LEN>(path)?;
        for entry in 0..aborted.count() {
            let [v0, v1, numbers @ ..] = aborted.get(path, entry)?;
            let version = i16::from_be_bytes([v0, v1]);
            if version != 0 {
                let (problem, at) = (format!("version {version} is unknown"), entry * 34);
                return Err(DumpError::corrupt(path, at, problem));
            }
            let mut numbers = numbers.chunks_exact(8).map(|chunk| {
                chunk.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte)) as i64
            });
            let mut next = || numbers.next().unwrap_or_default();
            let (producer, first, last, stable) = (next(), next(), next(), next());
            self.line(format_args!(
                "version: {version} producerId: {producer} firstOffset: {first} \
                 lastOffset: {last} lastStableOffset: {stable}"
            ))?;
        }
        Ok(())
    }
}

/// Where the last batch begins of which the index says that it ends at or before `offset`.
fn floor<F: File>(
    places: &Entries<F, 8>,
    path: &Path,
    base: Offset,
    offset: Offset,
) -> Result<u64, DumpError> {
    let (mut low, mut high, mut found) = (0, places.count(), 0);
    while low < high {
        let middle = low + (high - low) / 2;
        let (last, position) = place(base, places.get(path, middle)?);
        if last <= offset {
            (low, found) = (middle + 1, position);
        } else {
            high = middle;
        }
    }
    Ok(found)
}
