//! All assigned partitions, and the order in which their records are returned.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::partition::{Assigned, Start};
use crate::base::TopicPartition;
use crate::client::ConsumeError;
use crate::client::ConsumerRecord;

/// What is returned to the application.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) records: Vec<ConsumerRecord>,
    /// How much of it is of which partition.
    pub(super) shares: Vec<(TopicPartition, Share)>,
    /// The partitions that turned out to be corrupt on the way.
    pub(super) corrupt: Vec<(TopicPartition, ConsumeError)>,
}

/// How much was taken of a partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

/// The partitions that a consumer reads.
#[derive(Debug, Default)]
pub(super) struct Assignment {
    partitions: BTreeMap<TopicPartition, Assigned>,
    topics: BTreeSet<Arc<str>>,
    /// Partitions with buffered records, in the order in which these came.
    ready: VecDeque<TopicPartition>,
}

impl Assignment {
    /// Replaces the assignment; partitions that are kept keep their positions.
    pub(super) fn assign(&mut self, partitions: Vec<TopicPartition>, start: Start) {
        let mut before = std::mem::take(&mut self.partitions);
        for name in partitions {
            if self.partitions.contains_key(&name) {
                continue;
            }
            let kept = before.remove(&name);
            let assigned = kept.unwrap_or_else(|| Assigned::new(name.clone(), start));
            self.partitions.insert(name, assigned);
        }
        self.topics = self.partitions.keys().map(|partition| partition.topic.clone()).collect();
        self.ready.retain(|partition| self.partitions.contains_key(partition));
    }

    /// Topics of the assigned partitions.
    pub(super) fn topics(&self) -> &BTreeSet<Arc<str>> {
        &self.topics
    }

    pub(super) fn get(&self, partition: &TopicPartition) -> Option<&Assigned> {
        self.partitions.get(partition)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &Assigned)> {
        self.partitions.iter()
    }

    /// Changes a partition, and keeps the order of those with records. `None`: it is not assigned.
    pub(super) fn change<T>(
        &mut self,
        partition: &TopicPartition,
        change: impl FnOnce(&mut Assigned) -> T,
    ) -> Option<T> {
        let assigned = self.partitions.get_mut(partition)?;
        let before = assigned.has_buffered();
        let result = change(assigned);
        match (before, assigned.has_buffered()) {
            (false, true) => self.ready.push_back(partition.clone()),
            (true, false) => self.ready.retain(|ready| ready != partition),
            _ => {}
        }
        Some(result)
    }

    /// Changes all partitions.
    pub(super) fn change_all(&mut self, mut change: impl FnMut(&TopicPartition, &mut Assigned)) {
        for (name, assigned) in &mut self.partitions {
            let before = assigned.has_buffered();
            change(name, assigned);
            match (before, assigned.has_buffered()) {
                (false, true) => self.ready.push_back(name.clone()),
                (true, false) => self.ready.retain(|ready| ready != name),
                _ => {}
            }
        }
    }

    /// Whether records of a partition that is not paused are buffered.
    pub(super) fn is_ready(&self) -> bool {
        let mut ready = self.ready.iter().filter_map(|partition| self.get(partition));
        ready.any(|assigned| !assigned.is_paused())
    }

    /// Up to `limit` buffered records, oldest fetch first.
    pub(super) fn take(&mut self, limit: usize) -> Taken {
        let (mut records, mut corrupt) = (Vec::new(), Vec::new());
        let mut shares = Vec::new();
        let mut paused = 0;
        while records.len() < limit {
            let Some(partition) = self.ready.get(paused).cloned() else { break };
            if self.get(&partition).is_some_and(Assigned::is_paused) {
                paused += 1;
                continue;
            }
            let before = records.len();
            let room = limit - before;
            let taken = self.change(&partition, |assigned| assigned.take(room, &mut records));
            let bytes = self.get(&partition).map_or(0, Assigned::taken_bytes);
            let share = Share { records: records.len() - before, bytes };
            shares.push((partition.clone(), share));
            if let Some(Err(problem)) = taken {
                corrupt.push((partition, problem));
            }
        }
        Taken { records, shares, corrupt }
    }

    /// Panics if an invariant is broken.
    pub(super) fn check(&self) {
        for assigned in self.partitions.values() {
            assigned.check();
        }
        let buffering = self.partitions.values().filter(|assigned| assigned.has_buffered());
        let (count, ready) = (buffering.count(), &self.ready);
        assert_eq!(count, ready.len(), "partitions with records: {count}, but ready: {ready:?}");
        for partition in ready {
            let buffers = self.get(partition).is_some_and(Assigned::has_buffered);
            assert!(buffers, "{partition} is ready without records");
        }
    }
}
