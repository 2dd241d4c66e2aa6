//! `poll-skip`: offsets are missing within one poll, or between polls of one assignment.
//!
//! A gap in a compacted topic is allowed. So is one of markers, and for a `read_committed` consumer one
//! of aborted records, even if the abort marker was lost since, within the contract; where brokers are not observed, one without a record that must be visible. Setting the position (assign, seek, reset after a
//! truncation) starts a new assignment. A consumer may return what it fetched long ago: if it reports an older
//! leader epoch than those of the records that are in the gap now, it read a log that was lost since.
//! Source: Jepsen's Kafka workload, poll-skip and int-poll-skip.

use super::epoch_at;
use crate::check::{ConsumerWitness, Event, Ghost, Invariant, Violation};
use crate::sim::{ClientEvent, ConsumerEvent, What};
use crate::view::Change as Folded;

#[derive(Default)]
pub(super) struct PollSkip;

impl Invariant for PollSkip {
    fn name(&self) -> &'static str {
        "poll-skip"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for change in event.folded {
            let Folded::Jumped { consumer, partition, expected, got } = change else { continue };
            let read_in = match &event.seen.what {
                What::Client(ClientEvent::Consumer(ConsumerEvent::Polled { epochs, .. })) => {
                    epoch_at(epochs, *got)
                }
                _ => None,
            };
            let gap = *expected..*got;
            if got > expected && !ghost.explains_gap(*consumer, partition, gap, read_in) {
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
    fn silent_while_polls_go_on_one_by_one_and_after_a_seek() {
        let mut story = Story::judging("poll-skip");
        story.positioned(0, 3);
        story.polled(0, &[(3, 1), (4, 2)]);
        story.polled(0, &[(5, 3)]);
        story.positioned(0, 50);
        story.polled(0, &[(50, 9)]);
        story.silent();
    }

    #[test]
    fn silent_about_another_consumer_that_is_elsewhere() {
        let mut story = Story::judging("poll-skip");
        story.polled(0, &[(3, 1)]);
        story.polled(1, &[(9, 7)]);
        story.silent();
    }

    #[test]
    fn silent_when_a_consumer_that_was_killed_begins_anew() {
        let mut story = Story::judging("poll-skip");
        story.polled(0, &[(3, 1)]);
        story.client_killed();
        story.polled(0, &[(9, 7)]);
        story.silent();
    }

    #[test]
    fn fires_within_a_poll() {
        let mut story = Story::judging("poll-skip");
        story.polled(0, &[(3, 1), (5, 3)]);
        story.fired("orders-0 consumer k0 was at offset 4 and got offset 5 at 1.000 s");
    }

    #[test]
    fn fires_between_polls_and_after_a_seek() {
        let mut story = Story::judging("poll-skip");
        story.polled(0, &[(3, 1)]);
        story.polled(0, &[(5, 3)]);
        assert!(story.sentence().contains("was at offset 4"));
        let mut story = Story::judging("poll-skip");
        story.positioned(0, 3);
        story.polled(0, &[(4, 2)]);
        assert!(story.sentence().contains("was at offset 3"));
    }

    #[test]
    fn silent_over_markers_and_aborted_records() {
        let mut story = Story::judging("poll-skip");
        story.reads_committed(0);
        story.writes_plain(&[1]);
        story.writes_in(7, 0, &[100, 101]);
        story.marks(7, 0, false);
        story.writes_plain(&[2]);
        story.polled(0, &[(0, 1), (4, 2)]);
        story.polled(1, &[(0, 1), (1, 100), (2, 101), (4, 2)]);
        story.silent();
    }

    #[test]
    fn fires_over_records_that_the_reader_must_get() {
        for (committed, marker) in [(false, false), (true, true)] {
            let mut story = Story::judging("poll-skip");
            if committed {
                story.reads_committed(0);
            }
            story.writes_plain(&[1]);
            story.writes_in(7, 0, &[100, 101]);
            story.marks(7, 0, marker);
            story.writes_plain(&[2]);
            story.polled(0, &[(0, 1), (4, 2)]);
            story.fired("orders-0 consumer k0 was at offset 1 and got offset 4 at 1.000 s");
        }
    }

    #[test]
    fn silent_over_what_was_passed_before_its_abort_marker_was_lost() {
        for commit in [false, true] {
            let mut story = Story::judging("poll-skip");
            story.reads_committed(0);
            story.writes_plain(&[1]);
            story.writes_in(7, 0, &[100, 101]);
            story.polled(0, &[(0, 1)]);
            story.later();
            story.marks(7, 0, commit);
            story.loses_committed(3);
            story.later();
            story.writes_in(7, 0, &[102]);
            story.later();
            story.marks(7, 0, true);
            story.polled(0, &[(3, 102)]);
            assert_eq!(!story.sentence().is_empty(), commit, "{}", story.sentence());
        }
    }

    #[test]
    fn silent_over_a_marker_of_a_log_that_was_lost_since_it_was_fetched() {
        for (epoch, fires) in [(0, false), (1, true)] {
            let mut story = Story::judging("poll-skip");
            story.writes_plain(&[1]);
            story.writes_in(7, 0, &[100]);
            story.marks(7, 0, true);
            story.writes_plain(&[2]);
            story.positioned(1, 0);
            story.loses_committed(0);
            story.writes_plain(&[5, 6, 7, 8]);
            story.polled_of(1, &[(0, 1), (1, 100), (3, 2)], &[(0, epoch)]);
            assert_eq!(!story.sentence().is_empty(), fires, "{}", story.sentence());
        }
    }

    #[test]
    fn fires_over_a_committed_record_where_only_clients_are_observed() {
        for committed in [true, false] {
            let mut story = Story::judging("poll-skip");
            story.reads_committed(0);
            story.begins(3, 1);
            story.stored_in(3, 1, 100, 1);
            if committed {
                story.commits_transaction(3, 1);
            } else {
                story.aborts_transaction(3, 1);
            }
            story.polled(0, &[(0, 1), (3, 2)]);
            assert_eq!(!story.sentence().is_empty(), committed, "{}", story.sentence());
        }
    }
}
