//! `clean-election-told`: the election of a replica that was in sync, or eligible, is not told as
//! unclean.
//!
//! A reader that trusts the controller's word takes the loss of records after such an election for
//! permitted, and brokers give up what they need not. Source: KAFKA-18940 (an ELR member), KIP-966.

use crate::check::{Event, Ghost, Invariant, ReplicaWitness, Violation};
use crate::view::{Change as Folded, Election};

#[derive(Default)]
pub(super) struct CleanElectionTold;

impl Invariant for CleanElectionTold {
    fn name(&self) -> &'static str {
        "clean-election-told"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for change in event.folded {
            let Folded::Committed(committed) = change else { continue };
            let in_sync = match committed.election {
                Some(Election::Isr) => true,
                Some(Election::Elr) => false,
                _ => continue,
            };
            let Some(known) = ghost.view().partition(&committed.partition) else { continue };
            let state = known.state();
            if let Some(leader) = state.leader.filter(|_| state.unclean) {
                let epoch = state.leader_epoch;
                let witness = ReplicaWitness::CalledUnclean { leader, epoch, in_sync };
                return event.broke(self.name(), &committed.partition, witness);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    /// The ISR shrinks to b1, and b1 leaves it.
    fn leaderless() -> Story {
        let mut story = Story::judging("clean-election-told");
        story.leader_writes(1, 0, 0, &[100]);
        story.commits(Some(1), 0, &[1, 2]);
        story.commits(Some(1), 0, &[1]);
        story
    }

    #[test]
    fn fires_when_an_eligible_replica_was_elected() {
        let mut story = leaderless();
        story.commits_unclean(2, 1, &[2]);
        story.fired(
            "orders-0 the election of b2 for epoch 1 is told as unclean at 1.000 s, though it was \
             eligible",
        );
    }

    #[test]
    fn fires_when_a_replica_in_sync_was_elected() {
        let mut story = leaderless();
        story.commits(Some(1), 0, &[1, 3]);
        story.commits_unclean(3, 1, &[3]);
        story.fired(
            "orders-0 the election of b3 for epoch 1 is told as unclean at 1.000 s, though it was in \
             sync",
        );
    }

    #[test]
    fn silent_about_a_replica_that_crashed_since() {
        let mut story = leaderless();
        story.killed(2);
        story.boot(2);
        story.commits_unclean(2, 1, &[2]);
        story.silent();
    }

    #[test]
    fn silent_when_it_is_told_as_clean() {
        let mut story = leaderless();
        story.elected(2, 1, &[2]);
        story.silent();
    }
}
