//! A consumer's membership, in either protocol.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::classic::Classic;
use super::epochs::Epochs;
use super::step::Identity;
use super::{Request, Response, Settings, Step, Subscription, Trouble};
use crate::base::config::GroupProtocol;
use crate::base::{Flaws, Instant, TopicPartition};
use crate::client::kernel::{Cluster, RequestId};
use crate::group::MemberId;
use crate::wire::ErrorCode;

/// The state machine of a member.
#[derive(Debug)]
pub(in crate::client) enum Membership {
    Classic(Classic),
    Epochs(Epochs),
}

/// Calls the same method of whichever protocol is in use.
macro_rules! either {
    ($self:expr, $member:ident => $call:expr) => {
        match $self {
            Membership::Classic($member) => $call,
            Membership::Epochs($member) => $call,
        }
    };
}

impl Membership {
    /// One that has not joined; `id`: the member's id, where members choose their own.
    pub(in crate::client) fn new(settings: Settings, id: MemberId, now: Instant) -> Self {
        match settings.protocol {
            GroupProtocol::Classic => Self::Classic(Classic::new(settings, now)),
            GroupProtocol::Consumer => Self::Epochs(Epochs::new(settings, id, now)),
        }
    }

    pub(in crate::client) fn settings(&self) -> &Settings {
        either!(self, member => member.settings())
    }

    /// The same membership with these flaws.
    pub(in crate::client) fn set_flaws(&mut self, flaws: Flaws) {
        either!(self, member => member.set_flaws(flaws));
    }

    /// Whether the coordinator has confirmed that it left.
    pub(in crate::client) fn is_dismissed(&self) -> bool {
        either!(self, member => member.is_dismissed())
    }

    pub(in crate::client) fn subscription(&self) -> Option<&Subscription> {
        either!(self, member => member.subscription())
    }

    /// The partitions that the application may read.
    pub(in crate::client) fn owned(&self) -> &BTreeSet<TopicPartition> {
        either!(self, member => member.owned())
    }

    /// Topics whose metadata are needed.
    pub(in crate::client) fn topics(&self) -> Vec<Arc<str>> {
        either!(self, member => member.topics().cloned().collect())
    }

    /// Whether newer metadata are needed: it knows topics by their ids only.
    pub(in crate::client) fn needs_metadata(&self) -> bool {
        match self {
            Self::Classic(_) => false,
            Self::Epochs(member) => member.needs_metadata(),
        }
    }

    /// As whom offsets can be committed now.
    pub(in crate::client) fn identity(&self) -> Option<Identity> {
        either!(self, member => member.identity())
    }

    /// Whether a rebalance keeps it from committing.
    pub(in crate::client) fn is_rebalancing(&self) -> bool {
        match self {
            Self::Classic(member) => member.is_rebalancing(),
            Self::Epochs(_) => false,
        }
    }

    /// Whether a rebalance is under way, in either protocol.
    pub(in crate::client) fn is_unsettled(&self) -> bool {
        match self {
            Self::Classic(member) => member.is_rebalancing(),
            Self::Epochs(member) => member.is_unsettled(),
        }
    }

    /// Joins again with the next poll, for this reason. Members of the consumer protocol can't: the
    /// coordinator alone decides when to assign.
    pub(in crate::client) fn enforce_rebalance(&mut self, reason: Option<&str>) {
        match self {
            Self::Classic(member) => member.enforce_rebalance(reason),
            Self::Epochs(_) => {
                tracing::warn!("a rebalance can't be enforced with group.protocol=consumer");
            }
        }
    }

    /// Whether nothing may be returned now.
    pub(in crate::client) fn holds_back(&self) -> bool {
        either!(self, member => member.holds_back())
    }

    pub(in crate::client) fn needs_coordinator(&self) -> bool {
        either!(self, member => member.needs_coordinator())
    }

    /// The next error for the application.
    pub(in crate::client) fn take_trouble(&mut self) -> Option<Trouble> {
        either!(self, member => member.take_trouble())
    }

    /// Subscribes; the next poll joins the group.
    pub(in crate::client) fn subscribe(&mut self, subscription: Subscription) {
        either!(self, member => member.subscribe(subscription));
    }

    /// Ends the subscription: once the listener knows, the member leaves the group.
    pub(in crate::client) fn unsubscribe(&mut self, reason: &'static str) {
        either!(self, member => member.unsubscribe(reason));
    }

    /// Whether the application reads, or has just read, what it is assigned.
    pub(in crate::client) fn is_active(&self) -> bool {
        either!(self, member => member.is_active())
    }

    /// Whether it is in no group, as far as it can do anything about that.
    pub(in crate::client) fn has_left(&self) -> bool {
        either!(self, member => member.has_left())
    }

    /// The application polls. Returns what has to be done first.
    pub(in crate::client) fn poll(&mut self, now: Instant) -> Option<Step> {
        either!(self, member => member.poll(now))
    }

    /// The commit that [`Step::Commit`] asked for has ended, one way or another.
    pub(in crate::client) fn committed(&mut self) {
        either!(self, member => member.committed());
    }

    /// The listener has returned.
    pub(in crate::client) fn told(&mut self) {
        either!(self, member => member.told());
    }

    /// There are new metadata; `is_complete`: of all topics.
    pub(in crate::client) fn metadata_changed(
        &mut self,
        cluster: &Cluster,
        is_complete: bool,
        unknown: &[Arc<str>],
    ) {
        match self {
            Self::Classic(member) => member.metadata_changed(cluster, is_complete, unknown),
            Self::Epochs(member) => member.metadata_changed(cluster, is_complete),
        }
    }

    /// Asks what is due. Returns whether another coordinator should be looked for.
    pub(in crate::client) fn ask(
        &mut self,
        now: Instant,
        has_coordinator: bool,
        cluster: &Cluster,
        send: &mut dyn FnMut(Request, Duration) -> RequestId,
    ) -> bool {
        match self {
            Self::Classic(member) => member.ask(now, has_coordinator, cluster, send),
            Self::Epochs(member) => {
                member.ask(now, has_coordinator, send);
                false
            }
        }
    }

    /// Takes an answer; `Err`: there is none. Returns the coordinator's error.
    pub(in crate::client) fn answered(
        &mut self,
        now: Instant,
        request: RequestId,
        answer: Result<&Response, ErrorCode>,
        cluster: &Cluster,
        pause: &mut dyn FnMut(u32) -> Duration,
    ) -> ErrorCode {
        either!(self, member => member.answered(now, request, answer, cluster, pause))
    }

    /// A commit was refused. Returns whether this member was expelled.
    pub(in crate::client) fn commit_refused(
        &mut self,
        sent: Option<&Identity>,
        error: ErrorCode,
    ) -> bool {
        match self {
            Self::Classic(member) => member.commit_refused(sent, error),
            // The next heartbeat says the same, and leads to another join.
            Self::Epochs(_) => error == ErrorCode::UnknownMemberId,
        }
    }

    /// When to step again though nothing else happens.
    pub(in crate::client) fn deadline(&self) -> Instant {
        either!(self, member => member.deadline())
    }

    /// Panics if an invariant is broken.
    pub(in crate::client) fn check(&self) {
        either!(self, member => member.check());
    }
}

/// What an application can know of its member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    /// `group.id`.
    pub group: String,
    /// The generation, or in the consumer protocol the member's epoch; -1: in none.
    pub generation: i32,
    /// The member's id; empty: none yet.
    pub member: String,
    /// `group.instance.id`, of a static member.
    pub instance: Option<String>,
}

impl Membership {
    pub(in crate::client) fn metadata(&self) -> GroupMetadata {
        let identity = self.identity();
        GroupMetadata {
            group: self.settings().group.to_string(),
            generation: identity.as_ref().map_or(-1, |identity| identity.epoch),
            member: identity.map_or_else(String::new, |identity| identity.member.to_string()),
            instance: self.settings().instance.as_deref().map(str::to_owned),
        }
    }
}
