//! How a cleaned segment takes the place of those that it was made of, and what the next start
//! makes of a swap that a crash cut short.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::base::Offset;
use crate::io::{Disk, File, Open};
use crate::log::names::{self, Kind};
use crate::log::scan::{NEAR, Walk};
use crate::log::segment::Segment;
use crate::log::{Log, LogError, Retired};

/// A segment that was written anew, on its way into the log.
pub struct Cleaned<D: Disk> {
    base: Offset,
    /// Until it is in the log.
    segment: Option<Segment<D>>,
    /// What it takes the place of: where each begins, and its bytes.
    replaced: Vec<(Offset, u64)>,
    /// Those that it took the place of, until their files are out of the way.
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
    /// Puts a cleaned segment in the place of those that it was made of. `false`: the log has
    /// changed there since, and the segment is of no use. Sync the names, then
    /// [`Log::settle_swap`].
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
            cleaned.old.extend(self.segments.remove(base));
        }
        // What was cut away at its end by an earlier cleaning is still its own.
        let next = self.segments.range(cleaned.base..).next();
        segment.end = next.map_or(segment.end, |(base, _)| *base);
        self.segments.insert(cleaned.base, segment);
        Ok(true)
    }

    /// The swap is durable: the old files give way, and the new indexes get their names. The old
    /// batches of the same name keep it, so that there are some of that name whatever is left of the
    /// last rename. Sync the names, then [`Log::finish_swap`]; the files are for removal.
    pub fn settle_swap(&mut self, cleaned: &mut Cleaned<D>) -> Result<Retired, LogError> {
        self.durability.check_online()?;
        self.durability.names_changed();
        let mut retired = Retired::default();
        let placed = self.swapped(cleaned.base).is_some();
        for old in cleaned.old.drain(..) {
            let taken = match self.segments.contains_key(&old.base) {
                true if placed && old.base == cleaned.base => old.give_way(),
                // The log was cut meanwhile, and goes on in files of these names.
                true => continue,
                false => old.take_out(),
            };
            retired.files.extend(self.or_offline(taken)?);
        }
        if let Some(segment) = self.swapped(cleaned.base) {
            let placed = segment.rename_indexes("");
            self.or_offline(placed)?;
        }
        Ok(retired)
    }

    /// The new batches get their name. Sync the names once more.
    pub fn finish_swap(&mut self, cleaned: &Cleaned<D>) -> Result<(), LogError> {
        self.durability.check_online()?;
        self.durability.names_changed();
        if let Some(segment) = self.swapped(cleaned.base) {
            let placed = segment.rename_log("");
            self.or_offline(placed)?;
        }
        Ok(())
    }

    /// The log is clean up to here, if it was not cut below meanwhile.
    pub fn cleaned(&mut self, until: Offset) {
        self.cleaned_to = self.cleaned_to.max(until).min(self.log_end);
    }

    /// The segment that was swapped in, if it is still there: retention or a cut may have taken it.
    fn swapped(&mut self, base: Offset) -> Option<&mut Segment<D>> {
        let segment = self.segments.get_mut(&base);
        segment.filter(|segment| segment.is_swap())
    }
}

/// Brings swaps that a crash cut short to their end, and removes what was not finished before the
/// swap counted. Only a `.log.swap` counts: it was synced, with its indexes, before it got that
/// name.
pub(crate) async fn settle_leftovers<D: Disk>(disk: &D, dir: &Path) -> Result<(), LogError> {
    let entries = disk.list(dir).map_err(LogError::io("list", dir))?;
    let (mut logs, mut swaps) = (BTreeSet::new(), BTreeMap::new());
    let mut other_swaps = Vec::new();
    for entry in entries.iter().filter(|entry| !entry.is_dir) {
        match names::unswapped(&entry.name).map(names::kind) {
            Some(Kind::Log(base)) => {
                let end = end_of(disk, &dir.join(&entry.name), base)?;
                swaps.insert(base, end);
            }
            Some(_) => other_swaps.push(entry.name.as_str()),
            None => {
                if let Kind::Log(base) = names::kind(&entry.name) {
                    logs.insert(base);
                }
            }
        }
    }
    if swaps.is_empty() && other_swaps.is_empty() {
        return Ok(());
    }
    for (base, end) in &swaps {
        for old in logs.range(base.next()..*end) {
            remove(disk, &names::index(dir, *old))?;
            remove(disk, &names::time_index(dir, *old))?;
            remove(disk, &names::transaction_index(dir, *old))?;
            remove(disk, &names::log(dir, *old))?;
        }
        // The old one of the same base may have left indexes that say nothing of the new batches.
        for index in [names::index(dir, *base), names::time_index(dir, *base)] {
            remove(disk, &index)?;
        }
    }
    for name in other_swaps {
        let path = dir.join(name);
        let place = names::unswapped(name).filter(|name| match names::kind(name) {
            Kind::Index(base) | Kind::TimeIndex(base) | Kind::TransactionIndex(base) => {
                swaps.contains_key(&base)
            }
            _ => false,
        });
        match place {
            Some(name) => {
                disk.rename(&path, &dir.join(name)).map_err(LogError::io("rename", &path))?;
            }
            None => remove(disk, &path)?,
        }
    }
    disk.sync_dir(dir).await.map_err(LogError::io("sync", dir))?;
    for base in swaps.keys() {
        let to = names::log(dir, *base);
        let from = names::with_suffix(&to, names::SWAP);
        tracing::info!(segment = %to.display(), "a cleaned segment takes its place");
        disk.rename(&from, &to).map_err(LogError::io("rename", &from))?;
    }
    disk.sync_dir(dir).await.map_err(LogError::io("sync", dir))
}

/// The offset after a segment's last batch.
fn end_of<D: Disk>(disk: &D, path: &Path, base: Offset) -> Result<Offset, LogError> {
    let file = disk.open(path, Open::Existing).map_err(LogError::io("open", path))?;
    let size = file.len().map_err(LogError::io("measure", path))?;
    let mut walk = Walk::new(&file, path, 0, size, NEAR);
    let mut end = base;
    loop {
        let at = walk.position();
        match walk.next() {
            Ok(Some((_, header))) => end = header.next_offset(),
            Ok(None) => return Ok(end),
            Err(stop) => return Err(stop.into_error(path, at, end)),
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
