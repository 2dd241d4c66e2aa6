//! How a cleaned segment replaces its sources, and how recovery completes a swap that a crash
//! interrupted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::base::Offset;
use crate::io::{Disk, File, Open};
use crate::log::names::{self, Kind};
use crate::log::scan::{NEAR, Stop, Walk};
use crate::log::segment::Segment;
use crate::log::{Log, LogError, Retired};

/// A rewritten segment that is about to replace its sources.
pub struct Cleaned<D: Disk> {
    base: Offset,
    /// The new segment; `None` once it is in the log.
    segment: Option<Segment<D>>,
    /// The replaced segments: base offset and size of each.
    replaced: Vec<(Offset, u64)>,
    /// Replaced segments whose files still exist.
    old: Vec<Segment<D>>,
    cuts: u64,
}

impl<D: Disk> Cleaned<D> {
    pub(super) fn new(segment: Segment<D>, replaced: Vec<(Offset, u64)>, cuts: u64) -> Self {
        let base = segment.base;
        Self { base, segment: Some(segment), replaced, old: Vec::new(), cuts }
    }
}

impl<D: Disk> Log<D> {
    /// Replaces the source segments by the cleaned one. Returns `false` if the log has changed
    /// there since, and the segment is useless. Sync the directory, then call [`Log::place_swap`].
    pub fn swap_in(&mut self, cleaned: &mut Cleaned<D>) -> Result<bool, LogError> {
        self.durability.check_online()?;
        let Some(mut segment) = cleaned.segment.take() else { return Ok(false) };
        let last = self.segments.keys().next_back().copied();
        let same = cleaned.replaced.iter().all(|(base, bytes)| {
            Some(*base) != last && self.segments.get(base).is_some_and(|s| s.size == *bytes)
        });
        if !same || self.durability.cuts() != cleaned.cuts {
            segment.remove()?;
            return Ok(false);
        }
        self.durability.names_changed();
        let renamed = segment.rename_log(names::SWAP);
        self.or_offline(renamed)?;
        for (base, _) in &cleaned.replaced {
            cleaned.old.extend(self.segments.remove(base).map(|old| *old));
        }
        // The range still covers what an earlier cleaning removed at its end.
        let next = self.segments.range(cleaned.base..).next();
        segment.end = next.map_or(segment.end, |(base, _)| *base);
        self.segments.insert(cleaned.base, Box::new(segment));
        self.check();
        Ok(true)
    }

    /// Renames the new batches, now durable, to their final name, replacing the old file. Sync the
    /// directory, then call [`Log::settle_swap`].
    pub fn place_swap(&mut self, cleaned: &Cleaned<D>) -> Result<(), LogError> {
        self.rename_swapped(cleaned, |segment| segment.rename_log(""))
    }

    /// Renames the other old files to `.deleted`, for removal. Sync the directory, then call
    /// [`Log::finish_swap`].
    pub fn settle_swap(&mut self, cleaned: &mut Cleaned<D>) -> Result<Retired, LogError> {
        self.durability.check_online()?;
        self.durability.names_changed();
        let mut retired = Retired::default();
        for old in cleaned.old.drain(..) {
            // Otherwise these names belong to the new segment, or, after a truncation, to a later
            // one.
            if !self.segments.contains_key(&old.base) {
                let taken = old.take_out();
                retired.files.extend(self.or_offline(taken)?);
            }
        }
        Ok(retired)
    }

    /// Renames the new indexes to their final names: the last step. Sync the directory again.
    pub fn finish_swap(&mut self, cleaned: &Cleaned<D>) -> Result<(), LogError> {
        self.rename_swapped(cleaned, |segment| segment.rename_indexes(""))
    }

    /// The log is clean below this offset, if it was not truncated below it meanwhile.
    pub fn cleaned(&mut self, until: Offset) {
        self.cleaned_to = self.cleaned_to.max(until).min(self.log_end);
    }

    /// Renames files of the new segment, unless retention or a truncation has removed it.
    fn rename_swapped(
        &mut self,
        cleaned: &Cleaned<D>,
        rename: impl FnOnce(&mut Segment<D>) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        self.durability.check_online()?;
        self.durability.names_changed();
        let segment = self.segments.get_mut(&cleaned.base);
        match segment.filter(|segment| segment.index_suffix == names::SWAP) {
            Some(segment) => {
                let renamed = rename(segment);
                self.or_offline(renamed)
            }
            None => Ok(()),
        }
    }
}

/// A swap that a crash interrupted.
struct Pending {
    /// Its batches still have the suffix `.swap`; they are valid, because they were synced first.
    unplaced: bool,
    /// Other segments that it replaces.
    covered: Vec<Offset>,
}

/// Completes swaps that a crash interrupted, and removes files of cleanings that never counted. An
/// `.index.swap` file indicates a possible swap. If the batches of that base offset are the new
/// ones, they extend over other segments; the old ones don't.
pub(crate) async fn settle_leftovers<D: Disk>(disk: &D, dir: &Path) -> Result<(), LogError> {
    let entries = disk.list(dir).map_err(LogError::io("list", dir))?;
    let (mut logs, mut unplaced) = (BTreeSet::new(), BTreeSet::new());
    let (mut bases, mut indexes) = (BTreeSet::new(), Vec::new());
    for entry in entries.iter().filter(|entry| !entry.is_dir) {
        match (names::unswapped(&entry.name).map(names::kind), names::kind(&entry.name)) {
            (Some(Kind::Log(base)), _) => {
                unplaced.insert(base);
                bases.insert(base);
            }
            (Some(kind), _) => {
                if let Kind::Index(base) = kind {
                    bases.insert(base);
                }
                indexes.push((kind, entry.name.as_str()));
            }
            (None, Kind::Log(base)) => drop(logs.insert(base)),
            _ => {}
        }
    }
    if bases.is_empty() && indexes.is_empty() {
        return Ok(());
    }
    let mut pending = BTreeMap::new();
    for base in bases.into_iter().filter(|base| unplaced.contains(base) || logs.contains(base)) {
        let (place, unplaced) = (names::log(dir, base), unplaced.contains(&base));
        let path = if unplaced { names::with_suffix(&place, names::SWAP) } else { place };
        // Kafka's cleaner may leave an empty segment, which covers no offset.
        let end = end_of(disk, &path, base)?.max(base.next());
        let covered = logs.range(base.next()..end).copied().collect();
        pending.insert(base, Pending { unplaced, covered });
    }
    finish(disk, dir, &pending, &indexes).await
}

/// Like a cleaner, with a sync of the directory after each step.
async fn finish<D: Disk>(
    disk: &D,
    dir: &Path,
    pending: &BTreeMap<Offset, Pending>,
    indexes: &[(Kind, &str)],
) -> Result<(), LogError> {
    let sync = || async { disk.sync_dir(dir).await.map_err(LogError::io("sync", dir)) };
    for (base, _) in pending.iter().filter(|(_, swap)| swap.unplaced) {
        let to = names::log(dir, *base);
        let from = names::with_suffix(&to, names::SWAP);
        tracing::info!(segment = %to.display(), "completed the swap of a cleaned segment");
        disk.rename(&from, &to).map_err(LogError::io("rename", &from))?;
    }
    sync().await?;
    for (base, swap) in pending {
        // Old indexes do not match the new batches, and can be rebuilt. The old transaction index
        // has at least the entries of the new one.
        remove(disk, &names::index(dir, *base))?;
        remove(disk, &names::time_index(dir, *base))?;
        let (to, name) = (names::transaction_index(dir, *base), Kind::TransactionIndex(*base));
        let from = names::with_suffix(&to, names::SWAP);
        if (swap.unplaced || !swap.covered.is_empty()) && indexes.iter().any(|(k, _)| *k == name) {
            disk.rename(&from, &to).map_err(LogError::io("rename", &from))?;
        }
    }
    sync().await?;
    for old in pending.values().flat_map(|swap| &swap.covered) {
        remove(disk, &names::index(dir, *old))?;
        remove(disk, &names::time_index(dir, *old))?;
        remove(disk, &names::transaction_index(dir, *old))?;
        remove(disk, &names::log(dir, *old))?;
    }
    sync().await?;
    for (_, name) in indexes {
        remove(disk, &dir.join(name))?;
    }
    sync().await
}

/// The offset after a segment's last valid batch.
fn end_of<D: Disk>(disk: &D, path: &Path, base: Offset) -> Result<Offset, LogError> {
    let file = disk.open(path, Open::Existing).map_err(LogError::io("open", path))?;
    let size = file.len().map_err(LogError::io("measure", path))?;
    let mut walk = Walk::new(&file, path, 0, size, NEAR);
    let mut end = base;
    loop {
        match walk.next() {
            Ok(Some((_, header))) => end = header.next_offset(),
            // Opening the segment reports that.
            Ok(None) | Err(Stop::Bad(_)) => return Ok(end),
            Err(Stop::Log(error)) => return Err(error),
        }
    }
}

fn remove<D: Disk>(disk: &D, path: &Path) -> Result<(), LogError> {
    match disk.remove(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(LogError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}
