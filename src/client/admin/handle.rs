//! The administrator as an application has it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use super::attempts::{Attempts, Next, Verdict};
use super::description::{ClusterDescription, ConfigEntry, ConfigResource, TopicDescription};
use super::{cluster, partitions, topics};
use crate::base::config::{AdminConfig, ConfigError};
use crate::base::{BrokerId, Instant, Stream};
use crate::client::AdminError;
use crate::client::kernel::{Kernel, Settings, connecting};
use crate::io::{Address, World};
use crate::rpc::{Backoff, Pool, Purpose};
use crate::wire::messages::RequestResponsePair;

/// Kafka's default of `metadata.max.age.ms`. An administrator asks for metadata when it needs it.
const METADATA_MAX_AGE: Duration = Duration::from_secs(300);

/// Creates, deletes and describes. A clone is another handle on the same connections.
///
/// Every operation is retried, at another broker, until `default.api.timeout.ms` is over.
#[derive(Clone)]
pub struct Admin<W: World> {
    pub(super) world: W,
    pub(super) pool: Pool<W>,
    config: Arc<AdminConfig>,
    pub(super) kernel: Arc<Mutex<Kernel>>,
}

impl<W: World> Admin<W> {
    /// An administrator, which connects with its first operation.
    pub fn new(world: W, config: AdminConfig) -> Result<Self, ConfigError> {
        let stream = Stream::numbered("admin", xxh3_64(config.client_id.as_bytes()));
        let settings = Settings {
            bootstrap_servers: &config.bootstrap_servers,
            backoff: Backoff::new(config.retry_backoff, config.retry_backoff_max),
            metadata_max_age: METADATA_MAX_AGE,
            may_create: false,
        };
        let kernel = Kernel::new(settings, world.now(), world.random(stream))?;
        let reconnect = (config.reconnect_backoff, config.reconnect_backoff_max);
        let pool = Pool::new(world.clone(), &config.client_id, connecting(reconnect));
        let (config, kernel) = (Arc::new(config), Arc::new(Mutex::new(kernel)));
        Ok(Self { world, pool, config, kernel })
    }

    /// The world in which it runs.
    pub fn world(&self) -> &W {
        &self.world
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

    /// Gives a topic more partitions, `total` in all.
    pub async fn create_partitions(&self, name: &str, total: i32) -> Result<(), AdminError> {
        let request = partitions::growth(name, total, self.timeout_ms());
        self.ask_any(&request, |answer, in_doubt| partitions::grown(name, answer, in_doubt)).await
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

    /// All settings of a topic or broker, by name.
    pub async fn describe_configs(
        &self,
        resource: &ConfigResource,
    ) -> Result<BTreeMap<String, ConfigEntry>, AdminError> {
        let request = cluster::configs_question(resource);
        match resource {
            ConfigResource::Topic(_) => {
                self.ask_any(&request, |a, _| cluster::configs_read(a)).await
            }
            // A broker knows its own settings only.
            ConfigResource::Broker(id) => {
                let mut attempts = self.attempts();
                let to = self.address_of(*id).await?;
                self.ask(&mut attempts, Some(&to), &request, |a, _| cluster::configs_read(a)).await
            }
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

    async fn address_of(&self, broker: BrokerId) -> Result<Address, AdminError> {
        self.metadata(Some(&[])).await?;
        let address = self.kernel.lock().cluster().address(broker).cloned();
        address.ok_or_else(|| AdminError::Incomplete(format!("broker {broker}")))
    }

    fn timeout_ms(&self) -> i32 {
        i32::try_from(self.config.request_timeout.as_millis()).unwrap_or(i32::MAX)
    }

    /// A new operation, which ends when `default.api.timeout.ms` is over.
    pub(super) fn attempts(&self) -> Attempts {
        let deadline = self.world.now() + self.config.default_api_timeout;
        Attempts::new(deadline)
    }

    async fn ask_any<R: RequestResponsePair + Sync + 'static, T>(
        &self,
        request: &R,
        judge: impl Fn(&R::Response, bool) -> Verdict<T>,
    ) -> Result<T, AdminError> {
        self.ask(&mut self.attempts(), None, request, judge).await
    }

    /// Asks `only` this broker, or one after another, until one gives a final answer.
    pub(super) async fn ask<R: RequestResponsePair + Sync + 'static, T>(
        &self,
        attempts: &mut Attempts,
        only: Option<&Address>,
        request: &R,
        judge: impl Fn(&R::Response, bool) -> Verdict<T>,
    ) -> Result<T, AdminError> {
        loop {
            let next = || self.kernel.lock().next_contact(self.world.now());
            let to = only.cloned().unwrap_or_else(next);
            let deadline = self.request_deadline(attempts);
            let answer = self.pool.call(&to, Purpose::Questions, request, None, deadline).await;
            let verdict = answer.map(|answer| judge(&answer, attempts.is_in_doubt()));
            let next = attempts.judge(self.world.now(), &to, verdict, &mut self.kernel.lock());
            match next {
                Next::Over(result) => return result,
                Next::Again(time) => self.world.sleep_until(time).await,
            }
        }
    }

    pub(super) fn request_deadline(&self, attempts: &Attempts) -> Instant {
        attempts.deadline().min(self.world.now() + self.config.request_timeout)
    }
}
