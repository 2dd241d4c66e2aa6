//! The next request of a transaction, and when it is sent.

use std::collections::BTreeSet;

use super::messages::{self, Order, Request};
use super::{Asking, Began, Kind, State, Transactions, Version};
use crate::base::{Instant, TopicPartition};
use crate::client::kernel::{CoordinatorKey, CoordinatorType, Kernel, Node};

/// What is to be done now.
enum Due {
    Nothing,
    /// The transaction is over, and no coordinator knows of it.
    Finish,
    Ask(Kind),
}

impl Transactions {
    /// The request to send now, if there is one. `idle`: no batch is without a verdict, and no request
    /// with batches is under way.
    pub(in crate::client::producer) fn next(
        &mut self,
        now: Instant,
        idle: bool,
        kernel: &mut Kernel,
    ) -> Option<Order> {
        self.wake = Instant::NEVER;
        if self.asked.is_some() {
            return None;
        }
        let kind = loop {
            match self.due(idle) {
                Due::Nothing => return None,
                Due::Finish => self.finish(None),
                Due::Ask(kind) => break kind,
            }
        };
        if now < self.not_before {
            self.wake = self.not_before;
            return None;
        }
        let to = self.coordinator_of(kind);
        let address = match kernel.coordinator(&to) {
            Ok(Some(node)) => node.address.clone(),
            Ok(None) => {
                kernel.want_coordinator(to);
                return None;
            }
            Err(error) => {
                // The next transaction may ask again.
                kernel.forget_coordinator(&to);
                self.refused(kind, error, FIND_COORDINATOR);
                self.wake = now;
                return None;
            }
        };
        if let Some(until) = kernel.muted_until(now, &address, Node::Coordinator) {
            self.wake = until;
            return None;
        }
        let (request, max_version, partitions) = self.request(kind)?;
        self.last_ticket += 1;
        let (ticket, transaction) = (self.last_ticket, self.transaction);
        self.asked = Some(Asking { ticket, kind, transaction, partitions, to });
        Some(Order { ticket, to: address, request, max_version })
    }

    /// When to look again, though nothing else happens.
    pub(in crate::client::producer) fn deadline(&self) -> Instant {
        self.wake
    }

    fn due(&self, idle: bool) -> Due {
        let first = self.offsets.front();
        let end = |commits| match (idle, self.began) {
            (false, _) => Due::Nothing,
            (true, Began::No) => Due::Finish,
            (true, _) => Due::Ask(Kind::End { commits }),
        };
        match &self.state {
            State::Uninitialised | State::Ready | State::Abortable(_) | State::Fatal(_) => {
                Due::Nothing
            }
            State::Initialising => Due::Ask(Kind::Init),
            State::InTransaction | State::Committing => {
                if !self.wanted.is_empty() || !self.adding.is_empty() {
                    return Due::Ask(Kind::AddPartitions);
                }
                if let Some(first) = first {
                    let explicit = self.version == Version::One && !first.joined;
                    return Due::Ask(if explicit { Kind::AddOffsets } else { Kind::CommitOffsets });
                }
                if self.state == State::Committing { end(true) } else { Due::Nothing }
            }
            // What the coordinator may know of is made certain: it refuses to abort a transaction
            // that it has not seen.
            State::Aborting => {
                if self.adding_in_doubt {
                    return Due::Ask(Kind::AddPartitions);
                }
                if first.is_some_and(|first| first.in_doubt) {
                    return Due::Ask(Kind::AddOffsets);
                }
                end(false)
            }
        }
    }

    fn coordinator_of(&self, kind: Kind) -> CoordinatorKey {
        match (kind, self.offsets.front()) {
            (Kind::CommitOffsets, Some(first)) => {
                CoordinatorKey::new(CoordinatorType::Group, first.group.group.as_str())
            }
            _ => CoordinatorKey::new(CoordinatorType::Transaction, self.id.clone()),
        }
    }

    /// The request, its newest version, and the partitions that it names.
    #[allow(clippy::type_complexity, reason = "one caller")]
    fn request(&mut self, kind: Kind) -> Option<(Request, Option<i16>, BTreeSet<TopicPartition>)> {
        let implicit = self.version == Version::Two;
        if kind == Kind::Init {
            let request = messages::init(&self.id, self.timeout_ms, self.producer);
            return Some((request, None, BTreeSet::new()));
        }
        let producer = self.producer?;
        match kind {
            Kind::Init => None,
            Kind::AddPartitions => {
                self.adding.append(&mut self.wanted);
                let (request, max) = messages::add_partitions(&self.id, producer, &self.adding);
                Some((request, max, self.adding.clone()))
            }
            Kind::AddOffsets => {
                let group = &self.offsets.front()?.group.group;
                let request = messages::add_offsets(&self.id, producer, group);
                Some((request, None, BTreeSet::new()))
            }
            Kind::CommitOffsets => {
                let first = self.offsets.front()?;
                let (group, offsets) = (&first.group, &first.offsets);
                let (request, max) =
                    messages::commit_offsets(&self.id, producer, group, offsets, implicit);
                Some((request, max, offsets.keys().cloned().collect()))
            }
            Kind::End { commits } => {
                let (request, max) = messages::end(&self.id, producer, commits, implicit);
                Some((request, max, BTreeSet::new()))
            }
        }
    }
}

/// The name of the request that looks up a coordinator.
const FIND_COORDINATOR: &str = "FindCoordinator";
