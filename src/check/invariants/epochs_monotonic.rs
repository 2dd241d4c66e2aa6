//! `epochs-monotonic`: leader epochs never fall along a log.
//!
//! The epoch checkpoint next to the log is not observed, so it is not judged.

use crate::check::ghost::Change;
use crate::check::{Event, Ghost, Invariant, StorageWitness, Violation};

#[derive(Default)]
pub(super) struct EpochsMonotonic;

impl Invariant for EpochsMonotonic {
    fn name(&self) -> &'static str {
        "epochs-monotonic"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for change in event.changes {
            let Change::Appended { host, partition, batch, place } = change else { continue };
            let Some(before) = place.before.filter(|before| *before > batch.epoch) else {
                continue;
            };
            let Some(host) = ghost.host(*host) else { continue };
            let (offset, after) = (batch.base, batch.epoch);
            let witness = StorageWitness::EpochFell { broker: host.broker, offset, before, after };
            return event.broke(self.name(), partition, witness);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    #[test]
    fn silent_while_epochs_stay_or_rise() {
        let mut story = Story::judging("epochs-monotonic");
        story.writes(1, 0, 0, &[1]);
        story.writes(1, 1, 0, &[2]);
        story.writes(1, 2, 4, &[3]);
        story.rolls(1, 3);
        story.writes(1, 3, 4, &[4]);
        story.silent();
    }

    #[test]
    fn silent_after_a_cut_to_an_older_epoch() {
        let mut story = Story::judging("epochs-monotonic");
        story.writes(1, 0, 0, &[1]);
        story.writes(1, 1, 3, &[2]);
        story.cut(1, 1);
        story.writes(1, 1, 2, &[3]);
        story.silent();
    }

    #[test]
    fn fires_when_an_epoch_falls_also_over_a_joint() {
        let mut story = Story::judging("epochs-monotonic");
        story.writes(1, 0, 5, &[1]);
        story.rolls(1, 1);
        story.writes(1, 1, 4, &[2]);
        story.fired("orders-0 log of b1 falls from epoch 5 to epoch 4 at offset 1 at 1.000 s");
    }
}
