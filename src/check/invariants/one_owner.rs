//! `one-owner`: no two members of one generation are assigned a partition, and none is assigned a
//! partition that a member of the group has not given up. A member processes only what it owns.
//!
//! A member that was expelled may process on until it learns of that: only what it itself knows is
//! held against it. A static member can miss a generation and stay a member, so its late revocations
//! say nothing. A coordinator whose log lost records within the contract counts generations again: a
//! member that began to join after that is not compared with one that began before.
//! Source: KIP-429; KAFKA-14639.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Instant, TopicPartition};
use crate::check::{Event, Ghost, GroupWitness, Invariant, Violation};
use crate::sim::{ClientEvent, MemberEvent, What};

/// A partition that was assigned to a member that did not own it.
#[derive(Clone, Copy)]
struct Gain {
    consumer: u32,
    generation: i32,
    at: Instant,
    /// When this member began to join.
    begun: Instant,
}

/// A partition that a member gave up, and as whom.
struct Revocation {
    partition: TopicPartition,
    member: Arc<str>,
    generation: i32,
    at: Instant,
}

#[derive(Default)]
pub(super) struct OneOwner {
    gains: BTreeMap<(Arc<str>, TopicPartition), Vec<Gain>>,
    /// By member, since it last took a generation over.
    revoked: BTreeMap<u32, Vec<Revocation>>,
    /// What each was assigned last, as the ghost knew it before.
    owned: BTreeMap<u32, Vec<TopicPartition>>,
}

impl OneOwner {
    fn joined(&mut self, event: &Event<'_>, ghost: &Ghost, consumer: u32) -> Result<(), Violation> {
        let Some(member) = ghost.groups().member(consumer) else { return Ok(()) };
        let Some(joined) = &member.joined else { return Ok(()) };
        let (group, generation) = (&member.group, joined.generation);
        let subject = || Arc::clone(group);
        let forgotten = |begun: Instant| {
            let since = begun.min(member.begun);
            ghost.groups().forgotten_since(ghost.view(), group, since)
        };
        for (other, its) in ghost.groups().members() {
            let Some(theirs) = its.joined.as_ref().filter(|_| other != consumer) else { continue };
            if its.group == *group
                && theirs.generation == generation
                && let Some(both) = theirs.assigned.intersection(&joined.assigned).next()
                && !forgotten(its.begun)
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
                gain.consumer != consumer && early && !forgotten(gain.begun)
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
            let gain = Gain { consumer, generation, at: joined.at, begun: member.begun };
            self.gains.entry((subject(), partition.clone())).or_default().push(gain);
        }
        self.owned.insert(consumer, joined.assigned.iter().cloned().collect());
        Ok(())
    }

    fn revoked(&mut self, at: Instant, ghost: &Ghost, consumer: u32, gone: &[TopicPartition]) {
        let Some(joined) = ghost.groups().member(consumer).and_then(|m| m.joined.as_ref()) else {
            return;
        };
        let revocations = gone.iter().map(|partition| Revocation {
            partition: partition.clone(),
            member: joined.member.clone(),
            generation: joined.generation,
            at,
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
        let What::Client(ClientEvent::Member(said)) = &event.seen.what else { return Ok(()) };
        match said {
            MemberEvent::Subscribed { consumer, .. } => {
                self.revoked.remove(consumer);
                self.owned.remove(consumer);
            }
            MemberEvent::Joined { consumer, .. } => return self.joined(event, ghost, *consumer),
            MemberEvent::Revoked { consumer, partitions } => {
                self.revoked(event.seen.at, ghost, *consumer, partitions);
            }
            MemberEvent::Lost { consumer, partitions } => {
                self.revoked.remove(consumer);
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
