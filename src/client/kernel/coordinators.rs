//! Which broker coordinates a group or a transactional id: looked up with FindCoordinator, cached,
//! and looked up again when a broker says that it is another one, or can't be reached.
//!
//! Source: Kafka's `AbstractCoordinator` and `CoordinatorStrategy`; KIP-699 for several keys at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{BrokerId, Instant};
use crate::io::Address;
use crate::wire::ErrorCode;
use crate::wire::messages::FindCoordinatorResponse;

/// What is coordinated. The numbers are the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CoordinatorType {
    Group = 0,
    Transaction = 1,
}

/// A group id or transactional id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CoordinatorKey {
    pub(crate) kind: CoordinatorType,
    pub(crate) id: Arc<str>,
}

impl CoordinatorKey {
    pub(crate) fn new(kind: CoordinatorType, id: impl Into<Arc<str>>) -> Self {
        Self { kind, id: id.into() }
    }
}

/// A coordinator, as FindCoordinator names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) broker: BrokerId,
    pub(crate) address: Address,
}

#[derive(Debug)]
enum State {
    /// To be asked for, but not before this time.
    Wanted {
        not_before: Instant,
    },
    Asked,
    Known(Node),
    /// No retry can help.
    Refused(ErrorCode),
}

#[derive(Debug)]
struct Entry {
    state: State,
    /// Failures in a row, for the backoff.
    failures: u32,
}

/// The coordinators that a client uses.
#[derive(Debug, Default)]
pub(crate) struct Coordinators {
    entries: BTreeMap<CoordinatorKey, Entry>,
}

impl Coordinators {
    /// Looks this one up, unless it is known or under way.
    pub(crate) fn want(&mut self, key: CoordinatorKey) {
        let wanted = State::Wanted { not_before: Instant::START };
        self.entries.entry(key).or_insert(Entry { state: wanted, failures: 0 });
    }

    /// The coordinator, if it is known by now; an error if it can't be had.
    pub(crate) fn get(&self, key: &CoordinatorKey) -> Result<Option<&Node>, ErrorCode> {
        match self.entries.get(key).map(|entry| &entry.state) {
            Some(State::Known(node)) => Ok(Some(node)),
            Some(State::Refused(error)) => Err(*error),
            Some(State::Wanted { .. } | State::Asked) | None => Ok(None),
        }
    }

    pub(crate) fn forget(&mut self, key: &CoordinatorKey) {
        self.entries.remove(key);
    }

    /// Looks at a coordinator's error. Returns whether it invalidates what is known.
    pub(crate) fn refused(&mut self, key: &CoordinatorKey, error: ErrorCode) -> bool {
        let moved = matches!(error, ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable);
        if moved && let Some(entry) = self.entries.get_mut(key) {
            entry.lost();
        }
        moved
    }

    /// The connection to a broker broke: what it coordinated may have moved.
    pub(crate) fn disconnected(&mut self, broker: BrokerId) {
        for entry in self.entries.values_mut() {
            if matches!(&entry.state, State::Known(node) if node.broker == broker) {
                entry.lost();
            }
        }
    }

    /// Keys to ask for now, all of one type; they count as asked.
    pub(crate) fn begin_due(&mut self, now: Instant) -> Option<Vec<CoordinatorKey>> {
        let mut keys: Vec<CoordinatorKey> = Vec::new();
        for (key, entry) in &mut self.entries {
            let same_type = keys.first().is_none_or(|first| first.kind == key.kind);
            let is_due = matches!(entry.state, State::Wanted { not_before } if not_before <= now);
            if same_type && is_due {
                entry.state = State::Asked;
                keys.push(key.clone());
            }
        }
        (!keys.is_empty()).then_some(keys)
    }

    /// When the next key is to be asked for.
    pub(crate) fn deadline(&self) -> Instant {
        let waiting = self.entries.values().filter_map(|entry| match entry.state {
            State::Wanted { not_before } => Some(not_before),
            _ => None,
        });
        waiting.min().unwrap_or(Instant::NEVER)
    }

    /// Takes over the answer for keys that were asked for; `None`: there was none.
    pub(crate) fn answered(
        &mut self,
        now: Instant,
        keys: &[CoordinatorKey],
        answer: Option<&FindCoordinatorResponse>,
        mut pause: impl FnMut(u32) -> Duration,
    ) {
        for key in keys {
            // It was forgotten meanwhile, and perhaps wanted again.
            let Some(entry) = self.entries.get_mut(key) else { continue };
            if !matches!(entry.state, State::Asked) {
                continue;
            }
            let found = answer.and_then(|answer| found(answer, key));
            match found.unwrap_or(Err(ErrorCode::NetworkException)) {
                Ok(node) => {
                    *entry = Entry { state: State::Known(node), failures: 0 };
                }
                Err(error) if error.is_retriable() => {
                    entry.failures = entry.failures.saturating_add(1);
                    let not_before = now + pause(entry.failures);
                    entry.state = State::Wanted { not_before };
                }
                Err(error) => entry.state = State::Refused(error),
            }
        }
    }

    /// Panics if an invariant is broken.
    pub(crate) fn check(&self) {
        for (key, Entry { state, failures }) in &self.entries {
            if let State::Known(node) = state {
                assert!(node.broker.0 >= 0, "{key:?} is coordinated by {}", node.broker);
                assert_eq!(*failures, 0, "{key:?} is known, and its last lookup failed");
            }
        }
    }
}

impl Entry {
    fn lost(&mut self) {
        if matches!(self.state, State::Known(_)) {
            self.state = State::Wanted { not_before: Instant::START };
        }
    }
}

/// What an answer says of one key. Before version 4 it speaks of a single one without naming it.
fn found(
    answer: &FindCoordinatorResponse,
    key: &CoordinatorKey,
) -> Option<Result<Node, ErrorCode>> {
    let (error, id, host, port) = if answer.coordinators.is_empty() {
        (answer.error_code, answer.node_id, &answer.host, answer.port)
    } else {
        let mut named = answer.coordinators.iter();
        let named = named.find(|coordinator| coordinator.key.as_str() == &*key.id)?;
        (named.error_code, named.node_id, &named.host, named.port)
    };
    if let Err(error) = ErrorCode::from_code(error).check() {
        return Some(Err(error));
    }
    let port = u16::try_from(port).ok().filter(|_| id >= 0);
    Some(port.map_or(Err(ErrorCode::CoordinatorNotAvailable), |port| {
        Ok(Node { broker: BrokerId(id), address: Address::new(host.as_str(), port) })
    }))
}
