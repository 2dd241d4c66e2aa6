//! Reading from the replica that the leader names, until that fails or some time has passed (KIP-392).
//!
//! Source: Kafka's `AbstractFetch.selectReadReplica`, `FetchCollector` and `SubscriptionState`.

use super::Core;
use crate::base::{BrokerId, Instant, TopicPartition};

impl Core {
    /// The leader names a replica to read from. It is asked again after `metadata.max.age.ms`.
    pub(super) fn prefer(
        &mut self,
        now: Instant,
        partition: &TopicPartition,
        replica: Option<BrokerId>,
    ) {
        if let Some(replica) = replica {
            let until = now + self.config.metadata_max_age;
            self.assignment.change(partition, |assigned| assigned.prefer(replica, until));
        }
    }

    /// Reads a partition from its leader again.
    pub(super) fn return_to_leader(&mut self, partition: &TopicPartition) {
        self.assignment.change(partition, |assigned| assigned.return_to_leader());
    }

    /// Goes back to the leaders of partitions whose preferred replica has been read for long enough, or
    /// is offline as far as is known.
    pub(super) fn look_at_preferred_replicas(&mut self, now: Instant) {
        let cluster = self.kernel.cluster();
        let mut is_missing = false;
        self.assignment.change_all(|partition, assigned| {
            assigned.expire_preferred(now);
            let preferred = assigned.preferred_replica();
            if preferred.is_some_and(|replica| !cluster.is_online(partition, replica)) {
                is_missing |= assigned.return_to_leader();
            }
        });
        if is_missing {
            self.kernel.want_metadata_unless_asked();
        }
    }
}
