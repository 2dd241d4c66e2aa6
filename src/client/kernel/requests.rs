//! Request ids, and the requests that have no response yet.

use std::collections::BTreeMap;

use crate::base::BrokerId;

/// One request of a client, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RequestId(u64);

/// Requests under way, each with what its owner has to remember about it.
#[derive(Debug)]
pub(crate) struct Requests<T> {
    last: RequestId,
    waiting: BTreeMap<RequestId, (BrokerId, T)>,
    /// Requests under way by broker; no entry is 0.
    by_broker: BTreeMap<BrokerId, usize>,
}

impl<T> Default for Requests<T> {
    fn default() -> Self {
        let (waiting, by_broker) = (BTreeMap::new(), BTreeMap::new());
        Self { last: RequestId::default(), waiting, by_broker }
    }
}

impl<T> Requests<T> {
    /// The id for the request that is made next.
    pub(crate) fn next_id(&self) -> RequestId {
        RequestId(self.last.0 + 1)
    }

    /// A request leaves, under the id that [`Requests::next_id`] returned.
    pub(crate) fn began(&mut self, id: RequestId, broker: BrokerId, about: T) {
        assert_eq!(id, self.next_id(), "request ids are used in order");
        self.last = id;
        self.waiting.insert(id, (broker, about));
        *self.by_broker.entry(broker).or_default() += 1;
    }

    /// A request is over. Returns what is remembered about it, the first time.
    pub(crate) fn end(&mut self, id: RequestId) -> Option<(BrokerId, T)> {
        let (broker, about) = self.waiting.remove(&id)?;
        if let Some(count) = self.by_broker.get_mut(&broker) {
            *count -= 1;
            if *count == 0 {
                self.by_broker.remove(&broker);
            }
        }
        Some((broker, about))
    }

    /// Whether a request has no response yet.
    pub(crate) fn is_waiting(&self, id: RequestId) -> bool {
        self.waiting.contains_key(&id)
    }

    /// Requests to this broker that have no response yet.
    pub(crate) fn in_flight(&self, broker: BrokerId) -> usize {
        self.by_broker.get(&broker).copied().unwrap_or(0)
    }

    /// All requests under way, in the order in which they left.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (RequestId, BrokerId, &T)> {
        self.waiting.iter().map(|(id, (broker, about))| (*id, *broker, about))
    }

    /// A place from 0 to `len - 1` that moves on from request to request, so that the same item of a
    /// list does not come last each time.
    pub(crate) fn rotation(&self, len: usize) -> usize {
        self.last.0 as usize % len.max(1)
    }

    /// Panics if an invariant is broken.
    pub(crate) fn check(&self) {
        let counted: usize = self.by_broker.values().sum();
        let waiting = self.waiting.len();
        assert_eq!(counted, waiting, "requests by broker: {counted}, in all: {waiting}");
        if let Some((id, _)) = self.waiting.last_key_value() {
            assert!(*id <= self.last, "{id:?} is under way; the last was {:?}", self.last);
        }
    }
}

#[cfg(test)]
impl<T> Requests<T> {
    /// A flaw made by hand: one request too many is counted.
    pub(crate) fn miscount(&mut self, broker: BrokerId) {
        *self.by_broker.entry(broker).or_default() += 1;
    }
}
