//! The requests to send now, by leader.

use std::collections::{BTreeMap, BTreeSet};

use super::assignment::Assignment;
use super::lookup::{LookupId, Lookups};
use super::partition::Want;
use super::position::Position;
use crate::base::{BrokerId, Instant, LeaderEpoch, Timestamp, TopicPartition};
use crate::client::kernel::Cluster;

/// A partition in a request.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) partition: TopicPartition,
    /// Epoch of the leader that gets the request, or that the replica follows.
    pub(super) leader_epoch: LeaderEpoch,
    /// Whether a follower gets the request, which the leader has named (KIP-392).
    pub(super) from_follower: bool,
    /// The application's lookup, if the request is not for an assigned partition.
    pub(super) lookup: Option<LookupId>,
}

/// The requests for one broker.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) fetch: Vec<(Asked, Position)>,
    /// With the timestamp of ListOffsets.
    pub(super) list: Vec<(Asked, i64)>,
    pub(super) validate: Vec<(Asked, Position)>,
}

/// The requests for all brokers.
#[derive(Debug)]
pub(super) struct Plans {
    pub(super) by_broker: BTreeMap<BrokerId, Plan>,
    /// When more requests are due.
    pub(super) wake: Instant,
    /// A partition has no leader, as far as is known.
    pub(super) leaderless: bool,
    /// A broker refuses a partition that occurs twice in a request: the second waits its turn.
    listed: BTreeSet<TopicPartition>,
    today: Timestamp,
}

impl Plans {
    pub(super) fn new(
        (now, today): (Instant, Timestamp),
        assignment: &Assignment,
        lookups: &Lookups,
        cluster: &Cluster,
    ) -> Self {
        let mut plans = Self {
            by_broker: BTreeMap::new(),
            wake: Instant::NEVER,
            leaderless: false,
            listed: BTreeSet::new(),
            today,
        };
        for (partition, assigned) in assignment.iter() {
            match assigned.wants(now) {
                Want::Nothing { before } => plans.wake = plans.wake.min(before),
                want @ Want::Records(_) => {
                    let replica = assigned.preferred_replica();
                    plans.add(partition, want, replica, None, cluster);
                }
                want => plans.add(partition, want, None, None, cluster),
            }
        }
        for (partition, id, whence, not_before) in lookups.wants() {
            if plans.listed.contains(partition) {
                continue;
            }
            if not_before > now {
                plans.wake = plans.wake.min(not_before);
            } else {
                plans.add(partition, Want::Offset(whence), None, Some(id), cluster);
            }
        }
        plans
    }

    fn add(
        &mut self,
        partition: &TopicPartition,
        want: Want,
        replica: Option<BrokerId>,
        lookup: Option<LookupId>,
        cluster: &Cluster,
    ) {
        let Some((leader, leader_epoch)) = cluster.leader(partition) else {
            self.leaderless = true;
            return;
        };
        let from_follower = replica.is_some_and(|replica| replica != leader);
        let plan = self.by_broker.entry(replica.unwrap_or(leader)).or_default();
        let asked = Asked { partition: partition.clone(), leader_epoch, from_follower, lookup };
        match want {
            Want::Offset(whence) => {
                self.listed.insert(partition.clone());
                plan.list.push((asked, whence.timestamp(self.today)));
            }
            Want::EpochEnd(position) => plan.validate.push((asked, position)),
            Want::Records(position) => plan.fetch.push((asked, position)),
            Want::Nothing { .. } => {}
        }
    }
}
