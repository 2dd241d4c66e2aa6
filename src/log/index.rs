//! Sparse indexes of one segment, mapped into memory: offsets to positions (8 bytes an entry),
//! timestamps to offsets (12 bytes).
//!
//! An index is a shortcut: each entry is checked against the batch that it points at, and an index
//! that is missing or wrong is rebuilt from the log.

use std::io;
use std::path::Path;

use crate::base::{Offset, Timestamp};
use crate::io::{Disk, File, Map, Open};

/// A log that continues for this many bytes after its index ends has lost entries. No batch is nearly as
/// large, nor any usual `index.interval.bytes`.
const LONGEST_WAY: u64 = 16 << 20;

/// Bytes of an entry of the offset index.
const PLACE: u64 = 8;
/// Bytes of an entry of the time index.
const MOMENT: u64 = 12;

/// Entries of `N` bytes in a mapped file that may be longer than what is used of it.
pub(crate) struct Table<D: Disk, const N: usize> {
    disk: D,
    /// `None` while the file is empty: nothing can't be mapped. The file itself is not kept open:
    /// there are two for each partition.
    map: Option<D::Map>,
    used: u64,
    capacity: u64,
}

impl<D: Disk, const N: usize> Table<D, N> {
    /// An empty table in a new file, or over an old one.
    fn create(disk: &D, path: &Path, bytes: u64) -> io::Result<Self> {
        let file = disk.open(path, Open::OrCreate)?;
        file.set_len(0)?;
        let mut table = Self { disk: disk.clone(), map: None, used: 0, capacity: 0 };
        table.resize_file(&file, bytes)?;
        Ok(table)
    }

    /// A table that fills its file. `None` when there is no such file, or half an entry in it.
    fn open(disk: &D, path: &Path) -> io::Result<Option<Self>> {
        let file = match disk.open(path, Open::Existing) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let len = file.len()?;
        if len % N as u64 != 0 {
            return Ok(None);
        }
        let map = if len > 0 { Some(disk.map(&file, len)?) } else { None };
        let entries = len / N as u64;
        Ok(Some(Self { disk: disk.clone(), map, used: entries, capacity: entries }))
    }

    /// Gives the file room for `bytes`, though never less than is used.
    fn resize(&mut self, path: &Path, bytes: u64) -> io::Result<()> {
        if self.room_for(bytes) == self.capacity && self.map.is_some() {
            return Ok(());
        }
        let file = self.disk.open(path, Open::Existing)?;
        self.resize_file(&file, bytes)
    }

    /// Entries in a file of `bytes`, or of what is used.
    fn room_for(&self, bytes: u64) -> u64 {
        (bytes / N as u64).max(self.used)
    }

    fn resize_file(&mut self, file: &D::File, bytes: u64) -> io::Result<()> {
        let entries = self.room_for(bytes);
        // A file must not shrink under a map.
        self.map = None;
        self.capacity = 0;
        file.set_len(entries * N as u64)?;
        if entries > 0 {
            self.map = Some(self.disk.map(file, entries * N as u64)?);
        }
        self.capacity = entries;
        Ok(())
    }

    fn get(&self, entry: u64) -> [u8; N] {
        let mut bytes = [0; N];
        if let Some(map) = self.map.as_ref().filter(|_| entry < self.capacity) {
            map.read(entry * N as u64, &mut bytes);
        }
        bytes
    }

    fn push(&mut self, bytes: &[u8; N]) -> io::Result<()> {
        if self.used >= self.capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let Some(map) = &mut self.map else { return Err(io::ErrorKind::StorageFull.into()) };
        map.write(self.used * N as u64, bytes)?;
        self.used += 1;
        Ok(())
    }

    /// The number of leading entries for which `holds`, which must hold for a prefix.
    fn partition_point(&self, holds: impl Fn([u8; N]) -> bool) -> u64 {
        let (mut low, mut high) = (0, self.used);
        while low < high {
            let middle = low + (high - low) / 2;
            if holds(self.get(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// Where a batch is: an entry of the offset index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The last offset of the batch (of the append it came with, where Kafka wrote it).
    pub(crate) last: Offset,
    /// Where it begins in the file.
    pub(crate) position: u64,
}

/// When a batch was: an entry of the time index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// The largest timestamp of this batch and all before it in the segment.
    pub(crate) timestamp: Timestamp,
    /// The batch's last offset.
    pub(crate) last: Offset,
}

/// Both indexes of one segment.
pub(crate) struct Indexes<D: Disk> {
    base: Offset,
    places: Table<D, 8>,
    moments: Table<D, 12>,
}

impl<D: Disk> Indexes<D> {
    /// Empty ones, preallocated to `bytes` each.
    pub(crate) fn create(
        disk: &D,
        (index, time_index): (&Path, &Path),
        base: Offset,
        bytes: u64,
    ) -> io::Result<Self> {
        let places = Table::create(disk, index, bytes)?;
        let moments = Table::create(disk, time_index, bytes.max(MOMENT))?;
        Ok(Self { base, places, moments })
    }

    /// Those of a segment of `log_size` bytes; `None` when they are missing or can't be right.
    pub(crate) fn open(
        disk: &D,
        (index, time_index): (&Path, &Path),
        base: Offset,
        log_size: u64,
    ) -> io::Result<Option<Self>> {
        let Some(places) = Table::open(disk, index)? else { return Ok(None) };
        let Some(moments) = Table::open(disk, time_index)? else { return Ok(None) };
        let indexes = Self { base, places, moments };
        let way = log_size - indexes.last().map_or(0, |(last, _)| last.position.min(log_size));
        Ok((indexes.is_sane(log_size) && way <= LONGEST_WAY).then_some(indexes))
    }

    /// Both rise and stay inside the segment. Zeros that a crash left do not.
    fn is_sane(&self, log_size: u64) -> bool {
        let mut before: Option<Place> = None;
        for entry in 0..self.places.used {
            let place = self.place(entry);
            let rises = before.is_none_or(|b| place.last > b.last && place.position > b.position);
            if !rises || place.last < self.base || place.position >= log_size {
                return false;
            }
            before = Some(place);
        }
        let mut before: Option<Moment> = None;
        for entry in 0..self.moments.used {
            let moment = self.moment(entry);
            let rises =
                before.is_none_or(|b| moment.last >= b.last && moment.timestamp > b.timestamp);
            if !rises || moment.last < self.base {
                return false;
            }
            before = Some(moment);
        }
        true
    }

    fn place(&self, entry: u64) -> Place {
        let [a, b, c, d, position @ ..] = self.places.get(entry);
        let relative = u32::from_be_bytes([a, b, c, d]);
        let position = u64::from(u32::from_be_bytes(position));
        Place { last: self.base.plus(i64::from(relative)), position }
    }

    fn moment(&self, entry: u64) -> Moment {
        let [a, b, c, d, e, f, g, h, relative @ ..] = self.moments.get(entry);
        let timestamp = Timestamp(i64::from_be_bytes([a, b, c, d, e, f, g, h]));
        Moment { timestamp, last: self.base.plus(i64::from(u32::from_be_bytes(relative))) }
    }

    fn relative(&self, offset: Offset) -> Option<u32> {
        let relative = i32::try_from(offset.0.checked_sub(self.base.0)?).ok()?;
        u32::try_from(relative).ok()
    }

    /// Whether the segment has to end for lack of room. The time index keeps one entry free for
    /// the last moment of all.
    pub(crate) fn is_full(&self) -> bool {
        self.places.used >= self.places.capacity || self.moments.used + 1 >= self.moments.capacity
    }

    /// Adds a batch's place.
    pub(crate) fn push_place(&mut self, place: Place) -> io::Result<()> {
        let (Some(relative), Ok(position)) =
            (self.relative(place.last), i32::try_from(place.position))
        else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&relative.to_be_bytes());
        bytes[4..].copy_from_slice(&position.to_be_bytes());
        self.places.push(&bytes)
    }

    /// Adds a moment, if it is later than all before it. Leaves room for the segment's last one.
    pub(crate) fn push_moment(&mut self, moment: Moment) -> io::Result<()> {
        match self.moments.used + 1 < self.moments.capacity {
            true => self.push_last_moment(moment),
            false => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    /// Adds the segment's last moment, if it is later than all before it.
    pub(crate) fn push_last_moment(&mut self, moment: Moment) -> io::Result<()> {
        let before = self.last_moment();
        if before.is_some_and(|b| moment.timestamp <= b.timestamp || moment.last <= b.last) {
            return Ok(());
        }
        let Some(relative) = self.relative(moment.last) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&moment.timestamp.0.to_be_bytes());
        bytes[8..].copy_from_slice(&relative.to_be_bytes());
        self.moments.push(&bytes)
    }

    /// The last place in the index, and the one before that.
    pub(crate) fn last(&self) -> Option<(Place, Option<Place>)> {
        self.pair_before(self.places.used)
    }

    /// The last moment in the index.
    pub(crate) fn last_moment(&self) -> Option<Moment> {
        self.moments.used.checked_sub(1).map(|entry| self.moment(entry))
    }

    /// The last place whose batch ends at or before `offset`, and the one before that.
    pub(crate) fn floor(&self, offset: Offset) -> Option<(Place, Option<Place>)> {
        let target = offset.0.checked_sub(self.base.0)?;
        let after = self.places.partition_point(|[a, b, c, d, ..]| {
            i64::from(u32::from_be_bytes([a, b, c, d])) <= target
        });
        self.pair_before(after)
    }

    /// The last place at or before `limit` in the file whose batch ends before `until`, and the
    /// one before that.
    pub(crate) fn floor_of_position(
        &self,
        limit: u64,
        until: Offset,
    ) -> Option<(Place, Option<Place>)> {
        let after = self.places.partition_point(|entry| {
            let [a, b, c, d, position @ ..] = entry;
            let last = self.base.plus(i64::from(u32::from_be_bytes([a, b, c, d])));
            u64::from(u32::from_be_bytes(position)) <= limit && last < until
        });
        self.pair_before(after)
    }

    fn pair_before(&self, after: u64) -> Option<(Place, Option<Place>)> {
        let entry = after.checked_sub(1)?;
        Some((self.place(entry), entry.checked_sub(1).map(|entry| self.place(entry))))
    }

    /// The last moment that is not later than `timestamp`.
    pub(crate) fn floor_of_time(&self, timestamp: Timestamp) -> Option<Moment> {
        let after = self.moments.partition_point(|[a, b, c, d, e, f, g, h, ..]| {
            i64::from_be_bytes([a, b, c, d, e, f, g, h]) <= timestamp.0
        });
        after.checked_sub(1).map(|entry| self.moment(entry))
    }

    /// Forgets batches that end at or after `offset`.
    pub(crate) fn truncate_to(&mut self, offset: Offset) {
        let target = offset.0.saturating_sub(self.base.0);
        self.places.used = self.places.partition_point(|[a, b, c, d, ..]| {
            i64::from(u32::from_be_bytes([a, b, c, d])) < target
        });
        self.moments.used = self.moments.partition_point(|[.., a, b, c, d]| {
            i64::from(u32::from_be_bytes([a, b, c, d])) < target
        });
    }

    /// Gives the files room for `bytes` each, and for what they hold and the segment's last moment.
    pub(crate) fn preallocate(
        &mut self,
        (index, time_index): (&Path, &Path),
        bytes: u64,
    ) -> io::Result<()> {
        // Never less than before: a file that shrinks ends with entries that a truncation removed.
        let moments = self.moments.capacity.max(self.moments.used + 1);
        self.places.resize(index, bytes.max(self.places.capacity * PLACE))?;
        self.moments.resize(time_index, bytes.max(moments * MOMENT))
    }

    /// Cuts the files to what is used.
    pub(crate) fn cut(&mut self, (index, time_index): (&Path, &Path)) -> io::Result<()> {
        self.places.resize(index, 0)?;
        self.moments.resize(time_index, 0)
    }
}
