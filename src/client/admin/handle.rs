//! The administrator as an application has it.

use std::sync::Arc;

use parking_lot::Mutex;

use super::attempts::{Attempts, Next, Verdict};
use super::description::{ClusterDescription, TopicDescription};
use super::throttle::Throttling;
use super::{cluster, topics};
use crate::base::config::{AdminConfig, ConfigError};
use crate::base::{BrokerId, Instant};
use crate::client::kernel::{ClientSettings, Kernel, Node};
use crate::client::metrics::Nodes;
use crate::client::{AdminError, Metrics};
use crate::io::{Address, World};
use crate::rpc::{Pool, Purpose, RpcError};
use crate::wire::messages::RequestResponsePair;

/// Creates, deletes and describes. A clone is another handle on the same connections.
///
/// Every operation is retried, at another broker, until `default.api.timeout.ms` is over.
#[derive(Clone)]
pub struct Admin<W: World> {
    pub(super) world: W,
    pub(super) pool: Pool<W>,
    nodes: Arc<Nodes>,
    config: Arc<AdminConfig>,
    pub(super) kernel: Arc<Mutex<Kernel>>,
}

impl<W: World> Admin<W> {
    /// An administrator, which connects with its first operation.
    pub fn new(world: W, config: AdminConfig) -> Result<Self, ConfigError> {
        let settings = ClientSettings::from(&config);
        let (random, (pool, nodes)) = (settings.random(&world), settings.pool(&world));
        let kernel = settings.kernel(world.now(), random)?;
        let (config, kernel) = (Arc::new(config), Arc::new(Mutex::new(kernel)));
        Ok(Self { world, pool, nodes, config, kernel })
    }

    /// The world in which it runs.
    pub fn world(&self) -> &W {
        &self.world
    }

    /// What it has measured so far, under Kafka's names: totals, and averages, maxima and rates
    /// over `metrics.num.samples` windows of `metrics.sample.window.ms`: a minute unless set.
    pub fn metrics(&self) -> Metrics {
        let (kernel, mut metrics) = (self.kernel.lock(), Metrics::default());
        let groups = ("admin-client-metrics", "admin-client-node-metrics");
        let id = |address: &Address| kernel.node_id(address);
        self.nodes.write(self.world.now(), groups, id, &mut metrics);
        metrics
    }

    /// Creates a topic. `-1` partitions or replicas: the cluster's default.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        replication_factor: i16,
        configs: &[(&str, &str)],
    ) -> Result<(), AdminError> {
        let timeout_ms = self.timeout_ms();
        let request = topics::creation(name, partitions, replication_factor, configs, timeout_ms);
        self.ask_any(&request, |answer, in_doubt| topics::created(name, answer, in_doubt)).await
    }

    /// Extends a topic to this many partitions.
    pub async fn create_partitions(&self, name: &str, count: i32) -> Result<(), AdminError> {
        let request = topics::extension(name, count, self.timeout_ms());
        self.ask_any(&request, |answer, in_doubt| topics::extended(name, answer, in_doubt)).await
    }

    /// Deletes a topic.
    pub async fn delete_topic(&self, name: &str) -> Result<(), AdminError> {
        let request = topics::deletion(name, self.timeout_ms());
        self.ask_any(&request, |answer, in_doubt| topics::deleted(name, answer, in_doubt)).await
    }

    /// Describes the cluster: its id and brokers.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, AdminError> {
        self.ask_any(&cluster::question(), |answer, _| cluster::described(answer)).await
    }

    /// Gives a feature of the cluster, such as `transaction.version`, another level (KIP-584): a higher
    /// one, or a lower one where the feature may fall.
    pub async fn update_feature(&self, name: &str, level: i16) -> Result<(), AdminError> {
        let ask = async |upgrades| {
            let request = cluster::update(name, level, upgrades, self.timeout_ms());
            self.ask_any(&request, |answer, _| cluster::updated(answer)).await
        };
        match ask(true).await {
            Err(error) if error.name() == "INVALID_UPDATE_VERSION" => ask(false).await,
            told => told,
        }
    }

    /// These topics, or all of them, by name. A topic that does not exist is an error.
    pub async fn metadata(
        &self,
        topics: Option<&[&str]>,
    ) -> Result<Vec<TopicDescription>, AdminError> {
        let request = topics::question(topics);
        self.ask_any(&request, |answer, _| {
            self.kernel.lock().learn(answer);
            topics::described(answer)
        })
        .await
    }

    pub(super) async fn address_of(&self, broker: BrokerId) -> Result<Address, AdminError> {
        self.metadata(Some(&[])).await?;
        let address = self.kernel.lock().cluster().address(broker).cloned();
        address.ok_or_else(|| AdminError::Incomplete(format!("broker {broker}")))
    }

    pub(super) fn timeout_ms(&self) -> i32 {
        i32::try_from(self.config.request_timeout.as_millis()).unwrap_or(i32::MAX)
    }

    /// A new operation, which ends when `default.api.timeout.ms` is over.
    pub(super) fn attempts(&self) -> Attempts {
        let deadline = self.world.now() + self.config.default_api_timeout;
        Attempts::new(deadline)
    }

    pub(super) async fn ask_any<R, T>(
        &self,
        request: &R,
        judge: impl Fn(&R::Response, bool) -> Verdict<T>,
    ) -> Result<T, AdminError>
    where
        R: RequestResponsePair + Sync + 'static,
        R::Response: Throttling,
    {
        self.ask(&mut self.attempts(), None, request, judge).await
    }

    /// Asks `only` this broker, or one after another, until one gives a final answer.
    pub(super) async fn ask<R, T>(
        &self,
        attempts: &mut Attempts,
        only: Option<&Address>,
        request: &R,
        judge: impl Fn(&R::Response, bool) -> Verdict<T>,
    ) -> Result<T, AdminError>
    where
        R: RequestResponsePair + Sync + 'static,
        R::Response: Throttling,
    {
        loop {
            let next = || self.kernel.lock().next_contact(self.world.now());
            let to = only.cloned().unwrap_or_else(next);
            let answer = self.call(&to, request, None, attempts).await;
            let verdict = answer.map(|answer| judge(&answer, attempts.is_in_doubt()));
            let next = attempts.judge(self.world.now(), &to, verdict, &mut self.kernel.lock());
            match next {
                Next::Over(result) => return result,
                Next::Again(time) => self.world.sleep_until(time).await,
            }
        }
    }

    /// Asks a broker once, after any pause that it asked for (KIP-219). `newest` is the newest
    /// version of the request that is asked.
    pub(super) async fn call<R>(
        &self,
        to: &Address,
        request: &R,
        newest: Option<i16>,
        attempts: &Attempts,
    ) -> Result<R::Response, RpcError>
    where
        R: RequestResponsePair + Sync + 'static,
        R::Response: Throttling,
    {
        let now = self.world.now();
        let muted_until = self.kernel.lock().muted_until(now, to, Node::Broker);
        if let Some(until) = muted_until {
            self.world.sleep_until(until.min(attempts.deadline())).await;
        }
        let deadline = self.request_deadline(attempts);
        let answer = self.pool.call(to, Purpose::Questions, request, newest, deadline).await?;
        self.kernel.lock().throttled(self.world.now(), to, answer.throttle_ms());
        Ok(answer)
    }

    pub(super) fn request_deadline(&self, attempts: &Attempts) -> Instant {
        attempts.deadline().min(self.world.now() + self.config.request_timeout)
    }
}
