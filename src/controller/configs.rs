//! IncrementalAlterConfigs and AlterConfigs: settings of topics, and of all brokers, while they run.
//!
//! Source of checks and texts: Kafka's `ConfigurationControlManager`, `ConfigAdminManager`,
//! `ControllerApis`; KIP-339.

use std::collections::{BTreeMap, BTreeSet};

use super::machine::{Controller, Decision};
use super::plan::Plan;
use super::record::{ConfigRecord, PartitionChange, Record};
use super::refusal::{Refusal, refusal};
use crate::base::config::{Config, ConfigError, Kind, TopicConfig};
use crate::base::{Instant, topics};
use crate::wire::ErrorCode;
use crate::wire::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, StrBytes, alter_configs_response,
    incremental_alter_configs_response,
};

/// Longest value of a setting: all values go into every node's log.
pub(super) const LONGEST_VALUE: usize = 1000;

/// The setting with which the meaning of an ELR changes (KIP-966).
const MIN_INSYNC: &str = "min.insync.replicas";

/// What is to be done to one setting. Source: Kafka's `AlterConfigOp.OpType`.
enum Operation<'a> {
    Set(&'a str),
    Delete,
    /// To a list.
    Append(&'a str),
    /// From a list.
    Subtract(&'a str),
}

/// Operations on the settings of one resource.
struct Change<'a> {
    resource: (i8, &'a str),
    operations: Vec<(&'a str, Operation<'a>)>,
}

impl Controller {
    /// Changes single settings, each resource by itself.
    pub fn incremental_alter_configs(
        &self,
        _now: Instant,
        request: &IncrementalAlterConfigsRequest,
    ) -> Decision<IncrementalAlterConfigsResponse> {
        let mut plan = self.plan();
        let mut response = IncrementalAlterConfigsResponse::default();
        let resources = request.resources.iter().map(|r| (r.resource_type, &*r.resource_name));
        let twice = repeated(resources);
        for asked in &request.resources {
            let resource = (asked.resource_type, &*asked.resource_name);
            let configs = asked
                .configs
                .iter()
                .map(|config| (&*config.name, config.config_operation, config.value.as_deref()));
            let done = check_once(&twice, resource)
                .and_then(|()| operations(configs))
                .and_then(|operations| self.change(&mut plan, &Change { resource, operations }));
            let mut told =
                incremental_alter_configs_response::AlterConfigsResourceResponse::default();
            told.resource_type = asked.resource_type;
            told.resource_name = asked.resource_name.clone();
            (told.error_code, told.error_message) = outcome(done);
            response.responses.push(told);
        }
        let records = if request.validate_only { Vec::new() } else { plan.into_records() };
        Decision::new(records, response)
    }

    /// Replaces all settings of each resource: those that are not named return to their defaults.
    pub fn alter_configs(
        &self,
        _now: Instant,
        request: &AlterConfigsRequest,
    ) -> Decision<AlterConfigsResponse> {
        let mut plan = self.plan();
        let mut response = AlterConfigsResponse::default();
        let resources = request.resources.iter().map(|r| (r.resource_type, &*r.resource_name));
        let twice = repeated(resources);
        for asked in &request.resources {
            let resource = (asked.resource_type, &*asked.resource_name);
            let present: Vec<String> =
                self.image().overrides(resource.0, resource.1).keys().cloned().collect();
            let named = asked.configs.iter().map(|c| (&*c.name, 0, c.value.as_deref()));
            let done = check_once(&twice, resource).and_then(|()| operations(named)).and_then(
                |mut operations| {
                    let left_out = present
                        .iter()
                        .filter(|key| !operations.iter().any(|(name, _)| *name == key.as_str()));
                    let left_out: Vec<_> =
                        left_out.map(|key| (key.as_str(), Operation::Delete)).collect();
                    operations.extend(left_out);
                    self.change(&mut plan, &Change { resource, operations })
                },
            );
            let mut told = alter_configs_response::AlterConfigsResourceResponse::default();
            told.resource_type = asked.resource_type;
            told.resource_name = asked.resource_name.clone();
            (told.error_code, told.error_message) = outcome(done);
            response.responses.push(told);
        }
        let records = if request.validate_only { Vec::new() } else { plan.into_records() };
        Decision::new(records, response)
    }

    fn change(&self, plan: &mut Plan, change: &Change<'_>) -> Result<(), Refusal> {
        let (kind, name) = change.resource;
        self.check_resource(plan, kind, name)?;
        let before = plan.image().overrides(kind, name).clone();
        let mut after = before.clone();
        for (key, operation) in &change.operations {
            self.operate(&mut after, kind, key, operation)?;
        }
        let defaults = &self.settings().topic_defaults;
        check_all(defaults, kind, &after)?;
        let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let changed: Vec<_> =
            keys.into_iter().filter(|k| before.get(*k) != after.get(*k)).collect();
        for key in &changed {
            plan.push(Record::Config(ConfigRecord {
                resource_type: kind,
                resource: name.to_owned(),
                name: (*key).clone(),
                value: after.get(*key).cloned(),
            }));
        }
        if changed.iter().any(|key| *key == MIN_INSYNC) {
            clear_eligible(plan, (kind == ConfigRecord::TOPIC).then_some(name));
        }
        Ok(())
    }

    fn check_resource(&self, plan: &Plan, kind: i8, name: &str) -> Result<(), Refusal> {
        match kind {
            ConfigRecord::TOPIC => {
                topics::check_name(name)
                    .map_err(|text| (ErrorCode::InvalidTopicException, text))?;
                if plan.image().topic(name).is_none() {
                    let text = format!("The topic '{name}' does not exist.");
                    return refusal(ErrorCode::UnknownTopicOrPartition, text);
                }
                Ok(())
            }
            ConfigRecord::BROKER if name.is_empty() => Ok(()),
            ConfigRecord::BROKER => refusal(
                ErrorCode::InvalidRequest,
                "Settings of a single broker can't be changed while it runs: set them in its \
                 properties, or name no broker to set them for all.",
            ),
            kind => {
                let text = format!(
                    "Unexpected resource type {kind}: expected a topic (2) or a broker (4)."
                );
                refusal(ErrorCode::InvalidRequest, text)
            }
        }
    }

    fn operate(
        &self,
        settings: &mut BTreeMap<String, String>,
        kind: i8,
        key: &str,
        operation: &Operation<'_>,
    ) -> Result<(), Refusal> {
        match operation {
            Operation::Set(value) => {
                settings.insert(key.to_owned(), (*value).to_owned());
            }
            Operation::Delete => {
                settings.remove(key);
            }
            Operation::Append(value) | Operation::Subtract(value) => {
                let appends = matches!(operation, Operation::Append(_));
                if kind_of(kind, key) != Some(Kind::List) {
                    let verb = if appends { "APPEND" } else { "SUBTRACT" };
                    let text = format!("Can't {verb} to key {key} because its type is not LIST.");
                    return refusal(ErrorCode::InvalidConfig, text);
                }
                let present = settings.get(key).cloned();
                let present = present.or_else(|| self.inherited(kind, key)).unwrap_or_default();
                settings.insert(key.to_owned(), merged(&present, value, appends));
            }
        }
        if settings.get(key).is_some_and(|value| value.len() > LONGEST_VALUE) {
            return refusal(ErrorCode::InvalidConfig, format!("The value of {key} is too long."));
        }
        Ok(())
    }

    /// The value of a key that a resource does not set itself.
    fn inherited(&self, kind: i8, key: &str) -> Option<String> {
        match kind {
            ConfigRecord::TOPIC => {
                self.image().topic_config("", &self.settings().topic_defaults).get(key)
            }
            _ => {
                let (_, own) = TopicConfig::synonyms().find(|(broker, _)| *broker == key)?;
                self.settings().topic_defaults.get(own)
            }
        }
    }
}

/// Resources that a request names more than once.
fn repeated<'a>(resources: impl Iterator<Item = (i8, &'a str)>) -> BTreeSet<(i8, &'a str)> {
    let mut seen = BTreeSet::new();
    resources.filter(|resource| !seen.insert(*resource)).collect()
}

fn check_once(twice: &BTreeSet<(i8, &str)>, resource: (i8, &str)) -> Result<(), Refusal> {
    match twice.contains(&resource) {
        true => refusal(ErrorCode::InvalidRequest, "Each resource must appear at most once."),
        false => Ok(()),
    }
}

/// Reads the operations on one resource: name, operation and value of each.
fn operations<'a>(
    configs: impl Iterator<Item = (&'a str, i8, Option<&'a str>)>,
) -> Result<Vec<(&'a str, Operation<'a>)>, Refusal> {
    let mut operations: Vec<(&str, Operation<'_>)> = Vec::new();
    for (name, code, value) in configs {
        if operations.iter().any(|(other, _)| *other == name) {
            return refusal(ErrorCode::InvalidRequest, "Error due to duplicate config keys");
        }
        let operation = match (code, value) {
            (1, _) => Operation::Delete,
            (0, Some(value)) => Operation::Set(value),
            (2, Some(value)) => Operation::Append(value),
            (3, Some(value)) => Operation::Subtract(value),
            (0 | 2 | 3, None) => {
                return refusal(
                    ErrorCode::InvalidRequest,
                    format!("Null value not supported for : {name}"),
                );
            }
            (code, _) => {
                let text = format!("Unknown operation type {code} for {name}");
                return refusal(ErrorCode::InvalidRequest, text);
            }
        };
        operations.push((name, operation));
    }
    Ok(operations)
}

fn kind_of(resource: i8, key: &str) -> Option<Kind> {
    let own = match resource {
        ConfigRecord::TOPIC => key,
        _ => TopicConfig::synonyms().find(|(broker, _)| *broker == key)?.1,
    };
    TopicConfig::KEYS.iter().find(|known| known.name == own).map(|known| known.kind)
}

/// A list with entries added or removed, each in it once.
fn merged(present: &str, value: &str, appends: bool) -> String {
    let entries = |text: &'_ str| -> Vec<String> {
        text.split(',').map(|e| e.trim().to_owned()).filter(|e| !e.is_empty()).collect()
    };
    let (mut list, given) = (entries(present), entries(value));
    if appends {
        for entry in given {
            if !list.contains(&entry) {
                list.push(entry);
            }
        }
    } else {
        list.retain(|entry| !given.contains(entry));
    }
    list.join(",")
}

/// Checks all settings of a resource together.
fn check_all(
    defaults: &TopicConfig,
    kind: i8,
    settings: &BTreeMap<String, String>,
) -> Result<(), Refusal> {
    let mut config = defaults.clone();
    for (key, value) in settings {
        let set = match kind {
            ConfigRecord::TOPIC => Some(config.set(key, value)),
            _ => config.set_default(key, value),
        };
        let Some(set) = set else {
            // What is no default of topics would have no effect while brokers run.
            let text = format!("Cannot update these configs dynamically: {{{key}}}");
            return refusal(ErrorCode::InvalidRequest, text);
        };
        match set {
            Ok(()) | Err(ConfigError::NoEffect { .. }) => {}
            Err(error) => return refusal(ErrorCode::InvalidConfig, error.to_string()),
        }
    }
    config.check().map_err(|error| (ErrorCode::InvalidConfig, error.to_string()))
}

/// KIP-966: an ELR is what left the ISR while the high watermark stood still below the former
/// `min.insync.replicas`. With another one it may have advanced since, so it is void.
fn clear_eligible(plan: &mut Plan, topic: Option<&str>) {
    let image = plan.image().clone();
    for (of, partition, state) in image.partitions() {
        if topic.is_some_and(|name| *of.name != *name)
            || (state.elr.is_empty() && state.last_known_elr.is_empty())
        {
            continue;
        }
        plan.push(Record::PartitionChange(PartitionChange {
            topic: of.id,
            partition,
            elr: Some(Vec::new()),
            last_known_elr: Some(Vec::new()),
            ..PartitionChange::default()
        }));
    }
}

fn outcome(done: Result<(), Refusal>) -> (i16, Option<StrBytes>) {
    match done {
        Ok(()) => (ErrorCode::None.code(), None),
        Err((error, text)) => (error.code(), Some(text.into())),
    }
}
