//! One replica's log, read from its files.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::segment::{Batch, Segment};
use crate::base::{LeaderEpoch, Offset, TopicId};

/// The segments of one partition on one host.
#[derive(Debug, Default)]
pub(crate) struct Replica {
    /// By base offset, as their names say.
    pub(super) segments: BTreeMap<i64, Segment>,
    /// The directory of its files; `None` before there are any.
    pub(super) dir: Option<Arc<str>>,
    /// The creation of its topic, as the node reported it.
    pub(super) topic_id: Option<TopicId>,
    /// Power losses that took unsynced data, until the replica is in sync again and has it back.
    /// Before that, its copy does not count: it may not be elected.
    pub(super) lost: Vec<Lost>,
    /// Cleaned segments that count already, although their files do not have their names yet.
    pub(super) swapped: BTreeSet<i64>,
    /// How many of the partition's promised batches are known to be here: a cache that saves
    /// comparing them again.
    pub(super) agreed: Cell<usize>,
    /// The segments before the power loss, until every surviving file was seen.
    pub(super) before: BTreeMap<i64, Segment>,
    /// A batch that came back in the place of a younger one at the last power loss.
    pub(super) stale: Option<Batch>,
    /// Where the process that runs has found the log damaged, as it told.
    pub(super) told_damage: BTreeSet<Offset>,
}

/// A power loss that took part of the log, which was only in the page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    /// Whether the replica was in sync at that moment.
    pub in_sync: bool,
}

/// The surroundings of a batch in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The offset at which it should begin.
    pub expected: Offset,
    /// Epoch of the batch before it.
    pub before: Option<LeaderEpoch>,
    /// Where the segment after its own begins, if there is one already.
    pub following: Option<Offset>,
}

impl Replica {
    /// Where the log ends: after its last batch, or where its last segment begins.
    pub fn end(&self) -> Offset {
        self.segments.last_key_value().map_or(Offset::ZERO, |(base, segment)| {
            segment.batches().last().map_or(Offset(*base), |last| last.next)
        })
    }

    /// Where the log begins.
    pub fn start(&self) -> Offset {
        self.segments.first_key_value().map_or(Offset::ZERO, |(base, _)| Offset(*base))
    }

    /// The creation of its topic, as the node reported it.
    pub fn topic_id(&self) -> Option<TopicId> {
        self.topic_id
    }

    /// The batch that holds an offset.
    pub fn batch_at(&self, offset: Offset) -> Option<&Batch> {
        batch_at(&self.segments, offset)
    }

    /// Whether this log cannot have held a batch of an epoch at an offset, also before it was
    /// cleaned: epochs never fall along a log, and an intact one around it would.
    pub fn rules_out(&self, offset: Offset, epoch: LeaderEpoch) -> bool {
        let before = self.segments.range(..=offset.0).rev().find_map(|(_, of)| {
            let batches = of.batches();
            let upto = batches.partition_point(|batch| batch.base <= offset);
            batches[..upto].iter().rev().find(|batch| of.is_intact(batch))
        });
        let from = self.segments.range(..=offset.0).next_back().map_or(offset.0, |(base, _)| *base);
        let after = self.segments.range(from..).find_map(|(_, of)| {
            let batches = of.batches();
            let after = batches.partition_point(|batch| batch.base <= offset);
            batches[after..].iter().find(|batch| of.is_intact(batch))
        });
        before
            .is_some_and(|batch| batch.epoch > epoch || batch.next > offset && batch.epoch < epoch)
            || after.is_some_and(|batch| batch.epoch < epoch)
    }

    /// Whether the batch that holds an offset is here, and no fault has touched it.
    pub fn is_intact_at(&self, offset: Offset) -> bool {
        let segment = self.segments.range(..=offset.0).next_back().map(|(_, segment)| segment);
        segment.zip(self.batch_at(offset)).is_some_and(|(of, batch)| of.is_intact(batch))
    }

    /// An older batch that is still where the power loss put it, in the place of a younger one.
    pub fn stale(&self) -> Option<&Batch> {
        let stale = self.stale.as_ref()?;
        self.batch_at(stale.base).filter(|there| there.equals(stale))
    }

    /// Compares the surviving segments with those before: an older batch in the place of a younger
    /// one is not a valid prefix, because a cut is durable before the log is written again. Batches
    /// beyond the end may be back where the cut had not reached the platter; so may deleted
    /// segments, and all that a lying disk said it had cut.
    pub(super) fn settle(&mut self) {
        let before = std::mem::take(&mut self.before);
        let differs = |batch: &&Batch| {
            let there = batch_at(&before, batch.base);
            there.is_some_and(|there| !there.equals(batch))
        };
        let honest = self.segments.values().filter(|segment| !segment.has_lied());
        self.stale = honest.flat_map(Segment::batches).find(differs).copied();
    }

    /// The batches that begin at an offset or later.
    pub fn batches_from(&self, offset: Offset) -> impl Iterator<Item = &Batch> {
        let first =
            self.segments.range(..=offset.0).next_back().map_or(offset.0, |(base, _)| *base);
        self.segments.range(first..).flat_map(move |(_, segment)| {
            let batches = segment.batches();
            batches[batches.partition_point(|batch| batch.base < offset)..].iter()
        })
    }

    /// The batches of a segment.
    pub fn batches_of(&self, base: i64) -> &[Batch] {
        self.segments.get(&base).map_or(&[], Segment::batches)
    }

    /// Whether a faulty disk has touched any of it.
    pub fn is_damaged_somewhere(&self) -> bool {
        self.segments.values().chain(self.before.values()).any(Segment::is_damaged)
    }

    /// Whether a faulty disk has touched a segment.
    pub fn is_damaged(&self, base: i64) -> bool {
        self.segments.get(&base).is_some_and(Segment::is_damaged)
    }

    /// Where the first bytes lie, in their segment, that are neither a batch nor its beginning.
    pub fn first_garbage(&self) -> Option<u64> {
        self.segments.values().find(|s| s.has_garbage()).map(Segment::readable)
    }

    /// The last batch, if there is any.
    pub fn last(&self) -> Option<&Batch> {
        self.segments.values().rev().find_map(|segment| segment.batches().last())
    }

    /// Where the first `index + 1` batches of a segment put the last of them.
    pub(super) fn place(&self, base: i64, index: usize) -> Place {
        let own = self.segments.get(&base).map_or(&[][..], Segment::batches);
        let before = index.checked_sub(1).and_then(|index| own.get(index));
        let lower = || self.segments.range(..base).rev();
        let last_lower = || lower().find_map(|(_, segment)| segment.batches().last());
        let expected = match before {
            Some(batch) => batch.next,
            // A segment is named after its first offset, and begins where the last one ended.
            None => last_lower()
                .map(|batch| batch.next)
                .filter(|end| end.0 != base)
                .unwrap_or(Offset(base)),
        };
        Place {
            expected,
            before: before.or_else(last_lower).map(|batch| batch.epoch),
            following: self.segments.range(base + 1..).next().map(|(base, _)| Offset(*base)),
        }
    }

    /// The first break of the log, read from its beginning: where it ends, and the offset that
    /// follows instead (`None`: bytes that are not a batch). Segments meet in a compacted log too. A gap
    /// that the node has told of counts for none: it does not believe its log to be whole.
    pub fn first_break(&self) -> Option<(Offset, Option<Offset>, u64)> {
        let mut end: Option<Offset> = None;
        let mut segments = self.segments.iter().peekable();
        while let Some((base, segment)) = segments.next() {
            let expected = end.unwrap_or(Offset(*base));
            if expected != Offset(*base) && !self.told_damage.contains(&expected) {
                return Some((expected, Some(Offset(*base)), 0));
            }
            let after = segment.batches().last().map_or(Offset(*base), |last| last.next);
            if segment.has_garbage() && segments.peek().is_some() {
                return Some((after, None, segment.readable()));
            }
            end = Some(after);
        }
        None
    }

    /// Leaves out segments that another one covers: those that a cleaned segment replaces may have
    /// survived a power loss.
    pub(super) fn drop_covered(&mut self) {
        let mut covered = Vec::new();
        for (base, segment) in &self.segments {
            let end = segment.batches().last().map_or(*base, |last| last.next.0);
            let others = self.segments.range(base + 1..end.max(base + 1));
            covered.extend(others.map(|(other, _)| *other));
        }
        covered.iter().for_each(|base| drop(self.segments.remove(base)));
    }

    /// Where the log ends when it is read from its beginning up to the first break. `gaps`: offsets
    /// may be missing within a segment.
    pub fn contiguous_end(&self, gaps: bool) -> Offset {
        self.end_of_run(gaps, |_| false)
    }

    /// The same, on beyond gaps that the node has told of.
    pub fn claimed_end(&self, gaps: bool) -> Offset {
        self.end_of_run(gaps, |end| self.told_damage.contains(&end))
    }

    fn end_of_run(&self, gaps: bool, is_known: impl Fn(Offset) -> bool) -> Offset {
        let goes_on = |end: Offset, at: Offset| at == end || gaps && at > end;
        let mut end = self.start();
        for (base, segment) in &self.segments {
            if end != Offset(*base) && !is_known(end) {
                break;
            }
            end = Offset(*base);
            for batch in segment.batches() {
                if !goes_on(end, batch.base) {
                    return end;
                }
                end = batch.next;
            }
            if segment.has_garbage() {
                break;
            }
        }
        end
    }
}

fn batch_at(segments: &BTreeMap<i64, Segment>, offset: Offset) -> Option<&Batch> {
    let (_, segment) = segments.range(..=offset.0).next_back()?;
    let batches = segment.batches();
    // Most calls ask for the newest.
    let after = match batches.last() {
        Some(last) if last.base <= offset => batches.len(),
        _ => batches.partition_point(|batch| batch.base <= offset),
    };
    batches.get(after.checked_sub(1)?).filter(|batch| batch.next > offset)
}
