//! Which transactions were aborted, as readers and cleaners may rely on it.
//!
//! A `.txnindex` has no checksum, and whoever believes a wrong entry leaves out records that were
//! committed, or a cleaner even removes them. So before the first use of a file that this process
//! did not build, its entries are compared with what the batches of its segment say.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use super::lookup::Located;
use super::scan::{NEAR, Walk};
use super::segment::Segment;
use super::transactions::{Aborted, Marker};
use super::{Log, LogError, names};
use crate::base::{Offset, ProducerId};
use crate::io::Disk;

/// What is wrong, and in which entry from 0.
type Problem = (usize, Offset, String);

impl<D: Disk> Log<D> {
    /// Aborted transactions with a record at or above `from` that may be read below `until`, as a
    /// `read_committed` reader has to know them.
    pub fn aborted_transactions(
        &self,
        from: Offset,
        until: Offset,
    ) -> Result<Vec<Aborted>, LogError> {
        let floor = self.segments.range(..=from).next_back().map_or(from, |(base, _)| *base);
        let mut found = Vec::new();
        for segment in self.segments.range(floor..).map(|(_, segment)| segment) {
            for aborted in self.vouched_aborted(segment)? {
                if aborted.last >= from && aborted.first < until {
                    found.push(aborted);
                }
                // Whatever a later marker aborts began after this.
                if aborted.last_stable >= until {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    /// The entries of a segment, once they are known to be right.
    fn vouched_aborted(&self, segment: &Segment<D>) -> Result<Vec<Aborted>, LogError> {
        let entries = segment.aborted()?;
        if segment.aborted_vouched.load(Ordering::Relaxed) {
            return Ok(entries);
        }
        let wrong = |(entry, offset, problem): Problem| LogError::Corrupt {
            path: self.transaction_index_of(segment),
            position: entry as u64 * Aborted::LEN,
            offset,
            problem,
        };
        in_order(&entries).map_err(wrong)?;
        for (at, entry) in entries.iter().enumerate().filter(|(_, e)| e.first < segment.base) {
            if !self.may_begin_at(entry)? {
                let problem = format!("no transaction of producer {} begins there", entry.producer);
                return Err(wrong((at, entry.first, problem)));
            }
        }
        if let Some(problem) = compare(segment, &entries)? {
            return Err(wrong(problem));
        }
        segment.aborted_vouched.store(true, Ordering::Relaxed);
        Ok(entries)
    }

    fn transaction_index_of(&self, segment: &Segment<D>) -> PathBuf {
        names::transaction_index(&self.dir, segment.base)
    }

    /// Whether the first batch of a transaction is there, or nobody knows any more.
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

/// Whatever a later marker aborts began where the earlier one says that it may have, or later.
fn in_order(entries: &[Aborted]) -> Result<(), Problem> {
    let mut stable = Offset::ZERO;
    for (at, entry) in entries.iter().enumerate() {
        if entry.first < stable {
            let problem = format!("all before {stable} has ended, and this begins before");
            return Err((at, entry.first, problem));
        }
        stable = stable.max(entry.last_stable);
    }
    Ok(())
}

/// Where a producer's transaction is, in the segment that is gone through.
#[derive(Default)]
struct Seen {
    /// Its first batch that is still there.
    first: Option<Offset>,
    /// The last marker before it.
    ended: Option<Offset>,
}

/// Compares entries with the markers of their segment: the first that is wrong, missing, or about
/// nothing.
fn compare<D: Disk>(
    segment: &Segment<D>,
    entries: &[Aborted],
) -> Result<Option<Problem>, LogError> {
    let mut producers: BTreeMap<ProducerId, Seen> = BTreeMap::new();
    let mut left = entries.iter().enumerate().peekable();
    let mut walk = Walk::new(&segment.file, &segment.path, 0, segment.size, NEAR);
    let any = |_: &_| true;
    while let Some(found) = segment.find(&mut walk, any)? {
        let header = found.header;
        if !header.is_transactional() {
            continue;
        }
        let seen = producers.entry(header.producer_id).or_default();
        if !header.is_control() {
            seen.first = seen.first.or(Some(header.base_offset));
            continue;
        }
        let at = header.base_offset;
        // A marker that a cleaner emptied ends a transaction of which nothing is left.
        let marker = Marker::of(&segment.load(&found)?).ok().flatten();
        let entry = left.next_if(|(_, entry)| entry.last <= at);
        let place = entry.map_or(entries.len(), |(place, _)| place);
        let wrong = |problem: &str| Ok(Some((place, at, problem.to_owned())));
        match (entry, marker) {
            (Some((_, entry)), Some(Marker::Abort))
                if entry.last == at && entry.producer == header.producer_id =>
            {
                if !seen.is_of(entry, segment) {
                    return wrong("the transaction begins elsewhere");
                }
            }
            (Some(_), _) => return wrong("no such transaction was aborted there"),
            (None, Some(Marker::Abort)) if segment.dense || seen.first.is_some() => {
                return wrong("an aborted transaction is missing");
            }
            (None, _) => {}
        }
        *seen = Seen { first: None, ended: Some(at) };
    }
    let left = left.next();
    Ok(left.map(|(at, entry)| (at, entry.last, "no such transaction was aborted there".to_owned())))
}

impl Seen {
    /// Whether what was seen of a transaction is what an entry says of it.
    fn is_of<D: Disk>(&self, entry: &Aborted, segment: &Segment<D>) -> bool {
        let after_the_last = self.ended.is_none_or(|ended| ended < entry.first);
        let here = entry.first >= segment.base;
        let begins = match self.first {
            Some(first) if here && segment.dense => first == entry.first,
            Some(first) => first >= entry.first,
            // A cleaner took its batches; they go before its marker.
            None => !here || !segment.dense,
        };
        after_the_last && begins
    }
}
