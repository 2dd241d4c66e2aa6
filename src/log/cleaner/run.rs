//! Reads the keys of the dirty part, and rewrites segments.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::path::{Path, PathBuf};

use super::filter::{LARGEST_UNPACKED, Left, Rules, filter};
use super::{Cleaned, Dirtiness, OffsetMap, Sealed, Transactions, dirtiness, group};
use crate::base::{Offset, ProducerId, Timestamp};
use crate::io::{Disk, File, Open};
use crate::log::aborted::{Comparison, Witness};
use crate::log::producers::LastRecord;
use crate::log::scan::{FAR, Stop, Walk};
use crate::log::segment::Segment;
use crate::log::transactions::{Aborted, Marker};
use crate::log::{Log, LogConfig, LogError, Retired, names};
use crate::wire::batch::{self, BatchError, BatchHeader};

/// Bytes written at a time.
const CHUNK: usize = 1 << 20;

/// Limits the speed of a cleaner.
pub trait Pace: Send {
    /// Waits until the cleaner may continue, after `bytes` were read or written.
    fn spent(&mut self, bytes: u64) -> impl Future<Output = ()> + Send;
}

/// The owner of the log that is cleaned, which lends it for single steps.
pub trait Keeper<D: Disk> {
    /// Lends the log; `None` when it was closed or deleted.
    fn lend<T>(&self, step: impl FnOnce(&mut Log<D>) -> T) -> Option<T>;
    /// Removes files once no reader has them open.
    fn retire(&self, retired: Retired);
}

/// One cleaning of one log. The log may be used meanwhile.
pub struct Cleaning<D: Disk> {
    disk: D,
    dir: PathBuf,
    config: LogConfig,
    /// Number of truncations when the cleaning began; another one makes it stale.
    cuts: u64,
    parts: Vec<Part<D>>,
    groups: VecDeque<std::ops::Range<usize>>,
    dirty: Dirtiness,
    /// Transaction indexes that list the aborted transactions, to be verified.
    witnesses: Vec<Witness<D>>,
    aborted: Vec<Aborted>,
    producers: BTreeMap<ProducerId, LastRecord>,
    transactions: Transactions,
    latest: OffsetMap,
    now: Timestamp,
}

/// A segment to clean.
struct Part<D: Disk> {
    sealed: Sealed,
    path: PathBuf,
    file: D::File,
    /// Whether it has a transaction index: then its replacement needs one, too.
    has_aborted: bool,
}

impl<D: Disk> Log<D> {
    /// Begins to clean the dirty part, with memory for keys as in [`Cleaning`]. `None` when nothing
    /// is dirty.
    pub fn cleaning(
        &mut self,
        high_watermark: Offset,
        now: Timestamp,
        (memory, load): (usize, f64),
    ) -> Result<Option<Cleaning<D>>, LogError> {
        self.durability.check_online()?;
        let stable = self.cleanable(high_watermark);
        let sealed = self.sealed()?;
        let dirty = dirtiness(&sealed, &self.config, self.cleaned_to, stable, now);
        if dirty.dirty == 0 {
            return Ok(None);
        }
        let mut parts = Vec::new();
        for sealed in sealed.into_iter().take_while(|sealed| sealed.end <= dirty.until) {
            let Some(segment) = self.segments.get(&sealed.base) else { continue };
            let (path, file) = (segment.path.clone(), segment.file.clone());
            parts.push(Part { sealed, path, file, has_aborted: !segment.aborted()?.is_empty() });
        }
        let start = parts.first().map_or(dirty.from, |part| part.sealed.base);
        let (witnesses, aborted) = self.witnesses(start, dirty.until)?;
        Ok(Some(Cleaning {
            disk: self.disk.clone(),
            dir: self.dir.clone(),
            config: self.config,
            cuts: self.durability.cuts(),
            parts,
            groups: VecDeque::new(),
            dirty,
            witnesses,
            aborted,
            producers: self.producers.last_records(),
            transactions: Transactions::default(),
            latest: OffsetMap::new(memory, load),
            now,
        }))
    }
}

impl<D: Disk> Cleaning<D> {
    /// Cleans everything, step by step. Returns the offset below which the log is clean; `None`
    /// when the log is gone or was truncated meanwhile.
    pub async fn carry_out(
        &mut self,
        keeper: &impl Keeper<D>,
        pace: &mut impl Pace,
    ) -> Result<Option<Offset>, LogError> {
        match self.clean_all(keeper, pace).await {
            // Files are read without the log: a truncated one, or one with other batches by now, is
            // not damaged.
            Err(LogError::Corrupt { .. } | LogError::Unclean { .. }) if self.is_void(keeper) => {
                Ok(None)
            }
            cleaned => cleaned,
        }
    }

    /// Whether the log is gone or was truncated since the cleaning began.
    fn is_void(&self, keeper: &impl Keeper<D>) -> bool {
        keeper.lend(|log| log.durability.cuts()) != Some(self.cuts)
    }

    async fn clean_all(
        &mut self,
        keeper: &impl Keeper<D>,
        pace: &mut impl Pace,
    ) -> Result<Option<Offset>, LogError> {
        self.read_keys(pace).await?;
        while let Some(mut cleaned) = self.clean_next(pace).await? {
            if keeper.lend(|log| log.swap_in(&mut cleaned)).transpose()? != Some(true) {
                return Ok(None);
            }
            self.sync_names().await?;
            keeper.lend(|log| log.place_swap(&cleaned)).transpose()?;
            self.sync_names().await?;
            let retired = keeper.lend(|log| log.settle_swap(&mut cleaned)).transpose()?;
            let Some(retired) = retired else { return Ok(None) };
            keeper.retire(retired);
            self.sync_names().await?;
            keeper.lend(|log| log.finish_swap(&cleaned)).transpose()?;
            self.sync_names().await?;
        }
        let until = self.until();
        Ok(keeper.lend(|log| {
            log.cleaned(until);
            log.cleaned_to()
        }))
    }

    /// The offset below which the log will be clean; known once the keys were read.
    pub fn until(&self) -> Offset {
        self.latest.latest().next().max(self.dirty.from)
    }

    /// Reads each key's latest offset from the start of the dirty part, as far as memory permits;
    /// the next cleaning reads the rest.
    pub async fn read_keys(&mut self, pace: &mut impl Pace) -> Result<(), LogError> {
        self.check_aborted(pace).await?;
        let from = self.dirty.from;
        let mut transactions = Transactions::default();
        transactions.expect(self.aborted.iter().copied());
        let dirty = self.parts.iter().filter(|part| part.sealed.end > from);
        'parts: for part in dirty {
            let mut walk = Walk::new(&part.file, &part.path, 0, part.sealed.bytes, FAR);
            let mut unpaid = 0;
            while let Some((header, bytes)) = next(&mut walk, part)? {
                unpaid += bytes.len() as u64;
                let wrong = |problem| corrupt(part, &header, problem);
                if header.last_offset() < from {
                    // Its transaction may extend into the dirty part.
                    follow(&mut transactions, &header, bytes).map_err(wrong)?;
                } else if !keys(&mut self.latest, &mut transactions, &header, bytes, from)
                    .map_err(wrong)?
                {
                    break 'parts;
                }
                if unpaid >= CHUNK as u64 {
                    self.disk.settle().await;
                    pace.spent(std::mem::take(&mut unpaid)).await;
                }
            }
            self.latest.reached(Offset(part.sealed.end.0 - 1));
            self.disk.settle().await;
            pace.spent(unpaid).await;
        }
        if self.latest.latest() < from {
            let keys = self.latest.len();
            let partition = self.dir.display();
            tracing::warn!(%partition, keys, "one batch has more keys than fit into memory");
            return Ok(());
        }
        let until = self.until();
        self.parts.retain(|part| part.sealed.base < until);
        let sealed: Vec<Sealed> = self.parts.iter().map(|part| part.sealed).collect();
        self.groups = group(&sealed, &self.config).into();
        self.transactions.expect(self.aborted.iter().copied());
        Ok(())
    }

    /// A wrong entry about an aborted transaction would remove committed records.
    async fn check_aborted(&self, pace: &mut impl Pace) -> Result<(), LogError> {
        if self.witnesses.iter().all(Witness::is_vouched) {
            return Ok(());
        }
        let mut comparison = Comparison::default();
        for witness in &self.witnesses {
            comparison.compare(witness)?;
            self.disk.settle().await;
            pace.spent(witness.size()).await;
        }
        Ok(())
    }

    /// Rewrites the next group of segments and makes it durable. `None` when all are done. A
    /// cleaning that failed cannot continue.
    pub async fn clean_next(
        &mut self,
        pace: &mut impl Pace,
    ) -> Result<Option<Cleaned<D>>, LogError> {
        let Some(range) = self.groups.pop_front() else { return Ok(None) };
        let Some(first) = self.parts.get(range.start).map(|part| part.sealed.base) else {
            return Ok(None);
        };
        let written = self.write_group(range, first, pace).await;
        if written.is_err() {
            // A leftover file would be in the way on a full disk.
            let (dir, suffix) = (&self.dir, names::CLEANED);
            for path in [
                names::log(dir, first),
                names::index(dir, first),
                names::time_index(dir, first),
                names::transaction_index(dir, first),
            ] {
                let _ = self.disk.remove(&names::with_suffix(&path, suffix));
            }
        }
        written.map(Some)
    }

    async fn write_group(
        &mut self,
        range: std::ops::Range<usize>,
        first: Offset,
        pace: &mut impl Pace,
    ) -> Result<Cleaned<D>, LogError> {
        let suffix = names::CLEANED;
        let mut segment =
            Segment::create_with(&self.disk, &self.dir, first, suffix, &self.config, self.now)?;
        let mut has_aborted = false;
        // The last batch of all shows where the new segment ends.
        let last = range.clone().rfind(|index| self.parts[*index].sealed.bytes > 0);
        for index in range.clone() {
            has_aborted |= self.parts[index].has_aborted;
            self.clean_part(index, Some(index) == last, &mut segment, pace).await?;
        }
        segment.seal();
        let kept = self.transactions.take_kept();
        segment.set_aborted(&kept, has_aborted)?;
        segment.file.sync().await.map_err(LogError::io("sync", &segment.path))?;
        for path in segment.unsynced_indexes().into_iter().flatten() {
            sync_file(&self.disk, &path).await?;
        }
        segment.indexes_synced();
        segment.rename_indexes(names::SWAP)?;
        self.sync_names().await?;
        let replaced = self.parts[range].iter().map(|part| (part.sealed.base, part.sealed.bytes));
        Ok(Cleaned::new(segment, replaced.collect(), self.cuts))
    }

    /// Syncs the partition's directory: required after each step of a swap.
    pub async fn sync_names(&self) -> Result<(), LogError> {
        self.disk.sync_dir(&self.dir).await.map_err(LogError::io("sync", &self.dir))
    }

    /// Appends the remaining records of a segment to the new one of its group.
    async fn clean_part(
        &mut self,
        index: usize,
        last_part: bool,
        to: &mut Segment<D>,
        pace: &mut impl Pace,
    ) -> Result<(), LogError> {
        let part = &self.parts[index];
        let rules = Rules {
            latest: &self.latest,
            producers: &self.producers,
            now: self.now,
            delete_retention: self.config.delete_retention,
            flaws: self.config.flaws,
        };
        let mut walk = Walk::new(&part.file, &part.path, 0, part.sealed.bytes, FAR);
        let (mut out, mut headers, mut read) = (Vec::new(), Vec::new(), 0);
        while let Some((header, bytes)) = next(&mut walk, part)? {
            let end = read + bytes.len() as u64;
            let last = last_part && end == part.sealed.bytes;
            let left = filter(bytes, &header, &rules, &mut self.transactions, last);
            match left.map_err(|problem| corrupt(part, &header, problem))? {
                Left::Nothing => {}
                Left::AsItWas => {
                    out.extend_from_slice(bytes);
                    headers.push(header);
                }
                Left::Less(bytes) => {
                    let written = BatchHeader::parse(&bytes);
                    headers.push(written.map_err(|problem| corrupt(part, &header, problem))?);
                    out.extend_from_slice(&bytes);
                }
            }
            read = end;
            if out.len() >= CHUNK {
                to.append(&out, &headers)?;
                self.disk.settle().await;
                pace.spent(out.len() as u64).await;
                out.clear();
                headers.clear();
            }
        }
        to.append(&out, &headers)?;
        self.disk.settle().await;
        pace.spent(part.sealed.bytes + out.len() as u64).await;
        Ok(())
    }
}

/// The next batch of a walk, complete and with a valid checksum.
fn next<'w, D: Disk>(
    walk: &'w mut Walk<'_, D::File>,
    part: &Part<D>,
) -> Result<Option<(BatchHeader, &'w [u8])>, LogError> {
    let at = walk.position();
    let wrong = |stop: Stop| stop.into_error(&part.path, at, part.sealed.base);
    let Some(header) = walk.peek().map_err(wrong)? else { return Ok(None) };
    let bytes = walk.whole(&header).map_err(wrong)?;
    batch::check(bytes).map_err(|problem| corrupt(part, &header, problem))?;
    Ok(Some((header, bytes)))
}

/// Adds the keys of a batch; returns `false` if one of them does not fit.
fn keys(
    latest: &mut OffsetMap,
    transactions: &mut Transactions,
    header: &BatchHeader,
    bytes: &[u8],
    from: Offset,
) -> Result<bool, BatchError> {
    if !follow(transactions, header, bytes)? {
        for record in batch::records(bytes, LARGEST_UNPACKED)? {
            if let Some(key) = record.key.filter(|_| record.offset >= from)
                && !latest.put(&key, record.offset)
            {
                return Ok(false);
            }
        }
    }
    latest.reached(header.last_offset());
    Ok(true)
}

/// Follows transactions over a batch, and returns whether its records are aborted.
fn follow(
    transactions: &mut Transactions,
    header: &BatchHeader,
    bytes: &[u8],
) -> Result<bool, BatchError> {
    if header.is_control() {
        transactions.marker(header, Marker::of(bytes)?);
        return Ok(true);
    }
    Ok(transactions.batch(header))
}

fn corrupt<D: Disk>(part: &Part<D>, header: &BatchHeader, problem: BatchError) -> LogError {
    let (path, offset, problem) = (part.path.clone(), header.base_offset, problem.to_string());
    LogError::Unclean { path, offset, problem }
}

async fn sync_file<D: Disk>(disk: &D, path: &Path) -> Result<(), LogError> {
    match disk.open(path, Open::Existing) {
        Ok(file) => file.sync().await.map_err(LogError::io("sync", path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(LogError::io("open", path)(error)),
    }
}
