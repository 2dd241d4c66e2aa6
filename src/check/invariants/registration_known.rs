//! `registration-known`: a broker is unfenced, and takes over a partition, only once its copy of the
//! metadata log has the registration of its process.
//!
//! What is older than that was decided about processes before it: one that acts on it may lead in an
//! epoch that ended, or take for assigned what it has lost since. The epoch of a broker is the offset of
//! its registration. A controller that starts reports again what it replays: only the first report of
//! an unfencing is judged.
//! Source: KIP-631; Kafka's `BrokerHeartbeatManager`, and `initialCatchUpFuture` in `BrokerServer`.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{
    BrokerEpoch, BrokerId, ControllerProbe, NodeProbe, Offset, Probe, ReplicaProbe, TopicPartition,
};
use crate::check::ghost::Change;
use crate::check::{Event, Ghost, Invariant, MetadataWitness, Violation};
use crate::sim::{HostId, What};

#[derive(Default)]
pub(super) struct RegistrationKnown {
    /// Where the copy of each host ended when it was longest.
    reached: BTreeMap<HostId, Offset>,
    /// The epochs of the processes that run.
    registered: BTreeMap<HostId, BrokerEpoch>,
    unfenced: BTreeSet<(BrokerId, BrokerEpoch)>,
}

impl RegistrationKnown {
    fn lacks(&self, host: HostId, epoch: BrokerEpoch) -> Option<Offset> {
        let end = self.reached.get(&host).copied().unwrap_or(Offset::ZERO);
        (end.0 <= epoch.0).then_some(end)
    }

    fn unfenced(
        &mut self,
        ghost: &Ghost,
        id: BrokerId,
        epoch: BrokerEpoch,
    ) -> Option<MetadataWitness> {
        if !self.unfenced.insert((id, epoch)) {
            return None;
        }
        let (host, _) = ghost.hosts().find(|(_, host)| host.broker == id)?;
        let end = self.lacks(host, epoch)?;
        Some(MetadataWitness::UnfencedTooEarly { epoch, end })
    }

    fn took_over(&self, host: HostId, partition: &TopicPartition) -> Option<MetadataWitness> {
        let partition = partition.clone();
        let Some(epoch) = self.registered.get(&host).copied() else {
            return Some(MetadataWitness::TookOverUnregistered { partition });
        };
        let end = self.lacks(host, epoch)?;
        Some(MetadataWitness::TookOverTooEarly { partition, epoch, end })
    }
}

impl Invariant for RegistrationKnown {
    fn name(&self) -> &'static str {
        "registration-known"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for change in event.changes {
            if let Change::Decided { host, batch } = change {
                let reached = self.reached.entry(*host).or_insert(Offset::ZERO);
                *reached = batch.next.max(*reached);
            }
        }
        // Without the controller's log, nothing is known of registrations.
        if ghost.metadata().frontier() == Offset::ZERO {
            return Ok(());
        }
        let host = event.seen.host;
        let (broker, witness) = match &event.seen.what {
            What::Killed | What::PowerLost { .. } | What::Ended => {
                self.registered.remove(&host);
                return Ok(());
            }
            What::Probe(Probe::Node(NodeProbe::Registered { epoch })) => {
                self.registered.insert(host, *epoch);
                return Ok(());
            }
            What::Probe(Probe::Controller(ControllerProbe::BrokerUnfenced { broker, epoch })) => {
                (Some(*broker), self.unfenced(ghost, *broker, *epoch))
            }
            What::Probe(Probe::Replica(
                ReplicaProbe::BecameLeader { partition, .. }
                | ReplicaProbe::BecameFollower { partition, .. },
            )) => (ghost.host(host).map(|host| host.broker), self.took_over(host, partition)),
            _ => return Ok(()),
        };
        match (broker, witness) {
            (Some(broker), Some(witness)) => event.broke(self.name(), broker, witness),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    /// The controller's log has two records, the second of which registers a broker; its copy has the first.
    fn registered() -> Story {
        let mut story = Story::judging("registration-known");
        story.became_controller(1);
        story.decides(0, 0, 1, &[10]);
        story.decides(0, 1, 1, &[11]);
        story.metadata_committed(1, 2);
        story.decides(2, 0, 1, &[10]);
        story.registers(2, 1);
        story
    }

    #[test]
    fn silent_when_the_registration_was_read_before_even_if_the_copy_was_lost_since() {
        let mut story = registered();
        story.decides(2, 1, 1, &[11]);
        story.metadata_power_loss(2, 0);
        story.unfenced_as(2, 1);
        story.silent();
    }

    #[test]
    fn fires_when_a_broker_is_unfenced_before_it_read_its_registration() {
        let mut story = registered();
        story.unfenced_as(2, 1);
        story.fired(
            "b2 was unfenced at 1.000 s in broker epoch 1, though its copy of the metadata log never had \
             more than what is below offset 1",
        );
    }

    #[test]
    fn silent_when_a_controller_reports_an_unfencing_again() {
        let mut story = registered();
        story.decides(2, 1, 1, &[11]);
        story.unfenced_as(2, 1);
        story.unfenced_as(2, 1);
        story.silent();
    }

    #[test]
    fn fires_when_a_partition_is_taken_over_before_that() {
        let mut story = registered();
        story.became_leader(2, 0);
        story.fired(
            "b2 took orders-0 over at 1.000 s in broker epoch 1, though its copy of the metadata log never \
             had more than what is below offset 1",
        );
    }

    #[test]
    fn fires_when_a_new_process_takes_a_partition_over_before_it_is_registered() {
        let mut story = registered();
        story.decides(2, 1, 1, &[11]);
        story.became_leader(2, 0);
        story.killed(2);
        story.became_leader(2, 0);
        story.fired("b2 took orders-0 over at 1.000 s before it was registered");
    }
}
