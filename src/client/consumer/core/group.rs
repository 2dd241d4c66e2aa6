//! The consumer as a member of its group: what membership, commits and committed offsets have to do
//! with what is read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Answer, Core, Effect, Errand, InFlight, Order, Question};
use crate::base::config::GroupProtocol;
use crate::base::{Flaw, Flaws, Instant, TopicId, TopicPartition};
use crate::client::ConsumeError;
use crate::client::group::{
    Commit, CommitId, Commits, Committed, CommittedId, CommittedOffset, Event, Found,
    GroupMetadata, Membership, Offsets, Request, Response, Settings, Step, Subscription, TopicIds,
    Trouble,
};
use crate::client::kernel::{CoordinatorKey, CoordinatorType, Node, RequestId};
use crate::group::MemberId;
use crate::wire::ErrorCode;

type Outcome = Result<(), ConsumeError>;

/// A consumer's group.
#[derive(Debug)]
pub(super) struct Group {
    key: CoordinatorKey,
    membership: Membership,
    /// Whether what is read is what the membership owns.
    follows: bool,
    commits: Commits,
    committed: Committed,
    /// Those who wait for commits.
    waiting: BTreeMap<CommitId, oneshot::Sender<Outcome>>,
    /// The commit before a revocation, until the membership knows that it has ended.
    last_commit: Option<(CommitId, bool)>,
    /// The last automatic commit, and when the next one is due.
    auto: Option<CommitId>,
    next_auto: Instant,
    /// No coordinator can be had: the next poll tries again.
    refused: bool,
    /// What was committed, for interceptors; `None`: there are none.
    kept: Option<Vec<Offsets>>,
}

impl Group {
    pub(super) fn new(settings: Settings, id: MemberId, now: Instant) -> Self {
        let next_auto = settings.auto_commit.map_or(Instant::NEVER, |interval| now + interval);
        Self {
            key: CoordinatorKey::new(CoordinatorType::Group, Arc::clone(&settings.group)),
            membership: Membership::new(settings, id, now),
            follows: false,
            commits: Commits::default(),
            committed: Committed::default(),
            waiting: BTreeMap::new(),
            last_commit: None,
            auto: None,
            next_auto,
            refused: false,
            kept: None,
        }
    }

    fn is_subscribed(&self) -> bool {
        self.membership.subscription().is_some()
    }

    pub(super) fn set_flaws(&mut self, flaws: Flaws) {
        self.membership.set_flaws(flaws);
    }

    /// Tells those who wait about commits that have ended.
    fn settle(&mut self, now: Instant, retry_backoff: Duration) {
        for (id, outcome) in self.commits.take_ended() {
            if let (Some(kept), Ok(offsets)) = (&mut self.kept, &outcome)
                && !offsets.is_empty()
            {
                kept.push(offsets.clone());
            }
            let outcome = outcome.map(drop);
            if let Some((last, ended)) = &mut self.last_commit {
                *ended |= *last == id;
            }
            let failed = outcome.as_ref().is_err_and(ConsumeError::is_retriable);
            if self.auto == Some(id) && failed {
                self.next_auto = self.next_auto.min(now + retry_backoff);
            }
            if let Some(waiting) = self.waiting.remove(&id) {
                // A caller that gave up does not hear it.
                drop(waiting.send(outcome));
            }
        }
    }

    /// Whether a rebalance is under way, or else whether it is a member.
    pub(super) fn rebalances(&self) -> (bool, bool) {
        let is_member = self.membership.identity().is_some();
        (self.is_subscribed() && self.membership.is_unsettled(), is_member)
    }

    pub(super) fn check(&self) {
        self.membership.check();
        self.commits.check();
        self.committed.check();
    }
}

impl Core {
    fn group_mut(&mut self) -> Result<&mut Group, ConsumeError> {
        self.group.as_deref_mut().ok_or(ConsumeError::NoGroup)
    }

    /// Joins the group for these topics, with the next poll.
    pub(in crate::client) fn subscribe(
        &mut self,
        subscription: Subscription,
    ) -> Result<(), ConsumeError> {
        let group = self.group_mut()?;
        group.membership.subscribe(subscription);
        group.follows = true;
        Ok(())
    }

    /// The same, with a pattern that the coordinator evaluates.
    pub(in crate::client) fn subscribe_regex(
        &mut self,
        subscription: Subscription,
    ) -> Result<(), ConsumeError> {
        let protocol = self.group_mut()?.membership.settings().protocol;
        match protocol {
            GroupProtocol::Consumer => self.subscribe(subscription),
            GroupProtocol::Classic => Err(ConsumeError::NeedsConsumerProtocol),
        }
    }

    /// Joins again with the next poll, though nothing has changed.
    pub(in crate::client) fn enforce_rebalance(
        &mut self,
        reason: Option<&str>,
    ) -> Result<(), ConsumeError> {
        self.group_mut()?.membership.enforce_rebalance(reason);
        Ok(())
    }

    /// Keeps what is committed from now on, for [`Core::take_committed`].
    pub(in crate::client) fn keep_committed(&mut self) {
        if let Some(group) = &mut self.group {
            group.kept.get_or_insert_default();
        }
    }

    /// What was committed since the last call, in order.
    pub(in crate::client) fn take_committed(&mut self) -> Vec<Offsets> {
        let kept = self.group.as_mut().and_then(|group| group.kept.as_mut());
        kept.map(std::mem::take).unwrap_or_default()
    }

    /// Partitions are assigned by hand: leaves the group without a word to the listener.
    pub(super) fn end_subscription(&mut self) {
        let Some(group) = self.group.as_mut().filter(|group| group.follows) else { return };
        group.membership.unsubscribe("the consumer was assigned partitions by hand");
        group.membership.told();
        group.follows = false;
    }

    /// Leaves the group, once the listener knows ([`Core::poll`]).
    pub(in crate::client) fn unsubscribe(&mut self, reason: &'static str) {
        if let Some(group) = &mut self.group {
            group.membership.unsubscribe(reason);
        }
    }

    /// Whether the coordinator has confirmed that it left its group.
    pub(in crate::client) fn is_dismissed(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.membership.is_dismissed())
    }

    /// Whether it has left its group, or is in none.
    pub(in crate::client) fn has_left(&self) -> bool {
        self.group.as_ref().is_none_or(|group| group.membership.has_left())
    }

    /// The application polls: what earlier polls returned is processed. Returns what its listener has
    /// to be told before anything else; [`Core::told`] follows.
    pub(in crate::client) fn poll(&mut self, now: Instant) -> Option<Event> {
        loop {
            let group = self.group.as_deref_mut()?;
            group.refused = false;
            let step = group.membership.poll(now);
            if !matches!(step, Some(Step::Commit { .. }))
                && let Some((id, _)) = group.last_commit.take()
            {
                group.commits.abandon(id);
            }
            self.follow_assignment(now);
            match step {
                Some(Step::Tell(event)) => return Some(event),
                Some(Step::Commit { until }) => {
                    if !self.commit_last(now, until) {
                        return None;
                    }
                }
                None => {
                    self.commit_automatically(now);
                    return None;
                }
            }
        }
    }

    /// A call of the application's poll begins. KAFKA-14024: what an earlier one has begun to commit
    /// counts.
    pub(super) fn forget_begun_commits(&mut self) {
        if self.flaws.has(Flaw::SlowCommitExpels)
            && let Some(group) = self.group.as_deref_mut()
            && let Some((id, _)) = group.last_commit.take()
        {
            group.commits.abandon(id);
        }
    }

    /// Whether [`Core::poll`] can go on, though nothing arrived.
    pub(in crate::client) fn has_step(&self) -> bool {
        let last_commit = self.group.as_ref().and_then(|group| group.last_commit);
        last_commit.is_some_and(|(_, ended)| ended)
    }

    /// The listener has returned.
    pub(in crate::client) fn told(&mut self, now: Instant) {
        if let Some(group) = &mut self.group {
            group.membership.told();
        }
        self.follow_assignment(now);
    }

    /// Reads what the membership owns.
    fn follow_assignment(&mut self, now: Instant) {
        let Some(group) = &mut self.group else { return };
        if !group.follows {
            return;
        }
        group.follows = group.membership.is_active();
        let owned = group.membership.owned();
        if self.assignment.iter().map(|(partition, _)| partition).eq(owned) {
            return;
        }
        let owned = owned.iter().cloned().collect();
        if let Some(interval) = group.membership.settings().auto_commit {
            group.next_auto = now + interval;
        }
        self.assignment.assign(owned, self.start());
    }

    /// Commits for the last time before partitions are given up. Returns whether that has ended.
    fn commit_last(&mut self, now: Instant, until: Instant) -> bool {
        let offsets = match self.flaws.has(Flaw::CommitFromBuffer) {
            true => self.fetched(),
            false => self.consumed(),
        };
        let ids = self.ids_of(&offsets);
        let Some(group) = &mut self.group else { return true };
        if group.last_commit.is_none() {
            let id = group.commits.begin(Commit { offsets, ids, retries: true });
            group.last_commit = Some((id, false));
            group.settle(now, self.config.retry_backoff);
        }
        let Some((id, ended)) = group.last_commit else { return true };
        if ended || now >= until {
            group.commits.abandon(id);
            group.last_commit = None;
            group.membership.committed();
            return true;
        }
        false
    }

    fn commit_automatically(&mut self, now: Instant) {
        let is_due = |group: &Group| {
            // One that waits for the coordinator says the same, or less.
            let may = !group.is_subscribed() || group.membership.identity().is_some();
            may && now >= group.next_auto && !group.commits.needs_coordinator()
        };
        if !self.group.as_ref().is_some_and(|group| is_due(group)) {
            return;
        }
        let offsets = match self.flaws.has(Flaw::CommitPrefetched) {
            true => self.fetched(),
            false => self.consumed(),
        };
        let ids = self.ids_of(&offsets);
        let Some(group) = &mut self.group else { return };
        let Some(interval) = group.membership.settings().auto_commit else { return };
        group.next_auto = now + interval;
        if !offsets.is_empty() {
            group.auto = Some(group.commits.begin(Commit { offsets, ids, retries: false }));
        }
    }

    /// What was returned, of all partitions.
    pub(in crate::client) fn consumed(&self) -> Offsets {
        let consumed = self.assignment.iter().filter_map(|(partition, assigned)| {
            let (offset, leader_epoch) = assigned.consumed()?;
            let committed = CommittedOffset { offset, leader_epoch, metadata: String::new() };
            Some((partition.clone(), committed))
        });
        consumed.collect()
    }

    /// The ids of the topics of these offsets; none unless all are known. What was read of a topic that is
    /// gone must not be committed to another one of its name.
    fn ids_of(&self, offsets: &Offsets) -> TopicIds {
        let known = |partition: &TopicPartition| {
            let id = self.kernel.cluster().last_id(&partition.topic);
            (id != TopicId::ZERO).then(|| (Arc::clone(&partition.topic), id))
        };
        offsets.keys().map(known).collect::<Option<_>>().unwrap_or_default()
    }

    /// What was fetched, returned or not: too much to commit (KAFKA-2942).
    fn fetched(&self) -> Offsets {
        let mut offsets = self.consumed();
        for (partition, committed) in &mut offsets {
            let end = self.assignment.get(partition).and_then(|assigned| assigned.fetched_end());
            committed.offset = end.unwrap_or(committed.offset).max(committed.offset);
        }
        offsets
    }

    /// Commits these offsets, or what was returned. The outcome arrives at the receiver.
    pub(in crate::client) fn begin_commit(
        &mut self,
        offsets: Option<Offsets>,
        retries: bool,
    ) -> Result<(CommitId, oneshot::Receiver<Outcome>), ConsumeError> {
        let offsets = offsets.unwrap_or_else(|| self.consumed());
        let ids = self.ids_of(&offsets);
        let group = self.group_mut()?;
        let id = group.commits.begin(Commit { offsets, ids, retries });
        let (sender, receiver) = oneshot::channel();
        group.waiting.insert(id, sender);
        Ok((id, receiver))
    }

    /// The caller has stopped waiting.
    pub(in crate::client) fn abandon_commit(&mut self, id: CommitId) {
        if let Some(group) = &mut self.group {
            group.commits.abandon(id);
            group.waiting.remove(&id);
        }
    }

    /// Whether offsets are committed without being asked to, also when the consumer closes.
    pub(in crate::client) fn commits_automatically(&self) -> bool {
        let group = self.group.as_ref();
        group.is_some_and(|group| group.membership.settings().auto_commit.is_some())
    }

    /// Asks what is committed.
    pub(in crate::client) fn begin_committed(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<CommittedId, ConsumeError> {
        Ok(self.group_mut()?.committed.begin(partitions))
    }

    /// Whether the answer is there.
    pub(in crate::client) fn is_committed_known(&self, id: CommittedId) -> bool {
        self.group.as_ref().is_none_or(|group| group.committed.is_complete(id))
    }

    pub(in crate::client) fn end_committed(
        &mut self,
        id: CommittedId,
    ) -> Result<Found, ConsumeError> {
        self.group_mut()?.committed.finish(id)
    }

    /// An error of the group that the application has to see.
    pub(super) fn group_problem(&mut self) -> Option<ConsumeError> {
        let membership = &mut self.group.as_mut()?.membership;
        let trouble = membership.take_trouble()?;
        let group = membership.settings().group.to_string();
        Some(match trouble {
            Trouble::Refused(error) => ConsumeError::Group { group, error },
            Trouble::Unreadable(problem) => ConsumeError::Unreadable { group, problem },
        })
    }

    pub(super) fn holds_back(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.membership.holds_back())
    }

    /// Topics whose metadata the membership needs.
    pub(super) fn group_topics(&self) -> Vec<Arc<str>> {
        self.group.as_ref().map_or_else(Vec::new, |group| group.membership.topics())
    }

    /// The application's member, as the coordinator knows it.
    pub(in crate::client) fn group_metadata(&self) -> Option<GroupMetadata> {
        self.group.as_ref().map(|group| group.membership.metadata())
    }

    /// There are new metadata.
    pub(super) fn tell_group(&mut self, is_complete: bool, unknown: &[Arc<str>]) {
        if let Some(group) = &mut self.group {
            group.membership.metadata_changed(self.kernel.cluster(), is_complete, unknown);
        }
    }

    /// Asks the coordinator what there is to ask.
    pub(super) fn ask_group(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let Self { group, kernel, requests, assignment, config, problems, wake, measured, .. } =
            self;
        let Some(group) = group.as_deref_mut() else { return };
        let subscription = group.membership.subscription();
        kernel.want_all_topics(subscription.is_some_and(Subscription::needs_all_topics));
        let beginning = || {
            let beginning = assignment.iter().filter(|(_, assigned)| assigned.wants_committed());
            beginning.map(|(partition, _)| partition.clone())
        };
        let begins = beginning().next().is_some();
        if group.membership.needs_metadata() {
            kernel.want_metadata_unless_asked();
        }
        let needs_coordinator = group.membership.needs_coordinator()
            || group.commits.needs_coordinator()
            || group.committed.needs_coordinator(begins);
        if needs_coordinator && !group.refused {
            kernel.want_coordinator(group.key.clone());
        }
        let coordinator = match kernel.coordinator(&group.key) {
            Ok(node) => node.cloned(),
            Err(error) => {
                kernel.forget_coordinator(&group.key);
                let name = group.key.id.to_string();
                problems.push_back(ConsumeError::Group { group: name, error });
                group.refused = true;
                None
            }
        };
        let muted_until = coordinator
            .as_ref()
            .and_then(|node| kernel.muted_until(now, &node.address, Node::Coordinator));
        let mut send = |request: Request, timeout| {
            let id = requests.next_id();
            let Some(node) = &coordinator else { return id };
            let errand = Errand::of(&request);
            if errand == Errand::Heartbeat {
                measured.heartbeat_sent(now);
            }
            let errand = Some(errand);
            // Neither the timeout nor the latency includes the pause (KIP-219).
            let not_before = muted_until.unwrap_or(Instant::START);
            let sent = now.max(not_before);
            let in_flight = InFlight { sent, is_fetch: false, errand, asked: Vec::new() };
            requests.began(id, node.broker, in_flight);
            let question = Question::Group(request);
            let (to, deadline) = (node.address.clone(), sent + timeout);
            let order = Order { request: id, to, question, by_name: false, not_before, deadline };
            effects.push(Effect::Ask(Box::new(order)));
            id
        };
        let is_silent =
            group.membership.ask(now, coordinator.is_some(), kernel.cluster(), &mut send);
        if coordinator.is_some() {
            let mut send = |request| send(request, config.request_timeout);
            group.commits.ask(now, &group.membership, &mut send);
            let settings = group.membership.settings();
            group.committed.ask(now, settings, beginning(), &mut send);
            let deadline = group.commits.deadline().min(group.committed.deadline(begins));
            *wake = (*wake).min(deadline);
        }
        if is_silent {
            kernel.coordinator_refused(&group.key, ErrorCode::CoordinatorNotAvailable);
        }
        *wake = (*wake).min(group.membership.deadline());
        group.settle(now, config.retry_backoff);
    }

    /// The coordinator's answer asks for a pause of so many milliseconds.
    pub(super) fn throttle_coordinator(&mut self, now: Instant, millis: i32) {
        if let Some(group) = &self.group {
            self.kernel.coordinator_throttled(now, &group.key, millis);
        }
    }

    /// Takes an answer of the coordinator. Returns its error.
    pub(super) fn take_group_answer(
        &mut self,
        now: Instant,
        request: RequestId,
        answer: &Answer,
    ) -> ErrorCode {
        let policy = self.policy();
        let Self { group, kernel, assignment, config, problems, .. } = self;
        let Some(group) = group.as_deref_mut() else { return ErrorCode::None };
        let answer = match answer {
            Answer::Group(answer) => Ok(&**answer),
            Answer::None(error) => Err(*error),
            _ => Err(ErrorCode::UnknownServerError),
        };
        let (cluster, mut pause) = kernel.cluster_and_pauses();
        let mut seen = Vec::new();
        let commit = match answer {
            Ok(Response::Commit(answer)) => Ok(answer),
            Ok(_) => Err(ErrorCode::UnknownServerError),
            Err(error) => Err(error),
        };
        let read = match answer {
            Ok(Response::Committed(answer)) => Ok(answer),
            Ok(_) => Err(ErrorCode::UnknownServerError),
            Err(error) => Err(error),
        };
        let membership = &mut group.membership;
        let mut error = group.commits.answered(now, request, commit, membership, &mut pause);
        if error == Some(ErrorCode::RequestTimedOut) {
            // The coordinator could not replicate the commit: another one may.
            error = Some(ErrorCode::CoordinatorNotAvailable);
        }
        if error.is_none() {
            let settings = membership.settings();
            let answered = group.committed.answered(now, request, read, settings, &mut pause);
            if let Some((found, refused, problem)) = answered {
                problems.extend(problem);
                error = Some(refused);
                for (partition, committed) in found {
                    let at = committed.map(|at| (at.offset, at.leader_epoch));
                    seen.extend(at.map(|(_, epoch)| (partition.clone(), epoch)));
                    assignment.change(&partition, |assigned| assigned.begin(at, policy));
                }
            }
        }
        let error =
            error.unwrap_or_else(|| membership.answered(now, request, answer, cluster, &mut pause));
        drop(pause);
        for (partition, epoch) in seen {
            kernel.saw_epoch(&partition, epoch);
        }
        kernel.coordinator_refused(&group.key, error);
        group.settle(now, config.retry_backoff);
        self.doubt_positions();
        error
    }
}

#[cfg(test)]
impl Core {
    /// The generation that it is a stable member of, as far as it knows.
    pub(in crate::client) fn generation(&self) -> Option<i32> {
        let membership = &self.group.as_ref()?.membership;
        membership.identity().map(|identity| identity.epoch)
    }
}
