//! A member of a group, in the classic protocol.
//!
//! ```text
//! Unjoined ── JoinGroup ──> Joining ──> (Assigning, if it leads) ── SyncGroup ──> Syncing ──> Stable
//!     ^                        │                  │                                 │           │
//!     └──────── an error, or expelled ────────────┴─────────────────────────────────┴───────────┘
//! ```
//!
//! Between two polls the application works on what the last one returned. So partitions are taken
//! away and handed over in [`Classic::poll`] only; requests leave and heartbeats go on in between.
//! Before a JoinGroup of a member that has partitions, [`Step::Commit`] commits what was returned,
//! and [`Step::Tell`] lets the application's listener finish.
//!
//! | module | role |
//! |---|---|
//! | `asking` | what to send, and when |
//! | `answers` | what answers change: the reaction to each error |
//! | `leading` | the leader's work: subscriptions in, assignments out |

mod answers;
mod asking;
mod leading;

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use self::leading::Leading;
use super::heartbeat::Heartbeat;
use super::step::{Event, Identity, LastCommit, Step, Trouble};
use super::{Settings, Subscription};
use crate::base::{Flaws, Instant, TopicPartition};
use crate::client::assignor::{Assignor, Rebalancing, Topics};
use crate::client::kernel::{Cluster, RequestId};
use crate::group::MemberId;
use crate::wire::ErrorCode;
use crate::wire::messages::LeaveGroupRequest;

/// The most characters of a reason to join. Source: Kafka's `JoinGroupRequest.maybeTruncateReason`.
const LONGEST_REASON: usize = 255;

/// A member's place in the history of its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::client) struct Generation {
    /// -1: in none.
    pub(in crate::client) id: i32,
    /// Empty: the coordinator has not given one yet.
    pub(in crate::client) member: MemberId,
    pub(super) assignor: Option<Assignor>,
}

impl Generation {
    pub(in crate::client) fn none() -> Self {
        Self { id: -1, member: MemberId::default(), assignor: None }
    }

    /// Whether the coordinator knew this member when it last answered.
    pub(super) fn is_valid(&self) -> bool {
        self.id >= 0 && !self.member.as_str().is_empty()
    }
}

#[derive(Debug)]
enum State {
    Unjoined,
    Joining(RequestId),
    /// `Some`: it leads, and waits for metadata. SyncGroup is next.
    Assigning(Option<Box<Leading>>),
    Syncing(RequestId),
    Stable,
}

/// What follows the listener's call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The partitions are gone, and JoinGroup may leave.
    Join,
    /// The partitions are gone, and the rest of the assignment takes effect.
    TakeOver,
    Leave(&'static str),
    Nothing,
}

#[derive(Debug)]
enum Leave {
    No,
    Wanted(LeaveGroupRequest),
    Asked(RequestId),
}

/// The state machine of a member.
#[derive(Debug)]
pub(in crate::client) struct Classic {
    settings: Settings,
    rebalancing: Rebalancing,
    /// `None`: not in the group, or leaving.
    subscription: Option<Subscription>,
    state: State,
    generation: Generation,
    /// Why it has to join (again).
    rejoin: Option<Cow<'static, str>>,
    /// Whether JoinGroup may leave: what has to be given up is given up.
    is_prepared: bool,
    last_commit: LastCommit,
    /// The listener's call that is not finished yet.
    telling: Option<(Event, Then)>,
    /// The topics of the last JoinGroup.
    joined: Option<BTreeSet<Arc<str>>>,
    owned: BTreeSet<TopicPartition>,
    /// The last assignment and its generation, which sticky assignors remember.
    last: Option<(Vec<TopicPartition>, i32)>,
    /// An assignment that the application's poll has not taken over yet.
    arrived: Option<Vec<TopicPartition>>,
    /// The topics of all members, while it leads.
    group_topics: BTreeSet<Arc<str>>,
    /// What it assigned, while it leads: other metadata are a reason to assign again.
    snapshot: Option<Topics>,
    heartbeat: Heartbeat,
    /// Heartbeats under way, of this generation.
    heartbeats: BTreeSet<RequestId>,
    leave: Leave,
    is_dismissed: bool,
    /// Failed attempts to join in a row, and before when not to try again.
    failures: u32,
    not_before: Instant,
    /// The application was told of an error: its next poll tries again.
    waits_for_poll: bool,
    /// Another instance took this member's place: only a restart helps.
    fenced: bool,
    troubles: VecDeque<Trouble>,
    has_coordinator: bool,
}

impl Classic {
    pub(in crate::client) fn new(settings: Settings, now: Instant) -> Self {
        Self {
            rebalancing: settings.rebalancing(),
            heartbeat: Heartbeat::new(&settings, now),
            settings,
            subscription: None,
            state: State::Unjoined,
            generation: Generation::none(),
            rejoin: None,
            is_prepared: false,
            last_commit: LastCommit::NotBegun,
            telling: None,
            joined: None,
            owned: BTreeSet::new(),
            last: None,
            arrived: None,
            group_topics: BTreeSet::new(),
            snapshot: None,
            heartbeats: BTreeSet::new(),
            leave: Leave::No,
            is_dismissed: false,
            failures: 0,
            not_before: Instant::START,
            waits_for_poll: false,
            fenced: false,
            troubles: VecDeque::new(),
            has_coordinator: false,
        }
    }

    pub(in crate::client) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(in crate::client) fn set_flaws(&mut self, flaws: Flaws) {
        self.settings.flaws = flaws;
    }

    /// Whether the coordinator has confirmed that it left.
    pub(in crate::client) fn is_dismissed(&self) -> bool {
        self.is_dismissed
    }

    pub(in crate::client) fn subscription(&self) -> Option<&Subscription> {
        self.subscription.as_ref()
    }

    /// The partitions that the application may read.
    pub(in crate::client) fn owned(&self) -> &BTreeSet<TopicPartition> {
        &self.owned
    }

    /// Topics whose metadata are needed.
    pub(in crate::client) fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        let own = self.subscription.iter().flat_map(Subscription::topics);
        own.chain(&self.group_topics)
    }

    /// The generation in which offsets can be committed, if there is one now.
    pub(in crate::client) fn identity(&self) -> Option<Identity> {
        let Generation { id, member, .. } = &self.generation;
        let is_stable = matches!(self.state, State::Stable);
        is_stable.then(|| Identity { epoch: *id, member: member.clone() })
    }

    /// Whether a rebalance is under way that it takes part in.
    pub(in crate::client) fn is_rebalancing(&self) -> bool {
        match self.state {
            State::Joining(_) | State::Assigning(_) | State::Syncing(_) => true,
            State::Unjoined => self.generation.is_valid(),
            State::Stable => false,
        }
    }

    /// Whether nothing may be returned: what was returned is being committed for the last time.
    pub(in crate::client) fn holds_back(&self) -> bool {
        let commits = matches!(self.last_commit, LastCommit::Begun { .. });
        (commits && self.rebalancing == Rebalancing::Eager) || self.telling.is_some()
    }

    /// Whether it needs to know the coordinator.
    pub(in crate::client) fn needs_coordinator(&self) -> bool {
        (self.subscription.is_some() && !self.fenced) || matches!(self.leave, Leave::Wanted(_))
    }

    /// The next error for the application. Being fenced is one that stays.
    pub(in crate::client) fn take_trouble(&mut self) -> Option<Trouble> {
        let fenced = || self.fenced.then_some(Trouble::Refused(ErrorCode::FencedInstanceId));
        self.troubles.pop_front().or_else(fenced)
    }

    /// Subscribes; the next poll joins the group, or joins it again.
    pub(in crate::client) fn subscribe(&mut self, subscription: Subscription) {
        if self.subscription.is_none() {
            self.rejoin = Some("initialized".into());
        }
        self.subscription = Some(subscription);
    }

    /// Ends the subscription: once the listener knows, the member leaves the group.
    pub(in crate::client) fn unsubscribe(&mut self, reason: &'static str) {
        if self.subscription.take().is_none() {
            return;
        }
        self.arrived = None;
        if self.owned.is_empty() {
            return self.begin_leave(reason);
        }
        let all = self.owned.iter().cloned().collect();
        let expelled = !self.generation.is_valid() || self.is_rebalancing();
        let event = if expelled { Event::Lost(all) } else { Event::Revoked(all) };
        self.telling = Some((event, Then::Leave(reason)));
    }

    /// Whether the application reads, or has just read, what it is assigned.
    pub(in crate::client) fn is_active(&self) -> bool {
        self.subscription.is_some() || self.telling.is_some()
    }

    /// Whether it is in no group, as far as it can do anything about that.
    pub(in crate::client) fn has_left(&self) -> bool {
        self.subscription.is_none() && matches!(self.leave, Leave::No) && self.telling.is_none()
    }

    /// The application polls. Returns what has to be done first.
    pub(in crate::client) fn poll(&mut self, now: Instant) -> Option<Step> {
        self.heartbeat.polled(now);
        self.waits_for_poll = false;
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
        if self.fenced && !self.owned.is_empty() {
            self.lose();
        }
        let Some(subscription) = self.subscription.as_ref().filter(|_| !self.fenced) else {
            return;
        };
        let has_changed =
            self.joined.as_ref().is_some_and(|joined| joined != subscription.topics());
        match self.state {
            State::Stable if self.arrived.is_some() => self.take_over(),
            State::Joining(_) | State::Assigning(_) | State::Syncing(_) => {}
            State::Unjoined | State::Stable => {
                if has_changed {
                    self.request_rejoin("subscription has changed");
                }
                if self.rejoin.is_some() && !self.is_prepared {
                    self.prepare(now);
                }
            }
        }
    }

    /// Gives up what has to be given up before JoinGroup.
    fn prepare(&mut self, now: Instant) {
        if self.settings.auto_commit.is_some()
            && self.generation.is_valid()
            && !self.owned.is_empty()
        {
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
        let subscribed = self.subscription.as_ref();
        let is_kept = |partition: &TopicPartition| {
            self.rebalancing == Rebalancing::Cooperative
                && subscribed.is_some_and(|topics| topics.topics().contains(&partition.topic))
        };
        if !self.generation.is_valid() {
            return if self.owned.is_empty() { self.prepared() } else { self.lose() };
        }
        let revoked: Vec<_> = self.owned.iter().filter(|p| !is_kept(p)).cloned().collect();
        // An eager member is told of each rebalance, even if it owns nothing.
        if revoked.is_empty() && self.rebalancing == Rebalancing::Cooperative {
            self.prepared();
        } else {
            self.telling = Some((Event::Revoked(revoked), Then::Join));
        }
    }

    fn lose(&mut self) {
        let all = self.owned.iter().cloned().collect();
        self.telling = Some((Event::Lost(all), Then::Join));
    }

    fn prepared(&mut self) {
        self.is_prepared = true;
        self.snapshot = None;
        self.group_topics.clear();
    }

    /// The commit that [`Step::Commit`] asked for has ended, one way or another.
    pub(in crate::client) fn committed(&mut self) {
        if matches!(self.last_commit, LastCommit::Begun { .. }) {
            self.last_commit = LastCommit::Ended;
        }
    }

    /// The listener has returned.
    pub(in crate::client) fn told(&mut self) {
        let Some((event, then)) = self.telling.take() else { return };
        match then {
            Then::Nothing => {}
            Then::Join => {
                self.owned.retain(|partition| !event.partitions().contains(partition));
                self.prepared();
            }
            Then::TakeOver => self.install(),
            Then::Leave(reason) => {
                self.owned.clear();
                self.begin_leave(reason);
            }
        }
    }

    /// An assignment takes effect: first what it takes away, then what it brings.
    fn take_over(&mut self) {
        let (Some(arrived), Some(subscription)) = (&self.arrived, &self.subscription) else {
            return;
        };
        if !arrived.iter().all(|partition| subscription.covers(&partition.topic)) {
            self.arrived = None;
            self.is_prepared = false;
            return self.request_rejoin("received assignment does not match the subscription");
        }
        let revoked: Vec<_> =
            self.owned.iter().filter(|partition| !arrived.contains(partition)).cloned().collect();
        if revoked.is_empty() {
            self.install();
        } else {
            self.telling = Some((Event::Revoked(revoked), Then::TakeOver));
        }
    }

    fn install(&mut self) {
        let Some(arrived) = self.arrived.take() else { return };
        let assigned: BTreeSet<_> = arrived.iter().cloned().collect();
        if !self.owned.is_subset(&assigned) {
            // Others wait for what was revoked just now (KIP-429).
            self.request_rejoin("need to revoke partitions and re-join");
        }
        let topics: BTreeSet<_> = arrived.iter().map(|partition| partition.topic.clone()).collect();
        if let Some(subscription) = self.subscription.as_mut().filter(|known| known.has_pattern()) {
            // The leader knows topics that this member has not heard of yet.
            subscription.add(topics.iter().cloned());
            self.joined.iter_mut().for_each(|joined| joined.extend(topics.iter().cloned()));
        }
        let added = assigned.difference(&self.owned).cloned().collect();
        self.last = Some((arrived, self.generation.id));
        self.owned = assigned;
        self.is_prepared = false;
        self.telling = Some((Event::Assigned(added), Then::Nothing));
    }

    fn request_rejoin(&mut self, reason: &'static str) {
        self.rejoin = Some(reason.into());
    }

    /// The application wants a rebalance (KIP-568). The reason is cut where Kafka cuts it.
    pub(in crate::client) fn enforce_rebalance(&mut self, reason: Option<&str>) {
        if self.subscription.is_some() {
            let reason = reason.filter(|reason| !reason.is_empty());
            let reason = reason.unwrap_or("rebalance enforced by user");
            self.rejoin = Some(reason.chars().take(LONGEST_REASON).collect::<String>().into());
        }
    }

    /// Metadata have changed: a pattern may match more or fewer topics, and a leader may have to
    /// assign other partitions.
    pub(in crate::client) fn metadata_changed(
        &mut self,
        cluster: &Cluster,
        is_complete: bool,
        unknown: &[Arc<str>],
    ) {
        if let Some(subscription) = self.subscription.as_mut().filter(|_| is_complete) {
            let hides = self.settings.excludes_internal;
            let visible = cluster.topics().filter(|(_, is_internal)| !(*is_internal && hides));
            subscription.match_all(visible.map(|(topic, _)| topic));
        }
        if let State::Assigning(Some(leading)) = &mut self.state {
            leading.learn(cluster, unknown);
        }
        let current = leading::snapshot(&self.settings, &self.group_topics, cluster);
        let has_changed = self.snapshot.as_ref().is_some_and(|assigned| *assigned != current);
        if has_changed && self.rejoin.is_none() {
            self.request_rejoin("cached metadata has changed");
        }
    }

    /// Forgets the generation: the coordinator no longer knows it.
    fn reset(&mut self, reason: &'static str, member_too: bool) {
        self.state = State::Unjoined;
        self.generation = match member_too {
            true => Generation::none(),
            false => Generation { member: self.generation.member.clone(), ..Generation::none() },
        };
        self.heartbeats.clear();
        // A listener's call that is not finished still installs its assignment; it is lost then.
        if !matches!(self.telling, Some((_, Then::TakeOver))) {
            self.arrived = None;
        }
        self.is_prepared = false;
        self.last_commit = LastCommit::NotBegun;
        self.request_rejoin(reason);
    }

    fn begin_leave(&mut self, reason: &'static str) {
        let member = self.generation.member.clone();
        if self.settings.instance.is_none() && !member.as_str().is_empty() {
            self.leave = Leave::Wanted(asking::leave(&self.settings, &member, reason));
        }
        self.reset(reason, true);
        if self.subscription.is_none() {
            self.rejoin = None;
            self.joined = None;
            self.snapshot = None;
            self.group_topics.clear();
        }
    }

    /// Panics if an invariant is broken.
    pub(in crate::client) fn check(&self) {
        let Self { state, generation, owned, arrived, .. } = self;
        let joined = matches!(state, State::Assigning(_) | State::Syncing(_) | State::Stable);
        assert!(!joined || generation.is_valid(), "{state:?} in no generation: {generation:?}");
        let takes_over = matches!(self.telling, Some((_, Then::TakeOver)));
        let may_arrive = matches!(state, State::Stable) || takes_over;
        assert!(arrived.is_none() || may_arrive, "an assignment arrived, but it is {state:?}");
        let may_join = self.is_prepared && arrived.is_none();
        let gives_up = self.rebalancing == Rebalancing::Eager || !generation.is_valid();
        assert!(!may_join || !gives_up || owned.is_empty(), "joins, and owns {owned:?}");
        let is_idle = self.subscription.is_none() && self.telling.is_none();
        assert!(!is_idle || owned.is_empty(), "owns {owned:?} without a subscription");
        let is_content = self.subscription.is_none() || joined || self.rejoin.is_some();
        assert!(is_content || self.fenced, "subscribed, and does not want to join");
        assert!(self.heartbeats.is_empty() || joined, "heartbeats are under way in {state:?}");
    }
}

/// Pauses by the number of failures in a row.
pub(super) type Pause<'a> = &'a mut dyn FnMut(u32) -> Duration;
