//! `static-member-keeps`: a static member whose process comes back within its session timeout joins the
//! generation that it was in, and the group does not rebalance. No other process has its place: it is not
//! fenced.
//!
//! Judged only if nothing else can have caused a rebalance: the other members and all brokers were
//! left alone for a session timeout before it ended, and no other member came or went. Its session
//! began with its last heartbeat: back within two thirds of the timeout is in time.
//! A request of an earlier process may be on its way for at most a session timeout, and only where a fault
//! touched the links.
//! A coordinator that loses what it had committed, within the contract, knows the member's earlier process
//! again, and generations that were over.
//! In the consumer protocol a member's place is free only after its session, so that nothing is promised.
//! Source: KIP-345; KIP-848.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::Instant;
use crate::check::ghost::{Before, Member};
use crate::check::{Event, Ghost, GroupWitness, Invariant, Violation};
use crate::sim::{ClientEvent, HostId, MemberEvent, What};

#[derive(Default)]
pub(super) struct StaticMemberKeeps {
    /// When a member last came, went or was expelled, by group.
    disturbed: BTreeMap<Arc<str>, Instant>,
    /// When each process last joined. A member that is fenced has lost its partitions before.
    joined: BTreeMap<u32, Instant>,
}

impl StaticMemberKeeps {
    fn judge(
        &self,
        event: &Event<'_>,
        ghost: &Ghost,
        (consumer, member): (u32, &Member),
        before: &Before,
    ) -> Result<(), Violation> {
        let (at, generation) = (event.seen.at, member.joined.as_ref().map(|j| j.generation));
        let away = at.since(before.ended);
        if !ghost.groups().has_generations(&member.group) {
            return Ok(());
        }
        let in_time = away * 3 < member.session * 2;
        let quiet = self.is_quiet(ghost, consumer, member, before.ended);
        let after = generation.filter(|generation| *generation != before.generation);
        let Some(after) = after.filter(|_| in_time && quiet) else { return Ok(()) };
        let before = before.generation;
        let witness = GroupWitness::StaticMemberMoved { consumer, away, before, after };
        event.broke("static-member-keeps", Arc::clone(&member.group), witness)
    }

    /// Whether nothing else happened to the group for a session timeout before this time.
    fn is_quiet(&self, ghost: &Ghost, consumer: u32, member: &Member, ended: Instant) -> bool {
        let quiet = |since: Instant| since + member.session <= ended;
        let mut others = ghost
            .groups()
            .members()
            .filter(|(other, its)| *other != consumer && its.group == member.group);
        let brokers: Vec<HostId> = ghost.hosts().map(|(host, _)| host).collect();
        let is_calm = |host| {
            let mut pairs = brokers.iter().map(|broker| ghost.calm().pair_since(host, *broker));
            pairs.all(|since| since.is_some_and(quiet))
        };
        let loss = ghost.groups().last_loss(ghost.view(), &member.group);
        let disturbed = self.disturbed.get(&member.group).copied();
        loss.is_none_or(quiet)
            && disturbed.is_none_or(quiet)
            && others.all(|(_, other)| is_calm(other.host))
    }
}

/// Whether a request that an earlier process sent before this one joined may arrive only now.
fn may_be_late(ghost: &Ghost, member: &Member, joined: Instant, now: Instant) -> bool {
    let calm = |broker| {
        let since = ghost.calm().link_since(member.host, broker);
        since.is_some_and(|since| since == Instant::START || since + member.session <= joined)
    };
    now.since(joined) < member.session && !ghost.hosts().all(|(broker, _)| calm(broker))
}

impl Invariant for StaticMemberKeeps {
    fn name(&self) -> &'static str {
        "static-member-keeps"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        let What::Client(ClientEvent::Member(said)) = &event.seen.what else { return Ok(()) };
        let (consumer, at) = (said.consumer(), event.seen.at);
        if let MemberEvent::Left { .. } = said {
            // Which group it was of is not known any more.
            self.disturbed.values_mut().for_each(|last| *last = at);
        }
        let Some(member) = ghost.groups().member(consumer) else { return Ok(()) };
        match said {
            MemberEvent::Subscribed { .. } => {
                self.joined.remove(&consumer);
                if member.before.is_none() {
                    self.disturbed.insert(Arc::clone(&member.group), at);
                }
            }
            MemberEvent::Lost { .. } => {
                self.disturbed.insert(Arc::clone(&member.group), at);
            }
            MemberEvent::Fenced { .. } if member.is_static => {
                let loss = ghost.groups().last_loss(ghost.view(), &member.group);
                let is_sure = |since: &Instant| {
                    loss.is_none_or(|loss| loss < *since) && !may_be_late(ghost, member, *since, at)
                };
                if let Some(since) = self.joined.get(&consumer).copied().filter(is_sure) {
                    let witness = GroupWitness::StaticMemberFenced { consumer, since };
                    return event.broke(self.name(), Arc::clone(&member.group), witness);
                }
            }
            MemberEvent::Joined { .. } => {
                self.joined.insert(consumer, at);
                if let Some(before) = member.before.as_ref().filter(|_| member.joins == 1) {
                    return self.judge(event, ghost, (consumer, member), before);
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

    /// Two static members with a session timeout of ten seconds.
    fn stable() -> Story {
        let mut story = Story::judging("static-member-keeps");
        story.subscribes_static(1, "shop");
        story.subscribes_static(2, "shop");
        story.joins(1, 3, &[0]);
        story.joins(2, 3, &[1]);
        story.long_later();
        story
    }

    fn bounced(story: &mut Story) {
        story.member_dies(1);
        story.later();
        story.subscribes_static(1, "shop");
    }

    #[test]
    fn silent_when_the_member_gets_its_generation_back() {
        let mut story = stable();
        bounced(&mut story);
        story.joins(1, 3, &[0]);
        story.silent();
    }

    #[test]
    fn silent_about_a_member_that_was_away_for_too_long() {
        let mut story = stable();
        story.member_dies(1);
        story.long_later();
        story.subscribes_static(1, "shop");
        story.joins(1, 5, &[0]);
        story.silent();
    }

    #[test]
    fn silent_when_another_member_comes_meanwhile() {
        let mut story = stable();
        bounced(&mut story);
        story.subscribes(3, "shop");
        story.joins(1, 4, &[0]);
        story.silent();
    }

    #[test]
    fn silent_about_a_member_that_a_late_request_of_its_instance_may_have_fenced() {
        let mut story = stable();
        story.touches(&[], &[(201, 1)]);
        bounced(&mut story);
        story.joins(1, 3, &[0]);
        story.later();
        story.loses(1, &[0]);
        story.instance_fenced(1);
        story.silent();
    }

    /// A member is fenced. Its coordinator lost its log before it joined, or later.
    fn fenced_around_a_loss(joins_first: bool) -> Story {
        let mut story = stable();
        bounced(&mut story);
        if joins_first {
            story.joins(1, 3, &[0]);
            story.later();
        }
        story.coordinator_forgets();
        story.later();
        if !joins_first {
            story.long_later();
            story.joins(1, 3, &[0]);
        }
        story.later();
        story.loses(1, &[0]);
        story.instance_fenced(1);
        story
    }

    #[test]
    fn silent_about_a_member_whose_coordinator_lost_its_log_since_it_joined() {
        fenced_around_a_loss(true).silent();
    }

    #[test]
    fn fires_when_a_member_is_fenced_that_joined_after_its_coordinator_had_lost_its_log() {
        let said = fenced_around_a_loss(false).sentence();
        assert!(said.contains("in favour of another process"), "{said}");
    }

    #[test]
    fn fires_when_a_member_is_fenced_and_no_other_process_ran() {
        let mut story = stable();
        bounced(&mut story);
        story.joins(1, 3, &[0]);
        story.later();
        story.loses(1, &[0]);
        story.instance_fenced(1);
        story.fired(
            "group shop refused k1, a static member since 62.000 s, at 63.000 s in favour of another \
             process, though no other ran",
        );
    }

    #[test]
    fn fires_when_the_group_rebalances_without_another_reason() {
        let mut story = stable();
        bounced(&mut story);
        story.joins(1, 4, &[0]);
        story.fired(
            "group shop went from generation 3 to 4 by 62.000 s because k1, a static member, was away for \
             1.000 s, within its session timeout",
        );
    }
}
