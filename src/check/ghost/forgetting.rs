//! Coordinators of groups whose log lost what was committed, within the contract.
//!
//! Members are told what their coordinator finds in its log. So a loss counts from the moment at which
//! any leader of a partition of `__consumer_offsets` lacks promised records, also one whose epoch the
//! controller has already ended: it coordinates until it learns of that.

use super::Ghost;
use crate::base::{Instant, LeaderEpoch, TopicPartition, topics};
use crate::sim::HostId;

impl Ghost {
    /// A replica began to lead. Its coordinator forgets what it lacks.
    pub(super) fn began_to_lead(&mut self, at: Instant, on: HostId, name: &TopicPartition) {
        if *name.topic == *topics::CONSUMER_OFFSETS {
            self.forgets(at, on, name);
        }
    }

    /// A leader exposed more. Coordinators of later epochs forget it, if they lack it.
    pub(super) fn outdone(
        &mut self,
        at: Instant,
        on: HostId,
        name: &TopicPartition,
        epoch: LeaderEpoch,
    ) {
        if *name.topic != *topics::CONSUMER_OFFSETS {
            return;
        }
        let later = |host: &HostId| {
            let role = self.view.role(*host, name);
            *host != on && role.is_some_and(|role| role.leads && role.epoch > epoch)
        };
        let hosts: Vec<HostId> = self.hosts.iter().map(|(host, _)| host).filter(later).collect();
        hosts.into_iter().for_each(|host| self.forgets(at, host, name));
    }

    fn forgets(&mut self, at: Instant, on: HostId, name: &TopicPartition) {
        let Some(role) = self.view.role(on, name).filter(|role| role.leads) else { return };
        if self.lacks_within_contract(on, name, role.epoch) {
            self.groups.forgot(name.partition, at);
        }
    }
}
