//! Followers fetch: one task for each leader's broker that this one follows.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::context::Broker;
use super::partition::{FollowerFetch, LeaderAnswer, Partition};
use super::upkeep;
use crate::base::{BrokerId, LeaderEpoch, Offset, TopicId};
use crate::io::{Address, Disk, World, timeout};
use crate::log::LogError;
use crate::rpc::{Backoff, Connecting, Pool, Purpose, RpcError};
use crate::wire::ErrorCode;
use crate::wire::messages::fetch_request::{FetchPartition, FetchTopic, ReplicaState};
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
            let (broker, pool) = (self.broker.clone(), self.pool.clone());
            let fetcher = Fetcher { broker, leader, pool };
            self.broker.world.spawn("fetcher", fetcher.run(bell));
        }
    }
}

/// Fetches from one broker, for as long as the node lives: leaders come back.
struct Fetcher<W: World> {
    broker: Arc<Broker<W>>,
    leader: BrokerId,
    pool: Pool<W>,
}

type Asked<W> = Vec<(Arc<Partition<W>>, FollowerFetch)>;

impl<W: World> Fetcher<W> {
    async fn run(self, bell: Arc<Notify>) {
        loop {
            let asked = self.due().await;
            if asked.is_empty() {
                // Until a role changes, or until the first backoff is over.
                let wake = self.next_retry();
                let world = self.broker.world.clone();
                timeout(&world, wake, bell.notified()).await;
                continue;
            }
            match self.fetch(&asked).await {
                Ok(answer) => self.take(asked, answer).await,
                Err(error) => {
                    tracing::debug!(leader = %self.leader, %error, "fetch failed");
                    self.back_off(asked).await;
                }
            }
        }
    }

    /// What to ask for now. A position is a promise: where the flush policy asks for a sync, what
    /// is below it has to be synced before the leader hears of it, whoever appended it.
    async fn due(&self) -> Asked<W> {
        let mut due = Vec::new();
        for partition in self.broker.replicas.all() {
            if partition.next_fetch(self.leader).is_some()
                && partition.sync_if_due().await.is_ok()
                && let Some(fetch) = partition.next_fetch(self.leader)
            {
                due.push((partition, fetch));
            }
        }
        due
    }

    fn next_retry(&self) -> crate::base::Instant {
        let all = self.broker.replicas.all();
        let waiting = all.iter().filter_map(|partition| partition.followed());
        let mine = waiting.filter(|(leader, _)| *leader == self.leader);
        mine.filter_map(|(_, retry)| retry).min().unwrap_or(crate::base::Instant::NEVER)
    }

    async fn fetch(&self, asked: &Asked<W>) -> Result<FetchResponse, RpcError> {
        let deadline = self.broker.world.now() + self.broker.config.node.replica_socket_timeout;
        let address = self.broker.address_of(self.leader).ok_or_else(|| RpcError::Connect {
            to: Address::new(format!("broker {}", self.leader), 0),
            reason: "not registered".into(),
        })?;
        let request = self.request(asked);
        self.pool.call(&address, Purpose::Records, &request, Some(VERSION), deadline).await
    }

    fn request(&self, asked: &Asked<W>) -> FetchRequest {
        let config = &self.broker.config.node;
        let mut topics: BTreeMap<TopicId, Vec<FetchPartition>> = BTreeMap::new();
        for (partition, fetch) in asked {
            topics.entry(partition.topic_id).or_default().push(message!(FetchPartition {
                partition: partition.name.partition,
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
        // From version 15 on, who asks is said in `replica_state` alone.
        message!(FetchRequest {
            replica_state: message!(ReplicaState {
                replica_id: self.broker.me.0,
                replica_epoch: self.broker.epoch().0,
            }),
            max_wait_ms: config.replica_fetch_wait_max.as_millis() as i32,
            min_bytes: config.replica_fetch_min_bytes,
            max_bytes: config.replica_fetch_response_max_bytes,
            session_id: 0,
            session_epoch: -1,
            topics: topics.collect(),
        })
    }

    async fn take(&self, asked: Asked<W>, response: FetchResponse) {
        let error = ErrorCode::from_code(response.error_code);
        if error != ErrorCode::None {
            tracing::debug!(leader = %self.leader, %error, "fetch refused");
            return self.back_off(asked).await;
        }
        let retry_at = self.broker.world.now() + self.broker.config.node.replica_fetch_backoff;
        let mut answers: BTreeMap<(TopicId, i32), PartitionData> = BTreeMap::new();
        for topic in response.responses {
            for data in topic.partitions {
                answers.insert((topic.topic_id.into(), data.partition_index), data);
            }
        }
        for (partition, fetch) in asked {
            let key = (partition.topic_id, partition.name.partition);
            let Some(data) = answers.remove(&key) else {
                partition.fetch_failed(&fetch, retry_at);
                continue;
            };
            let answer = answer(data);
            match partition.fetched(&fetch, &answer, retry_at).await {
                Ok(()) => {}
                // The cut goes below what the checkpoint calls durable: first the checkpoint is
                // lowered, then the same answer comes again.
                Err(LogError::CheckpointFirst { .. }) => {
                    let home = partition.home();
                    if let Err(error) = upkeep::save_recovery_points(&self.broker, home).await {
                        tracing::error!(%error, "can't save recovery points");
                        home.failed(&error);
                        partition.fetch_failed(&fetch, retry_at);
                    }
                }
                Err(error) => {
                    tracing::error!(partition = %partition.name, %error, "can't follow");
                    partition.found_damaged(&error);
                    partition.home().failed(&error);
                    partition.fetch_failed(&fetch, retry_at);
                }
            }
        }
        self.broker.world.disk().settle().await;
    }

    async fn back_off(&self, asked: Asked<W>) {
        let retry_at = self.broker.world.now() + self.broker.config.node.replica_fetch_backoff;
        for (partition, fetch) in asked {
            partition.fetch_failed(&fetch, retry_at);
        }
    }
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
