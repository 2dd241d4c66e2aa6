//! What follows from deadlines: sessions that end, members that do not join or sync in time, and
//! groups that were loaded.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::Decision;
use super::effect::Timer;
use super::group::{ClassicGroup, Phase};
use super::plan::{At, Plan};
use super::soft::Classic;
use crate::group::MemberId;

impl Classic {
    /// Deals with every deadline that has passed. One may take another back: members that are
    /// answered have a new session.
    pub(in crate::group) fn expire(&self, at: At<'_>) -> Decision<()> {
        let mut plans = BTreeMap::new();
        for timer in self.timers.expired(at.now) {
            let plan = match plans.entry(timer.group()) {
                Entry::Occupied(plan) => plan.into_mut(),
                Entry::Vacant(place) => match self.get(timer.group().as_str()) {
                    Some(group) => place.insert(Plan::new(at, ClassicGroup::clone(group))),
                    None => continue,
                },
            };
            if !plan.is_due(timer) {
                continue;
            }
            match timer {
                Timer::Join(_) => plan.join_timer_expired(),
                Timer::Sync(_) => plan.sync_timer_expired(),
                Timer::Session(_, member) => plan.session_expired(member),
            }
        }
        let mut all = Decision::only(());
        for plan in plans.into_values() {
            let mut decision = plan.finish(());
            all.records.append(&mut decision.records);
            all.effects.append(&mut decision.effects);
            all.after.append(&mut decision.after);
        }
        all
    }

    /// A group was loaded: each member has a whole session to send a heartbeat. Rebalances if the
    /// group is larger than it may be, so that the last ones to join are turned away.
    pub(in crate::group) fn loaded(&mut self, at: At<'_>, group: ClassicGroup) {
        let size = group.len();
        let reason = format!("the group was loaded with {size} members");
        self.adopt(at, group, (size > at.settings.max_size).then_some(reason));
    }

    /// A consumer group became a classic group. Its members join again: one of them has left.
    pub(in crate::group) fn downgraded(&mut self, at: At<'_>, group: ClassicGroup) {
        self.adopt(at, group, Some("the last member of the consumer protocol left".to_owned()));
    }

    fn adopt(&mut self, at: At<'_>, group: ClassicGroup, rebalance: Option<String>) {
        let mut plan = Plan::new(at, group);
        let sessions = plan.group.members.values();
        let sessions: Vec<_> =
            sessions.map(|member| (member.id.clone(), member.session_timeout())).collect();
        for (member, session) in sessions {
            plan.extend_session(&member, session);
        }
        if let Some(reason) = rebalance {
            plan.prepare(&reason);
        }
        for effect in plan.finish(()).effects {
            self.carry_out(at.now, effect);
        }
    }
}

impl Plan<'_> {
    fn session_expired(&mut self, id: &MemberId) {
        let Some(member) = self.group.member(id.as_str()).map(Arc::clone) else {
            // An id that was given out, and that no member joined with.
            self.remove(id.as_str());
            self.cancel_timer(self.session_timer(id));
            return self.complete_if_all_joined();
        };
        if member.has_satisfied_heartbeat() {
            // It has a new session when it is answered.
            return self.cancel_timer(self.session_timer(id));
        }
        self.remove(id.as_str());
        match self.group.phase {
            Phase::Stable | Phase::CompletingRebalance { .. } => {
                self.rebalance_or_complete(&format!("the session of member {id} expired"));
            }
            Phase::PreparingRebalance { .. } => self.complete_if_all_joined(),
            Phase::Empty => {}
        }
    }

    /// Members that have not asked for their assignment are gone.
    fn sync_timer_expired(&mut self) {
        self.cancel_timer(self.sync_timer());
        let missing: Vec<MemberId> = self.group.pending_sync.keys().cloned().collect();
        let syncing = self.group.is_completing() || self.group.phase == Phase::Stable;
        if missing.is_empty() || !syncing {
            return;
        }
        for member in &missing {
            self.remove(member.as_str());
        }
        self.prepare(&format!("{} members did not sync in time", missing.len()));
    }
}
