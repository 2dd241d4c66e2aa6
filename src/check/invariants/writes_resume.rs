//! `writes-resume`: after the heal, a partition that gets writes acknowledges one within a bounded
//! time of the first attempt.
//!
//! A send with acks=0 gets no answer and does not count.

use std::time::Duration;

use crate::base::config::Acks;
use crate::base::{Instant, TopicPartition};
use crate::check::{Ending, Event, Ghost, Invariant, LivenessWitness, Note, Violation};

pub(super) struct WritesResume {
    pub within: Duration,
}

/// What became of a partition's writes after the heal.
struct Attempts {
    first: Instant,
    number: u64,
    acknowledged: Option<Instant>,
}

impl WritesResume {
    fn attempts(healed: Instant, ghost: &Ghost) -> Vec<(&TopicPartition, Attempts)> {
        let mut attempts = std::collections::BTreeMap::new();
        for send in ghost.clients().sends() {
            let known = attempts.get_mut(&send.partition);
            let acked = send.stored().filter(|at| *at >= healed);
            if send.acks == Acks::None || send.at < healed && acked.is_none() {
                continue;
            }
            match known {
                None => {
                    let first = send.at.max(healed);
                    let found = Attempts { first, number: 1, acknowledged: acked };
                    attempts.insert(&send.partition, found);
                }
                Some(known) => {
                    known.number += 1;
                    known.acknowledged = [known.acknowledged, acked].into_iter().flatten().min();
                }
            }
        }
        attempts.into_iter().collect()
    }
}

impl Invariant for WritesResume {
    fn name(&self) -> &'static str {
        "writes-resume"
    }

    fn observe(&mut self, _event: &Event<'_>, _ghost: &Ghost) -> Result<(), Violation> {
        Ok(())
    }

    fn finish(&mut self, ending: Ending, ghost: &Ghost) -> Result<(), Violation> {
        let Some(healed) = ending.healed else { return Ok(()) };
        for (partition, attempts) in Self::attempts(healed, ghost) {
            let due = attempts.first + self.within;
            if ending.now < due || attempts.acknowledged.is_some_and(|at| at <= due) {
                continue;
            }
            let (attempts, within) = (attempts.number, self.within);
            let waits = ghost.who_waits_for(partition, healed);
            let witness = LivenessWitness::NoWrite { attempts, healed, within, waits };
            return Violation::found(self.name(), due, partition, witness);
        }
        Ok(())
    }

    fn unjudged(&self, ending: Ending, ghost: &Ghost) -> Option<Note> {
        let attempts = Self::attempts(ending.healed?, ghost);
        let open = |attempts: &Attempts| {
            attempts.acknowledged.is_none() && ending.now < attempts.first + self.within
        };
        attempts
            .iter()
            .any(|(_, attempts)| open(attempts))
            .then_some(Note::EndedEarly { invariant: self.name() })
    }
}

#[cfg(test)]
mod tests {
    use crate::base::config::Acks;
    use crate::check::testing::Story;

    #[test]
    fn silent_when_a_write_is_acknowledged_after_the_heal() {
        let mut story = Story::judging("writes-resume");
        story.healed();
        story.sent(0, 0, 100, Acks::All);
        story.told_fail(0, 0, "NOT_ENOUGH_REPLICAS");
        story.sent(0, 1, 101, Acks::All);
        story.told_ok(0, 1, Some(0));
        story.long_later();
        story.finish_silent();
    }

    #[test]
    fn silent_without_producers_that_wait_for_an_answer() {
        let mut story = Story::judging("writes-resume");
        story.sent(0, 0, 100, Acks::All);
        story.later();
        story.healed();
        story.sent(0, 1, 101, Acks::None);
        story.long_later();
        story.finish_silent();
    }

    #[test]
    fn notes_a_run_that_ended_before_the_time_was_over() {
        let mut story = Story::judging("writes-resume");
        story.healed();
        story.sent(0, 0, 100, Acks::All);
        story.later();
        assert_eq!(story.finish().notes.len(), 1);
    }

    #[test]
    fn says_which_record_still_waits_and_that_there_is_no_leader() {
        let mut story = Story::judging("writes-resume");
        story.healed();
        story.commits(None, 1, &[1]);
        story.sent(4, 7, 100, Acks::All);
        story.long_later();
        let said = story.finish_sentence();
        assert!(
            said.contains("(p4's record 7 waits since 1.000 s; no leader in epoch 1, ISR b1;"),
            "{said}"
        );
    }

    #[test]
    fn fires_when_no_write_is_acknowledged_in_time() {
        let mut story = Story::judging("writes-resume");
        story.healed();
        story.sent(0, 0, 100, Acks::All);
        story.sent(0, 1, 101, Acks::All);
        story.told_unknown(0, 0, "REQUEST_TIMED_OUT");
        story.long_later();
        story.told_ok(0, 1, Some(0));
        story.finish_fired(
            "orders-0 none of 2 sends was acknowledged within 30 s after the heal at 1.000 s (p0 was \
             told REQUEST_TIMED_OUT at 1.000 s; leader b1 of epoch 0, log end 0, ISR b1, b2 and b3)",
        );
    }
}
