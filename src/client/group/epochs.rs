//! A member of a group, in the consumer protocol (KIP-848): heartbeats alone.
//!
//! The coordinator assigns. A heartbeat's answer brings the member's epoch and, if it has changed,
//! what the member should own: its target. In the application's next poll the member reconciles: it
//! commits, gives up what is not in the target, takes what is, and acknowledges that with the next
//! heartbeat. Other members get a partition only after its owner has acknowledged that it is gone.
//!
//! Source: Kafka's `ConsumerMembershipManager` and `ConsumerHeartbeatRequestManager`.

mod messages;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use self::messages::by_topic;
use super::step::{Identity, LastCommit};
use super::{Event, Request, Response, Settings, Step, Subscription, Trouble};
use crate::base::{Flaw, Flaws, Instant, TopicId, TopicPartition};
use crate::client::kernel::{Cluster, RequestId};
use crate::group::MemberId;
use crate::wire::ErrorCode;
use crate::wire::messages::ConsumerGroupHeartbeatResponse;

/// The epoch with which a member joins, leaves, and leaves for a while (a static one).
const JOIN: i32 = 0;
const LEAVE: i32 = -1;
const LEAVE_FOR_A_WHILE: i32 = -2;

/// Partitions by topic id, as the protocol has them.
type ByTopic = BTreeMap<TopicId, BTreeSet<i32>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not in the group; the next poll joins.
    Out,
    /// Joins with the next heartbeat.
    Joining,
    Member,
    /// The coordinator no longer knows the member: what it owned is lost.
    Fenced,
    /// Nothing helps.
    Failed(ErrorCode),
}

/// What follows the listener's call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Install,
    /// The partitions are gone.
    Forget,
    Leave,
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    No,
    Wanted,
    Asked(RequestId),
}

/// A target whose topics' names are known, or the part of it that is.
#[derive(Clone, Debug, Default, PartialEq)]
struct Resolved {
    partitions: BTreeSet<TopicPartition>,
    ids: ByTopic,
}

/// What the coordinator has been told, so that later heartbeats say only what has changed.
#[derive(Debug, Default, PartialEq)]
struct Told {
    topics: BTreeSet<Arc<str>>,
    regex: Option<Arc<str>>,
    owned: ByTopic,
}

/// The state machine of a member.
#[derive(Debug)]
pub(in crate::client) struct Epochs {
    settings: Settings,
    /// Chosen by the member, for all its life (KIP-1082).
    id: MemberId,
    epoch: i32,
    state: State,
    subscription: Option<Subscription>,
    owned: BTreeSet<TopicPartition>,
    owned_ids: ByTopic,
    /// What it should own; `None`: the coordinator has not said.
    target: Option<ByTopic>,
    /// Names of the topics of the target, as far as they are known.
    names: BTreeMap<TopicId, Arc<str>>,
    /// Whether all of the target that can be taken is taken.
    is_reconciled: bool,
    /// What the reconciliation under way will end with.
    reconciling: Option<Resolved>,
    /// Whether it has taken any share since it last began to join. The first is told to the
    /// application even if it is empty, as by Kafka's client.
    has_share: bool,
    /// Whether the coordinator waits to hear what is owned.
    acknowledges: bool,
    last_commit: LastCommit,
    telling: Option<(Event, Then)>,
    /// `None`: the next heartbeat says everything.
    said: Option<Told>,
    /// Whether the coordinator may have a pattern of this member.
    has_said_regex: bool,
    in_flight: Option<RequestId>,
    next: Instant,
    interval: Duration,
    failures: u32,
    patience_ends: Instant,
    leave: Leave,
    is_dismissed: bool,
    /// When the last heartbeat was sent, and when one was answered.
    sent_and_answered: (Option<Instant>, Option<Instant>),
    has_coordinator: bool,
}

impl Epochs {
    pub(super) fn new(settings: Settings, id: MemberId, now: Instant) -> Self {
        Self {
            patience_ends: now + settings.max_poll_interval,
            interval: settings.heartbeat_interval,
            settings,
            id,
            epoch: JOIN,
            state: State::Out,
            subscription: None,
            owned: BTreeSet::new(),
            owned_ids: ByTopic::new(),
            target: None,
            names: BTreeMap::new(),
            is_reconciled: true,
            reconciling: None,
            has_share: false,
            acknowledges: false,
            last_commit: LastCommit::NotBegun,
            telling: None,
            said: None,
            has_said_regex: false,
            in_flight: None,
            next: now,
            failures: 0,
            leave: Leave::No,
            is_dismissed: false,
            sent_and_answered: (None, None),
            has_coordinator: false,
        }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn set_flaws(&mut self, flaws: Flaws) {
        self.settings.flaws = flaws;
    }

    /// Whether the coordinator has confirmed that it left.
    pub(super) fn is_dismissed(&self) -> bool {
        self.is_dismissed
    }

    pub(super) fn subscription(&self) -> Option<&Subscription> {
        self.subscription.as_ref()
    }

    pub(super) fn owned(&self) -> &BTreeSet<TopicPartition> {
        &self.owned
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.subscription.iter().flat_map(Subscription::topics)
    }

    /// Whether the target names topics whose names are unknown.
    pub(super) fn needs_metadata(&self) -> bool {
        let mut target = self.target.iter().flat_map(BTreeMap::keys);
        target.any(|id| !self.names.contains_key(id))
    }

    pub(super) fn identity(&self) -> Option<Identity> {
        let is_member = self.state == State::Member && self.leave == Leave::No;
        is_member.then(|| Identity { epoch: self.epoch, member: self.id.clone() })
    }

    /// Whether it joins, or has not taken over its target yet.
    pub(super) fn is_unsettled(&self) -> bool {
        self.state == State::Joining || !self.is_reconciled || self.reconciling.is_some()
    }

    pub(super) fn holds_back(&self) -> bool {
        matches!(self.last_commit, LastCommit::Begun { .. }) || self.telling.is_some()
    }

    pub(super) fn needs_coordinator(&self) -> bool {
        let is_alive = !matches!(self.state, State::Failed(_));
        (self.subscription.is_some() && is_alive) || self.leave == Leave::Wanted
    }

    /// An error that stays: in this protocol, whatever does not pass is final.
    pub(super) fn take_trouble(&mut self) -> Option<Trouble> {
        match self.state {
            State::Failed(error) => Some(Trouble::Refused(error)),
            _ => None,
        }
    }

    pub(super) fn subscribe(&mut self, subscription: Subscription) {
        self.subscription = Some(subscription);
    }

    pub(super) fn unsubscribe(&mut self, _reason: &'static str) {
        if self.subscription.take().is_none() {
            return;
        }
        let all: Vec<_> = self.owned.iter().cloned().collect();
        self.telling = match self.state {
            _ if all.is_empty() => return self.begin_leave(),
            State::Member => Some((Event::Revoked(all), Then::Leave)),
            _ => Some((Event::Lost(all), Then::Leave)),
        };
    }

    pub(super) fn is_active(&self) -> bool {
        self.subscription.is_some() || self.telling.is_some()
    }

    pub(super) fn has_left(&self) -> bool {
        !self.is_active() && self.leave == Leave::No
    }

    pub(super) fn poll(&mut self, now: Instant) -> Option<Step> {
        self.patience_ends = now + self.settings.max_poll_interval;
        if self.telling.is_none() {
            self.advance(now);
        }
        if let Some((event, _)) = &self.telling {
            return Some(Step::Tell(event.clone()));
        }
        match self.last_commit {
            LastCommit::Begun { until } => Some(Step::Commit { until }),
            LastCommit::NotBegun | LastCommit::Ended => None,
        }
    }

    fn advance(&mut self, now: Instant) {
        match self.state {
            State::Member => self.reconcile(now),
            State::Out | State::Fenced | State::Failed(_) if !self.owned.is_empty() => {
                let all = self.owned.iter().cloned().collect();
                self.telling = Some((Event::Lost(all), Then::Forget));
            }
            State::Out | State::Fenced if self.subscription.is_some() => self.join(),
            State::Out | State::Fenced | State::Failed(_) | State::Joining => {}
        }
    }

    /// Joins as a new member: the coordinator does not count what an earlier one owned.
    fn join(&mut self) {
        (self.state, self.epoch, self.said) = (State::Joining, JOIN, None);
        self.has_said_regex = false;
        (self.target, self.is_reconciled, self.acknowledges) = (None, true, false);
        (self.reconciling, self.has_share) = (None, false);
    }

    /// Gives up what is not in the target, and takes what is.
    fn reconcile(&mut self, now: Instant) {
        if self.is_reconciled || self.subscription.is_none() {
            self.last_commit = LastCommit::NotBegun;
            return;
        }
        if self.settings.auto_commit.is_some() && !self.owned.is_empty() {
            match self.last_commit {
                LastCommit::NotBegun => {
                    let until = self.settings.last_commit_ends(now);
                    self.last_commit = LastCommit::Begun { until };
                    return;
                }
                LastCommit::Begun { until } if now < until => return,
                LastCommit::Begun { .. } | LastCommit::Ended => {}
            }
        }
        self.last_commit = LastCommit::NotBegun;
        let resolved = self.resolved();
        // A new target, or a name that becomes known, makes this false again.
        self.is_reconciled = true;
        let revoked: Vec<_> = self.owned.difference(&resolved.partitions).cloned().collect();
        let is_new = !self.has_share || self.owned != resolved.partitions;
        self.reconciling = Some(resolved);
        if !revoked.is_empty() {
            self.telling = Some((Event::Revoked(revoked), Then::Install));
        } else if is_new {
            self.install();
        } else {
            // What it keeps owning is acknowledged under the new epoch.
            (self.reconciling, self.acknowledges) = (None, true);
        }
    }

    fn resolved(&self) -> Resolved {
        let mut resolved = Resolved::default();
        for (id, indexes) in self.target.iter().flatten() {
            let Some(name) = self.names.get(id) else { continue };
            let partitions = indexes.iter().map(|p| TopicPartition::new(name.clone(), *p));
            resolved.partitions.extend(partitions);
            resolved.ids.insert(*id, indexes.clone());
        }
        resolved
    }

    /// Takes what the reconciliation began with. A target that came meanwhile is next.
    fn install(&mut self) {
        let Some(Resolved { partitions, ids }) = self.reconciling.take() else { return };
        let added = partitions.difference(&self.owned).cloned().collect();
        (self.owned, self.owned_ids) = (partitions, ids);
        (self.has_share, self.acknowledges) = (true, true);
        self.telling = Some((Event::Assigned(added), Then::Nothing));
    }

    pub(super) fn committed(&mut self) {
        if matches!(self.last_commit, LastCommit::Begun { .. }) {
            self.last_commit = LastCommit::Ended;
        }
    }

    pub(super) fn told(&mut self) {
        match self.telling.take() {
            // What was lost meanwhile is told next.
            Some((_, Then::Install)) if self.state == State::Member => self.install(),
            Some((event, Then::Install)) => {
                self.reconciling = None;
                self.owned.retain(|partition| !event.partitions().contains(partition));
            }
            Some((_, Then::Forget)) => self.forget(),
            Some((_, Then::Leave)) => {
                self.forget();
                self.begin_leave();
            }
            Some((_, Then::Nothing)) | None => {}
        }
    }

    fn forget(&mut self) {
        self.owned.clear();
        self.owned_ids.clear();
    }

    /// Leaves; what it owns is lost with the next poll, if there is one.
    fn begin_leave(&mut self) {
        // KAFKA-16639: also while a heartbeat is under way.
        let drops = self.in_flight.is_some() && self.settings.flaws.has(Flaw::LeaveDropped);
        if matches!(self.state, State::Member | State::Joining) && !drops {
            self.leave = Leave::Wanted;
        }
        if !matches!(self.state, State::Failed(_)) {
            self.state = State::Out;
        }
        (self.in_flight, self.said) = (None, None);
        self.last_commit = LastCommit::NotBegun;
        (self.target, self.is_reconciled, self.acknowledges) = (None, true, false);
    }

    pub(super) fn metadata_changed(&mut self, cluster: &Cluster, is_complete: bool) {
        if let Some(subscription) = self.subscription.as_mut().filter(|_| is_complete) {
            let hides = self.settings.excludes_internal;
            let visible = cluster.topics().filter(|(_, is_internal)| !(*is_internal && hides));
            subscription.match_all(visible.map(|(topic, _)| topic));
        }
        self.learn_names(cluster);
    }

    fn learn_names(&mut self, cluster: &Cluster) {
        for id in self.target.iter().flat_map(BTreeMap::keys) {
            if !self.names.contains_key(id)
                && let Some(name) = cluster.name(*id)
            {
                self.names.insert(*id, name.clone());
                // More of the target can be taken.
                self.is_reconciled = false;
            }
        }
        let target = &self.target;
        self.names.retain(|id, _| target.as_ref().is_some_and(|t| t.contains_key(id)));
    }

    pub(super) fn ask(
        &mut self,
        now: Instant,
        has_coordinator: bool,
        send: &mut dyn FnMut(Request, Duration) -> RequestId,
    ) {
        self.has_coordinator = has_coordinator;
        if matches!(self.last_commit, LastCommit::Begun { until } if until <= now) {
            self.last_commit = LastCommit::Ended;
        }
        let is_in = matches!(self.state, State::Member | State::Joining);
        if is_in && now >= self.patience_ends {
            self.begin_leave();
        }
        if !has_coordinator {
            return;
        }
        let timeout = self.settings.request_timeout;
        if self.leave == Leave::Wanted {
            let request = Request::ConsumerHeartbeat(self.farewell());
            self.leave = Leave::Asked(send(request, timeout));
        }
        if self.is_due(now) {
            let request = Request::ConsumerHeartbeat(self.heartbeat());
            self.in_flight = Some(send(request, timeout));
            self.sent_and_answered.0 = Some(now);
            self.next = now + self.interval;
        }
    }

    /// Whether a heartbeat is due: at the interval, and at once to join or to acknowledge. While it
    /// leaves, it does not join again.
    fn is_due(&self, now: Instant) -> bool {
        let is_urgent = self.acknowledges || self.state == State::Joining;
        self.may_heartbeat() && (now >= self.next || (is_urgent && self.failures == 0))
    }

    fn may_heartbeat(&self) -> bool {
        let is_in = matches!(self.state, State::Member | State::Joining);
        let is_known = self.subscription.as_ref().is_some_and(Subscription::is_known);
        is_in && is_known && !self.is_in_flight() && self.leave == Leave::No
    }

    /// Whether a heartbeat is under way.
    fn is_in_flight(&self) -> bool {
        let (sent, answered) = self.sent_and_answered;
        // KAFKA-16555: times don't tell apart what happens at the same time.
        let looks_answered = sent == answered && self.settings.flaws.has(Flaw::PhantomMembers);
        self.in_flight.is_some() && !looks_answered
    }

    pub(super) fn deadline(&self) -> Instant {
        let mut deadline = Instant::NEVER;
        if matches!(self.state, State::Member | State::Joining) {
            deadline = self.patience_ends;
        }
        if self.has_coordinator && self.may_heartbeat() {
            deadline = deadline.min(self.next);
        }
        if let LastCommit::Begun { until } = self.last_commit {
            deadline = deadline.min(until);
        }
        deadline
    }

    pub(super) fn answered(
        &mut self,
        now: Instant,
        request: RequestId,
        answer: Result<&Response, ErrorCode>,
        cluster: &Cluster,
        pause: &mut dyn FnMut(u32) -> Duration,
    ) -> ErrorCode {
        let result = match answer {
            Ok(Response::ConsumerHeartbeat(answer)) => {
                ErrorCode::from_code(answer.error_code).check().map(|()| answer)
            }
            Ok(_) => Err(ErrorCode::UnknownServerError),
            Err(error) => Err(error),
        };
        if self.leave == Leave::Asked(request) {
            (self.leave, self.sent_and_answered.1) = (Leave::No, Some(now));
            self.is_dismissed = result.is_ok();
            return result.err().unwrap_or(ErrorCode::None);
        }
        if self.in_flight.take_if(|asked| *asked == request).is_none() {
            return ErrorCode::None;
        }
        self.sent_and_answered.1 = Some(now);
        match result {
            Ok(answer) => {
                self.accept(answer, cluster);
                ErrorCode::None
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                self.next = now + pause(self.failures);
                self.said = None;
                self.refused(error);
                if answer.is_ok() && self.settings.flaws.has(Flaw::ErrorKeepsInFlight) {
                    self.in_flight = Some(request);
                }
                if self.settings.flaws.has(Flaw::PhantomMembers) {
                    (self.failures, self.next) = (0, now);
                }
                error
            }
        }
    }

    fn accept(&mut self, answer: &ConsumerGroupHeartbeatResponse, cluster: &Cluster) {
        self.failures = 0;
        if let Ok(millis @ 1..) = u64::try_from(answer.heartbeat_interval_ms) {
            // The coordinator sets the pace in this protocol.
            let interval = Duration::from_millis(millis);
            self.next = self.next - self.interval + interval;
            self.interval = interval;
        }
        if answer.member_epoch <= JOIN {
            return self.fail(ErrorCode::UnknownServerError);
        }
        if self.settings.flaws.has(Flaw::PhantomMembers)
            && let Some(id) = answer.member_id.as_ref().filter(|_| self.state == State::Joining)
        {
            self.id = id.as_str().into();
        }
        (self.state, self.epoch) = (State::Member, answer.member_epoch);
        if let Some(assignment) = &answer.assignment {
            let target = by_topic(assignment);
            if self.target.as_ref() != Some(&target) {
                (self.target, self.is_reconciled) = (Some(target), false);
                self.learn_names(cluster);
            }
        }
    }

    /// The coordinator's error. Source: Kafka's `AbstractHeartbeatRequestManager.onErrorResponse`.
    fn refused(&mut self, error: ErrorCode) {
        match error {
            ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId => {
                self.last_commit = LastCommit::NotBegun;
                self.state = State::Fenced;
                if self.owned.is_empty() && self.telling.is_none() {
                    self.join();
                }
            }
            error if error.is_retriable() => {}
            error => self.fail(error),
        }
    }

    fn fail(&mut self, error: ErrorCode) {
        self.last_commit = LastCommit::NotBegun;
        self.state = State::Failed(error);
    }

    pub(super) fn check(&self) {
        let Self { state, epoch, owned, .. } = self;
        assert!(*state != State::Member || *epoch > JOIN, "a member with epoch {epoch}");
        assert!(*state != State::Joining || owned.is_empty(), "joins, and owns {owned:?}");
        let is_idle = self.subscription.is_none() && self.telling.is_none();
        assert!(!is_idle || owned.is_empty(), "owns {owned:?} without a subscription");
        let is_in = matches!(state, State::Member | State::Joining);
        let keeps = self.settings.flaws.has(Flaw::ErrorKeepsInFlight);
        assert!(
            is_in || self.in_flight.is_none() || keeps,
            "a heartbeat is under way in {state:?}"
        );
    }
}
