//! CreateTopics.

use std::collections::BTreeMap;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;

use super::{check_replicas, check_size, new_partition};
use crate::base::config::{Config, ConfigError, TopicConfig};
use crate::base::topics::{self, CLUSTER_METADATA};
use crate::base::{BrokerId, Instant, TopicId};
use crate::controller::configs::LONGEST_VALUE;
use crate::controller::machine::{Controller, Decision};
use crate::controller::placement::Placer;
use crate::controller::plan::Plan;
use crate::controller::record::{ConfigRecord, Record, TopicRecord};
use crate::controller::refusal::{Refusal, refusal};
use crate::wire::ErrorCode;
use crate::wire::messages::create_topics_request::CreatableTopic;
use crate::wire::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use crate::wire::messages::{CreateTopicsRequest, CreateTopicsResponse, StrBytes};

/// Sources of a setting. Source: Kafka's `DescribeConfigsResponse.ConfigSource`.
const FROM_TOPIC: i8 = 1;
const FROM_FILE: i8 = 4;
const FROM_DEFAULT: i8 = 5;

impl Controller {
    /// Creates topics, each by itself.
    pub fn create_topics(
        &self,
        _now: Instant,
        request: &CreateTopicsRequest,
    ) -> Decision<CreateTopicsResponse> {
        let mut response = CreateTopicsResponse::default();
        let mut plan = self.plan();
        let mut random = self.random("topics");
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for topic in &request.topics {
            *counts.entry(&topic.name).or_default() += 1;
        }
        for topic in &request.topics {
            let twice = counts.remove(&*topic.name);
            let created = match twice {
                // A duplicate name is answered once.
                None => continue,
                Some(1) => self.create_one(&mut plan, &mut random, topic),
                Some(_) => refusal(ErrorCode::InvalidRequest, "Duplicate topic name."),
            };
            response.topics.push(created.unwrap_or_else(|(error, text)| {
                let mut result = CreatableTopicResult::default();
                result.error_code = error.code();
                result.error_message = Some(text.into());
                // Kafka's own client breaks at a null here, though the schema allows it.
                result.configs = Some(Vec::new());
                result.name = topic.name.clone();
                result
            }));
        }
        let records = if request.validate_only { Vec::new() } else { plan.into_records() };
        Decision::new(records, response)
    }

    fn create_one(
        &self,
        plan: &mut Plan,
        random: &mut ChaCha12Rng,
        topic: &CreatableTopic,
    ) -> Result<CreatableTopicResult, Refusal> {
        topics::check_name(&topic.name).map_err(|text| (ErrorCode::InvalidTopicException, text))?;
        self.check_new(plan, &topic.name)?;
        let config = self.check_configs(topic)?;
        let assignment = self.assign(plan, random, topic)?;
        let records = 1 + topic.configs.len() + assignment.len();
        check_size(plan, records)?;
        let id = fresh_id(plan, random);
        plan.push(Record::Topic(TopicRecord { name: topic.name.to_string(), id }));
        // As in Kafka: settings after the topic and before its partitions.
        for entry in &topic.configs {
            plan.push(Record::Config(ConfigRecord {
                resource_type: ConfigRecord::TOPIC,
                resource: topic.name.to_string(),
                name: entry.name.to_string(),
                value: entry.value.as_ref().map(ToString::to_string),
            }));
        }
        let mut result = CreatableTopicResult::default();
        result.name = topic.name.clone();
        result.topic_id = id.into();
        result.error_message = None;
        result.num_partitions = i32::try_from(assignment.len()).unwrap_or(i32::MAX);
        let copies = assignment.first().map_or(0, Vec::len);
        result.replication_factor = i16::try_from(copies).unwrap_or(i16::MAX);
        result.configs = Some(self.effective(topic, &config));
        for (index, replicas) in (0..).zip(assignment) {
            let record = new_partition(plan, id, index, replicas);
            plan.push(Record::Partition(record));
        }
        Ok(result)
    }

    fn check_new(&self, plan: &Plan, name: &str) -> Result<(), Refusal> {
        if name == CLUSTER_METADATA {
            return refusal(
                ErrorCode::TopicAuthorizationFailed,
                "The metadata log is not a topic.",
            );
        }
        if plan.image().topic(name).is_some() {
            let text = format!("Topic '{name}' already exists.");
            return refusal(ErrorCode::TopicAlreadyExists, text);
        }
        if let Some(other) = plan.image().colliding(name) {
            let text = format!("Topic '{name}' collides with existing topic: {other}");
            return refusal(ErrorCode::InvalidTopicException, text);
        }
        Ok(())
    }

    fn check_configs(&self, topic: &CreatableTopic) -> Result<TopicConfig, Refusal> {
        let settings = self.settings();
        let mut config = self.image().topic_config("", settings.me, &settings.topic_defaults);
        for entry in &topic.configs {
            let Some(value) = &entry.value else {
                let text = format!("Null value not supported for topic configs: {}", entry.name);
                return refusal(ErrorCode::InvalidConfig, text);
            };
            if value.len() > LONGEST_VALUE {
                let text = format!("The value of {} is too long.", entry.name);
                return refusal(ErrorCode::InvalidConfig, text);
            }
            match config.set(&entry.name, value) {
                Ok(()) | Err(ConfigError::NoEffect { .. }) => {}
                Err(error) => return refusal(ErrorCode::InvalidConfig, error.to_string()),
            }
        }
        config.check().map_err(|error| (ErrorCode::InvalidConfig, error.to_string()))?;
        Ok(config)
    }

    fn assign(
        &self,
        plan: &Plan,
        random: &ChaCha12Rng,
        topic: &CreatableTopic,
    ) -> Result<Vec<Vec<BrokerId>>, Refusal> {
        if !topic.assignments.is_empty() {
            return manual(plan, topic);
        }
        if topic.replication_factor < -1 || topic.replication_factor == 0 {
            let text = "Replication factor must be larger than 0, or -1 to use the default value.";
            return refusal(ErrorCode::InvalidReplicationFactor, text);
        }
        if topic.num_partitions < -1 || topic.num_partitions == 0 {
            let text = "Number of partitions was set to an invalid non-positive value.";
            return refusal(ErrorCode::InvalidPartitions, text);
        }
        let or_default = |asked: i32, default: i32| {
            let wanted = if asked == -1 { default } else { asked };
            usize::try_from(wanted).unwrap_or(1).max(1)
        };
        let partitions = or_default(topic.num_partitions, self.settings().num_partitions);
        let copies = i32::from(topic.replication_factor);
        let copies = or_default(copies, self.settings().default_replication_factor);
        check_size(plan, partitions)?;
        let mut placer = Placer::new(plan.image(), random.clone());
        let placed = (0..partitions).map(|_| placer.place(copies)).collect::<Result<Vec<_>, _>>();
        placed.map_err(|error| {
            let text = format!("Unable to replicate the partition {copies} time(s): {error}");
            (ErrorCode::InvalidReplicationFactor, text)
        })
    }

    fn effective(
        &self,
        topic: &CreatableTopic,
        config: &TopicConfig,
    ) -> Vec<CreatableTopicConfigs> {
        let mut entries = Vec::with_capacity(TopicConfig::KEYS.len());
        for key in TopicConfig::KEYS {
            let mut entry = CreatableTopicConfigs::default();
            let value = config.get(key.name);
            entry.config_source = if topic.configs.iter().any(|set| *set.name == *key.name) {
                FROM_TOPIC
            } else if value.as_deref() == Some(key.default) {
                FROM_DEFAULT
            } else {
                FROM_FILE
            };
            entry.name = key.name.into();
            entry.value = value.map(StrBytes::from);
            entries.push(entry);
        }
        entries
    }
}

/// Draws a topic id; a deleted topic's id never comes back (KIP-516). As in Kafka, it is not a
/// reserved id, and its text does not begin with a dash.
fn fresh_id(plan: &Plan, random: &mut ChaCha12Rng) -> TopicId {
    loop {
        let mut bytes = [0; 16];
        random.fill_bytes(&mut bytes);
        // The version and variant of a random UUID (RFC 9562).
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let id = TopicId(bytes);
        if !id.to_string().starts_with('-') && plan.image().topic_by_id(id).is_none() {
            return id;
        }
    }
}

/// A manual assignment, partition by partition.
fn manual(plan: &Plan, topic: &CreatableTopic) -> Result<Vec<Vec<BrokerId>>, Refusal> {
    for (set, what) in [
        (topic.replication_factor != -1, "replication factor"),
        (topic.num_partitions != -1, "numPartitions"),
    ] {
        if set {
            let text = format!(
                "A manual partition assignment was specified, but {what} was not set to -1."
            );
            return refusal(ErrorCode::InvalidRequest, text);
        }
    }
    let bad = |text: String| refusal(ErrorCode::InvalidReplicaAssignment, text);
    check_size(plan, topic.assignments.len())?;
    let mut assigned: BTreeMap<i32, Vec<BrokerId>> = BTreeMap::new();
    for assignment in &topic.assignments {
        let replicas = check_replicas(plan, assignment.partition_index, &assignment.broker_ids)?;
        if assigned.values().next().is_some_and(|first| first.len() != replicas.len()) {
            return bad(
                "The manual partition assignment has partitions with different numbers of \
                        replicas."
                    .to_owned(),
            );
        }
        let index = assignment.partition_index;
        if assigned.insert(index, replicas).is_some() {
            return bad(format!(
                "Found multiple manual partition assignments for partition {index}"
            ));
        }
    }
    if !(0..).zip(assigned.keys()).all(|(wanted, index)| wanted == *index) {
        return bad("partitions should be a consecutive 0-based integer sequence".to_owned());
    }
    Ok(assigned.into_values().collect())
}
