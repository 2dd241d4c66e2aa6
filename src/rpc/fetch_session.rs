//! The fetching side of a fetch session: a fetch names only the partitions that changed.
//!
//! Source: KIP-227; Kafka's `FetchSessionHandler`. Used by followers and consumers alike.
//!
//! Calling contract: [`FetchSession::want`] whenever what to fetch of a partition has changed, then
//! [`FetchSession::next`] for each request, and after it exactly one of [`FetchSession::answered`]
//! and [`FetchSession::failed`]. One request is in flight at a time.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::ErrorCode;

/// The epoch of a request that names everything and asks for a new session.
pub(crate) const INITIAL: i32 = 0;
/// The epoch of a request that ends its session, or has none.
pub(crate) const FINAL: i32 = -1;

/// The epoch of the request after one of `epoch`: 0 and negative epochs have other meanings. Source:
/// Kafka's `FetchMetadata.nextEpoch`.
pub(crate) fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

/// What to fetch of each partition `K`, and what the server knows of that.
#[derive(Clone, Debug)]
pub(crate) struct FetchSession<K, P> {
    /// 0 without a session.
    id: i32,
    /// Of the next request; never negative.
    epoch: i32,
    wanted: BTreeMap<K, P>,
    /// What the server knows, if the session lives.
    sent: BTreeMap<K, P>,
    /// Partitions whose entries in `wanted` and `sent` may differ.
    changed: BTreeSet<K>,
}

/// One request of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionRequest<K, P> {
    pub(crate) session_id: i32,
    pub(crate) session_epoch: i32,
    /// New and changed partitions; all of them in a full request.
    pub(crate) fetch: Vec<(K, P)>,
    pub(crate) forget: Vec<K>,
}

impl<K, P> SessionRequest<K, P> {
    /// A full request that begins no session.
    pub(crate) fn without_session(fetch: Vec<(K, P)>) -> Self {
        Self { session_id: 0, session_epoch: FINAL, fetch, forget: Vec::new() }
    }

    /// Whether the request names every partition, so that the answer does too.
    pub(crate) fn is_full(&self) -> bool {
        self.session_epoch == INITIAL
    }
}

impl<K: Ord + Clone, P: PartialEq + Clone> FetchSession<K, P> {
    pub(crate) fn new() -> Self {
        Self {
            id: 0,
            epoch: INITIAL,
            wanted: BTreeMap::new(),
            sent: BTreeMap::new(),
            changed: BTreeSet::new(),
        }
    }

    /// Sets what to fetch of a partition; `None` leaves it out.
    pub(crate) fn want(&mut self, partition: K, fetch: Option<P>) {
        match fetch {
            Some(fetch) => {
                if self.wanted.get(&partition) != Some(&fetch) {
                    self.wanted.insert(partition.clone(), fetch);
                    self.changed.insert(partition);
                }
            }
            None => {
                if self.wanted.remove(&partition).is_some() {
                    self.changed.insert(partition);
                }
            }
        }
    }

    /// Sets everything that is to be fetched.
    pub(crate) fn want_only(&mut self, partitions: BTreeMap<K, P>) {
        let gone = self.wanted.keys().filter(|key| !partitions.contains_key(key));
        let gone: Vec<K> = gone.cloned().collect();
        for key in gone {
            self.want(key, None);
        }
        for (key, fetch) in partitions {
            self.want(key, Some(fetch));
        }
    }

    /// Whether the next request, or the one in flight, names every partition.
    pub(crate) fn is_full(&self) -> bool {
        self.epoch == INITIAL
    }

    /// Whether there is nothing to fetch.
    pub(crate) fn is_idle(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Every partition that is to be fetched.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = (&K, &P)> {
        self.wanted.iter()
    }

    /// What the last request, or an earlier one of the session, asked of a partition.
    pub(crate) fn asked(&self, partition: &K) -> Option<&P> {
        self.sent.get(partition)
    }

    /// The next request.
    pub(crate) fn next(&mut self) -> SessionRequest<K, P> {
        let changed = std::mem::take(&mut self.changed);
        let (session_id, session_epoch) = (self.id, self.epoch);
        let (mut fetch, mut forget) = (Vec::new(), Vec::new());
        if session_epoch == INITIAL {
            self.sent = self.wanted.clone();
            fetch.extend(self.wanted.iter().map(|(key, value)| (key.clone(), value.clone())));
            return SessionRequest { session_id, session_epoch, fetch, forget };
        }
        for key in changed {
            match (self.wanted.get(&key), self.sent.get(&key)) {
                (Some(wanted), sent) if sent != Some(wanted) => {
                    self.sent.insert(key.clone(), wanted.clone());
                    fetch.push((key, wanted.clone()));
                }
                (None, Some(_)) => {
                    self.sent.remove(&key);
                    forget.push(key);
                }
                _ => {}
            }
        }
        let request = SessionRequest { session_id, session_epoch, fetch, forget };
        self.check();
        request
    }

    /// The server answered the last request: with an error for the whole of it, or in a session
    /// whose id is 0 if the server keeps none.
    pub(crate) fn answered(&mut self, error: ErrorCode, session_id: i32) {
        match error {
            ErrorCode::None if session_id != 0 => {
                self.id = session_id;
                self.epoch = next_epoch(self.epoch);
            }
            ErrorCode::None | ErrorCode::FetchSessionIdNotFound => {
                (self.id, self.epoch) = (0, INITIAL);
            }
            // The session is in doubt: the next request closes it and begins another.
            _ => self.epoch = INITIAL,
        }
    }

    /// The last request may or may not have reached the server.
    pub(crate) fn failed(&mut self) {
        self.epoch = INITIAL;
    }

    /// Asserts that the server knows what is wanted, but for what changed.
    fn check(&self) {
        if cfg!(debug_assertions) && self.changed.is_empty() {
            assert_eq!(self.wanted.len(), self.sent.len(), "partitions of the fetch session");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(id: i32, epoch: i32, fetch: &[(u8, u64)], forget: &[u8]) -> SessionRequest<u8, u64> {
        SessionRequest {
            session_id: id,
            session_epoch: epoch,
            fetch: fetch.to_vec(),
            forget: forget.to_vec(),
        }
    }

    #[test]
    fn session_names_only_what_changed() {
        let mut session = FetchSession::new();
        session.want(1, Some(10));
        session.want(2, Some(20));
        assert_eq!(session.next(), request(0, 0, &[(1, 10), (2, 20)], &[]));
        session.answered(ErrorCode::None, 77);
        assert_eq!(session.next(), request(77, 1, &[], &[]));
        session.answered(ErrorCode::None, 77);
        session.want(2, Some(21));
        session.want(1, None);
        session.want(3, Some(30));
        assert_eq!(session.next(), request(77, 2, &[(2, 21), (3, 30)], &[1]));
    }

    #[test]
    fn server_without_sessions_gets_full_requests() {
        let mut session = FetchSession::new();
        session.want(1, Some(10));
        for _ in 0..3 {
            assert_eq!(session.next(), request(0, 0, &[(1, 10)], &[]));
            session.answered(ErrorCode::None, 0);
        }
    }

    #[test]
    fn lost_or_doubtful_session_begins_again_with_everything() {
        let mut session = FetchSession::new();
        session.want(1, Some(10));
        session.next();
        session.answered(ErrorCode::None, 7);
        session.next();
        session.failed();
        assert_eq!(session.next(), request(7, 0, &[(1, 10)], &[]), "closes the old session");
        session.answered(ErrorCode::InvalidFetchSessionEpoch, 0);
        assert_eq!(session.next(), request(7, 0, &[(1, 10)], &[]));
        session.answered(ErrorCode::FetchSessionIdNotFound, 0);
        assert_eq!(session.next(), request(0, 0, &[(1, 10)], &[]));
    }

    #[test]
    fn epoch_wraps_to_one() {
        let mut session: FetchSession<u8, u64> = FetchSession::new();
        (session.id, session.epoch) = (7, i32::MAX);
        session.answered(ErrorCode::None, 7);
        assert_eq!(session.next().session_epoch, 1);
    }

    proptest! {
        /// A model server that applies every request knows exactly what is wanted.
        #[test]
        fn server_always_knows_what_is_wanted(
            steps in prop::collection::vec((0..6_u8, prop::option::of(0..4_u64), 0..8_u8), 1..80),
        ) {
            let mut session = FetchSession::new();
            let (mut wanted, mut server) = (BTreeMap::new(), BTreeMap::new());
            for (key, fetch, fate) in steps {
                session.want(key, fetch);
                match fetch {
                    Some(fetch) => drop(wanted.insert(key, fetch)),
                    None => drop(wanted.remove(&key)),
                }
                if fate == 0 {
                    continue;
                }
                let request = session.next();
                if fate == 1 {
                    session.failed();
                    continue;
                }
                if request.is_full() {
                    server.clear();
                }
                for key in &request.forget {
                    prop_assert!(server.remove(key).is_some());
                }
                server.extend(request.fetch);
                prop_assert_eq!(&server, &wanted);
                session.answered(ErrorCode::None, if fate == 2 { 0 } else { 5 });
            }
        }
    }
}
