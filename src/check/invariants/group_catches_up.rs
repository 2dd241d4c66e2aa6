//! `group-catches-up`: within a bounded time after the heal, the members of each group have read every
//! partition of their topics to its end.
//!
//! It is judged when the final reads begin, by which time producers have stopped. Compacted topics are
//! left out: their last records may be gone. So are partitions with records that no broker can serve, and
//! groups whose transactions a coordinator forgot within the contract: a member may wait for the completion
//! of a transaction that its partitions know to be over. A group whose coordinator lost the marker of a
//! complete transaction within the contract has offsets that stay pending: no member knows where to read on.
//! A member that is busy most of the time is slow because its application is; a note says so.

use std::sync::Arc;
use std::time::Duration;

use crate::check::ghost::{Lagging, Transaction};
use crate::check::{Ending, Event, Ghost, GroupWitness, Invariant, Note, Violation};

pub(super) struct GroupCatchesUp {
    pub within: Duration,
}

impl Invariant for GroupCatchesUp {
    fn name(&self) -> &'static str {
        "group-catches-up"
    }

    fn observe(&mut self, _event: &Event<'_>, _ghost: &Ghost) -> Result<(), Violation> {
        Ok(())
    }

    fn finish(&mut self, ending: Ending, ghost: &Ghost) -> Result<(), Violation> {
        let (Some(reading), Some(healed)) = (ending.reading, ending.healed) else { return Ok(()) };
        let Some(lag) = ghost.groups().lag_at_reading() else { return Ok(()) };
        let (due, within, partition) = (healed + self.within, self.within, lag.partition.clone());
        let is_unreadable = !ghost.clients().skipped(&partition).is_empty();
        // A group that is not stable has that for a reason.
        let is_excused = lag.is_busy
            || ghost.groups().at_reading().is_some()
            || forgets_transactions(ghost, &lag.group);
        if reading < due || is_unreadable || is_excused {
            return Ok(());
        }
        let (read, end) = (lag.read, lag.end);
        let witness = GroupWitness::Behind { partition, read, end, healed, within };
        Violation::found(self.name(), due, Arc::clone(&lag.group), witness)
    }

    fn unjudged(&self, ending: Ending, ghost: &Ghost) -> Option<Note> {
        let (reading, healed) = (ending.reading?, ending.healed?);
        let lag = ghost.groups().lag_at_reading()?;
        if reading < healed + self.within {
            return Some(Note::EndedEarly { invariant: self.name() });
        }
        let Lagging { group, partition, read, end, is_busy } = lag.clone();
        is_busy.then(|| Note::StillWorking { group: group.to_string(), partition, read, end })
    }
}

/// Whether a transaction coordinator lost what it had committed of a member that sent offsets of a group.
fn forgets_transactions(ghost: &Ghost, group: &str) -> bool {
    let sent = |one: &&Transaction| one.offsets.iter().any(|sent| &*sent.group == group);
    let ids = ghost.transactions().all().filter(sent).filter_map(Transaction::transactional_id);
    ids.into_iter().any(|id| ghost.transaction_log().has_forgotten(id))
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    /// Two records, of which a leader has exposed both, and a member that has read the first.
    fn half_read() -> Story {
        let mut story = Story::judging("group-catches-up");
        half_read_in(&mut story);
        story
    }

    fn half_read_in(story: &mut Story) {
        story.elected(1, 1, &[1, 2]);
        story.leader_writes(1, 0, 1, &[100]);
        story.leader_writes(1, 1, 1, &[101]);
        story.high_watermark(1, 1, 2);
        story.subscribes(1, "shop");
        story.joins(1, 1, &[0]);
        story.polled(1, &[(0, 100)]);
        story.healed();
    }

    #[test]
    fn silent_when_the_end_is_read_in_time() {
        let mut story = half_read();
        story.later();
        story.polled(1, &[(1, 101)]);
        story.long_later();
        story.reading();
        story.finish_silent();
    }

    #[test]
    fn silent_when_another_member_reads_the_rest() {
        let mut story = half_read();
        story.subscribes(2, "shop");
        story.joins(1, 2, &[]);
        story.joins(2, 2, &[0]);
        story.polled(2, &[(1, 101)]);
        story.long_later();
        story.reading();
        story.finish_silent();
    }

    #[test]
    fn notes_a_member_that_is_busy_and_fires_about_one_that_waited() {
        for busy in [true, false] {
            let mut story = half_read();
            story.long_later();
            match busy {
                true => story.processes(1, 0, 0),
                false => story.polled(1, &[(0, 100)]),
            }
            story.reading();
            let verdicts = story.finish();
            assert_eq!(verdicts.violations.is_empty(), busy, "{:?}", verdicts.violations);
            let notes: Vec<_> = verdicts.notes.iter().map(ToString::to_string).collect();
            let note = "group shop can't process what is written: busy for most of the time after the \
                        heal, and orders-0 is read up to offset 1 of 2";
            assert_eq!(notes.iter().any(|said| said == note), busy, "{notes:?}");
        }
    }

    #[test]
    fn silent_about_records_not_exposed_and_groups_without_members() {
        let mut story = half_read();
        story.polled(1, &[(1, 101)]);
        story.leader_writes(1, 2, 1, &[102]);
        story.long_later();
        story.reading();
        story.finish_silent();
        let mut story = half_read();
        story.leaves(1);
        story.long_later();
        story.reading();
        story.finish_silent();
    }

    #[test]
    fn silent_about_a_record_that_is_refused_everywhere() {
        let mut story = half_read();
        story.long_later();
        story.reading();
        story.skips(9, 1);
        story.finish_silent();
    }

    #[test]
    fn excused_only_if_transactions_of_the_group_were_forgotten() {
        for (id, fires) in [("till", false), ("another", true)] {
            let mut story = Story::judging("group-catches-up");
            story.logs(id, (9, 0), 0, &[]);
            story.identified(3, "till", 7, 0);
            story.begins(3, 1);
            story.sends_offset(3, 1, ("shop", 1), 1);
            story.coordinator_loses(0);
            half_read_in(&mut story);
            story.long_later();
            story.reading();
            assert_eq!(!story.finish_sentence().is_empty(), fires, "{}", story.sentence());
        }
    }

    #[test]
    fn excused_only_if_a_marker_of_its_offsets_was_lost() {
        const OFFSETS: (&str, i32) = ("__consumer_offsets", 0);
        for (group, fires) in [("shop", false), ("another", true)] {
            let mut story = Story::judging("group-catches-up");
            story.logs("till", (7, 0), 1, &[OFFSETS]);
            story.identified(3, "till", 7, 0);
            story.begins(3, 1);
            story.sends_offset(3, 1, (group, 1), 1);
            story.turn_to(OFFSETS.0, OFFSETS.1);
            story.writes_in(7, 0, &[100]);
            story.logs("till", (7, 1), 2, &[OFFSETS]);
            story.marks(7, 1, true);
            story.logs("till", (7, 1), 4, &[]);
            story.loses_committed(1);
            story.turn_to("orders", 0);
            half_read_in(&mut story);
            story.long_later();
            story.reading();
            assert_eq!(!story.finish_sentence().is_empty(), fires, "{}", story.sentence());
        }
    }

    #[test]
    fn notes_a_run_that_ended_before_the_time_was_over() {
        let mut story = half_read();
        story.later();
        story.reading();
        assert_eq!(story.finish().notes.len(), 1);
    }

    #[test]
    fn fires_when_a_member_stops_reading() {
        let mut story = half_read();
        story.long_later();
        story.reading();
        story.finish_fired(
            "group shop had read orders-0 only up to offset 1 of 2 30 s after the heal at 1.000 s",
        );
    }
}
