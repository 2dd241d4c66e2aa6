//! A decision about one group in the making.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Decision;
use super::answers::{refused_join, refused_sync};
use super::effect::{Effect, Kind, Timer};
use super::group::ClassicGroup;
use super::member::Member;
use crate::base::{Instant, Timestamp};
use crate::group::{GroupSettings, MemberId, Record, Reply};
use crate::wire::ErrorCode;
use crate::wire::messages::{JoinGroupResponse, SyncGroupResponse};

/// When and under which settings something is decided.
#[derive(Clone, Copy)]
pub(in crate::group) struct At<'a> {
    pub(in crate::group) now: Instant,
    pub(in crate::group) wall: Timestamp,
    pub(in crate::group) settings: &'a GroupSettings,
}

/// A clone of a group that is changed step by step, and what follows from the steps.
pub(super) struct Plan<'a> {
    pub(super) at: At<'a>,
    pub(super) group: ClassicGroup,
    pub(super) records: Vec<Record>,
    /// Timers that were set or cancelled.
    timers: BTreeMap<Timer, Option<Instant>>,
    effects: Vec<Effect>,
    after: Vec<Effect>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(at: At<'a>, group: ClassicGroup) -> Self {
        Self {
            at,
            group,
            records: Vec::new(),
            timers: BTreeMap::new(),
            effects: Vec::new(),
            after: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, effect: Kind) {
        self.effects.push(Effect(effect));
    }

    /// Adds an effect that waits for the commit.
    pub(super) fn push_after(&mut self, effect: Kind) {
        self.after.push(Effect(effect));
    }

    pub(super) fn set_timer(&mut self, timer: Timer, after: Duration) {
        self.timers.insert(timer, Some(self.at.now + after));
    }

    pub(super) fn cancel_timer(&mut self, timer: Timer) {
        self.timers.insert(timer, None);
    }

    /// Whether a timer that has expired is still to be dealt with.
    pub(super) fn is_due(&self, timer: &Timer) -> bool {
        match self.timers.get(timer) {
            None => true,
            Some(at) => at.is_some_and(|at| at <= self.at.now),
        }
    }

    pub(super) fn join_timer(&self) -> Timer {
        Timer::Join(self.group.id.clone())
    }

    pub(super) fn sync_timer(&self) -> Timer {
        Timer::Sync(self.group.id.clone())
    }

    pub(super) fn session_timer(&self, member: &MemberId) -> Timer {
        Timer::Session(self.group.id.clone(), member.clone())
    }

    /// The session of a member lasts for this long from now on.
    pub(super) fn extend_session(&mut self, member: &MemberId, by: Duration) {
        let timer = self.session_timer(member);
        self.set_timer(timer, by);
    }

    /// The JoinGroup of a member waits. Its record says so already.
    pub(super) fn hold_join(&mut self, member: &MemberId, reply: Reply<JoinGroupResponse>) {
        let (group, member) = (self.group.id.clone(), member.clone());
        self.push(Kind::HoldJoin { group, member, reply });
    }

    /// Answers the JoinGroup of a member, if it waits.
    pub(super) fn answer_join(&mut self, member: &MemberId, response: JoinGroupResponse) {
        let (group, member) = (self.group.id.clone(), member.clone());
        self.push(Kind::AnswerJoin { group, member, response });
    }

    /// Answers the SyncGroup of a member, if it waits.
    pub(super) fn answer_sync(&mut self, member: &MemberId, response: SyncGroupResponse) {
        let (group, member) = (self.group.id.clone(), member.clone());
        self.push(Kind::AnswerSync { group, member, response });
    }

    /// Removes a member, or an id that was given out. A request that waits under it is told to join as a
    /// new member.
    pub(super) fn remove(&mut self, id: &str) {
        let unknown = ErrorCode::UnknownMemberId;
        if self.group.pending_join.contains_key(id) {
            self.cancel_timer(self.session_timer(&id.into()));
        }
        if let Some(member) = self.group.remove(id) {
            self.cancel_timer(self.session_timer(&member.id));
            self.dismiss(&member, "", unknown);
        }
    }

    /// Answers whatever a former member waits for.
    pub(super) fn dismiss(&mut self, former: &Member, id: &str, error: ErrorCode) {
        if former.awaits_join {
            self.answer_join(&former.id, refused_join(id, error));
        }
        if former.awaits_sync {
            self.answer_sync(&former.id, refused_sync(error));
        }
    }

    /// A member has sent SyncGroup in this generation.
    pub(super) fn has_synced(&mut self, member: &str) {
        self.group.pending_sync.remove(member);
        if self.group.pending_sync.is_empty() {
            self.cancel_timer(self.sync_timer());
        }
    }

    pub(super) fn finish<T>(mut self, response: T) -> Decision<T> {
        for (timer, at) in std::mem::take(&mut self.timers) {
            self.push(match at {
                Some(at) => Kind::SetTimer(timer, at),
                None => Kind::CancelTimer(timer),
            });
        }
        // Before the replies: a member that is answered finds the group as the answer says.
        let mut effects = vec![Effect(Kind::Put(Arc::new(self.group)))];
        effects.append(&mut self.effects);
        Decision { records: self.records, response, effects, after: self.after }
    }
}
