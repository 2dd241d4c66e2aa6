//! `recovery-trusts-only-synced`: after a power loss, a log opens to a valid prefix of the bytes on
//! the platter: nothing torn, nothing after a gap, no end beyond the last valid batch, and no older
//! batch in the place of a younger one. It does open: the remains of a crash are cut, and only the
//! work of a faulty disk is called damage. And no consumer is ever served bytes that fail their
//! checksum.
//!
//! The ghost reads the valid prefix from the surviving bytes, batch by batch with its checksum, and
//! compares with the log before the power failed. Judged when a node that lost power first takes up
//! a role: by then it has opened the log, and from then on serves it. Batches that a faulty disk
//! damaged are not looked for when a log is opened, but when it is read: consumers report what they
//! were served.
//! Source: KAFKA-10533; disk faults of the crash-consistency literature.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Offset, Probe, ReplicaProbe, StorageProbe, TopicPartition};
use crate::check::{ConsumerWitness, Event, Ghost, Invariant, StorageWitness, Violation};
use crate::sim::{ClientEvent, ConsumerEvent, HostId, What};

#[derive(Default)]
pub(super) struct RecoveryTrustsOnlySynced {
    /// Hosts that lost power, with the logs that they have opened since.
    opened: BTreeMap<HostId, BTreeSet<TopicPartition>>,
    /// How often links damaged what was on its way to a host, and no consumer there complained yet.
    on_the_way: BTreeMap<HostId, u64>,
}

impl Invariant for RecoveryTrustsOnlySynced {
    fn name(&self) -> &'static str {
        "recovery-trusts-only-synced"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        let (partition, log_end) = match &event.seen.what {
            What::Damaged { .. } => {
                *self.on_the_way.entry(event.seen.host).or_default() += 1;
                return Ok(());
            }
            What::PowerLost { .. } => {
                self.opened.insert(event.seen.host, BTreeSet::new());
                return Ok(());
            }
            What::Probe(Probe::Replica(ReplicaProbe::BecameLeader {
                partition, log_end, ..
            })) => (partition, Some(*log_end)),
            What::Client(ClientEvent::Consumer(ConsumerEvent::Unreadable {
                consumer,
                partition,
                offset,
                served: true,
            })) => {
                // Damaged on the way: once for each damage.
                if let Some(left) = self.on_the_way.get_mut(&event.seen.host) {
                    *left -= 1;
                    if *left == 0 {
                        self.on_the_way.remove(&event.seen.host);
                    }
                    return Ok(());
                }
                let witness =
                    ConsumerWitness::ServedDamaged { consumer: *consumer, offset: *offset };
                return event.broke(self.name(), partition, witness);
            }
            What::Probe(Probe::Storage(StorageProbe::Damaged { partition, offset })) => {
                let Some(host) = ghost.host(event.seen.host) else { return Ok(()) };
                let replica = host.replicas.get(partition);
                if replica.is_none_or(|replica| replica.is_damaged_somewhere()) {
                    return Ok(());
                }
                let witness =
                    StorageWitness::CalledDamaged { broker: host.broker, offset: *offset };
                return event.broke(self.name(), partition, witness);
            }
            What::Probe(Probe::Replica(ReplicaProbe::BecameFollower { partition, .. })) => {
                (partition, None)
            }
            _ => return Ok(()),
        };
        let Some(opened) = self.opened.get_mut(&event.seen.host) else { return Ok(()) };
        if opened.contains(partition) {
            return Ok(());
        }
        opened.insert(partition.clone());
        let Some(host) = ghost.host(event.seen.host) else { return Ok(()) };
        let log = host.replicas.get(partition);
        let valid =
            log.map_or(Offset::ZERO, |log| log.claimed_end(ghost.is_compacted(&partition.topic)));
        let claims = log_end.filter(|end| *end > valid);
        let position = log.and_then(|log| log.first_garbage());
        let gap = log.is_some_and(|log| log.end() > valid);
        let stale = log.and_then(|log| log.stale()).map(|batch| batch.base);
        if claims.is_none() && position.is_none() && stale.is_none() && !gap {
            return Ok(());
        }
        let broker = host.broker;
        let witness = StorageWitness::TrustsUnsynced { broker, valid, position, claims, stale };
        event.broke(self.name(), partition, witness)
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::{Story, batch};

    fn written() -> Story {
        let mut story = Story::judging("recovery-trusts-only-synced");
        story.writes(1, 0, 0, &[1, 2]);
        story.rolls(1, 2);
        story.writes(1, 2, 0, &[3]);
        story
    }

    #[test]
    fn silent_when_the_torn_end_is_cut_before_the_log_is_served() {
        let mut story = written();
        story.power_loss_tearing(1);
        story.boot(1);
        story.cut(1, 2);
        story.leads_with_log_end(1, 1, 2);
        story.silent();
    }

    #[test]
    fn silent_about_a_node_that_did_not_lose_power() {
        let mut story = written();
        story.killed(1);
        story.boot(1);
        story.leads_with_log_end(1, 1, 4);
        story.silent();
    }

    #[test]
    fn fires_when_torn_bytes_are_kept() {
        let mut story = written();
        story.power_loss_tearing(1);
        story.boot(1);
        story.became_follower(1, 1, 2);
        story.fired(
            "orders-0 log of b1 is valid below offset 2 since the power failed; at 1.000 s it was \
             opened with bytes that are not a batch, at position 0",
        );
    }

    #[test]
    fn fires_when_a_log_is_opened_beyond_a_gap() {
        let mut story = written();
        story.power_loss_keeping(1, 0, 0);
        story.boot(1);
        story.became_follower(1, 1, 2);
        assert!(story.sentence().ends_with("it was opened with what follows a gap"));
    }

    #[test]
    fn silent_about_a_gap_that_the_node_has_told_of() {
        let mut story = written();
        story.lies(1, 0);
        story.power_loss_keeping(1, 0, 0);
        story.boot(1);
        story.calls_damaged(1, 0);
        story.leads_with_log_end(1, 1, 3);
        story.silent();
    }

    #[test]
    fn fires_when_a_node_believes_in_more_than_survived() {
        let mut story = written();
        story.power_loss(1, 2);
        story.boot(1);
        story.leads_with_log_end(1, 1, 3);
        assert!(story.sentence().ends_with("it was opened as one that ends at offset 3"));
    }

    /// What was cut is back after a power loss; `younger` had been written over it, or nothing.
    fn brought_back(younger: Option<u64>) -> Story {
        let mut story = Story::judging("recovery-trusts-only-synced");
        story.writes(1, 0, 0, &[1, 2]);
        story.writes(1, 2, 0, &[3]);
        story.cut(1, 2);
        if let Some(value) = younger {
            story.writes(1, 2, 1, &[value]);
        }
        story.power_loss_bringing_back(1, 2, &batch(2, 0, &[3]));
        story.boot(1);
        story
    }

    #[test]
    fn fires_when_an_older_batch_is_back_in_the_place_of_a_younger_one() {
        let mut story = brought_back(Some(4));
        story.became_follower(1, 2, 2);
        let said = "it was opened with an older batch than the last at offset 2";
        assert!(story.sentence().ends_with(said), "{}", story.sentence());
    }

    #[test]
    fn silent_when_what_was_cut_and_not_written_over_is_back() {
        let mut story = brought_back(None);
        story.became_follower(1, 2, 2);
        story.silent();
    }

    #[test]
    fn silent_about_an_older_batch_that_a_lying_disk_said_it_had_cut() {
        let mut story = Story::judging("recovery-trusts-only-synced");
        story.writes(1, 0, 0, &[1, 2]);
        story.writes(1, 2, 0, &[3]);
        story.cut(1, 2);
        story.lies(1, 0);
        story.writes(1, 2, 1, &[4]);
        story.power_loss_bringing_back(1, 2, &batch(2, 0, &[3]));
        story.boot(1);
        story.became_follower(1, 2, 2);
        story.silent();
    }

    #[test]
    fn silent_when_the_older_batch_is_cut_before_the_log_is_served() {
        let mut story = brought_back(Some(4));
        story.cut(1, 2);
        story.became_follower(1, 2, 2);
        story.silent();
    }

    #[test]
    fn silent_about_rot_that_no_reader_is_served() {
        let mut story = written();
        story.rots(1, 0);
        story.power_loss(1, 4);
        story.boot(1);
        story.leads_with_log_end(1, 1, 3);
        story.unreadable(1, 0, false);
        story.silent();
    }

    #[test]
    fn fires_when_a_reader_is_served_rot() {
        let mut story = written();
        story.rots(1, 0);
        story.unreadable(1, 0, true);
        story.fired(
            "orders-0 consumer k1 was served bytes at offset 0 by 1.000 s that fail their checksum",
        );
    }

    #[test]
    fn silent_once_for_each_damage_on_the_way_and_fires_after_that() {
        let mut story = written();
        story.damaged_on_the_way(1);
        story.unreadable(1, 0, true);
        story.silent();
        story.unreadable(1, 0, true);
        assert!(story.sentence().contains("fail their checksum"), "{}", story.sentence());
    }

    #[test]
    fn fires_when_what_a_crash_left_is_called_damage_and_not_where_a_disk_is_at_fault() {
        let mut crashed = written();
        crashed.power_loss_tearing(1);
        crashed.boot(1);
        crashed.calls_damaged(1, 2);
        crashed.fired(
            "orders-0 b1 found its log damaged at offset 2 at 1.000 s, though its disk did nothing \
             wrong: what a crash leaves is cut",
        );
        let mut rotten = written();
        rotten.rots(1, 0);
        rotten.power_loss_tearing(1);
        rotten.boot(1);
        rotten.calls_damaged(1, 0);
        rotten.silent();
    }
}
