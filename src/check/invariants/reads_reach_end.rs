//! `reads-reach-end`: within a bounded time, a final read of every partition that was written to
//! reaches its end, and skips no record that a running broker holds intact.
//!
//! A record without an intact copy on any disk can't be read: the leader refuses it
//! (CORRUPT_MESSAGE), and the reader continues behind it, as an application would. That read has
//! reached the end; the missing record is the business of `acked-write-unseen`.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::base::{Instant, TopicPartition};
use crate::check::ghost::Host;
use crate::check::{
    ConsumerWitness, Ending, Event, Ghost, Invariant, LivenessWitness, Note, Violation,
};
use crate::sim::HostId;

pub(super) struct ReadsReachEnd {
    pub within: Duration,
}

impl ReadsReachEnd {
    /// The first partition whose end no consumer reached in time.
    fn unreached(since: Instant, due: Instant, ghost: &Ghost) -> Option<TopicPartition> {
        let written: BTreeSet<&TopicPartition> =
            ghost.clients().sends().map(|send| &send.partition).collect();
        let reached = |partition: &TopicPartition| {
            let reads = ghost.clients().reached(partition);
            reads.iter().any(|read| (since..=due).contains(&read.at))
        };
        written.into_iter().find(|partition| !reached(partition)).cloned()
    }

    /// Whether a read that reached the end lacked records of which a replica has an intact copy.
    fn skips(&self, due: Instant, ghost: &Ghost) -> Result<(), Violation> {
        for (partition, _) in ghost.view().partitions() {
            let reached = ghost.clients().reached(partition);
            for (consumer, offset) in ghost.clients().skipped(partition) {
                let holds = |(id, host): &(HostId, &Host)| {
                    let replica = host.replicas.get(partition);
                    let up = ghost.view().node(*id).is_some_and(|node| node.up);
                    up && replica.is_some_and(|replica| replica.is_intact_at(*offset))
                };
                if reached.iter().any(|read| read.consumer == *consumer)
                    && let Some((_, holder)) = ghost.hosts().find(holds)
                {
                    let (consumer, offset, intact_on) = (*consumer, *offset, holder.broker);
                    let witness = ConsumerWitness::HadToSkip { consumer, offset, intact_on };
                    return Violation::found(self.name(), due, partition, witness);
                }
            }
        }
        Ok(())
    }
}

impl Invariant for ReadsReachEnd {
    fn name(&self) -> &'static str {
        "reads-reach-end"
    }

    fn observe(&mut self, _event: &Event<'_>, _ghost: &Ghost) -> Result<(), Violation> {
        Ok(())
    }

    fn finish(&mut self, ending: Ending, ghost: &Ghost) -> Result<(), Violation> {
        let Some(since) = ending.reading.or(ending.healed) else { return Ok(()) };
        let (within, due) = (self.within, since + self.within);
        if ending.now < due {
            return Ok(());
        }
        self.skips(due, ghost)?;
        let Some(partition) = Self::unreached(since, due, ghost) else { return Ok(()) };
        let waits = ghost.who_reads(&partition);
        let witness = LivenessWitness::EndNotReached { since, within, waits };
        Violation::found(self.name(), due, &partition, witness)
    }

    fn unjudged(&self, ending: Ending, ghost: &Ghost) -> Option<Note> {
        let since = ending.reading.or(ending.healed)?;
        let due = since + self.within;
        (ending.now < due && Self::unreached(since, due, ghost).is_some())
            .then_some(Note::EndedEarly { invariant: self.name() })
    }
}

#[cfg(test)]
mod tests {
    use crate::base::config::Acks;
    use crate::check::testing::Story;

    fn written() -> Story {
        let mut story = Story::judging("reads-reach-end");
        story.sent(0, 0, 100, Acks::All);
        story
    }

    #[test]
    fn silent_when_the_end_is_reached() {
        let mut story = written();
        story.healed();
        story.later();
        story.reached_end(0, 1);
        story.long_later();
        story.finish_silent();
    }

    #[test]
    fn silent_when_the_final_read_begins_late_and_ends_in_time() {
        let mut story = written();
        story.healed();
        story.long_later();
        story.reading();
        story.reached_end(0, 1);
        story.long_later();
        story.finish_silent();
    }

    #[test]
    fn notes_a_run_that_ended_before_the_time_was_over() {
        let mut story = written();
        story.healed();
        story.later();
        assert_eq!(story.finish().notes.len(), 1);
    }

    #[test]
    fn fires_when_a_partition_that_was_written_to_is_never_read_to_its_end() {
        let mut story = written();
        story.healed();
        story.long_later();
        story.finish_fired(
            "orders-0 no final read reached the end within 30 s from 1.000 s (leader b1 of epoch 0, \
             log end 0, ISR b1, b2 and b3)",
        );
    }

    fn refused() -> Story {
        let mut story = Story::judging("reads-reach-end");
        story.sent(0, 0, 100, Acks::All);
        for broker in [1, 2] {
            story.writes(broker, 0, 0, &[100]);
            story.writes(broker, 1, 0, &[101]);
        }
        story.healed();
        story.later();
        story
    }

    #[test]
    fn silent_about_a_record_that_is_refused_because_no_copy_is_intact() {
        let mut story = refused();
        story.rots(1, 0);
        story.rots(2, 0);
        story.unreadable(1, 0, false);
        story.skips(1, 0);
        story.reached_end(1, 2);
        story.long_later();
        story.finish_silent();
    }

    #[test]
    fn fires_on_a_refused_record_of_which_a_replica_has_an_intact_copy() {
        let mut story = refused();
        story.rots(1, 0);
        story.unreadable(1, 0, false);
        story.skips(1, 0);
        story.reached_end(1, 2);
        story.long_later();
        story.finish_fired(
            "orders-0 consumer k1 was refused offset 0 and read on to the end by 31.000 s, though b2 \
             holds it intact",
        );
    }

    #[test]
    fn silent_about_a_refusal_that_was_not_the_last_word() {
        let mut story = refused();
        story.rots(1, 0);
        story.unreadable(1, 0, false);
        story.reached_end(1, 2);
        story.long_later();
        story.finish_silent();
    }
}
