//! `converges`: within a bounded time after the heal, every partition has its leader, a full ISR,
//! and equal logs.
//!
//! Judged at the end of the run, when no client writes any more. Leader and ISR must be there
//! within the bound, however long the run continues.

use crate::check::{Ending, Event, Ghost, Invariant, LivenessWitness, Note, Violation};

pub(super) struct Converges {
    pub within: std::time::Duration,
}

impl Invariant for Converges {
    fn name(&self) -> &'static str {
        "converges"
    }

    fn observe(&mut self, _event: &Event<'_>, _ghost: &Ghost) -> Result<(), Violation> {
        Ok(())
    }

    fn finish(&mut self, ending: Ending, ghost: &Ghost) -> Result<(), Violation> {
        let Some(healed) = ending.healed else { return Ok(()) };
        let (within, due) = (self.within, healed + self.within);
        if let Some((partition, why)) = ghost.unsettled(true) {
            if ending.now < due {
                return Ok(());
            }
            let waits = ghost.condition(&partition);
            let witness = LivenessWitness::NotConverged { why, healed, within, waits };
            return Violation::found(self.name(), ending.now, &partition, witness);
        }
        let mut full =
            ghost.view().partitions().filter_map(|(name, p)| Some((name, p.full_since()?)));
        let Some((partition, since)) = full.find(|(_, since)| *since > due) else {
            return Ok(());
        };
        let why = format!("a leader and a full ISR only at {:.3} s", since.as_secs_f64());
        let waits = ghost.condition(partition);
        let witness = LivenessWitness::NotConverged { why, healed, within, waits };
        Violation::found(self.name(), since, partition, witness)
    }

    fn unjudged(&self, ending: Ending, ghost: &Ghost) -> Option<Note> {
        let due = ending.healed? + self.within;
        (ending.now < due && ghost.unsettled(true).is_some())
            .then_some(Note::EndedEarly { invariant: self.name() })
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    fn running() -> Story {
        let mut story = Story::judging("converges");
        for broker in 1..=3 {
            story.writes(broker, 0, 0, &[1, 2]);
        }
        story
    }

    #[test]
    fn silent_when_all_logs_are_equal_and_all_replicas_in_sync() {
        let mut story = running();
        story.healed();
        story.long_later();
        story.finish_silent();
    }

    #[test]
    fn silent_without_a_heal() {
        let mut story = running();
        story.commits(None, 1, &[1]);
        story.long_later();
        story.finish_silent();
    }

    #[test]
    fn notes_a_run_that_ended_before_the_time_was_over() {
        let mut story = running();
        story.commits(Some(1), 0, &[1, 2]);
        story.healed();
        assert_eq!(
            story.finish().notes[0].to_string(),
            "converges not judged: the run ended before its time was over"
        );
    }

    #[test]
    fn fires_when_a_replica_never_joined_again() {
        let mut story = running();
        story.commits(Some(1), 0, &[1, 2]);
        story.healed();
        story.long_later();
        story.finish_fired(
            "orders-0 not converged 30 s after the heal at 1.000 s: has only b1 and b2 of 3 \
             replicas in sync (leader b1 of epoch 0, log end 2, ISR b1 and b2; b3 is not in sync)",
        );
    }

    #[test]
    fn says_who_is_down_who_is_fenced_and_how_far_each_came() {
        let mut story = running();
        story.fenced(2);
        story.fenced(3);
        story.killed(2);
        story.commits(Some(1), 0, &[1]);
        story.leader_writes(1, 2, 0, &[3]);
        story.healed();
        story.long_later();
        let said = story.finish_sentence();
        let waits = "(leader b1 of epoch 0, log end 3, ISR b1; b2 is down, ends at offset 2, is not \
                     in sync; b3 is fenced, ends at offset 2, is not in sync)";
        assert!(said.ends_with(waits), "{said}");
    }

    #[test]
    fn fires_when_a_log_stayed_behind() {
        let mut story = running();
        story.leader_writes(1, 2, 0, &[3]);
        story.writes(2, 2, 0, &[3]);
        story.healed();
        story.long_later();
        assert!(
            story.finish_sentence().contains("ends at offset 2 on b3 and at offset 3 on leader b1")
        );
    }

    #[test]
    fn fires_when_logs_differ_in_the_middle() {
        let mut story = Story::judging("converges");
        for (broker, value) in [(1, 10), (2, 10), (3, 77)] {
            story.writes(broker, 0, 0, &[value]);
            story.writes(broker, 1, 0, &[11]);
        }
        story.healed();
        story.long_later();
        assert!(story.finish_sentence().contains("differs on b3 and leader b1 at offset 0"));
    }

    #[test]
    fn fires_when_no_replica_leads() {
        let mut story = running();
        story.commits(None, 1, &[1, 2, 3]);
        story.healed();
        story.long_later();
        assert!(story.finish_sentence().contains("has no leader"));
    }

    #[test]
    fn fires_when_it_took_too_long() {
        let mut story = running();
        story.commits(Some(1), 0, &[1, 2]);
        story.healed();
        story.long_later();
        story.commits(Some(1), 0, &[1, 2, 3]);
        assert!(story.finish_sentence().contains("a full ISR only at 61.000 s"));
    }
}
