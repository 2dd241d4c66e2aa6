//! `offsets-dense`: a log that was never compacted has no gap and no repeated offset; base offsets
//! always rise; and every byte belongs to a batch.
//!
//! In a compacted log, offsets only have to rise, but segments still meet: a cleaner keeps the last
//! batch of each, and a follower begins a segment where its log ends.
//!
//! Each batch is judged when it is written, and the joints between segments when a node reports
//! that it leads or follows: then it believes its log to be whole.

use crate::base::{Probe, ReplicaProbe, TopicPartition};
use crate::check::ghost::Change;
use crate::check::{Event, Ghost, Invariant, StorageWitness, Violation};
use crate::sim::What;

#[derive(Default)]
pub(super) struct OffsetsDense;

impl Invariant for OffsetsDense {
    fn name(&self) -> &'static str {
        "offsets-dense"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for change in event.changes {
            if let Some((partition, witness)) = appended(change, ghost) {
                return event.broke(self.name(), partition, witness);
            }
        }
        let What::Probe(
            Probe::Replica(ReplicaProbe::BecameLeader { partition, .. })
            | Probe::Replica(ReplicaProbe::BecameFollower { partition, .. }),
        ) = &event.seen.what
        else {
            return Ok(());
        };
        let Some(host) = ghost.host(event.seen.host) else { return Ok(()) };
        let found = host.replicas.get(partition).and_then(|replica| replica.first_break());
        let Some((expected, found, position)) = found else { return Ok(()) };
        let broker = host.broker;
        let witness = match found {
            Some(found) => StorageWitness::Gap { broker, expected, found },
            None => StorageWitness::Unreadable { broker, after: expected, position },
        };
        event.broke(self.name(), partition, witness)
    }
}

fn appended<'a>(change: &'a Change, ghost: &Ghost) -> Option<(&'a TopicPartition, StorageWitness)> {
    match change {
        Change::Appended { host, partition, batch, place } => {
            let broker = ghost.host(*host)?.broker;
            let offsets = batch.next.0 - batch.base.0;
            let compacted = ghost.is_compacted(&partition.topic);
            let in_place = batch.base == place.expected || compacted && batch.base > place.expected;
            let witness = if !in_place {
                StorageWitness::Gap { broker, expected: place.expected, found: batch.base }
            } else if i64::from(batch.count) != offsets && !compacted {
                StorageWitness::Hollow { broker, offset: batch.base, offsets, records: batch.count }
            } else {
                let found = place.following.filter(|following| *following < batch.next)?;
                StorageWitness::Gap { broker, expected: batch.next, found }
            };
            Some((partition, witness))
        }
        Change::Unreadable { host, partition, after, position } => {
            let broker = ghost.host(*host)?.broker;
            let witness = StorageWitness::Unreadable { broker, after: *after, position: *position };
            Some((partition, witness))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    #[test]
    fn silent_while_each_batch_follows_the_last_over_segments_and_cuts() {
        let mut story = Story::judging("offsets-dense");
        story.writes(1, 0, 0, &[1, 2, 3]);
        story.writes(1, 3, 0, &[4]);
        story.rolls(1, 4);
        story.writes(1, 4, 0, &[5]);
        story.cut(1, 4);
        story.writes(1, 4, 1, &[6]);
        story.became_leader(1, 1);
        story.silent();
    }

    #[test]
    fn silent_when_a_log_begins_where_its_leader_begins() {
        let mut story = Story::judging("offsets-dense");
        story.rolls(2, 50);
        story.writes(2, 50, 3, &[1]);
        story.became_follower(2, 3, 1);
        story.silent();
    }

    #[test]
    fn fires_on_a_gap() {
        let mut story = Story::judging("offsets-dense");
        story.writes(1, 0, 0, &[1, 2]);
        story.writes(1, 3, 0, &[4]);
        story.fired("orders-0 log of b1 goes from offset 2 to offset 3 at 1.000 s");
    }

    #[test]
    fn fires_on_a_repeat() {
        let mut story = Story::judging("offsets-dense");
        story.writes(1, 0, 0, &[1, 2]);
        story.writes(1, 1, 0, &[4]);
        story.fired("orders-0 log of b1 goes from offset 2 to offset 1 at 1.000 s");
    }

    #[test]
    fn fires_when_a_power_loss_left_a_hole_and_the_node_goes_on() {
        let mut story = Story::judging("offsets-dense");
        story.writes(1, 0, 0, &[1, 2]);
        story.rolls(1, 2);
        story.writes(1, 2, 0, &[3]);
        story.power_loss_keeping(1, 0, 0);
        story.boot(1);
        story.silent();
        story.became_follower(1, 1, 2);
        story.fired("orders-0 log of b1 goes from offset 0 to offset 2 at 1.000 s");
    }

    /// The first segment is lost, and the node tells so or not.
    fn hole(is_told: bool) -> Story {
        let mut story = Story::judging("offsets-dense");
        story.writes(1, 0, 0, &[1, 2]);
        story.rolls(1, 2);
        story.writes(1, 2, 0, &[3]);
        story.rolls(1, 3);
        story.writes(1, 3, 0, &[4]);
        story.power_loss_keeping(1, 0, 0);
        story.boot(1);
        if is_told {
            story.calls_damaged(1, 0);
        }
        story.became_follower(1, 1, 2);
        story
    }

    #[test]
    fn silent_about_a_hole_that_the_node_has_told_of_and_fires_on_the_next() {
        let mut story = hole(true);
        story.silent();
        story.power_loss_keeping(1, 2, 0);
        story.boot(1);
        story.calls_damaged(1, 0);
        story.became_follower(1, 2, 2);
        story.fired("orders-0 log of b1 goes from offset 2 to offset 3 at 1.000 s");
    }

    #[test]
    fn fires_on_a_hole_that_an_earlier_process_has_told_of() {
        let mut story = hole(true);
        story.killed(1);
        story.boot(1);
        story.became_follower(1, 2, 2);
        story.fired("orders-0 log of b1 goes from offset 0 to offset 2 at 1.000 s");
        hole(false).fired("orders-0 log of b1 goes from offset 0 to offset 2 at 1.000 s");
    }

    #[test]
    fn silent_about_what_is_missing_within_the_segments_of_a_compacted_log() {
        let mut story = Story::compacting("offsets-dense");
        story.writes(1, 2, 0, &[1]);
        story.writes(1, 5, 0, &[2]);
        story.rolls(1, 6);
        story.writes(1, 9, 0, &[3]);
        story.became_follower(1, 1, 2);
        story.silent();
    }

    #[test]
    fn fires_when_a_power_loss_left_a_hole_between_segments_of_a_compacted_log() {
        let mut story = Story::compacting("offsets-dense");
        story.writes(1, 0, 0, &[1, 2]);
        story.rolls(1, 2);
        story.writes(1, 2, 0, &[3]);
        story.power_loss_keeping(1, 0, 0);
        story.boot(1);
        story.became_follower(1, 1, 2);
        story.fired("orders-0 log of b1 goes from offset 0 to offset 2 at 1.000 s");
    }

    #[test]
    fn fires_when_a_node_appends_after_a_torn_batch() {
        let mut story = Story::judging("offsets-dense");
        story.writes(1, 0, 0, &[1]);
        story.power_loss_tearing(1);
        story.boot(1);
        story.silent();
        story.writes(1, 0, 1, &[2]);
        assert!(story.sentence().contains("bytes that are not a batch"), "{}", story.sentence());
    }
}
