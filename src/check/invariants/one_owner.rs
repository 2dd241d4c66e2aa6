//! `one-owner`: no two members of one generation are assigned a partition, and none is assigned a
//! partition that a member of the group has not given up. A member processes only what it owns.
//!
//! A member that was expelled may process on until it learns of that: only what it itself knows is
//! held against it. A static member can miss a generation and stay a member, so its late revocations
//! say nothing. A coordinator whose log lost records within the contract counts generations again: an
//! assignment that it may have given before the loss is not compared with any other. Assignments that
//! two members were given after it are compared, whenever the members began to join. An answer is in
//! flight for at most a session timeout, unless a fault holds up its host or its links.
//! Source: KIP-429; KAFKA-14639.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Instant, TopicPartition};
use crate::check::ghost::Member;
use crate::check::{Event, Ghost, GroupWitness, Invariant, Violation};
use crate::sim::{ClientEvent, MemberEvent, What};

/// A partition that was assigned to a member that did not own it.
#[derive(Clone, Copy)]
struct Gain {
    consumer: u32,
    generation: i32,
    at: Instant,
    /// The earliest time at which the member may have been given it.
    given: Instant,
}

/// A partition that a member gave up, and as whom.
struct Revocation {
    partition: TopicPartition,
    member: Arc<str>,
    generation: i32,
    at: Instant,
    /// The earliest time at which the member may have been given the partition in that generation.
    given: Instant,
}

#[derive(Default)]
pub(super) struct OneOwner {
    gains: BTreeMap<(Arc<str>, TopicPartition), Vec<Gain>>,
    /// By member, since it last took a generation over.
    revoked: BTreeMap<u32, Vec<Revocation>>,
    /// What each was assigned last, as the ghost knew it before.
    owned: BTreeMap<u32, Vec<TopicPartition>>,
    /// The earliest time at which each may have been given its present assignment.
    given: BTreeMap<u32, Instant>,
    /// When a paused host last ran again.
    resumed: Instant,
}

/// The earliest time at which a coordinator may have given the assignment that a member reports at
/// `at`. An answer that a fault held up may be as old as the member.
fn given(ghost: &Ghost, member: &Member, resumed: Instant, at: Instant) -> Instant {
    let held_up = ghost.hosts().try_fold(resumed, |latest, (broker, _)| {
        Some(latest.max(ghost.calm().link_since(member.host, broker)?))
    });
    match held_up {
        Some(until) if until + member.session < at => member.begun.max(at - member.session),
        _ => member.begun,
    }
}

impl OneOwner {
    fn joined(&mut self, event: &Event<'_>, ghost: &Ghost, consumer: u32) -> Result<(), Violation> {
        let Some(member) = ghost.groups().member(consumer) else { return Ok(()) };
        let Some(joined) = &member.joined else { return Ok(()) };
        let (group, generation) = (&member.group, joined.generation);
        let subject = || Arc::clone(group);
        let loss = ghost.groups().last_loss(ghost.view(), group);
        let forgotten =
            |one: Instant, other: Instant| loss.is_some_and(|loss| one.min(other) <= loss);
        let own = given(ghost, member, self.resumed, joined.at);
        self.given.insert(consumer, own);
        for (other, its) in ghost.groups().members() {
            let Some(theirs) = its.joined.as_ref().filter(|_| other != consumer) else { continue };
            if its.group == *group
                && theirs.generation == generation
                && let Some(both) = theirs.assigned.intersection(&joined.assigned).next()
                && !forgotten(own, self.given.get(&other).copied().unwrap_or(its.begun))
            {
                let (partition, members) = (both.clone(), [other, consumer]);
                let witness = GroupWitness::TwoOwners { partition, generation, members };
                return event.broke("one-owner", subject(), witness);
            }
        }
        let revoked = self.revoked.remove(&consumer).unwrap_or_default();
        let as_member = |gone: &Revocation| gone.member == joined.member && !member.is_static;
        // In the consumer protocol, a member confirms what it gave up before it is in the next epoch.
        let (revoked, waiting): (Vec<_>, Vec<_>) =
            revoked.into_iter().filter(as_member).partition(|gone| gone.generation < generation);
        if !waiting.is_empty() {
            self.revoked.insert(consumer, waiting);
        }
        for gone in revoked {
            let gains = self.gains.get(&(subject(), gone.partition.clone()));
            let early = gains.into_iter().flatten().find(|gain| {
                let between = gone.generation < gain.generation && gain.generation <= generation;
                let early = between && gain.at < gone.at;
                gain.consumer != consumer && early && !forgotten(gain.given, gone.given)
            });
            if let Some(early) = early {
                let witness = GroupWitness::NotGivenUp {
                    partition: gone.partition,
                    owner: consumer,
                    owned_in: gone.generation,
                    next: early.consumer,
                    generation: early.generation,
                    assigned: early.at,
                };
                return event.broke("one-owner", subject(), witness);
            }
        }
        let before = self.owned.remove(&consumer).unwrap_or_default();
        for partition in joined.assigned.iter().filter(|name| !before.contains(name)) {
            let gain = Gain { consumer, generation, at: joined.at, given: own };
            self.gains.entry((subject(), partition.clone())).or_default().push(gain);
        }
        self.owned.insert(consumer, joined.assigned.iter().cloned().collect());
        Ok(())
    }

    fn revoked(&mut self, at: Instant, ghost: &Ghost, consumer: u32, gone: &[TopicPartition]) {
        let Some(member) = ghost.groups().member(consumer) else { return };
        let Some(joined) = &member.joined else { return };
        let given = self.given.get(&consumer).copied().unwrap_or(member.begun);
        let revocations = gone.iter().map(|partition| Revocation {
            partition: partition.clone(),
            member: joined.member.clone(),
            generation: joined.generation,
            at,
            given,
        });
        self.revoked.entry(consumer).or_default().extend(revocations);
        self.gives_up(consumer, gone);
    }

    fn gives_up(&mut self, consumer: u32, gone: &[TopicPartition]) {
        if let Some(owned) = self.owned.get_mut(&consumer) {
            owned.retain(|partition| !gone.contains(partition));
        }
    }
}

impl Invariant for OneOwner {
    fn name(&self) -> &'static str {
        "one-owner"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        let said = match &event.seen.what {
            What::Client(ClientEvent::Member(said)) => said,
            What::Resumed => {
                self.resumed = event.seen.at;
                return Ok(());
            }
            _ => return Ok(()),
        };
        match said {
            MemberEvent::Subscribed { consumer, .. } => {
                self.revoked.remove(consumer);
                self.owned.remove(consumer);
                self.given.remove(consumer);
            }
            MemberEvent::Joined { consumer, .. } => return self.joined(event, ghost, *consumer),
            MemberEvent::Revoked { consumer, partitions } => {
                self.revoked(event.seen.at, ghost, *consumer, partitions);
            }
            MemberEvent::Lost { consumer, partitions } => {
                self.revoked.remove(consumer);
                self.given.remove(consumer);
                self.gives_up(*consumer, partitions);
            }
            MemberEvent::Processed { consumer, partition, offset, .. } => {
                let member = ghost.groups().member(*consumer);
                if let Some(member) = member.filter(|member| !member.owned.contains(partition)) {
                    let (partition, consumer, offset) = (partition.clone(), *consumer, *offset);
                    let witness = GroupWitness::ProcessedUnowned { partition, consumer, offset };
                    return event.broke(self.name(), Arc::clone(&member.group), witness);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    fn two_members() -> Story {
        let mut story = Story::judging("one-owner");
        story.subscribes(1, "shop");
        story.subscribes(2, "shop");
        story
    }

    #[test]
    fn silent_when_a_partition_moves_from_one_member_to_another() {
        let mut story = two_members();
        story.joins(1, 1, &[0, 1]);
        story.processes(1, 0, 7);
        story.revokes(1, &[1]);
        story.joins(1, 2, &[0]);
        story.joins(2, 2, &[1]);
        story.processes(2, 1, 8);
        story.silent();
    }

    #[test]
    fn silent_about_a_member_that_lost_its_partitions() {
        let mut story = two_members();
        story.joins(1, 1, &[0]);
        story.joins(2, 2, &[0]);
        story.later();
        story.loses(1, &[0]);
        story.joins(1, 3, &[0]);
        story.silent();
    }

    #[test]
    fn fires_when_one_generation_has_two_owners() {
        let mut story = two_members();
        story.joins(1, 4, &[0, 1]);
        story.joins(2, 4, &[1]);
        story
            .fired("group shop assigned orders-1 to both k1 and k2 in generation 4, as of 1.000 s");
    }

    #[test]
    fn silent_when_a_coordinator_that_forgot_a_generation_gives_it_again() {
        let mut story = two_members();
        story.joins(1, 4, &[0]);
        story.later();
        story.coordinator_forgets();
        story.subscribes(2, "shop");
        story.joins(2, 4, &[0]);
        story.silent();
    }

    #[test]
    fn silent_about_an_owner_whom_its_coordinator_forgot() {
        let mut story = two_members();
        story.joins(2, 2, &[0]);
        story.later();
        story.coordinator_forgets();
        story.subscribes(1, "shop");
        story.joins(1, 1, &[0]);
        story.later();
        story.revokes(1, &[0]);
        story.joins(1, 2, &[]);
        story.silent();
    }

    #[test]
    fn fires_about_members_that_began_after_their_coordinator_forgot() {
        let mut story = two_members();
        story.joins(1, 4, &[0]);
        story.coordinator_forgets();
        story.later();
        story.loses(1, &[0]);
        story.subscribes(2, "shop");
        story.joins(1, 1, &[0]);
        story.joins(2, 1, &[0]);
        story
            .fired("group shop assigned orders-0 to both k1 and k2 in generation 1, as of 2.000 s");
    }

    #[test]
    fn fires_about_two_assignments_given_after_their_coordinator_forgot() {
        let mut story = two_members();
        story.joins(1, 7, &[0]);
        story.joins(2, 7, &[1]);
        story.later();
        story.coordinator_forgets();
        story.long_later();
        story.joins(1, 8, &[0]);
        story.joins(2, 8, &[0]);
        story.fired(
            "group shop assigned orders-0 to both k1 and k2 in generation 8, as of 62.000 s",
        );
    }

    #[test]
    fn silent_about_an_owner_from_before_its_coordinator_forgot() {
        let mut story = two_members();
        story.joins(1, 8, &[0]);
        story.later();
        story.coordinator_forgets();
        story.long_later();
        story.joins(2, 8, &[0]);
        story.silent();
    }

    #[test]
    fn silent_about_an_answer_in_flight_when_its_coordinator_forgot() {
        let mut story = two_members();
        story.joins(2, 7, &[1]);
        story.later();
        story.coordinator_forgets();
        story.later();
        story.joins(1, 8, &[0]);
        story.long_later();
        story.joins(2, 8, &[0]);
        story.silent();
    }

    #[test]
    fn silent_about_an_old_answer_that_a_pause_or_a_cut_link_held_up() {
        for paused in [true, false] {
            let mut story = two_members();
            story.later();
            story.coordinator_forgets();
            story.long_later();
            match paused {
                true => story.member_resumes(1),
                false => story.touches(&[], &[(201, 1)]),
            }
            story.joins(1, 8, &[0]);
            story.long_later();
            story.joins(2, 8, &[0]);
            story.silent();
        }
    }

    #[test]
    fn fires_when_an_owner_is_not_asked_after_their_coordinator_forgot() {
        let mut story = two_members();
        story.later();
        story.coordinator_forgets();
        story.long_later();
        story.joins(1, 8, &[0]);
        story.joins(2, 9, &[0]);
        story.later();
        story.revokes(1, &[0]);
        story.joins(1, 9, &[]);
        story.fired(
            "group shop assigned orders-0 to k2 in generation 9 at 62.000 s, though k1, a member since \
             generation 8, had not given it up",
        );
    }

    #[test]
    fn fires_when_a_partition_is_assigned_before_its_owner_gave_it_up() {
        let mut story = two_members();
        story.joins(1, 1, &[0]);
        story.joins(2, 2, &[0]);
        story.later();
        story.revokes(1, &[0]);
        story.joins(1, 2, &[]);
        story.fired(
            "group shop assigned orders-0 to k2 in generation 2 at 1.000 s, though k1, a member since \
             generation 1, had not given it up",
        );
    }

    #[test]
    fn fires_when_the_owner_confirms_in_the_epoch_before_that_it_gave_it_up() {
        let mut story = two_members();
        story.joins(1, 1, &[0, 1]);
        story.joins(2, 2, &[1]);
        story.later();
        story.revokes(1, &[1]);
        story.joins(1, 1, &[0]);
        story.joins(1, 2, &[0]);
        assert!(
            story
                .sentence()
                .contains("though k1, a member since generation 1, had not given it up")
        );
    }

    #[test]
    fn silent_when_the_next_owner_waits_until_it_is_confirmed() {
        let mut story = two_members();
        story.joins(1, 1, &[0, 1]);
        story.revokes(1, &[1]);
        story.joins(1, 1, &[0]);
        story.later();
        story.joins(2, 2, &[1]);
        story.joins(1, 2, &[0]);
        story.silent();
    }

    #[test]
    fn fires_when_a_member_processes_what_it_gave_up() {
        let mut story = two_members();
        story.joins(1, 1, &[0]);
        story.revokes(1, &[0]);
        story.processes(1, 0, 7);
        story.fired(
            "group shop member k1 processed offset 7 of orders-0 at 1.000 s, which it did not own",
        );
    }
}
