//! Fetch sessions with brokers (KIP-227): a fetch names only the partitions that changed.

use std::collections::BTreeMap;

use super::plan::Asked;
use super::position::Position;
use crate::base::{BrokerId, LeaderEpoch, Offset, TopicId, TopicPartition};
use crate::client::kernel::Cluster;
use crate::rpc::{FetchSession, SessionRequest};
use crate::wire::ErrorCode;
use crate::wire::messages::FetchResponse;

/// A partition, as a session names it: a topic that is created again has another id.
pub(super) type Key = (TopicId, TopicPartition);

/// What a fetch asks of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fetching {
    pub(super) offset: Offset,
    pub(super) leader_epoch: LeaderEpoch,
}

/// The sessions, one with each broker.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_broker: BTreeMap<BrokerId, FetchSession<Key, Fetching>>,
}

impl Sessions {
    /// The next request to a broker, which fetches these partitions and no others. Without ids for
    /// all topics there is no session: names and ids can't be mixed.
    pub(super) fn next(
        &mut self,
        broker: BrokerId,
        fetch: &[(Asked, Position)],
        cluster: &Cluster,
    ) -> SessionRequest<Key, Fetching> {
        let keyed = fetch.iter().map(|(asked, position)| {
            let key = (cluster.id(&asked.partition.topic), asked.partition.clone());
            (key, Fetching { offset: position.offset(), leader_epoch: asked.leader_epoch })
        });
        if fetch.iter().any(|(asked, _)| cluster.id(&asked.partition.topic) == TopicId::ZERO) {
            self.by_broker.remove(&broker);
            return SessionRequest::without_session(keyed.collect());
        }
        let session = self.by_broker.entry(broker).or_insert_with(FetchSession::new);
        session.want_only(keyed.collect());
        session.next()
    }

    /// A broker answered its last fetch, or did not. Returns whether partitions that the answer
    /// does not name are as they were.
    pub(super) fn answered(&mut self, broker: BrokerId, answer: Option<&FetchResponse>) -> bool {
        let Some(session) = self.by_broker.get_mut(&broker) else { return false };
        let Some(answer) = answer else {
            session.failed();
            return false;
        };
        let full = session.is_full();
        let error = ErrorCode::from_code(answer.error_code);
        session.answered(error, answer.session_id);
        !full || error.is_about_fetch_session()
    }
}
