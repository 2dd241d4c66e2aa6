//! `one-controller-per-epoch`: no epoch of the metadata log is begun twice, and a controller
//! commits nothing after another one has begun a newer epoch.
//!
//! With one voter, both can happen only through a restart: one that forgets the epoch it had begun,
//! or a process that continues after its successor took over.
//! Source: KIP-595, `AtMostOneLeaderPerEpoch` of the pull-Raft specification.

use std::collections::BTreeMap;

use crate::base::{BrokerId, ControllerProbe, Instant, LeaderEpoch, Probe, TopicPartition};
use crate::check::{Event, Ghost, Invariant, MetadataWitness, Violation};
use crate::sim::{HostId, What};

#[derive(Default)]
pub(super) struct OneControllerPerEpoch {
    begun: BTreeMap<LeaderEpoch, (HostId, BrokerId, Instant)>,
}

/// The metadata log as a partition.
pub(super) fn metadata_log() -> TopicPartition {
    TopicPartition::new("__cluster_metadata", 0)
}

impl Invariant for OneControllerPerEpoch {
    fn name(&self) -> &'static str {
        "one-controller-per-epoch"
    }

    fn observe(&mut self, event: &Event<'_>, _ghost: &Ghost) -> Result<(), Violation> {
        match &event.seen.what {
            What::Probe(Probe::Controller(ControllerProbe::BecameController { id, epoch })) => {
                let begun = (event.seen.host, *id, event.seen.at);
                let Some((_, first, first_at)) = self.begun.insert(*epoch, begun) else {
                    return Ok(());
                };
                let (epoch, second) = (*epoch, *id);
                let witness = MetadataWitness::TwoControllers { epoch, first, first_at, second };
                event.broke(self.name(), &metadata_log(), witness)
            }
            What::Probe(Probe::Controller(ControllerProbe::MetadataCommitted { epoch, end })) => {
                let Some((newer, (_, _, newer_at))) = self.begun.last_key_value() else {
                    return Ok(());
                };
                if newer <= epoch {
                    return Ok(());
                }
                let by = self.begun.get(epoch).filter(|(host, ..)| *host == event.seen.host);
                let witness = MetadataWitness::StaleController {
                    controller: by.map_or(BrokerId(-1), |(_, id, _)| *id),
                    epoch: *epoch,
                    end: *end,
                    newer: *newer,
                    newer_at: *newer_at,
                };
                event.broke(self.name(), &metadata_log(), witness)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    #[test]
    fn silent_while_each_start_begins_a_newer_epoch_and_commits_in_it() {
        let mut story = Story::judging("one-controller-per-epoch");
        story.became_controller(1);
        story.metadata_committed(1, 5);
        story.became_controller(2);
        story.metadata_committed(2, 6);
        story.silent();
    }

    #[test]
    fn fires_when_an_epoch_is_begun_again_after_a_restart() {
        let mut story = Story::judging("one-controller-per-epoch");
        story.became_controller(1);
        story.later();
        story.became_controller(1);
        story.fired(
            "__cluster_metadata-0 epoch 1 was begun by controller 101 at 1.000 s and by controller \
             101 at 2.000 s",
        );
    }

    #[test]
    fn fires_when_a_stale_controller_commits() {
        let mut story = Story::judging("one-controller-per-epoch");
        story.became_controller(1);
        story.became_controller(2);
        story.metadata_committed(1, 5);
        story.fired(
            "__cluster_metadata-0 controller 101 of epoch 1 committed below offset 5 at 1.000 s, \
             though epoch 2 began at 1.000 s",
        );
    }
}
