//! `min-insync-enforced`: no acks=all acknowledgement is given while the effective ISR is smaller
//! than `min.insync.replicas`.
//!
//! The number of copies counts: when the acknowledgement is given, at least that many brokers must
//! have held the record, whatever the leader believes. Where the leader certainly knows the ISR,
//! because it was elected with it and nothing changed since, its size counts too. A leader that
//! learns late that its ISR shrank does no harm and is not accused.

use std::collections::BTreeMap;

use crate::base::{BrokerId, LeaderEpoch, Offset, Probe, ReplicaProbe, TopicPartition};
use crate::check::{Event, Ghost, Invariant, ReplicaWitness, Violation};
use crate::sim::What;
use crate::view::State;

#[derive(Default)]
pub(super) struct MinInsyncEnforced {
    /// Epoch of the last acknowledgement, and the offset below which that epoch's were looked at.
    acknowledged: BTreeMap<TopicPartition, (LeaderEpoch, Offset)>,
}

impl Invariant for MinInsyncEnforced {
    fn name(&self) -> &'static str {
        "min-insync-enforced"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for partition in event.gone() {
            self.acknowledged.remove(partition);
        }
        let What::Probe(Probe::Replica(ReplicaProbe::AcknowledgedAll {
            partition: name,
            epoch,
            end,
        })) = &event.seen.what
        else {
            return Ok(());
        };
        let Some(partition) = ghost.partition(name) else { return Ok(()) };
        let Some(known) = ghost.view().partition(name) else { return Ok(()) };
        let Some(host) = ghost.host(event.seen.host) else { return Ok(()) };
        if ghost.view().role(event.seen.host, name).is_none() {
            return Ok(());
        }
        let needed = ghost.copies_needed(name);
        if let Some(witness) = too_small_isr(known.state(), host.broker, *epoch, *end, needed) {
            return event.broke(self.name(), name, witness);
        }
        let known = self.acknowledged.insert(name.clone(), (*epoch, *end));
        let seen = known.filter(|(known, _)| known == epoch).map_or(Offset::ZERO, |(_, end)| end);
        let promised = partition.promised.iter().rev();
        for promised in promised.skip_while(|promised| promised.batch.next > *end) {
            if promised.batch.base < seen || promised.in_epoch != *epoch {
                break;
            }
            let copies = ghost.holders(promised);
            if copies.len() < needed {
                let witness = ReplicaWitness::TooFewCopies {
                    offset: promised.batch.base,
                    epoch: promised.batch.epoch,
                    copies,
                    needed,
                    to: None,
                    leader: host.broker,
                };
                return event.broke(self.name(), name, witness);
            }
        }
        Ok(())
    }
}

fn too_small_isr(
    state: &State,
    leader: BrokerId,
    epoch: LeaderEpoch,
    end: Offset,
    needed: usize,
) -> Option<ReplicaWitness> {
    let knows = state.as_elected && state.leader_epoch == epoch && state.leader == Some(leader);
    (knows && state.isr.len() < needed).then(|| ReplicaWitness::TooSmallIsr {
        epoch,
        leader,
        isr: state.isr.clone(),
        needed,
        end,
    })
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    #[test]
    fn silent_when_enough_brokers_held_the_record() {
        let mut story = Story::judging("min-insync-enforced");
        story.leader_writes(1, 0, 0, &[1]);
        story.writes(3, 0, 0, &[1]);
        story.high_watermark(1, 0, 1);
        story.acknowledged_all(1, 0, 1);
        story.silent();
    }

    #[test]
    fn silent_when_a_holder_lost_power_just_before_the_acknowledgement() {
        let mut story = Story::judging("min-insync-enforced");
        story.leader_writes(1, 0, 0, &[1]);
        story.writes(3, 0, 0, &[1]);
        story.power_loss(3, 0);
        story.high_watermark(1, 0, 1);
        story.acknowledged_all(1, 0, 1);
        story.silent();
    }

    #[test]
    fn silent_when_the_leader_has_not_heard_that_its_isr_shrank() {
        let mut story = Story::judging("min-insync-enforced");
        story.leader_writes(1, 0, 0, &[1]);
        story.writes(2, 0, 0, &[1]);
        story.commits(Some(1), 0, &[1]);
        story.acknowledged_all(1, 0, 1);
        story.silent();
    }

    /// Records of b1 and b2 are lost to b3, one of the two cleans its log, and b1 leads again.
    fn lost_and_cleaned(cleaner: u16, holders: &[u16]) -> Story {
        let mut story = Story::compacting("min-insync-enforced");
        for broker in holders {
            story.writes_keyed(*broker, 0, "", &[(0, "a", Some("1")), (1, "b", Some("1"))], 2);
            story.writes_keyed(*broker, 2, "", &[(2, "b", Some("2"))], 3);
        }
        story.high_watermark(1, 0, 3);
        story.commits_unclean(3, 1, &[3]);
        story.became_leader(3, 1);
        let of_b3 = [(0, 1, "c", Some("1")), (1, 1, "d", Some("1"))];
        story.writes_keyed_of_epochs(3, 0, "", &of_b3, 2);
        story.high_watermark(3, 1, 2);
        story.writes_keyed(cleaner, 0, ".cleaned", &[(0, "a", Some("1"))], 2);
        story.swaps(cleaner, 0, &[]);
        story.commits_unclean(1, 2, &[1]);
        story.became_leader(1, 2);
        story.commits(Some(1), 2, &[1, 2]);
        story.high_watermark(1, 2, 3);
        story.acknowledged_all(1, 2, 3);
        story
    }

    #[test]
    fn silent_about_lost_records_that_were_cleaned_before_their_leader_came_back() {
        for cleaner in [1, 2] {
            lost_and_cleaned(cleaner, &[1, 2]).silent();
        }
    }

    #[test]
    fn fires_about_cleaned_records_that_the_other_replica_never_had() {
        let sentence = lost_and_cleaned(1, &[1]).sentence();
        assert!(sentence.contains("of epoch 0 acknowledged by leader b1"), "{sentence}");
        assert!(sentence.contains("with copies on b1 only"), "{sentence}");
    }

    #[test]
    fn fires_when_the_leader_alone_holds_the_record() {
        let mut story = Story::judging("min-insync-enforced");
        story.commits(Some(1), 0, &[1]);
        story.leader_writes(1, 0, 0, &[1]);
        story.high_watermark(1, 0, 1);
        story.acknowledged_all(1, 0, 1);
        story.fired(
            "orders-0 offset 0 of epoch 0 acknowledged by leader b1 at 1.000 s with copies on b1 \
             only; min.insync.replicas is 2",
        );
    }

    #[test]
    fn fires_when_a_leader_was_elected_alone_and_acknowledges() {
        let mut story = Story::judging("min-insync-enforced");
        story.leader_writes(1, 0, 0, &[1]);
        story.writes(2, 0, 0, &[1]);
        story.elected(2, 1, &[2]);
        story.acknowledged_all(2, 1, 1);
        story.fired(
            "orders-0 leader b2 of epoch 1 acknowledged below offset 1 at 1.000 s with b2 in sync; \
             min.insync.replicas is 2",
        );
    }
}
