//! Logs that were on disk at start.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::{DirectoryId, Offset, TopicId, TopicPartition};
use crate::broker::dirs::Home;
use crate::io::World;
use crate::log::{Log, LogError};

/// A log that was on disk at start.
pub(crate) struct Found<W: World> {
    /// `None` where it is too damaged to be opened.
    pub(crate) log: Option<Log<W::Disk>>,
    /// The damage that recovery met.
    pub(crate) damage: Option<LogError>,
    /// The directory that holds it.
    pub(crate) home: Arc<Home<W::Disk>>,
    /// From `partition.metadata`; a log without one belongs to whichever topic has its name.
    pub(crate) topic_id: Option<TopicId>,
    /// From the checkpoint.
    pub(crate) high_watermark: Offset,
}

/// The logs that were found of one partition: more than one where a directory came back whose
/// replica another directory has replaced.
pub(crate) type FoundOf<W> = Vec<Found<W>>;

/// All logs that were found, until metadata claims them.
pub(super) struct FoundLogs<W: World>(Mutex<Logs<W>>);

struct Logs<W: World> {
    unclaimed: BTreeMap<TopicPartition, FoundOf<W>>,
    /// Logs of this broker's replicas that can't be used, and may not be given up yet.
    unusable: BTreeMap<TopicPartition, FoundOf<W>>,
}

impl<W: World> FoundLogs<W> {
    pub(super) fn new(unclaimed: BTreeMap<TopicPartition, FoundOf<W>>) -> Self {
        Self(Mutex::new(Logs { unclaimed, unusable: BTreeMap::new() }))
    }

    /// Hands out the logs that were found for a partition.
    pub(super) fn claim(&self, name: &TopicPartition) -> FoundOf<W> {
        let mut logs = self.0.lock();
        let found = logs.unclaimed.remove(name).or_else(|| logs.unusable.remove(name));
        found.unwrap_or_default()
    }

    /// Keeps logs that can't be used, until another replica leads.
    pub(super) fn keep_unusable(&self, name: TopicPartition, found: FoundOf<W>) {
        self.0.lock().unusable.insert(name, found);
    }

    pub(super) fn has_unusable(&self, directory: DirectoryId) -> bool {
        self.0.lock().unusable.values().flatten().any(|found| found.home.id() == directory)
    }

    /// Hands out the unusable logs of a deleted topic.
    pub(super) fn unusable_of(&self, topic: TopicId) -> BTreeMap<TopicPartition, FoundOf<W>> {
        let mut logs = self.0.lock();
        let all = std::mem::take(&mut logs.unusable);
        let of_topic = |found: &FoundOf<W>| found.iter().all(|of| of.topic_id == Some(topic));
        let (gone, kept) = all.into_iter().partition(|(_, found)| of_topic(found));
        logs.unusable = kept;
        gone
    }

    /// Hands out the logs that no topic has claimed.
    pub(super) fn strays(&self) -> BTreeMap<TopicPartition, FoundOf<W>> {
        std::mem::take(&mut self.0.lock().unclaimed)
    }
}
