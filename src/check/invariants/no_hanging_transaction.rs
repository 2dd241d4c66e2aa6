//! `no-hanging-transaction`: within a bounded time after the heal, and after `transaction.timeout.ms`, no
//! transaction that began before holds a last stable offset down.
//!
//! Coordinators end what their clients leave behind. A partition without a leader is left out:
//! `converges` judges that. So is a transaction of a transactional id whose entries were lost within the
//! contract: no coordinator knows it any more; and one that its coordinator has completed, if its
//! partition lost committed records, and with them its marker, within the contract since it was written.
//! Source: KIP-890; KIP-664 for hanging transactions.

use std::time::Duration;

use crate::base::{Instant, TopicPartition};
use crate::check::ghost::Open;
use crate::check::{Ending, Event, Ghost, Invariant, Note, TransactionWitness, Violation};

/// Kafka's default, TransactionManager's `transaction.timeout.ms`.
const TIMEOUT: Duration = Duration::from_secs(60);

pub(super) struct NoHangingTransaction {
    pub within: Duration,
}

impl NoHangingTransaction {
    /// Every open transaction that began before the heal, and when it must have ended.
    fn open(&self, healed: Instant, ghost: &Ghost) -> Vec<(TopicPartition, Open, Instant)> {
        let mut found = Vec::new();
        for (name, state) in ghost.view().partitions() {
            let Some(partition) = ghost.partition(name).filter(|_| state.state().leader.is_some())
            else {
                continue;
            };
            for open in partition.stability.open().filter(|open| open.since <= healed) {
                if ghost.is_abandoned(name, open) {
                    continue;
                }
                let log = ghost.transaction_log();
                let logged = log.owner(open.producer).and_then(|id| log.logged(id));
                let timeout = logged.map_or(TIMEOUT, |logged| logged.value.timeout);
                let due = healed.max(open.since + timeout) + self.within;
                found.push((name.clone(), *open, due));
            }
        }
        found
    }
}

impl Invariant for NoHangingTransaction {
    fn name(&self) -> &'static str {
        "no-hanging-transaction"
    }

    fn observe(&mut self, _event: &Event<'_>, _ghost: &Ghost) -> Result<(), Violation> {
        Ok(())
    }

    fn finish(&mut self, ending: Ending, ghost: &Ghost) -> Result<(), Violation> {
        let Some(healed) = ending.healed else { return Ok(()) };
        let hanging = self.open(healed, ghost).into_iter().find(|(.., due)| *due <= ending.now);
        let Some((partition, open, due)) = hanging else { return Ok(()) };
        let witness = TransactionWitness::Hanging {
            producer_id: open.producer,
            epoch: open.epoch,
            first: open.first,
            since: open.since,
            healed,
            within: due.since(healed),
        };
        Violation::found(self.name(), due, &partition, witness)
    }

    fn unjudged(&self, ending: Ending, ghost: &Ghost) -> Option<Note> {
        let open = self.open(ending.healed?, ghost);
        open.iter()
            .any(|(.., due)| *due > ending.now)
            .then_some(Note::EndedEarly { invariant: self.name() })
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    fn open() -> Story {
        let mut story = Story::judging("no-hanging-transaction");
        story.logs("till", (7, 0), 1, &[("orders", 0)]);
        story.writes_plain(&[1]);
        story.writes_in(7, 0, &[100]);
        story.later();
        story.healed();
        story
    }

    #[test]
    fn silent_when_the_marker_comes_in_time_and_about_what_began_later() {
        let mut story = open();
        story.long_later();
        story.marks(7, 1, false);
        story.writes_in(7, 1, &[101]);
        story.long_later();
        story.finish_silent();
    }

    #[test]
    fn notes_a_run_that_ended_before_the_timeout() {
        let mut story = open();
        story.long_later();
        assert_eq!(story.finish().notes.len(), 1);
        story.silent();
    }

    #[test]
    fn fires_when_it_is_open_after_the_timeout() {
        let mut story = open();
        story.long_later();
        story.long_later();
        story.finish_fired(
            "orders-0 the last stable offset is still 1 89 s after the heal at 2.000 s: a transaction of \
             producer id 7, epoch 0, is open since 1.000 s",
        );
    }

    #[test]
    fn excused_only_when_entries_of_its_own_transactional_id_were_lost() {
        for (id, from, fires) in [("till", 0, false), ("desk", 1, true)] {
            let mut story = open();
            story.logs(id, (if id == "till" { 7 } else { 8 }, 0), 0, &[]);
            story.coordinator_loses(from);
            story.long_later();
            story.long_later();
            assert_eq!(!story.finish_sentence().is_empty(), fires, "{}", story.sentence());
        }
    }

    #[test]
    fn excused_only_when_the_marker_of_a_completed_one_was_lost() {
        for (lost, complete, fires) in
            [(true, true, false), (true, false, true), (false, true, true)]
        {
            let mut story = Story::judging("no-hanging-transaction");
            story.logs("till", (7, 0), 1, &[("orders", 0)]);
            story.writes_in(7, 0, &[100]);
            if complete {
                story.logs("till", (7, 1), 2, &[("orders", 0)]);
                story.logs("till", (7, 1), 4, &[]);
            }
            if lost {
                story.marks(7, 1, true);
                story.loses_committed(1);
            }
            story.healed();
            story.long_later();
            story.long_later();
            assert_eq!(!story.finish_sentence().is_empty(), fires, "{}", story.sentence());
        }
    }

    #[test]
    fn excused_when_its_records_come_back_without_the_marker() {
        for (complete, fires) in [(true, false), (false, true)] {
            let mut story = Story::judging("no-hanging-transaction");
            story.logs("till", (7, 0), 1, &[("orders", 0)]);
            story.writes_in(7, 0, &[100]);
            if complete {
                story.logs("till", (7, 1), 2, &[("orders", 0)]);
                story.marks(7, 1, true);
                story.logs("till", (7, 1), 4, &[]);
            }
            story.comes_back_uncleanly(1);
            story.healed();
            story.long_later();
            story.long_later();
            assert_eq!(!story.finish_sentence().is_empty(), fires, "{}", story.sentence());
        }
    }

    #[test]
    fn excused_when_its_producer_went_on_elsewhere_before_the_marker_was_lost() {
        for (elsewhere, fires) in [(("orders", 1), false), (("orders", 0), true)] {
            let mut story = Story::judging("no-hanging-transaction");
            story.logs("till", (7, 0), 1, &[("orders", 0)]);
            story.writes_in(7, 0, &[100]);
            story.logs("till", (7, 1), 2, &[("orders", 0)]);
            story.marks(7, 1, true);
            story.logs("till", (7, 1), 4, &[]);
            story.logs("till", (7, 1), 1, &[elsewhere]);
            story.loses_committed(1);
            story.healed();
            story.long_later();
            story.long_later();
            assert_eq!(!story.finish_sentence().is_empty(), fires, "{}", story.sentence());
        }
    }
}
