//! Followers fetch: one task for each leader's broker that this one follows.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::context::Broker;
use super::partition::{FollowerFetch, LeaderAnswer, Partition};
use super::upkeep;
use crate::base::{BrokerId, Instant, LeaderEpoch, Offset, TopicId};
use crate::io::{Address, Disk, World, timeout};
use crate::log::LogError;
use crate::rpc::{Backoff, Connecting, FetchSession, Pool, Purpose, RpcError, SessionRequest};
use crate::wire::ErrorCode;
use crate::wire::messages::fetch_request::{
    FetchPartition, FetchTopic, ForgottenTopic, ReplicaState,
};
use crate::wire::messages::fetch_response::PartitionData;
use crate::wire::messages::{FetchRequest, FetchResponse, message};

/// Topic ids and the replica's broker epoch, and no version beyond what Kafka 4.0 speaks.
const VERSION: i16 = 17;

/// How fetchers connect. They pause for `replica.fetch.backoff.ms` after any failure and need no
/// other backoff. Source: Kafka's `BrokerBlockingSender`.
const CONNECTING: Connecting =
    Connecting { backoff: Backoff::NONE, setup_timeout: Duration::from_secs(5) };

/// Starts and stops fetchers as leaders come and go.
pub(crate) struct Fetchers<W: World> {
    broker: Arc<Broker<W>>,
    pool: Pool<W>,
    /// The bell of each running fetcher: rung when what it should fetch may have changed.
    running: Mutex<BTreeMap<BrokerId, Arc<Notify>>>,
}

impl<W: World> Fetchers<W> {
    /// Runs for as long as the node lives.
    pub(crate) async fn run(broker: Arc<Broker<W>>) {
        let client_id = format!("broker-{}-fetcher", broker.me);
        let pool = Pool::new(broker.world.clone(), &client_id, CONNECTING);
        let fetchers = Arc::new(Self { broker, pool, running: Mutex::default() });
        loop {
            fetchers.broker.replicas.followed_changed.notified().await;
            for partition in fetchers.broker.replicas.all() {
                if let Some((leader, _)) = partition.followed() {
                    fetchers.ensure(leader);
                }
            }
            for bell in fetchers.running.lock().values() {
                bell.notify_one();
            }
        }
    }

    fn ensure(self: &Arc<Self>, leader: BrokerId) {
        let mut running = self.running.lock();
        if let Entry::Vacant(place) = running.entry(leader) {
            let bell = place.insert(Arc::new(Notify::new())).clone();
            let fetcher = Fetcher::new(self.broker.clone(), leader, self.pool.clone());
            self.broker.world.spawn("fetcher", fetcher.run(bell));
        }
    }
}

/// A partition, as fetches name it.
type Key = (TopicId, i32);

/// Fetches from one broker, for as long as the node lives: leaders come back.
///
/// What a fetch costs follows from what changed since the last one, and not from how many
/// partitions are followed.
struct Fetcher<W: World> {
    broker: Arc<Broker<W>>,
    leader: BrokerId,
    pool: Pool<W>,
    following: BTreeMap<Key, Arc<Partition<W>>>,
    session: FetchSession<Key, FollowerFetch>,
    /// Partitions whose next fetch may be another than before.
    changed: BTreeSet<Key>,
    /// Partitions that back off, and until when.
    backing_off: BTreeMap<Key, Instant>,
}

impl<W: World> Fetcher<W> {
    fn new(broker: Arc<Broker<W>>, leader: BrokerId, pool: Pool<W>) -> Self {
        Self {
            broker,
            leader,
            pool,
            following: BTreeMap::new(),
            session: FetchSession::new(),
            changed: BTreeSet::new(),
            backing_off: BTreeMap::new(),
        }
    }

    async fn run(mut self, bell: Arc<Notify>) {
        self.roles_changed();
        loop {
            if has_rung(&bell) {
                self.roles_changed();
            }
            self.plan().await;
            if self.session.is_idle() {
                // Until a role changes, or until the first backoff is over.
                let wake = self.backing_off.values().min().copied().unwrap_or(Instant::NEVER);
                let world = self.broker.world.clone();
                if timeout(&world, wake, bell.notified()).await.is_some() {
                    self.roles_changed();
                }
                continue;
            }
            let request = self.session.next();
            match self.fetch(&request).await {
                Ok(answer) => self.take(request.is_full(), answer).await,
                Err(error) => {
                    tracing::debug!(leader = %self.leader, %error, "fetch failed");
                    self.session.failed();
                    self.back_off();
                }
            }
        }
    }

    /// Finds the partitions that this broker follows from the leader now.
    fn roles_changed(&mut self) {
        let all = self.broker.replicas.all().into_iter();
        let mine = all.filter(|partition| {
            partition.followed().is_some_and(|(leader, _)| leader == self.leader)
        });
        let mine =
            mine.map(|partition| ((partition.topic_id, partition.name.partition), partition));
        let before = std::mem::replace(&mut self.following, mine.collect());
        self.changed.extend(before.into_keys());
        self.changed.extend(self.following.keys());
        self.backing_off.retain(|key, _| self.following.contains_key(key));
    }

    /// Decides what to fetch of the partitions that changed. A position is a promise: where the
    /// flush policy asks for a sync, what is below it has to be synced before the leader hears of
    /// it, regardless of who appended it.
    async fn plan(&mut self) {
        let now = self.broker.world.now();
        let over = self.backing_off.iter().filter(|(_, until)| **until <= now);
        self.changed.extend(over.map(|(key, _)| *key));
        for key in std::mem::take(&mut self.changed) {
            let fetch = match self.following.get(&key) {
                Some(partition)
                    if partition.next_fetch(self.leader).is_some()
                        && partition.sync_if_due().await.is_ok() =>
                {
                    partition.next_fetch(self.leader)
                }
                _ => None,
            };
            let followed = self.following.get(&key).and_then(|partition| partition.followed());
            match followed {
                // Always later: what can't be fetched now, such as a log that can't be synced, must
                // not be tried again and again at one instant.
                Some((leader, retry)) if leader == self.leader && fetch.is_none() => {
                    let backoff = self.broker.config.node.replica_fetch_backoff;
                    let until = retry.filter(|at| *at > now).unwrap_or(now + backoff);
                    self.backing_off.insert(key, until);
                }
                _ => drop(self.backing_off.remove(&key)),
            }
            self.session.want(key, fetch);
        }
    }

    async fn fetch(
        &self,
        request: &SessionRequest<Key, FollowerFetch>,
    ) -> Result<FetchResponse, RpcError> {
        let deadline = self.broker.world.now() + self.broker.config.node.replica_socket_timeout;
        let address = self.broker.address_of(self.leader).ok_or_else(|| RpcError::Connect {
            to: Address::new(format!("broker {}", self.leader), 0),
            reason: "not registered".into(),
        })?;
        let request = self.request(request);
        self.pool.call(&address, Purpose::Records, &request, Some(VERSION), deadline).await
    }

    fn request(&self, request: &SessionRequest<Key, FollowerFetch>) -> FetchRequest {
        let config = &self.broker.config.node;
        let mut topics: BTreeMap<TopicId, Vec<FetchPartition>> = BTreeMap::new();
        for ((topic, partition), fetch) in &request.fetch {
            topics.entry(*topic).or_default().push(message!(FetchPartition {
                partition: *partition,
                current_leader_epoch: fetch.epoch.0,
                fetch_offset: fetch.offset.0,
                last_fetched_epoch: fetch.last_fetched_epoch.0,
                log_start_offset: fetch.log_start.0,
                partition_max_bytes: config.replica_fetch_max_bytes,
            }));
        }
        let topics = topics.into_iter().map(|(id, partitions)| {
            message!(FetchTopic { topic_id: id.into(), partitions: partitions })
        });
        let mut forgotten: BTreeMap<TopicId, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in &request.forget {
            forgotten.entry(*topic).or_default().push(*partition);
        }
        let forgotten = forgotten.into_iter().map(|(id, partitions)| {
            message!(ForgottenTopic { topic_id: id.into(), partitions: partitions })
        });
        // From version 15 on, who asks is said in `replica_state` alone.
        message!(FetchRequest {
            replica_state: message!(ReplicaState {
                replica_id: self.broker.me.0,
                replica_epoch: self.broker.epoch().0,
            }),
            max_wait_ms: config.replica_fetch_wait_max.as_millis() as i32,
            min_bytes: config.replica_fetch_min_bytes,
            max_bytes: config.replica_fetch_response_max_bytes,
            session_id: request.session_id,
            session_epoch: request.session_epoch,
            topics: topics.collect(),
            forgotten_topics_data: forgotten.collect(),
        })
    }

    async fn take(&mut self, full: bool, response: FetchResponse) {
        let error = ErrorCode::from_code(response.error_code);
        self.session.answered(error, response.session_id);
        match error {
            ErrorCode::None => {}
            // The next request begins another session.
            error if error.is_about_fetch_session() => {
                tracing::debug!(leader = %self.leader, %error, "fetch session ended");
                return;
            }
            error => {
                tracing::debug!(leader = %self.leader, %error, "fetch refused");
                return self.back_off();
            }
        }
        let retry_at = self.broker.world.now() + self.broker.config.node.replica_fetch_backoff;
        let mut answers: BTreeMap<Key, PartitionData> = BTreeMap::new();
        for topic in response.responses {
            for data in topic.partitions {
                answers.insert((topic.topic_id.into(), data.partition_index), data);
            }
        }
        if full {
            let unanswered = self.session.wanted().filter(|(key, _)| !answers.contains_key(key));
            let unanswered: Vec<_> = unanswered.map(|(key, fetch)| (*key, *fetch)).collect();
            for (key, fetch) in unanswered {
                self.failed(key, &fetch, retry_at);
            }
        }
        for (key, data) in answers {
            let Some(partition) = self.following.get(&key).cloned() else { continue };
            let Some(fetch) = self.session.asked(&key).copied() else { continue };
            self.changed.insert(key);
            // It may have failed, or taken another role, since the request was sent.
            if partition.next_fetch(self.leader).is_none() {
                continue;
            }
            self.take_one(&partition, &fetch, answer(data), retry_at).await;
        }
        self.broker.world.disk().settle().await;
    }

    async fn take_one(
        &self,
        partition: &Arc<Partition<W>>,
        fetch: &FollowerFetch,
        answer: LeaderAnswer,
        retry_at: Instant,
    ) {
        match partition.fetched(fetch, &answer, retry_at).await {
            Ok(()) => {}
            // The cut goes below what the checkpoint calls durable: first the checkpoint is
            // lowered, then the same answer comes again.
            Err(LogError::CheckpointFirst { .. }) => {
                let home = partition.home();
                if let Err(error) = upkeep::save_recovery_points(&self.broker, home).await {
                    tracing::error!(%error, "can't save recovery points");
                    home.failed(&error);
                    partition.fetch_failed(fetch, retry_at);
                }
            }
            Err(error) => {
                tracing::error!(partition = %partition.name, %error, "can't follow");
                partition.found_damaged(&error);
                partition.home().failed(&error);
                partition.fetch_failed(fetch, retry_at);
            }
        }
    }

    /// Nothing is known of what the leader did with the last request.
    fn back_off(&mut self) {
        let retry_at = self.broker.world.now() + self.broker.config.node.replica_fetch_backoff;
        let wanted: Vec<_> = self.session.wanted().map(|(key, fetch)| (*key, *fetch)).collect();
        for (key, fetch) in wanted {
            self.failed(key, &fetch, retry_at);
        }
    }

    fn failed(&mut self, key: Key, fetch: &FollowerFetch, retry_at: Instant) {
        self.changed.insert(key);
        if let Some(partition) = self.following.get(&key) {
            partition.fetch_failed(fetch, retry_at);
        }
    }
}

/// Whether a bell has rung since the last time.
fn has_rung(bell: &Notify) -> bool {
    let rung = bell.notified();
    tokio::pin!(rung);
    rung.as_mut().enable()
}

fn answer(data: PartitionData) -> LeaderAnswer {
    let diverging = &data.diverging_epoch;
    LeaderAnswer {
        error: ErrorCode::from_code(data.error_code),
        high_watermark: Offset(data.high_watermark),
        log_start: Offset(data.log_start_offset),
        diverging: (diverging.end_offset >= 0)
            .then_some((LeaderEpoch(diverging.epoch), Offset(diverging.end_offset))),
        records: data.records.filter(|records| !records.is_empty()),
    }
}
