//! The administrator: one request after another, each retried until it is answered or given up.

mod attempts;
mod deletion;
mod description;
mod leaders;
mod offsets;
mod topics;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

pub use description::{
    BrokerDescription, ClusterDescription, ConfigEntry, ConfigResource, ListedOffset, OffsetSpec,
    PartitionDescription, TopicDescription,
};

use self::attempts::{Attempts, Verdict};
use super::AdminError;
use super::kernel::{Kernel, Settings, connecting};
use crate::base::config::{AdminConfig, ConfigError};
use crate::base::{BrokerId, Instant, Stream};
use crate::io::{Address, World};
use crate::rpc::{Backoff, Pool, Purpose};
use crate::wire::ErrorCode;
use crate::wire::messages::describe_configs_request::DescribeConfigsResource;
use crate::wire::messages::{
    DescribeClusterRequest, DescribeClusterResponse, DescribeConfigsRequest,
    DescribeConfigsResponse, RequestResponsePair,
};

/// Kafka's default of `metadata.max.age.ms`. An administrator asks for metadata when it needs it.
const METADATA_MAX_AGE: Duration = Duration::from_secs(300);

/// Makes and asks. A clone is another handle on the same connections.
///
/// Every operation is tried again, at another broker, until `default.api.timeout.ms` is over.
#[derive(Clone)]
pub struct Admin<W: World> {
    world: W,
    pool: Pool<W>,
    config: Arc<AdminConfig>,
    kernel: Arc<Mutex<Kernel>>,
}

impl<W: World> Admin<W> {
    /// Connects when it is asked something.
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

    /// Deletes a topic.
    pub async fn delete_topic(&self, name: &str) -> Result<(), AdminError> {
        let request = topics::deletion(name, self.timeout_ms());
        self.ask_any(&request, |answer, in_doubt| topics::deleted(name, answer, in_doubt)).await
    }

    /// Who is there.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, AdminError> {
        let mut request = DescribeClusterRequest::default();
        // Of the brokers, not of the controllers (KIP-919).
        request.endpoint_type = 1;
        self.ask_any(&request, |answer, _| cluster_described(answer)).await
    }

    /// All settings of a topic or broker, by name.
    pub async fn describe_configs(
        &self,
        resource: &ConfigResource,
    ) -> Result<BTreeMap<String, ConfigEntry>, AdminError> {
        // Source of the numbers: Kafka's `ConfigResource.Type`.
        let mut described = DescribeConfigsResource::default();
        (described.resource_type, described.resource_name) = match resource {
            ConfigResource::Topic(name) => (2, name.as_str().into()),
            ConfigResource::Broker(id) => (4, id.to_string().into()),
        };
        let mut request = DescribeConfigsRequest::default();
        request.resources.push(described);
        match resource {
            ConfigResource::Topic(_) => self.ask_any(&request, |a, _| configs_read(a)).await,
            // A broker knows its own settings only.
            ConfigResource::Broker(id) => {
                let mut attempts = self.attempts();
                let to = self.address_of(*id).await?;
                self.ask(&mut attempts, Some(&to), &request, |a, _| configs_read(a)).await
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

    fn attempts(&self) -> Attempts {
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

    /// Asks this broker, or one after another, until one gives a final answer.
    async fn ask<R: RequestResponsePair + Sync + 'static, T>(
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
            let verdict = answer.as_ref().map(|answer| judge(answer, attempts.in_doubt));
            let again = {
                let kernel = &mut *self.kernel.lock();
                let now = self.world.now();
                match verdict {
                    Ok(Verdict::Done(value)) => {
                        kernel.contact_answered(&to);
                        return Ok(value);
                    }
                    Ok(Verdict::Refused(error)) => {
                        kernel.contact_answered(&to);
                        return Err(error);
                    }
                    Ok(Verdict::Again(error)) => {
                        kernel.contact_failed(now, &to);
                        attempts.postponed(now, error, kernel)?
                    }
                    Err(error) => {
                        kernel.contact_failed(now, &to);
                        attempts.lost(now, error.clone(), kernel)?
                    }
                }
            };
            self.world.sleep_until(again).await;
        }
    }

    fn request_deadline(&self, attempts: &Attempts) -> Instant {
        attempts.deadline().min(self.world.now() + self.config.request_timeout)
    }
}

fn cluster_described(answer: &DescribeClusterResponse) -> Verdict<ClusterDescription> {
    let error = ErrorCode::from_code(answer.error_code);
    if !error.is_none() {
        let message = answer.error_message.as_ref().map(|message| message.to_string());
        return Verdict::from_error(error, message);
    }
    let brokers = answer.brokers.iter().map(|told| BrokerDescription {
        id: BrokerId(told.broker_id),
        address: Address::new(told.host.as_str(), u16::try_from(told.port).unwrap_or(0)),
        rack: told.rack.as_ref().map(|rack| rack.to_string()),
    });
    let mut brokers: Vec<_> = brokers.collect();
    brokers.sort_by_key(|broker| broker.id);
    Verdict::Done(ClusterDescription {
        cluster_id: answer.cluster_id.to_string(),
        controller: (answer.controller_id >= 0).then_some(BrokerId(answer.controller_id)),
        brokers,
    })
}

fn configs_read(answer: &DescribeConfigsResponse) -> Verdict<BTreeMap<String, ConfigEntry>> {
    /// Kafka's `ConfigSource.DEFAULT_CONFIG`.
    const DEFAULT: i8 = 5;
    let Some(told) = answer.results.first() else {
        return Verdict::Refused(AdminError::Incomplete("the settings".into()));
    };
    let error = ErrorCode::from_code(told.error_code);
    if !error.is_none() {
        let message = told.error_message.as_ref().map(|message| message.to_string());
        // There is no such topic: time does not help.
        return match error {
            ErrorCode::UnknownTopicOrPartition => {
                Verdict::Refused(AdminError::Broker { error, message })
            }
            _ => Verdict::from_error(error, message),
        };
    }
    let entries = told.configs.iter().map(|config| {
        let entry = ConfigEntry {
            value: config.value.as_ref().map(|value| value.to_string()),
            read_only: config.read_only,
            is_default: config.config_source == DEFAULT,
        };
        (config.name.to_string(), entry)
    });
    Verdict::Done(entries.collect())
}
