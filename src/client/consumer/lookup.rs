//! Offsets that the application asks for, besides what it reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::position::Whence;
use crate::base::{Instant, Offset, TopicPartition};
use crate::client::kernel::RequestId;

/// One question of the application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LookupId(u64);

/// The application's questions. A new one replaces the one before: the call that asked it was
/// dropped.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    last: LookupId,
    open: Option<Lookup>,
}

#[derive(Debug)]
struct Lookup {
    whence: Whence,
    missing: BTreeMap<TopicPartition, Missing>,
    found: BTreeMap<TopicPartition, Offset>,
}

/// A partition whose offset is not known yet.
#[derive(Debug, Default)]
struct Missing {
    asked: Option<RequestId>,
    not_before: Instant,
    failures: u32,
}

impl Lookups {
    pub(super) fn begin(&mut self, whence: Whence, partitions: &[TopicPartition]) -> LookupId {
        let missing = partitions.iter().map(|p| (p.clone(), Missing::default())).collect();
        self.open = Some(Lookup { whence, missing, found: BTreeMap::new() });
        self.last = LookupId(self.last.0 + 1);
        self.last
    }

    fn get_mut(&mut self, id: LookupId) -> Option<&mut Lookup> {
        self.open.as_mut().filter(|_| self.last == id)
    }

    /// Whether nothing is missing any more.
    pub(super) fn is_complete(&self, id: LookupId) -> bool {
        let lookup = self.open.as_ref().filter(|_| self.last == id);
        lookup.is_none_or(|lookup| lookup.missing.is_empty())
    }

    /// Ends a lookup. Returns the offsets if none is missing.
    pub(super) fn finish(&mut self, id: LookupId) -> Option<BTreeMap<TopicPartition, Offset>> {
        self.get_mut(id)?;
        let lookup = self.open.take()?;
        lookup.missing.is_empty().then_some(lookup.found)
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = Arc<str>> + '_ {
        let missing = self.open.iter().flat_map(|lookup| lookup.missing.keys());
        missing.map(|partition| partition.topic.clone())
    }

    /// Partitions to ask about, with the time before which not to.
    pub(super) fn wants(
        &self,
    ) -> impl Iterator<Item = (&TopicPartition, LookupId, Whence, Instant)> {
        self.open.iter().flat_map(|lookup| {
            let unasked = lookup.missing.iter().filter(|(_, missing)| missing.asked.is_none());
            unasked.map(|(name, missing)| (name, self.last, lookup.whence, missing.not_before))
        })
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

    pub(super) fn found(&mut self, id: LookupId, partition: &TopicPartition, offset: Offset) {
        if let Some(lookup) = self.get_mut(id) {
            lookup.missing.remove(partition);
            lookup.found.insert(partition.clone(), offset);
        }
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
