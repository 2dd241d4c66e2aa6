//! `candidate-completeness`: each running member of the ISR and the ELR holds everything that a
//! leader must hold, because it could be elected now.
//!
//! Judged when an ISR changes, when a leader exposes more, when a broker is admitted, and when a
//! log is cut. A member that restarted is judged only after the controller has admitted it again:
//! the loss may cost it its place (KIP-966). The ELR is computed by the view: brokers that left an
//! ISR when it became too small, and have run ever since. A replica that reports damage in its log
//! has no place there while another one is in sync.
//!
//! A replica that joins an ISR must not be fenced (KIP-841): it could not be elected. A broker that
//! is fenced while it is the last member stays.

use crate::base::{BrokerId, TopicPartition};
use crate::check::ghost::Change;
use crate::check::{Event, Ghost, Invariant, ReplicaWitness, Violation};
use crate::view::{Change as Folded, Committed};

#[derive(Default)]
pub(super) struct CandidateCompleteness;

impl Invariant for CandidateCompleteness {
    fn name(&self) -> &'static str {
        "candidate-completeness"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for change in event.folded {
            match change {
                Folded::Committed(committed) => {
                    joined(event, ghost, committed)?;
                    ask_all(event, ghost, &committed.partition)?;
                }
                Folded::Admitted { host } => {
                    let Some(broker) = ghost.host(*host).map(|host| host.broker) else { continue };
                    for (name, partition) in ghost.view().partitions() {
                        if partition.may_lead(broker) {
                            ask(event, ghost, name, broker)?;
                        }
                    }
                }
                _ => {}
            }
        }
        for change in event.changes {
            match change {
                Change::Promised { partition, .. } => ask_all(event, ghost, partition)?,
                Change::Cut { host, partition, .. } => {
                    let Some(broker) = ghost.host(*host).map(|host| host.broker) else { continue };
                    let known = ghost.view().partition(partition);
                    if known.is_some_and(|known| known.may_lead(broker)) {
                        ask(event, ghost, partition, broker)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A replica that is in sync now and was not before is not fenced.
fn joined(event: &Event<'_>, ghost: &Ghost, committed: &Committed) -> Result<(), Violation> {
    let name = &committed.partition;
    let (Some(known), Some(before)) = (ghost.view().partition(name), &committed.before) else {
        return Ok(());
    };
    let fenced = |id: &BrokerId| ghost.view().node_of(*id).is_some_and(|(_, node)| node.fenced);
    let state = known.state();
    let mut new = state.isr.iter().copied().filter(|id| !before.isr.contains(id));
    let Some(broker) = new.find(fenced) else { return Ok(()) };
    let witness = ReplicaWitness::JoinedFenced { broker, epoch: state.leader_epoch };
    event.broke("candidate-completeness", name, witness)
}

/// Asks every replica that could be elected.
fn ask_all(event: &Event<'_>, ghost: &Ghost, name: &TopicPartition) -> Result<(), Violation> {
    let Some(known) = ghost.view().partition(name) else { return Ok(()) };
    for broker in known.state().isr.iter().chain(known.elr()) {
        ask(event, ghost, name, *broker)?;
    }
    Ok(())
}

fn ask(
    event: &Event<'_>,
    ghost: &Ghost,
    name: &TopicPartition,
    broker: BrokerId,
) -> Result<(), Violation> {
    let candidate = ghost.view().node_of(broker);
    let Some((host, _)) = candidate.filter(|(_, node)| node.up && node.admitted) else {
        return Ok(());
    };
    let Some(index) = ghost.first_lacking(host, name, None) else { return Ok(()) };
    if ghost.may_lack(name, index) {
        return Ok(());
    }
    let Some(absence) = ghost.absence(host, name, index) else { return Ok(()) };
    let known = ghost.view().partition(name);
    let in_epoch = known.map_or(absence.epoch, |known| known.state().leader_epoch);
    let witness = ReplicaWitness::Lacks { absence, leads: false, in_epoch };
    event.broke("candidate-completeness", name, witness)
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    fn exposed() -> Story {
        let mut story = Story::judging("candidate-completeness");
        for broker in 1..=3 {
            story.admitted(broker);
        }
        story.commits(Some(1), 0, &[1, 2]);
        story.leader_writes(1, 0, 0, &[100]);
        story.writes(2, 0, 0, &[100]);
        story.high_watermark(1, 0, 1);
        story
    }

    #[test]
    fn silent_when_a_follower_joins_that_has_caught_up() {
        let mut story = exposed();
        story.writes(3, 0, 0, &[100]);
        story.commits(Some(1), 0, &[1, 2, 3]);
        story.silent();
    }

    #[test]
    fn fires_when_a_follower_joins_that_lacks_an_exposed_record() {
        let mut story = exposed();
        story.commits(Some(1), 0, &[1, 2, 3]);
        story.fired(
            "orders-0 offset 0 of epoch 0 committed by b1 at 1.000 s; \
             absent on in-sync b3 of epoch 0 at 1.000 s",
        );
    }

    #[test]
    fn fires_when_a_leader_exposes_what_a_member_has_not_fetched() {
        let mut story = exposed();
        story.leader_writes(1, 1, 0, &[101]);
        story.high_watermark(1, 0, 2);
        assert!(story.sentence().contains("in-sync b2"), "{}", story.sentence());
    }

    #[test]
    fn fires_when_a_small_isr_commits_what_those_who_left_it_do_not_have() {
        let mut story = exposed();
        story.commits(Some(1), 0, &[1]);
        story.leader_writes(1, 1, 0, &[101]);
        story.silent();
        story.high_watermark(1, 0, 2);
        assert!(story.sentence().contains("absent on in-sync b2"), "{}", story.sentence());
    }

    #[test]
    fn silent_when_those_who_left_do_not_count_any_more() {
        let mut story = exposed();
        story.writes(3, 0, 0, &[100]);
        story.commits(Some(1), 0, &[1]);
        story.commits(Some(1), 0, &[1, 3]);
        story.leader_writes(1, 1, 0, &[101]);
        story.writes(3, 1, 0, &[101]);
        story.high_watermark(1, 0, 2);
        story.silent();
    }

    #[test]
    fn silent_about_a_member_that_lost_power_until_it_is_admitted_again() {
        let mut story = exposed();
        story.power_loss(2, 0);
        story.boot(2);
        story.leader_writes(1, 1, 0, &[101]);
        story.commits(Some(1), 0, &[1]);
        story.admitted(2);
        story.silent();
    }

    #[test]
    fn silent_about_a_damaged_replica_that_starts_over_while_another_is_in_sync() {
        let mut story = exposed();
        story.rots(1, 0);
        story.calls_damaged(1, 0);
        story.commits(Some(2), 1, &[2]);
        story.cut(1, 0);
        story.silent();
    }

    #[test]
    fn fires_when_a_damaged_replica_starts_over_that_is_still_in_sync() {
        let mut story = exposed();
        story.rots(1, 0);
        story.calls_damaged(1, 0);
        story.cut(1, 0);
        assert!(story.sentence().contains("absent on in-sync b1"), "{}", story.sentence());
    }

    #[test]
    fn fires_when_a_replica_that_was_damaged_and_joined_again_loses_records() {
        let mut story = exposed();
        story.rots(1, 0);
        story.calls_damaged(1, 0);
        story.commits(Some(2), 1, &[2]);
        story.commits(Some(2), 1, &[1, 2]);
        story.commits(Some(2), 1, &[2]);
        story.cut(1, 0);
        assert!(story.sentence().contains("absent on in-sync b1"), "{}", story.sentence());
    }

    #[test]
    fn silent_when_a_controller_that_starts_again_says_what_was_true_before_a_member_lost_power() {
        let mut story = exposed();
        story.power_loss(2, 0);
        story.boot(2);
        // As it was admitted the first time.
        story.admitted_as(2, 2);
        story.silent();
    }

    #[test]
    fn fires_when_a_member_is_admitted_again_without_what_it_lost() {
        let mut story = exposed();
        story.power_loss(2, 0);
        story.boot(2);
        story.admitted(2);
        assert!(story.sentence().contains("absent on in-sync b2"), "{}", story.sentence());
    }

    #[test]
    fn fires_when_a_member_cuts_what_was_exposed() {
        let mut story = exposed();
        story.cut(2, 0);
        assert!(story.sentence().contains("absent on in-sync b2"), "{}", story.sentence());
    }

    #[test]
    fn silent_when_another_replica_cuts_it() {
        let mut story = exposed();
        story.writes(3, 0, 0, &[100]);
        story.cut(3, 0);
        story.silent();
    }

    #[test]
    fn fires_when_a_fenced_replica_joins() {
        let mut story = exposed();
        story.writes(3, 0, 0, &[100]);
        story.fenced(3);
        story.commits(Some(1), 0, &[1, 2, 3]);
        story.fired("orders-0 b3 joins those in sync in epoch 0 at 1.000 s, and is fenced");
    }

    #[test]
    fn silent_when_the_last_heartbeat_of_a_dead_process_has_it_admitted_and_elected() {
        let mut story = exposed();
        story.writes(3, 0, 0, &[100]);
        story.admitted_as(3, 7);
        story.fenced_as(3, 7);
        story.killed(3);
        story.admitted_as(3, 7);
        story.commits(Some(3), 0, &[3]);
        story.silent();
    }

    #[test]
    fn silent_when_it_was_admitted_before_and_when_the_last_member_is_fenced() {
        let mut story = exposed();
        story.writes(3, 0, 0, &[100]);
        story.fenced(3);
        story.admitted(3);
        story.commits(Some(1), 0, &[1, 2, 3]);
        story.commits(Some(2), 1, &[2]);
        story.fenced(2);
        story.commits(None, 2, &[2]);
        story.silent();
    }

    /// A segment of two batches on b1 and b2, exposed, and a second one of `records` batches.
    fn expiring(records: u64) -> Story {
        let mut story = Story::expiring("candidate-completeness");
        for broker in 1..=3 {
            story.admitted(broker);
        }
        story.commits(Some(1), 0, &[1, 2]);
        for broker in [1, 2] {
            story.writes(broker, 0, 0, &[100]);
            story.writes(broker, 1, 0, &[101]);
            story.rolls(broker, 2);
            for record in 0..records {
                story.writes(broker, 2 + record as i64, 0, &[200 + record]);
            }
        }
        story.high_watermark(1, 0, 2 + records as i64);
        story
    }

    #[test]
    fn silent_about_a_follower_that_deleted_what_retention_was_due_for() {
        // The second segment has a thousand bytes: the first is not needed any more.
        let mut story = expiring(20);
        story.removes_segment(2, 0);
        story.commits(Some(1), 0, &[1, 2]);
        story.silent();
    }

    #[test]
    fn fires_when_a_follower_deleted_what_was_to_be_kept() {
        let mut story = expiring(3);
        story.removes_segment(2, 0);
        story.commits(Some(1), 0, &[1, 2]);
        assert!(story.sentence().contains("absent on in-sync b2"), "{}", story.sentence());
    }
}
