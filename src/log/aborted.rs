//! The aborted transactions of a segment, verified before readers and cleaners rely on them.
//!
//! A `.txnindex` has no checksum. A reader that trusts a wrong entry hides committed records, and a
//! cleaner removes them. So before the first use of a file that this process did not build, its
//! entries are compared with the batches of its segment.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::lookup::Located;
use super::scan::{FAR, Stop, Walk};
use super::segment::Segment;
use super::transactions::{Aborted, Marker};
use super::{Log, LogError, names};
use crate::base::{Offset, ProducerId};
use crate::io::Disk;
use crate::wire::batch::BatchHeader;

/// A segment and what its index says, as they were at one time: to be compared without the log.
pub(super) struct Witness<D: Disk> {
    index: PathBuf,
    log: PathBuf,
    file: D::File,
    size: u64,
    base: Offset,
    dense: bool,
    entries: Vec<Aborted>,
    vouched: Arc<AtomicBool>,
}

impl<D: Disk> Log<D> {
    /// Aborted transactions with a record at or above `from` that may be read below `until`, as a
    /// `read_committed` reader has to know them.
    pub fn aborted_transactions(
        &self,
        from: Offset,
        until: Offset,
    ) -> Result<Vec<Aborted>, LogError> {
        let (witnesses, found) = self.witnesses(from, until)?;
        if let Some(first) = witnesses.first()
            && witnesses.iter().any(|witness| !witness.is_vouched())
        {
            for witness in &witnesses {
                for (at, entry) in witness.entries.iter().enumerate() {
                    if entry.first < first.base && !self.may_begin_at(entry)? {
                        let problem = format!("no transaction of {} begins there", entry.producer);
                        return Err(witness.wrong(at, entry.first, problem));
                    }
                }
            }
            Comparison::default().compare_all(&witnesses)?;
        }
        Ok(found)
    }

    /// The same, which is not believed before [`Comparison`] has seen the segments that say so.
    pub(super) fn witnesses(
        &self,
        from: Offset,
        until: Offset,
    ) -> Result<(Vec<Witness<D>>, Vec<Aborted>), LogError> {
        let floor = self.segments.range(..=from).next_back().map_or(from, |(base, _)| *base);
        let (mut witnesses, mut found) = (Vec::new(), Vec::new());
        for segment in self.segments.range(floor..).map(|(_, segment)| segment) {
            let witness = self.witness(segment)?;
            let entries = witness.entries.iter();
            found.extend(entries.filter(|of| of.last >= from && of.first < until));
            // Whatever a later marker aborts began after this.
            let last = witness.entries.iter().any(|aborted| aborted.last_stable >= until);
            witnesses.push(witness);
            if last {
                break;
            }
        }
        Ok((witnesses, found))
    }

    fn witness(&self, segment: &Segment<D>) -> Result<Witness<D>, LogError> {
        Ok(Witness {
            index: names::transaction_index(&self.dir, segment.base),
            log: segment.path.clone(),
            file: segment.file.clone(),
            size: segment.size,
            base: segment.base,
            dense: segment.dense,
            entries: segment.aborted()?,
            vouched: segment.aborted_vouched.clone(),
        })
    }

    /// Whether the first batch of a transaction is there, as far as that is still known.
    fn may_begin_at(&self, entry: &Aborted) -> Result<bool, LogError> {
        let floor = self.segments.range(..=entry.first).next_back();
        let Some((_, segment)) = floor.filter(|(_, segment)| segment.end > entry.first) else {
            return Ok(entry.first < self.log_start);
        };
        let Some(Located { header, .. }) = segment.locate(entry.first)? else { return Ok(false) };
        let is_it = header.base_offset == entry.first
            && header.producer_id == entry.producer
            && header.is_transactional()
            && !header.is_control();
        Ok(is_it || (!segment.dense && header.base_offset > entry.first))
    }
}

impl<D: Disk> Witness<D> {
    /// Whether this process built the index, or has compared it.
    pub(super) fn is_vouched(&self) -> bool {
        self.vouched.load(Ordering::Relaxed)
    }

    /// Bytes that are looked through to compare it.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    fn wrong(&self, entry: usize, offset: Offset, problem: String) -> LogError {
        let (path, position) = (self.index.clone(), entry as u64 * Aborted::LEN);
        LogError::Corrupt { path, position, offset, problem }
    }
}

/// Where a producer's transaction is, in what was gone through.
#[derive(Default)]
struct Seen {
    /// Its first batch that is still there.
    first: Option<Offset>,
    /// The last marker before it.
    ended: Option<Offset>,
}

/// Compares the indexes of segments that follow each other with their batches.
#[derive(Default)]
pub(super) struct Comparison {
    /// Where it began.
    origin: Option<Offset>,
    producers: BTreeMap<ProducerId, Seen>,
    /// All before has ended, said the entries so far.
    stable: Offset,
}

impl Comparison {
    fn compare_all<D: Disk>(&mut self, witnesses: &[Witness<D>]) -> Result<(), LogError> {
        witnesses.iter().try_for_each(|witness| self.compare(witness))
    }

    /// The next segment. The error is the first entry that is wrong, missing, or about nothing.
    pub(super) fn compare<D: Disk>(&mut self, witness: &Witness<D>) -> Result<(), LogError> {
        self.origin.get_or_insert(witness.base);
        for (at, entry) in witness.entries.iter().enumerate() {
            if entry.first < self.stable {
                let problem = format!("all before {} has ended, and this has not", self.stable);
                return Err(witness.wrong(at, entry.first, problem));
            }
            self.stable = self.stable.max(entry.last_stable);
        }
        let mut left = witness.entries.iter().enumerate().peekable();
        let mut walk = Walk::new(&witness.file, &witness.log, 0, witness.size, FAR);
        loop {
            let at = walk.position();
            let failed = |stop: Stop| stop.into_error(&witness.log, at, witness.base);
            let Some(header) = walk.peek().map_err(failed)? else { break };
            if !header.is_control() || !header.is_transactional() {
                self.batch(&header);
                walk.skip(&header);
                continue;
            }
            // One that a cleaner emptied ends a transaction of which nothing is left.
            let marker = Marker::of(walk.whole(&header).map_err(failed)?).ok().flatten();
            let entry = left.next_if(|(_, entry)| entry.last <= header.base_offset);
            let place = entry.or(left.peek().copied()).map_or(witness.entries.len(), |at| at.0);
            let entry = entry.map(|(_, entry)| entry);
            if let Some(problem) = self.marker(&header, marker, entry, witness.dense) {
                return Err(witness.wrong(place, header.base_offset, problem.to_owned()));
            }
        }
        if let Some((place, entry)) = left.next() {
            return Err(witness.wrong(place, entry.last, NOT_THERE.to_owned()));
        }
        witness.vouched.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn batch(&mut self, header: &BatchHeader) {
        if header.is_transactional() {
            let seen = self.producers.entry(header.producer_id).or_default();
            seen.first = seen.first.or(Some(header.base_offset));
        }
    }

    /// What is wrong with an entry or the lack of one, where there is a marker.
    fn marker(
        &mut self,
        header: &BatchHeader,
        marker: Option<Marker>,
        entry: Option<&Aborted>,
        dense: bool,
    ) -> Option<&'static str> {
        let origin = self.origin.unwrap_or(Offset::ZERO);
        let at = header.base_offset;
        let now = Seen { first: None, ended: Some(at) };
        let seen = self.producers.insert(header.producer_id, now).unwrap_or_default();
        match (entry, marker) {
            (Some(entry), Some(Marker::Abort))
                if (entry.last, entry.producer) == (at, header.producer_id) =>
            {
                (!seen.is_of(entry, origin, dense)).then_some("the transaction begins elsewhere")
            }
            (Some(_), _) => Some(NOT_THERE),
            // A cleaner takes an entry when it has taken all batches, and a transaction that wrote nothing
            // here has none: its producer added the partition only, or the marker is written again.
            (None, Some(Marker::Abort)) => {
                seen.first.is_some().then_some("an aborted transaction is missing")
            }
            (None, _) => None,
        }
    }
}

const NOT_THERE: &str = "no such transaction was aborted there";

impl Seen {
    /// Whether what was seen of a transaction is what an entry says of it.
    fn is_of(&self, entry: &Aborted, origin: Offset, dense: bool) -> bool {
        let after_the_last = self.ended.is_none_or(|ended| ended < entry.first);
        let begins = match self.first {
            Some(first) if dense && entry.first >= origin => first == entry.first,
            Some(first) => first >= entry.first,
            // Its batches went before its marker, or are before what was gone through.
            None => !dense || entry.first < origin,
        };
        after_the_last && begins
    }
}
