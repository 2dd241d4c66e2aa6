//! `poll-backward`: offsets step back within one poll, or between polls of one assignment.
//!
//! Setting the position (assign, seek, reset after a truncation) starts a new assignment.
//! Source: Jepsen's Kafka workload, nonmonotonic-poll and int-nonmonotonic-poll.

use crate::check::{ConsumerWitness, Event, Ghost, Invariant, Violation};
use crate::view::Change as Folded;

#[derive(Default)]
pub(super) struct PollBackward;

impl Invariant for PollBackward {
    fn name(&self) -> &'static str {
        "poll-backward"
    }

    fn observe(&mut self, event: &Event<'_>, _ghost: &Ghost) -> Result<(), Violation> {
        for change in event.folded {
            let Folded::Jumped { consumer, partition, expected, got } = change else { continue };
            if got < expected {
                let witness =
                    ConsumerWitness::Jump { consumer: *consumer, expected: *expected, got: *got };
                return event.broke(self.name(), partition, witness);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    #[test]
    fn silent_when_a_position_was_set_back() {
        let mut story = Story::judging("poll-backward");
        story.polled(0, &[(3, 1), (4, 2)]);
        story.positioned(0, 3);
        story.polled(0, &[(3, 1)]);
        story.silent();
    }

    #[test]
    fn fires_when_an_offset_comes_again() {
        let mut story = Story::judging("poll-backward");
        story.polled(0, &[(3, 1), (4, 2)]);
        story.polled(0, &[(4, 2)]);
        story.fired("orders-0 consumer k0 was at offset 5 and got offset 4 at 1.000 s");
    }

    #[test]
    fn fires_within_a_poll() {
        let mut story = Story::judging("poll-backward");
        story.polled(0, &[(3, 1), (2, 9)]);
        assert!(story.sentence().contains("got offset 2"));
    }
}
