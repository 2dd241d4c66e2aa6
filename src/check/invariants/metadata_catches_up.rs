//! `metadata-catches-up`: within a bounded time after the heal, every broker's copy of the metadata
//! log has everything that was committed.
//!
//! Judged at the end, for records that were committed before the heal, or at least that time ago. A
//! node that is controller and broker has only one log, which is both.

use crate::base::{BrokerId, Instant};
use crate::check::ghost::{Batch, Replica};
use crate::check::{Ending, Event, Ghost, Invariant, MetadataWitness, Note, Violation};

pub(super) struct MetadataCatchesUp {
    pub within: std::time::Duration,
}

/// The first broker that lacks something committed by `upto`.
fn behind(
    ghost: &Ghost,
    upto: Instant,
    since: Instant,
    within: std::time::Duration,
) -> Option<(BrokerId, MetadataWitness)> {
    let committed = ghost.metadata().committed();
    let last = committed.get(committed.partition_point(|d| d.at <= upto).checked_sub(1)?)?;
    let Batch { next, .. } = last.batch;
    ghost.hosts().find_map(|(id, host)| {
        let end = ghost.metadata().log(id).map_or(crate::base::Offset::ZERO, Replica::end);
        let (committed, committed_at) = (next, last.at);
        let up = ghost.view().node(id).is_some_and(|node| node.up);
        let witness =
            MetadataWitness::MetadataBehind { end, committed, committed_at, up, since, within };
        (end < next).then_some((host.broker, witness))
    })
}

impl Invariant for MetadataCatchesUp {
    fn name(&self) -> &'static str {
        "metadata-catches-up"
    }

    fn observe(&mut self, _event: &Event<'_>, _ghost: &Ghost) -> Result<(), Violation> {
        Ok(())
    }

    fn finish(&mut self, ending: Ending, ghost: &Ghost) -> Result<(), Violation> {
        let Some(healed) = ending.healed else { return Ok(()) };
        if ending.now < healed + self.within {
            return Ok(());
        }
        let upto = healed.max(ending.now - self.within);
        match behind(ghost, upto, healed, self.within) {
            None => Ok(()),
            Some((broker, witness)) => Violation::found(self.name(), ending.now, broker, witness),
        }
    }

    fn unjudged(&self, ending: Ending, ghost: &Ghost) -> Option<Note> {
        let healed = ending.healed?;
        let early = ending.now < healed + self.within;
        (early && behind(ghost, healed, healed, self.within).is_some())
            .then_some(Note::EndedEarly { invariant: self.name() })
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    fn decided() -> Story {
        let mut story = Story::judging("metadata-catches-up");
        story.became_controller(1);
        story.decides(0, 0, 1, &[10]);
        story.metadata_committed(1, 1);
        for broker in 1..=3 {
            story.decides(broker, 0, 1, &[10]);
        }
        story
    }

    #[test]
    fn silent_when_every_copy_is_complete_but_for_what_was_committed_just_now() {
        let mut story = decided();
        story.healed();
        story.long_later();
        story.decides(0, 1, 1, &[11]);
        story.metadata_committed(1, 2);
        story.finish_silent();
    }

    #[test]
    fn notes_a_run_that_ended_before_the_time_was_over() {
        let mut story = decided();
        story.decides(0, 1, 1, &[11]);
        story.metadata_committed(1, 2);
        story.healed();
        story.later();
        assert_eq!(story.finish().notes.len(), 1);
    }

    #[test]
    fn fires_when_a_copy_stayed_behind_and_says_whether_the_broker_runs() {
        let mut story = decided();
        story.decides(0, 1, 1, &[11]);
        story.metadata_committed(1, 2);
        story.decides(1, 1, 1, &[11]);
        story.decides(3, 1, 1, &[11]);
        story.killed(2);
        story.healed();
        story.long_later();
        story.finish_fired(
            "b2 holds the metadata log only below offset 1 30 s after 1.000 s, and is down; \
             everything below offset 2 was committed by 1.000 s",
        );
    }
}
