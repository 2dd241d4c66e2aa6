//! What the core measures, and when.

use std::time::Duration;

use super::Core;
use crate::base::{BrokerId, Instant, TopicPartition};
use crate::client::consumer::metrics::{CONSUMER, Callback, FETCH};
use crate::client::metrics::{Metrics, Nodes};

impl Core {
    /// The application polls.
    pub(in crate::client::consumer) fn begin_poll(&mut self, now: Instant) {
        self.measured.poll_begins(now);
        self.forget_begun_commits();
    }

    /// The poll returns.
    pub(in crate::client::consumer) fn poll_ends(&mut self, now: Instant) {
        self.count_consumed(now);
        self.measured.poll_ends(now);
    }

    /// Counts what the application got.
    pub(super) fn count_consumed(&mut self, now: Instant) {
        for (partition, share) in std::mem::take(&mut self.shares) {
            if share.records == 0 {
                continue;
            }
            self.measured.consumed(now, &partition.topic, share.records, share.bytes);
            if let Some(assigned) = self.assignment.get(&partition) {
                let (lag, lead) = (assigned.lag(self.read_committed), assigned.lead());
                self.measured.distance(now, &partition, lag, lead);
            }
        }
    }

    /// How many records of a partition are still to be read; `None`: not known yet.
    pub(in crate::client::consumer) fn lag(&self, partition: &TopicPartition) -> Option<u64> {
        self.assignment.get(partition)?.lag(self.read_committed)
    }

    /// The listener's call has ended.
    pub(in crate::client::consumer) fn callback_took(
        &mut self,
        now: Instant,
        callback: Callback,
        took: Duration,
    ) {
        self.measured.told(now, callback, took);
    }

    /// A call of the application that waited for a commit has ended.
    pub(in crate::client::consumer) fn commit_sync_took(&mut self, took: Duration) {
        self.measured.commit_sync_took(took);
    }

    /// A call of the application that waited for committed offsets has ended.
    pub(in crate::client::consumer) fn committed_took(&mut self, took: Duration) {
        self.measured.committed_took(took);
    }

    /// Notes when a rebalance begins and ends.
    pub(super) fn measure_rebalance(&mut self, now: Instant) {
        let Some(group) = &self.group else { return };
        let (rebalances, succeeded) = group.rebalances();
        self.measured.rebalances(now, rebalances, succeeded);
    }

    /// All metrics now, with those of connections.
    pub(in crate::client::consumer) fn metrics_with(
        &mut self,
        now: Instant,
        nodes: &Nodes,
    ) -> Metrics {
        let mut metrics = self.metrics(now);
        let groups = (CONSUMER, "consumer-node-metrics");
        nodes.write(now, groups, |address| self.kernel.node_id(address), &mut metrics);
        metrics
    }

    /// All metrics now.
    pub(in crate::client) fn metrics(&mut self, now: Instant) -> Metrics {
        let assignment = &self.assignment;
        self.measured.retain(|partition| assignment.get(partition).is_some());
        let assigned = assignment.iter().count();
        let mut metrics = self.measured.snapshot(now, assigned, self.group.is_some());
        for (partition, assigned) in assignment.iter() {
            let replica = assigned.preferred_replica().unwrap_or(BrokerId::NONE).0;
            let name = "preferred-read-replica";
            metrics.add_of_partition(FETCH, name, partition, replica.into());
        }
        metrics
    }
}
