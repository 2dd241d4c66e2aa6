//! Offsets that the application asks for, besides what it reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::position::Whence;
use crate::base::{Instant, LeaderEpoch, Offset, Timestamp, TopicPartition};
use crate::client::ConsumeError;
use crate::client::kernel::RequestId;

/// One question of the application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LookupId(u64);

/// A record's place, as it was looked up by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetAndTimestamp {
    /// The record's offset.
    pub offset: Offset,
    /// The record's timestamp.
    pub timestamp: Timestamp,
    /// Epoch of the leader that wrote it; `NONE` if it is not known.
    pub leader_epoch: LeaderEpoch,
}

/// What was found of each partition; `None`: no record has the timestamp or a later one.
pub(super) type Places = BTreeMap<TopicPartition, Option<OffsetAndTimestamp>>;

/// The application's questions. A new one replaces the one before: the call that asked it was
/// dropped.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    last: LookupId,
    open: Option<Lookup>,
}

#[derive(Debug)]
struct Lookup {
    missing: BTreeMap<TopicPartition, Missing>,
    found: Places,
    failed: Option<ConsumeError>,
}

/// A partition whose offset is not known yet.
#[derive(Debug)]
struct Missing {
    whence: Whence,
    asked: Option<RequestId>,
    not_before: Instant,
    failures: u32,
}

impl Missing {
    fn new(whence: Whence) -> Self {
        Self { whence, asked: None, not_before: Instant::START, failures: 0 }
    }
}

impl Lookups {
    pub(super) fn begin(
        &mut self,
        places: impl IntoIterator<Item = (TopicPartition, Whence)>,
    ) -> LookupId {
        let missing = places.into_iter().map(|(name, whence)| (name, Missing::new(whence)));
        let missing = missing.collect();
        self.open = Some(Lookup { missing, found: Places::new(), failed: None });
        self.last = LookupId(self.last.0 + 1);
        self.last
    }

    fn get_mut(&mut self, id: LookupId) -> Option<&mut Lookup> {
        self.open.as_mut().filter(|_| self.last == id)
    }

    /// Whether nothing is missing any more, or nothing more can be found.
    pub(super) fn is_complete(&self, id: LookupId) -> bool {
        let lookup = self.open.as_ref().filter(|_| self.last == id);
        lookup.is_none_or(|lookup| lookup.missing.is_empty() || lookup.failed.is_some())
    }

    /// Ends a lookup. Returns what was found if nothing is missing.
    pub(super) fn finish(&mut self, id: LookupId) -> Result<Places, ConsumeError> {
        let lookup = self.open.take_if(|_| self.last == id);
        let lookup = lookup.ok_or(ConsumeError::TimedOut)?;
        match lookup.failed {
            Some(problem) => Err(problem),
            None if lookup.missing.is_empty() => Ok(lookup.found),
            None => Err(ConsumeError::TimedOut),
        }
    }

    /// What is still to be found.
    fn missing(&self) -> impl Iterator<Item = (&TopicPartition, &Missing)> {
        let open = self.open.iter().filter(|lookup| lookup.failed.is_none());
        open.flat_map(|lookup| &lookup.missing)
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = Arc<str>> + '_ {
        self.missing().map(|(partition, _)| partition.topic.clone())
    }

    /// Partitions to ask about, with the time before which not to.
    pub(super) fn wants(
        &self,
    ) -> impl Iterator<Item = (&TopicPartition, LookupId, Whence, Instant)> {
        let unasked = self.missing().filter(|(_, missing)| missing.asked.is_none());
        unasked.map(|(name, missing)| (name, self.last, missing.whence, missing.not_before))
    }

    pub(super) fn asked(&mut self, id: LookupId, partition: &TopicPartition, request: RequestId) {
        if let Some(missing) = self.missing_mut(id, partition) {
            missing.asked = Some(request);
        }
    }

    /// The request is over. Returns whether its answer is still of interest.
    pub(super) fn settle(
        &mut self,
        id: LookupId,
        partition: &TopicPartition,
        request: RequestId,
    ) -> bool {
        let missing = self.missing_mut(id, partition);
        let asked = missing.and_then(|missing| missing.asked.take_if(|asked| *asked == request));
        asked.is_some()
    }

    /// The number of failures in a row, this one included.
    pub(super) fn failed(&mut self, id: LookupId, partition: &TopicPartition) -> u32 {
        self.missing_mut(id, partition).map_or(1, |missing| {
            missing.failures = missing.failures.saturating_add(1);
            missing.failures
        })
    }

    pub(super) fn pause_until(&mut self, id: LookupId, partition: &TopicPartition, time: Instant) {
        if let Some(missing) = self.missing_mut(id, partition) {
            missing.not_before = time;
        }
    }

    pub(super) fn found(
        &mut self,
        id: LookupId,
        partition: &TopicPartition,
        place: OffsetAndTimestamp,
    ) {
        self.learn(id, partition, Some(place));
    }

    /// The partition has no record with the timestamp. Returns whether that is an answer: the
    /// oldest and the newest offset exist, so they are asked for again.
    pub(super) fn not_found(&mut self, id: LookupId, partition: &TopicPartition) -> bool {
        let missing = self.missing_mut(id, partition);
        let by_time = missing.is_some_and(|missing| matches!(missing.whence, Whence::Time(_)));
        if by_time {
            self.learn(id, partition, None);
        }
        by_time
    }

    fn learn(
        &mut self,
        id: LookupId,
        partition: &TopicPartition,
        place: Option<OffsetAndTimestamp>,
    ) {
        if let Some(lookup) = self.get_mut(id) {
            lookup.missing.remove(partition);
            lookup.found.insert(partition.clone(), place);
        }
    }

    /// A retry can't find what is missing.
    pub(super) fn fail(&mut self, id: LookupId, problem: ConsumeError) {
        if let Some(lookup) = self.get_mut(id) {
            lookup.failed.get_or_insert(problem);
        }
    }

    /// A broker refuses a topic for good. Returns whether a partition of it is missing.
    pub(super) fn refuse(&mut self, topic: &str, problem: &ConsumeError) -> bool {
        let is_missing = self.missing().any(|(partition, _)| &*partition.topic == topic);
        if is_missing {
            self.fail(self.last, problem.clone());
        }
        is_missing
    }

    fn missing_mut(&mut self, id: LookupId, partition: &TopicPartition) -> Option<&mut Missing> {
        self.get_mut(id)?.missing.get_mut(partition)
    }

    /// Panics if an invariant is broken.
    pub(super) fn check(&self) {
        if let Some(lookup) = &self.open {
            for partition in lookup.found.keys() {
                let missing = lookup.missing.contains_key(partition);
                assert!(!missing, "the offset of {partition} is found and missing");
            }
        }
    }
}
