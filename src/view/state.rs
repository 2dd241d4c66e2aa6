//! The state of one partition.

use crate::base::{BrokerId, LeaderEpoch, PartitionCommitted, PartitionEpoch, TopicId};

/// A partition's state, as committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub topic_id: TopicId,
    pub replicas: Vec<BrokerId>,
    pub leader: Option<BrokerId>,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    pub isr: Vec<BrokerId>,
    /// Nothing changed since the leader was elected: it knows its ISR.
    pub as_elected: bool,
    /// With this change, the leader was elected from outside ISR and ELR.
    pub unclean: bool,
}

impl State {
    pub(super) fn new(committed: &PartitionCommitted, as_elected: bool) -> Self {
        Self {
            topic_id: committed.topic_id,
            replicas: committed.replicas.clone(),
            leader: committed.leader,
            leader_epoch: committed.leader_epoch,
            partition_epoch: committed.partition_epoch,
            isr: committed.isr.clone(),
            as_elected,
            unclean: committed.unclean,
        }
    }

    /// Whether there is a leader and all replicas are in sync.
    pub fn is_full(&self) -> bool {
        self.leader.is_some() && self.replicas.iter().all(|id| self.isr.contains(id))
    }
}
