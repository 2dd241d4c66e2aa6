//! The kernel's decisions: which broker to ask about the cluster, when, and what the answers change.
//!
//! # Calling contract
//!
//! The kernel is part of its owner's machine and has no driver of its own. In each step, the owner
//! 1. hands it what came back ([`Kernel::step`]), if anything did;
//! 2. says what it misses ([`Kernel::want_metadata`], [`Kernel::want_coordinator`]);
//! 3. calls [`Kernel::ask`] last, once, with the topics that it uses.
//!
//! Each [`Effect`] is answered by exactly one [`Input`]. The owner steps again at the latest at
//! [`Kernel::deadline`], which is valid after [`Kernel::ask`].

use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;

use super::cluster::Cluster;
use super::contacts::Contacts;
use super::coordinators::{self, CoordinatorKey, Coordinators};
use super::refresh::Refresh;
use super::throttle::{Node, Throttles};
use crate::base::config::ConfigError;
use crate::base::{BrokerId, Instant, LeaderEpoch, TopicPartition};
use crate::io::Address;
use crate::rpc::Backoff;
use crate::wire::ErrorCode;
use crate::wire::messages::{FindCoordinatorResponse, MetadataResponse};

/// A client without any answer for this long forgets the brokers it knew and starts over from
/// `bootstrap.servers`. Source: Kafka's default of `metadata.recovery.rebootstrap.trigger.ms`.
const REBOOTSTRAP_TRIGGER: Duration = Duration::from_secs(300);

/// What the kernel needs of a client's configuration.
pub(crate) struct Settings<'a> {
    pub(crate) bootstrap_servers: &'a [String],
    pub(crate) backoff: Backoff,
    pub(crate) metadata_max_age: Duration,
    /// Whether asking for an unknown topic may create it.
    pub(crate) may_create: bool,
}

/// What came back; `None`: no response.
#[derive(Debug)]
pub(crate) enum Input {
    Metadata {
        from: Address,
        answer: Option<Box<MetadataResponse>>,
    },
    Coordinators {
        from: Address,
        keys: Vec<CoordinatorKey>,
        answer: Option<Box<FindCoordinatorResponse>>,
    },
}

/// What is to be asked.
#[derive(Debug)]
pub(crate) enum Effect {
    Metadata {
        ask: Address,
        topics: Vec<Arc<str>>,
        /// All topics are asked for, those named or not.
        all: bool,
        may_create: bool,
    },
    /// All keys are of one type.
    Coordinators { ask: Address, keys: Vec<CoordinatorKey> },
}

/// What a step changed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Whether new metadata was accepted.
    pub(crate) metadata: bool,
    /// Whether the metadata name all topics that there are.
    pub(crate) is_complete: bool,
    /// Topics with an error: about these, nothing can be known now.
    pub(crate) unknown: Vec<Arc<str>>,
    /// Topics that a broker refuses for good.
    pub(crate) refused: Vec<(Arc<str>, ErrorCode)>,
}

/// The part of a client that knows the cluster.
#[derive(Debug)]
pub(crate) struct Kernel {
    may_create: bool,
    /// Whether the owner needs to know all topics, and whether the question under way asks for them.
    wants_all: bool,
    asked_all: bool,
    backoff: Backoff,
    random: ChaCha12Rng,
    cluster: Cluster,
    contacts: Contacts,
    refresh: Refresh,
    coordinators: Coordinators,
    throttles: Throttles,
    /// Since when every question for metadata failed.
    silent_since: Option<Instant>,
    wake: Instant,
}

impl Kernel {
    pub(crate) fn new(
        settings: Settings<'_>,
        now: Instant,
        random: ChaCha12Rng,
    ) -> Result<Self, ConfigError> {
        let Settings { bootstrap_servers, backoff, metadata_max_age, may_create } = settings;
        Ok(Self {
            may_create,
            wants_all: false,
            asked_all: false,
            backoff,
            random,
            cluster: Cluster::default(),
            contacts: Contacts::new(bootstrap_servers)?,
            refresh: Refresh::new(backoff, metadata_max_age, now),
            coordinators: Coordinators::default(),
            throttles: Throttles::default(),
            silent_since: None,
            wake: Instant::NEVER,
        })
    }

    /// Takes over what came back.
    pub(crate) fn step(&mut self, now: Instant, input: Input) -> Changes {
        match input {
            Input::Metadata { from, answer } => {
                let millis = answer.as_ref().map_or(0, |answer| answer.throttle_time_ms);
                self.throttled(now, &from, millis);
                let error = answer.as_ref().map(|answer| ErrorCode::from_code(answer.error_code));
                if error == Some(ErrorCode::RebootstrapRequired) {
                    self.rebootstrap();
                }
                // A broker that has not caught up with the cluster yet knows no broker, not even
                // itself.
                match answer.filter(|answer| !answer.brokers.is_empty()) {
                    Some(answer) => self.metadata_received(now, &from, &answer),
                    None => self.metadata_failed(now, &from),
                }
            }
            Input::Coordinators { from, keys, answer } => {
                let millis = answer.as_ref().map_or(0, |answer| answer.throttle_time_ms);
                self.throttled(now, &from, millis);
                match &answer {
                    Some(_) => self.contacts.answered(&from),
                    None => self.contacts.failed(now, &from),
                }
                let pause = |failures| self.backoff.pause(failures, &mut self.random);
                self.coordinators.answered(now, &keys, answer.as_deref(), pause);
                Changes::default()
            }
        }
    }

    fn metadata_received(
        &mut self,
        now: Instant,
        from: &Address,
        answer: &MetadataResponse,
    ) -> Changes {
        self.silent_since = None;
        self.contacts.answered(from);
        let mut refused = self.cluster.update(answer);
        let unknown = refused.iter().map(|(topic, _)| topic.clone()).collect();
        refused.retain(|(_, error)| !error.is_retriable());
        if self.asked_all {
            self.cluster.forget_all_but(answer);
        }
        self.refresh.succeeded(now, &mut self.random);
        Changes { metadata: true, is_complete: self.asked_all, unknown, refused }
    }

    fn metadata_failed(&mut self, now: Instant, from: &Address) -> Changes {
        self.contacts.failed(now, from);
        self.refresh.failed(now, &mut self.random);
        if now.since(*self.silent_since.get_or_insert(now)) >= REBOOTSTRAP_TRIGGER {
            self.silent_since = Some(now);
            self.rebootstrap();
        }
        Changes::default()
    }

    /// Forgets all brokers: their addresses may belong to others by now (KIP-899, KIP-1102).
    fn rebootstrap(&mut self) {
        self.cluster.forget_brokers();
        self.contacts.rebootstrap();
    }

    /// Asks what is due. `topics` are those that the owner uses; without any, no metadata is needed.
    pub(crate) fn ask<'a>(
        &mut self,
        now: Instant,
        topics: impl IntoIterator<Item = &'a Arc<str>>,
        mut emit: impl FnMut(Effect),
    ) {
        let mut topics = topics.into_iter().peekable();
        let muted = self.contacts_muted_until(now);
        self.wake = Instant::NEVER;
        if topics.peek().is_some() || self.wants_all {
            if self.refresh.is_due(now) && muted.is_none() {
                let (ask, topics) = (self.next_contact(now), topics.cloned().collect());
                let (all, may_create) = (self.wants_all, self.may_create);
                emit(Effect::Metadata { ask, topics, all, may_create });
                self.asked_all = all;
                self.refresh.began();
            }
            self.wake = self.refresh.deadline().max(muted.unwrap_or(Instant::START));
        }
        while muted.is_none()
            && let Some(keys) = self.coordinators.begin_due(now)
        {
            emit(Effect::Coordinators { ask: self.next_contact(now), keys });
        }
        let coordinators = self.coordinators.deadline().max(muted.unwrap_or(Instant::START));
        self.wake = self.wake.min(coordinators);
    }

    /// When to step again though nothing came back.
    pub(crate) fn deadline(&self) -> Instant {
        self.wake
    }

    /// Whether the owner needs to know all topics: those that it uses depend on it.
    pub(crate) fn want_all_topics(&mut self, all: bool) {
        if all && !self.wants_all {
            self.refresh.want();
        }
        self.wants_all = all;
    }

    /// Something is amiss that newer metadata may explain.
    pub(crate) fn want_metadata(&mut self) {
        self.refresh.want();
    }

    /// The same, but a question that is already under way is good enough.
    pub(crate) fn want_metadata_unless_asked(&mut self) {
        self.refresh.want_unless_asked();
    }

    /// A broker did not answer: others are preferred for a while, and another may lead by now.
    pub(crate) fn broker_failed(&mut self, now: Instant, broker: BrokerId) {
        if let Some(address) = self.cluster.address(broker) {
            self.contacts.failed(now, address);
        }
        self.coordinators.disconnected(broker);
    }

    /// A broker refused because another leads (KIP-951).
    pub(crate) fn learn_leader(
        &mut self,
        partition: &TopicPartition,
        leader: BrokerId,
        epoch: LeaderEpoch,
    ) {
        self.cluster.learn_leader(partition, leader, epoch);
    }

    /// There is a record of this leader epoch (KIP-320). If it is news, its leader is asked for.
    pub(crate) fn saw_epoch(&mut self, partition: &TopicPartition, epoch: LeaderEpoch) {
        if self.cluster.saw_epoch(partition, epoch) {
            self.want_metadata();
        }
    }

    /// Takes over metadata that the owner asked for itself. Returns the topics with errors.
    pub(crate) fn learn(&mut self, answer: &MetadataResponse) -> Vec<(Arc<str>, ErrorCode)> {
        self.cluster.update(answer)
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The id of the broker at an address; -1 and less, by its place, for another one of
    /// `bootstrap.servers`.
    pub(crate) fn node_id(&self, address: &Address) -> Option<i32> {
        let known = self.cluster.broker_at(address).map(|broker| broker.0);
        known.or_else(|| self.contacts.bootstrap_id(address))
    }

    /// The broker to ask next, for a question that any broker can answer.
    pub(crate) fn next_contact(&mut self, now: Instant) -> Address {
        let Self { contacts, cluster, random, throttles, .. } = self;
        let muted = |address: &Address| throttles.until(now, address, Node::Broker).is_some();
        contacts.next(now, cluster, muted, random)
    }

    /// Until when no broker at all may be asked, if that is so now.
    pub(crate) fn contacts_muted_until(&self, now: Instant) -> Option<Instant> {
        let addresses = self.contacts.all(&self.cluster);
        let until = |address| self.throttles.until(now, address, Node::Broker);
        addresses.map(until).min().flatten()
    }

    /// A broker's answer asks for a pause of so many milliseconds.
    pub(crate) fn throttled(&mut self, now: Instant, by: &Address, millis: i32) {
        self.throttles.answered(now, by, Node::Broker, millis);
    }

    /// The same, of a broker by its id.
    pub(crate) fn throttled_by(&mut self, now: Instant, by: BrokerId, millis: i32) {
        if let Some(address) = self.cluster.address(by) {
            self.throttles.answered(now, address, Node::Broker, millis);
        }
    }

    /// The same, of this coordinator.
    pub(crate) fn coordinator_throttled(
        &mut self,
        now: Instant,
        key: &CoordinatorKey,
        millis: i32,
    ) {
        if let Ok(Some(by)) = self.coordinators.get(key) {
            self.throttles.answered(now, &by.address, Node::Coordinator, millis);
        }
    }

    /// Until when a node is sent nothing, if that is so now.
    pub(crate) fn muted_until(&self, now: Instant, to: &Address, node: Node) -> Option<Instant> {
        self.throttles.until(now, to, node)
    }

    /// Until when a broker is sent nothing, if that is so now.
    pub(crate) fn broker_muted_until(&self, now: Instant, broker: BrokerId) -> Option<Instant> {
        let address = self.cluster.address(broker)?;
        self.throttles.until(now, address, Node::Broker)
    }

    /// This contact answered.
    pub(crate) fn contact_answered(&mut self, contact: &Address) {
        self.contacts.answered(contact);
    }

    /// This contact did not answer, or could not help.
    pub(crate) fn contact_failed(&mut self, now: Instant, contact: &Address) {
        self.contacts.failed(now, contact);
    }

    /// The pause after `failures` failures in a row, by `retry.backoff.ms` and its maximum.
    pub(crate) fn pause(&mut self, failures: u32) -> Duration {
        self.backoff.pause(failures, &mut self.random)
    }

    /// The cluster, and pauses as [`Kernel::pause`] returns them.
    pub(crate) fn cluster_and_pauses(
        &mut self,
    ) -> (&Cluster, impl FnMut(u32) -> Duration + use<'_>) {
        let Self { cluster, backoff, random, .. } = self;
        (cluster, move |failures| backoff.pause(failures, random))
    }

    pub(crate) fn random(&mut self) -> &mut ChaCha12Rng {
        &mut self.random
    }

    /// Panics if an invariant is broken.
    pub(crate) fn check(&self) {
        self.cluster.check();
        self.contacts.check();
        self.refresh.check();
        self.coordinators.check();
    }
}

impl Kernel {
    /// The owner needs the coordinator of this group or transactional id.
    pub(crate) fn want_coordinator(&mut self, key: CoordinatorKey) {
        self.coordinators.want(key);
    }

    /// The coordinator, once it is known; an error if it can't be had.
    pub(crate) fn coordinator(
        &self,
        key: &CoordinatorKey,
    ) -> Result<Option<&coordinators::Node>, ErrorCode> {
        self.coordinators.get(key)
    }

    /// Looks at an error of a request to a coordinator. Returns whether it means that another
    /// broker coordinates by now, which is looked up again.
    pub(crate) fn coordinator_refused(&mut self, key: &CoordinatorKey, error: ErrorCode) -> bool {
        self.coordinators.refused(key, error)
    }

    /// The owner has no more use for this coordinator.
    pub(crate) fn forget_coordinator(&mut self, key: &CoordinatorKey) {
        self.coordinators.forget(key);
    }
}
