//! Finds batches in a segment by offset, size and time.

use super::LogError;
use super::index::{Indexes, Moment, Place};
use super::scan::{FAR, NEAR, Stop, Walk};
use super::segment::{LARGEST, Segment, Tracker};
use crate::base::{Offset, Timestamp};
use crate::io::{Disk, File};
use crate::wire::batch::{BatchHeader, HEADER_LEN};

/// A batch that was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Located {
    /// Where it begins.
    pub(crate) position: u64,
    pub(crate) header: BatchHeader,
}

/// Whole batches from a place of a segment on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) len: u64,
    /// Offset after the last of them.
    pub(crate) next: Offset,
    /// Whether another batch follows, for which there was no room.
    pub(crate) cut: bool,
}

/// A place in an index, and the one before it.
pub(crate) type Candidate = Option<(Place, Option<Place>)>;

impl<D: Disk> Segment<D> {
    /// The batch that holds `from`, or the first after it. `None` when all end before.
    pub(crate) fn locate(&self, from: Offset) -> Result<Option<Located>, LogError> {
        let mut walk = self.walk_from(|indexes| indexes.floor(from))?;
        self.find(&mut walk, |header| header.last_offset() >= from)
    }

    /// Where the segment ends when the batch that holds `offset`, and all after it, are cut: further
    /// down, where a cleaner removed what was before it.
    pub(crate) fn end_below(&self, offset: Offset) -> Result<Offset, LogError> {
        if self.dense
            && let Some(found) = self.locate(offset)?
        {
            return Ok(found.header.base_offset);
        }
        // The batch itself says nothing: before it, too, offsets may be missing.
        let mut walk = self.walk_from(|indexes| indexes.floor(offset.plus(-1)))?;
        let mut end = self.base;
        while let Some(found) = self.find(&mut walk, |_| true)?
            && found.header.last_offset() < offset
        {
            end = found.header.next_offset();
        }
        Ok(end)
    }

    /// The batch at a position that is known to be the beginning of one.
    pub(crate) fn located_at(&self, position: u64) -> Result<Option<Located>, LogError> {
        let mut walk = Walk::new(&self.file, &self.path, position, self.size, NEAR);
        self.find(&mut walk, |_| true)
    }

    /// The next batch of a walk that `wanted` accepts.
    pub(crate) fn find(
        &self,
        walk: &mut Walk<'_, D::File>,
        wanted: impl Fn(&BatchHeader) -> bool,
    ) -> Result<Option<Located>, LogError> {
        let mut due = self.base;
        loop {
            let at = walk.position();
            match walk.next() {
                Ok(Some((position, header))) if wanted(&header) => {
                    return Ok(Some(Located { position, header }));
                }
                Ok(Some((_, header))) => due = header.next_offset(),
                Ok(None) => return Ok(None),
                Err(stop) => return Err(stop.into_error(&self.path, at, due)),
            }
        }
    }

    /// A walk over headers from the batch that holds `from`, to the end of the segment.
    pub(crate) fn headers_from(&self, from: Offset) -> Result<Walk<'_, D::File>, LogError> {
        let position = self.locate(from)?.map_or(self.size, |found| found.position);
        Ok(Walk::new(&self.file, &self.path, position, self.size, NEAR))
    }

    /// The beginning of a batch at or before `position`, not far before it.
    pub(crate) fn start_of_tail(&self, position: u64) -> Result<u64, LogError> {
        let walk = self.walk_from(|indexes| indexes.floor_of_position(position, self.end))?;
        Ok(walk.position())
    }

    /// The whole batches from `first` on, within `max_bytes`, that begin below `until`.
    pub(crate) fn extent(
        &self,
        first: &Located,
        max_bytes: u64,
        until: Offset,
        at_least_one: bool,
    ) -> Result<Extent, LogError> {
        let start = first.position;
        let extent = |len, next, cut| Ok(Extent { len, next, cut });
        if first.header.base_offset >= until {
            return extent(0, first.header.base_offset, false);
        }
        let size = first.header.size() as u64;
        if size > max_bytes {
            return match at_least_one {
                true => extent(size, first.header.next_offset(), true),
                false => extent(0, first.header.base_offset, true),
            };
        }
        if until >= self.end && self.size - start <= max_bytes {
            return extent(self.size - start, self.end, false);
        }
        let limit = start.saturating_add(max_bytes).min(self.size);
        let mut walk = self.walk_from(|indexes| {
            let found = indexes.floor_of_position(limit, until);
            found.filter(|(place, _)| place.position > start)
        })?;
        if walk.position() <= start {
            walk = Walk::new(&self.file, &self.path, start, self.size, NEAR);
        }
        loop {
            let at = walk.position();
            let header = match walk.peek() {
                Ok(Some(header)) => header,
                Ok(None) => return extent(at - start, self.end, false),
                Err(stop) => return Err(stop.into_error(&self.path, at, self.base)),
            };
            if header.base_offset >= until || at + header.size() as u64 > limit {
                return extent(at - start, header.base_offset, header.base_offset < until);
            }
            walk.skip(&header);
        }
    }

    /// The latest timestamp, and the last offset of the batch that has it.
    pub(crate) fn latest(&self) -> Result<Option<Moment>, LogError> {
        if self.tracker.latest.is_some() {
            return Ok(self.tracker.latest);
        }
        self.with_indexes(Indexes::last_moment)
    }

    /// A walk from a batch before which all are older than `timestamp`.
    pub(crate) fn headers_from_time(
        &self,
        timestamp: Timestamp,
    ) -> Result<Walk<'_, D::File>, LogError> {
        let before = Timestamp(timestamp.0.saturating_sub(1));
        let floor = self.with_indexes(|indexes| indexes.floor_of_time(before))?;
        if let Some(moment) = floor
            && let Some(found) = self.locate(moment.last)?
            && found.header.last_offset() == moment.last
            && found.header.max_timestamp == moment.timestamp
        {
            return Ok(Walk::new(&self.file, &self.path, found.position, self.size, NEAR));
        }
        Ok(Walk::new(&self.file, &self.path, 0, self.size, NEAR))
    }

    /// A walk from a place that the index names, once the batch there has confirmed it; from the
    /// beginning when the index names none. A wrong index is rebuilt.
    pub(super) fn walk_from(
        &self,
        look: impl Fn(&Indexes<D>) -> Candidate,
    ) -> Result<Walk<'_, D::File>, LogError> {
        for _ in 0..2 {
            let Some((place, before)) = self.with_indexes(&look)? else { break };
            let mut walk = Walk::new(&self.file, &self.path, place.position, self.size, NEAR);
            match walk.peek() {
                Ok(Some(header))
                    if header.last_offset() <= place.last
                        && header.base_offset >= self.base
                        && before.is_none_or(|before| before.last < header.base_offset) =>
                {
                    return Ok(walk);
                }
                Err(Stop::Log(error)) => return Err(error),
                _ => self.rebuild()?,
            }
        }
        Ok(Walk::new(&self.file, &self.path, 0, self.size, NEAR))
    }

    /// Looks something up in the indexes, which are opened or rebuilt first if necessary.
    pub(super) fn with_indexes<T>(&self, look: impl Fn(&Indexes<D>) -> T) -> Result<T, LogError> {
        let mut state = self.indexes.lock();
        if let Some(indexes) = &state.open {
            return Ok(look(indexes));
        }
        let (index, time_index) = self.index_paths();
        let opened = Indexes::open(&self.disk, (&index, &time_index), self.base, self.size);
        let indexes = match opened.map_err(LogError::io("open", &index))? {
            Some(indexes) if self.ends_agree(&indexes)? => indexes,
            // A file must not shrink under a map: the match has dropped those that were opened.
            _ => {
                state.unsynced = true;
                self.rebuilt()?
            }
        };
        Ok(look(state.open.insert(indexes)))
    }

    /// Whether the last moment is that of its batch, and nothing after it is later: a segment in
    /// which nothing is late enough is never searched by time.
    fn ends_agree(&self, indexes: &Indexes<D>) -> Result<bool, LogError> {
        let last = indexes.last_moment();
        let walk_from = |place: Candidate| {
            let position = place.map_or(0, |(place, _)| place.position);
            Walk::new(&self.file, &self.path, position, self.size, NEAR)
        };
        if let Some(moment) = last {
            let mut walk = walk_from(indexes.floor(moment.last));
            let found = good(self.find(&mut walk, |header| header.last_offset() >= moment.last))?;
            let agrees = |h: &BatchHeader| {
                h.last_offset() == moment.last && h.max_timestamp == moment.timestamp
            };
            if !found.is_some_and(|found| agrees(&found.header)) {
                return Ok(false);
            }
        }
        let latest = last.map_or(Timestamp::NONE, |moment| moment.timestamp);
        let mut walk = walk_from(indexes.last());
        let later = good(self.find(&mut walk, |header| header.max_timestamp > latest))?;
        Ok(later.is_none() && walk.position() == self.size)
    }

    fn rebuild(&self) -> Result<(), LogError> {
        let mut state = self.indexes.lock();
        state.unsynced = true;
        // A file must not shrink under a map.
        state.open = None;
        state.open = Some(self.rebuilt()?);
        Ok(())
    }

    fn rebuilt(&self) -> Result<Indexes<D>, LogError> {
        tracing::warn!(segment = %self.path.display(), "rebuilding the indexes");
        let (index, time_index) = self.index_paths();
        let mut tracker = Tracker::new(self.tracker.interval);
        // No more entries than bytes of log can ask for.
        let room = 12 * (self.size / tracker.interval.max(HEADER_LEN as u64) + 2);
        let paths = (&*index, &*time_index);
        let mut indexes = Indexes::create(&self.disk, paths, self.base, room.min(LARGEST))
            .map_err(LogError::io("create", &index))?;
        let mut walk = Walk::new(&self.file, &self.path, 0, self.size, FAR);
        let mut due = self.base;
        loop {
            let at = walk.position();
            match walk.next() {
                Ok(Some((position, header))) => {
                    if let Err(problem) = self.follows(due, &header) {
                        return Err(Stop::Bad(problem).into_error(&self.path, at, due));
                    }
                    due = header.next_offset();
                    tracker.note(&mut indexes, position, &header);
                }
                Ok(None) => break,
                Err(stop) => return Err(stop.into_error(&self.path, at, due)),
            }
        }
        tracker.push_last(&mut indexes);
        let _ = indexes.cut(paths);
        Ok(indexes)
    }

    /// The bytes of a batch.
    pub(crate) fn load(&self, found: &Located) -> Result<Vec<u8>, LogError> {
        // Never more than the file has: the walk that found the batch made sure.
        let mut bytes = vec![0; found.header.size()];
        self.file
            .read_exact_at(&mut bytes, found.position)
            .map_err(LogError::io("read", &self.path))?;
        Ok(bytes)
    }
}

/// A walk that met no batch where it looked found nothing.
fn good(found: Result<Option<Located>, LogError>) -> Result<Option<Located>, LogError> {
    match found {
        Err(LogError::Corrupt { .. }) => Ok(None),
        found => found,
    }
}
