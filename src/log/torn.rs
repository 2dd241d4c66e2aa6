//! Tells damage from a torn tail in the metadata log, before anything of it is changed.
//!
//! A log of records can be fetched from another replica; a controller's metadata log can't. So
//! each of its batches states how much before it was not yet synced when it was appended. An intact
//! batch behind a bad one proves that the bad one was synced, unless both were in flight when the
//! process ended: then neither was ever acknowledged, and both are cut.

use std::path::{Path, PathBuf};

use super::names::{self, Kind};
use super::scan::{FAR, Stop, Walk};
use super::{LogError, Recovery};
use crate::base::{LeaderEpoch, Offset};
use crate::io::{Disk, File, Open};
use crate::wire::batch::{BatchError, BatchHeader, HEADER_LEN, MAGIC};

/// Bytes that are searched at a time.
const CHUNK: usize = 1 << 20;
/// Where the magic byte is in a batch.
const AT_MAGIC: usize = 16;

/// Where a log stops being one, and why.
struct Bad {
    path: PathBuf,
    position: u64,
    /// The offset that is due there, and the epoch before it.
    due: Offset,
    epoch: LeaderEpoch,
    problem: String,
}

impl Bad {
    fn into_error(self) -> LogError {
        let Self { path, position, due, problem, .. } = self;
        LogError::Corrupt { path, position, offset: due, problem }
    }

    /// Whether an intact batch behind it proves that it was synced. A controller begins its epoch
    /// only once all before it is durable, and continues only once its first batch is.
    fn was_synced_before(&self, later: &BatchHeader) -> bool {
        let new_epoch = later.leader_epoch > self.epoch;
        later.base_offset > self.due && (new_epoch || synced_before(later) > self.due)
    }
}

/// What was synced when this batch was appended, as far as it says so.
fn synced_before(header: &BatchHeader) -> Offset {
    match header.has_producer() || header.base_sequence < 0 {
        true => Offset::ZERO,
        false => Offset(header.base_offset.0.saturating_sub(i64::from(header.base_sequence))),
    }
}

/// Refuses a metadata log in which synced batches are damaged or missing. Changes nothing. After a
/// clean stop all was synced; otherwise, all below the recovery point and whatever batches prove.
pub fn refuse_damage<D: Disk>(disk: &D, dir: &Path, known: Recovery) -> Result<(), LogError> {
    let segments = segments(disk, dir)?;
    let mut due = segments.first().map_or(Offset::ZERO, |(base, _)| *base);
    let mut epoch = LeaderEpoch::NONE;
    for (index, (base, path)) in segments.iter().enumerate() {
        let file = disk.open(path, Open::Existing).map_err(LogError::io("open", path))?;
        let size = file.len().map_err(LogError::io("measure", path))?;
        let mut walk = Walk::new(&file, path, 0, size, FAR);
        let gap = *base != due;
        let mut stopped = gap.then_some(BatchError::Corrupt("a segment begins at another offset"));
        while stopped.is_none() {
            match next_good(&mut walk, due, epoch) {
                Ok(Some(header)) => (due, epoch) = (header.next_offset(), header.leader_epoch),
                Ok(None) => break,
                Err(Stop::Bad(problem)) => stopped = Some(problem),
                Err(Stop::Log(error)) => return Err(error),
            }
        }
        let Some(problem) = stopped else { continue };
        let (position, problem) = (walk.position(), problem.to_string());
        // The bad batch itself proves nothing, unless it is only in the wrong place.
        let from = position + u64::from(!gap);
        let bad = Bad { path: path.clone(), position, due, epoch, problem };
        let is_damage = known.clean
            || due < known.recovery_point
            || proves(disk, &segments[index..], from, &bad)?;
        return if is_damage { Err(bad.into_error()) } else { Ok(()) };
    }
    if due < known.recovery_point {
        let (path, position) = match segments.last() {
            Some((_, path)) => (path.clone(), length(disk, path)?),
            None => (dir.to_owned(), 0),
        };
        let problem = format!("the log ends at offset {due}, and {} is due", known.recovery_point);
        return Err(Bad { path, position, due, epoch, problem }.into_error());
    }
    Ok(())
}

fn length<D: Disk>(disk: &D, path: &Path) -> Result<u64, LogError> {
    let file = disk.open(path, Open::Existing).map_err(LogError::io("open", path))?;
    file.len().map_err(LogError::io("measure", path))
}

/// The files with batches, in order.
fn segments<D: Disk>(disk: &D, dir: &Path) -> Result<Vec<(Offset, PathBuf)>, LogError> {
    if !disk.exists(dir).map_err(LogError::io("look for", dir))? {
        return Ok(Vec::new());
    }
    let entries = disk.list(dir).map_err(LogError::io("list", dir))?;
    let of_log = |name: &str| match names::kind(name) {
        Kind::Log(base) => Some((base, dir.join(name))),
        _ => None,
    };
    let files = entries.iter().filter(|entry| !entry.is_dir);
    let mut segments: Vec<_> = files.filter_map(|entry| of_log(&entry.name)).collect();
    segments.sort();
    Ok(segments)
}

fn next_good<F: File>(
    walk: &mut Walk<'_, F>,
    due: Offset,
    epoch: LeaderEpoch,
) -> Result<Option<BatchHeader>, Stop> {
    let Some(header) = walk.peek()? else { return Ok(None) };
    walk.verify(&header)?;
    if header.base_offset != due {
        return Err(Stop::Bad(BatchError::Corrupt("its offset does not follow")));
    }
    if header.leader_epoch < epoch {
        let problem = "its leader epoch is older than the one before";
        return Err(Stop::Bad(BatchError::Corrupt(problem)));
    }
    walk.skip(&header);
    Ok(Some(header))
}

/// Whether any intact batch in these segments, from this position in the first, proves that the bad
/// one was synced. The length of a bad batch may be wrong: each byte in it may begin another.
fn proves<D: Disk>(
    disk: &D,
    segments: &[(Offset, PathBuf)],
    mut from: u64,
    bad: &Bad,
) -> Result<bool, LogError> {
    for (_, path) in segments {
        let file = disk.open(path, Open::Existing).map_err(LogError::io("open", path))?;
        if proves_in(&file, path, from, bad)? {
            return Ok(true);
        }
        from = 0;
    }
    Ok(false)
}

fn proves_in<F: File>(file: &F, path: &Path, from: u64, bad: &Bad) -> Result<bool, LogError> {
    let size = file.len().map_err(LogError::io("measure", path))?;
    let mut chunk = Vec::new();
    let mut at = from;
    while at + HEADER_LEN as u64 <= size {
        chunk.resize((size - at).min(CHUNK as u64) as usize, 0);
        file.read_exact_at(&mut chunk, at).map_err(LogError::io("read", path))?;
        for (index, bytes) in chunk.windows(HEADER_LEN).enumerate() {
            if bytes[AT_MAGIC] != MAGIC as u8 {
                continue;
            }
            let Ok(header) = BatchHeader::parse(bytes) else { continue };
            if !bad.was_synced_before(&header) {
                continue;
            }
            let mut walk = Walk::new(file, path, at + index as u64, size, FAR);
            match walk.peek().and_then(|_| walk.verify(&header)) {
                Ok(()) => return Ok(true),
                Err(Stop::Bad(_)) => {}
                Err(Stop::Log(error)) => return Err(error),
            }
        }
        // The next chunk begins with the first header that this one has not whole.
        at += (chunk.len() - HEADER_LEN + 1) as u64;
    }
    Ok(false)
}
