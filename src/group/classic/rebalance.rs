//! From one generation to the next: prepare, join, complete.

use std::time::Duration;

use super::answers::{joined, refused_sync};
use super::effect::Kind;
use super::group::{Initial, Phase};
use super::plan::Plan;
use crate::base::Flaw;
use crate::group::MemberId;
use crate::wire::ErrorCode;

impl Plan<'_> {
    /// Something has changed: a rebalance begins, or the one that is going on may be complete.
    pub(super) fn rebalance_or_complete(&mut self, reason: &str) {
        match self.group.is_preparing() {
            true => self.maybe_complete_join(),
            false => self.prepare(reason),
        }
    }

    /// Begins a rebalance. The first one of an empty group waits for more members.
    pub(super) fn prepare(&mut self, reason: &str) {
        if self.group.is_completing() {
            self.cancel_syncs();
        }
        self.group.pending_sync = Default::default();
        self.cancel_timer(self.sync_timer());
        let initial = self.group.is_empty().then(|| {
            let delay = self.at.settings.initial_rebalance_delay;
            let remaining = self.group.rebalance_timeout().saturating_sub(delay);
            Initial { delay, remaining, grown: false }
        });
        self.push(Kind::Rebalancing {
            group: self.group.id.clone(),
            generation: self.group.generation,
            reason: reason.to_owned(),
        });
        let delay = initial.as_ref().map(|initial| initial.delay);
        self.group.phase = Phase::PreparingRebalance { initial };
        self.group.since = self.at.wall;
        match delay {
            Some(delay) => self.set_timer(self.join_timer(), delay),
            None if self.group.all_joined() => self.complete_join(),
            None => self.await_joins(),
        }
    }

    fn await_joins(&mut self) {
        let timeout = self.group.rebalance_timeout();
        // A timeout of nothing would expire at once, forever.
        self.set_timer(self.join_timer(), timeout.max(Duration::from_millis(1)));
    }

    /// Members that wait for the assignment are told to join again.
    fn cancel_syncs(&mut self) {
        let mut waiting = Vec::new();
        self.group.change_all(|member| {
            member.assignment = None;
            if std::mem::take(&mut member.awaits_sync) {
                waiting.push((member.id.clone(), member.session_timeout()));
            }
        });
        for (member, session) in waiting {
            self.answer_sync(&member, refused_sync(ErrorCode::RebalanceInProgress));
            self.extend_session(&member, session);
        }
    }

    /// Completes the rebalance if everyone has joined. The first one of a group takes its time.
    pub(super) fn maybe_complete_join(&mut self) {
        if self.group.is_preparing() && !self.group.is_initial() && self.group.all_joined() {
            self.complete_join();
        }
    }

    /// The same though it is the first: there is no member left to wait for.
    pub(super) fn complete_if_all_joined(&mut self) {
        if self.group.is_preparing() && self.group.all_joined() {
            self.complete_join();
        }
    }

    /// The time to join is over, or a delay of the first rebalance.
    pub(super) fn join_timer_expired(&mut self) {
        let Phase::PreparingRebalance { initial } = &mut self.group.phase else {
            return self.cancel_timer(self.join_timer());
        };
        match initial {
            Some(initial) if initial.grown && !initial.remaining.is_zero() => {
                let delay = self.at.settings.initial_rebalance_delay.min(initial.remaining);
                initial.remaining = initial.remaining.saturating_sub(initial.delay);
                initial.delay = delay;
                initial.grown = false;
                // A delay of nothing would expire at once, forever.
                self.set_timer(self.join_timer(), delay.max(Duration::from_millis(1)));
            }
            _ => self.complete_join(),
        }
    }

    /// Those who have joined make the next generation. Dynamic members that have not are removed;
    /// static ones stay, since they may be restarting.
    pub(super) fn complete_join(&mut self) {
        self.cancel_timer(self.join_timer());
        let absent = self.group.members.values().filter(|member| !member.awaits_join);
        let absent = absent.filter(|member| member.instance.is_none());
        let absent: Vec<MemberId> = absent.map(|member| member.id.clone()).collect();
        if !absent.is_empty() && self.at.settings.flaws.has(Flaw::EndlessCooperative) {
            return self.await_joins();
        }
        for member in absent {
            self.remove(member.as_str());
        }
        if !self.group.elect_joined_leader() && !self.group.members.is_empty() {
            // Only sessions can remove the static members that are left.
            return self.await_joins();
        }
        self.group.next_generation(self.at.wall);
        if self.group.is_empty() {
            let record = self.group.record(|_| Default::default());
            self.records.push(record);
            return;
        }
        let mut members = Vec::with_capacity(self.group.members.len());
        self.group.change_all(|member| {
            let awaited = std::mem::take(&mut member.awaits_join);
            member.is_new = false;
            members.push((member.id.clone(), awaited, member.session_timeout()));
        });
        for (member, awaited, session) in members {
            if awaited {
                let response = joined(&self.group, &member);
                self.answer_join(&member, response);
            }
            self.extend_session(&member, session);
            self.group.pending_sync.insert(member, ());
        }
        let timeout = self.group.rebalance_timeout();
        self.set_timer(self.sync_timer(), timeout);
    }
}
