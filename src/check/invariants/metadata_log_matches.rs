//! `metadata-log-matches`: committed metadata stays in the log, the same on every controller, and
//! each broker's copy, from which its image comes, is a prefix of it.
//!
//! Judged from the bytes in the logs: each batch when it is written, each cut, and the whole log
//! when a controller takes over. The ghost decodes the committed part with its own reader, and each
//! decision that the controller reports must be there. A broker that writes uncommitted metadata
//! would act on a decision that may yet be taken back.
//! Source: KIP-500, KIP-595.

use super::one_controller_per_epoch::metadata_log;
use crate::base::{ControllerProbe, Probe};
use crate::check::ghost::{Batch, Change};
use crate::check::{Event, Ghost, Invariant, MetadataWitness, Violation};
use crate::sim::{HostId, What};

#[derive(Default)]
pub(super) struct MetadataLogMatches;

impl Invariant for MetadataLogMatches {
    fn name(&self) -> &'static str {
        "metadata-log-matches"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for change in event.changes {
            let wrong = match change {
                Change::Decided { host, batch } => written(ghost, *host, batch),
                Change::Undecided { host, end } if ghost.metadata().leads(*host) => {
                    let decision = ghost.metadata().decision_at(*end);
                    decision.map(|decision| MetadataWitness::MetadataDiffers {
                        node: node(ghost, *host),
                        offset: *end,
                        epoch: decision.batch.epoch,
                        committed_at: decision.at,
                        instead: None,
                    })
                }
                _ => None,
            };
            if let Some(witness) = wrong {
                return event.broke(self.name(), &metadata_log(), witness);
            }
        }
        let What::Probe(Probe::Controller(probe)) = &event.seen.what else { return Ok(()) };
        let wrong = match probe {
            ControllerProbe::BecameController { .. } => took_over(ghost, event.seen.host),
            _ => misreported(ghost, probe),
        };
        match wrong {
            Some(witness) => event.broke(self.name(), &metadata_log(), witness),
            None => Ok(()),
        }
    }
}

/// A batch agrees with what is committed, and only a controller has more than that.
fn written(ghost: &Ghost, host: HostId, batch: &Batch) -> Option<MetadataWitness> {
    let metadata = ghost.metadata();
    match metadata.decision_at(batch.base) {
        Some(decision) if decision.batch.equals(batch) => None,
        Some(decision) => Some(MetadataWitness::MetadataDiffers {
            node: node(ghost, host),
            offset: decision.batch.base,
            epoch: decision.batch.epoch,
            committed_at: decision.at,
            instead: Some(batch.epoch),
        }),
        None if metadata.leads(host) => None,
        None => Some(MetadataWitness::MetadataUncommitted {
            broker: ghost.host(host)?.broker,
            offset: batch.base,
            epoch: batch.epoch,
            committed: metadata.frontier(),
        }),
    }
}

/// The first committed batch that a controller lacks when it takes over.
fn took_over(ghost: &Ghost, host: HostId) -> Option<MetadataWitness> {
    let metadata = ghost.metadata();
    let log = metadata.log(host);
    metadata.committed().iter().find_map(|decision| {
        let there = log.and_then(|log| log.batch_at(decision.batch.base));
        if there.is_some_and(|batch| batch.equals(&decision.batch)) {
            return None;
        }
        Some(MetadataWitness::MetadataDiffers {
            node: node(ghost, host),
            offset: decision.batch.base,
            epoch: decision.batch.epoch,
            committed_at: decision.at,
            instead: there.map(|batch| batch.epoch),
        })
    })
}

/// A decision that the controller reports differs from the committed bytes of its log.
fn misreported(ghost: &Ghost, probe: &ControllerProbe) -> Option<MetadataWitness> {
    let metadata = ghost.metadata();
    // Where no metadata log is seen, as in a history of clients, there is nothing to compare with.
    metadata.committed().first()?;
    if let Some(offset) = metadata.image().unreadable() {
        return Some(MetadataWitness::UnreadableMetadata { offset });
    }
    let logged = metadata.image().contradicts(probe)?;
    Some(MetadataWitness::Misreported { logged })
}

fn node(ghost: &Ghost, host: HostId) -> String {
    ghost.host(host).map_or_else(|| "the controller".into(), |host| format!("b{}", host.broker))
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    /// Two decisions are committed, and b1 has copied the first.
    fn decided() -> Story {
        let mut story = Story::judging("metadata-log-matches");
        story.became_controller(1);
        story.decides(0, 0, 1, &[10]);
        story.decides(0, 1, 1, &[11]);
        story.metadata_committed(1, 2);
        story.decides(1, 0, 1, &[10]);
        story
    }

    #[test]
    fn silent_while_copies_follow_what_is_committed_also_over_restarts() {
        let mut story = decided();
        story.decides(0, 2, 1, &[12]);
        story.decides(1, 1, 1, &[11]);
        story.metadata_power_loss(1, 1);
        story.decides(1, 1, 1, &[11]);
        // What was not committed may go with its controller.
        story.metadata_power_loss(0, 2);
        story.became_controller(2);
        story.decides(0, 2, 2, &[77]);
        story.metadata_committed(2, 3);
        story.decides(1, 2, 2, &[77]);
        story.silent();
    }

    #[test]
    fn fires_when_a_copy_has_another_record() {
        let mut story = decided();
        story.decides(2, 0, 1, &[99]);
        story.fired(
            "__cluster_metadata-0 offset 0 of epoch 1 was committed at 1.000 s; b2 has a record of \
             epoch 1 there at 1.000 s",
        );
    }

    #[test]
    fn fires_when_a_broker_copies_what_is_not_committed() {
        let mut story = decided();
        story.decides(0, 2, 1, &[12]);
        story.decides(1, 1, 1, &[11]);
        story.silent();
        story.decides(1, 2, 1, &[12]);
        story.fired(
            "__cluster_metadata-0 offset 2 of epoch 1 is in the copy of b1 at 1.000 s; only what is \
             below offset 2 is committed",
        );
    }

    #[test]
    fn fires_when_a_controller_takes_over_without_what_it_committed() {
        let mut story = decided();
        story.metadata_power_loss(0, 1);
        story.silent();
        story.became_controller(2);
        story.fired(
            "__cluster_metadata-0 offset 1 of epoch 1 was committed at 1.000 s; the controller \
             lacks it at 1.000 s",
        );
    }

    #[test]
    fn fires_when_the_controller_cuts_what_it_committed() {
        let mut story = decided();
        story.metadata_cut(0, 1);
        assert!(story.sentence().contains("the controller lacks it"), "{}", story.sentence());
    }

    #[test]
    fn fires_when_the_controller_reports_what_it_has_not_logged() {
        let mut story = decided();
        story.commits(Some(1), 0, &[1, 2]);
        story.fired(
            "__cluster_metadata-0 the controller reports a decision at 1.000 s, but its log has no \
             topic orders with id AQEBAQEBAQEBAQEBAQEBAQ",
        );
    }

    #[test]
    fn fires_when_a_committed_record_can_not_be_read() {
        let mut story = decided();
        story.decides_bytes(0, 2, 1, &[1, 3, 2, 0]);
        story.metadata_committed(1, 3);
        story.fired(
            "__cluster_metadata-0 the committed record at offset 2 can't be read at 1.000 s",
        );
    }
}
