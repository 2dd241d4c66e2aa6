//! IncrementalAlterConfigs and AlterConfigs: settings of topics, brokers and groups, while they run.
//!
//! Both requests are read as operations on single settings; AlterConfigs also deletes every setting
//! that it does not name.
//!
//! | file | contents |
//! |---|---|
//! | `operation` | operations as requests have them, and what they make of a value |
//! | `resource` | what may be set for a topic, a broker, all brokers, a group |
//!
//! Source of checks and texts: Kafka's `ConfigurationControlManager`, `ConfigAdminManager`,
//! `ControllerConfigurationValidator`; KIP-226, KIP-339, KIP-848.

mod operation;
mod resource;

use std::collections::BTreeSet;

use self::operation::{Operation, operations, repeated};
use self::resource::Resource;
use super::machine::{Controller, Decision};
use super::plan::Plan;
use super::record::{ConfigRecord, PartitionChange, Record};
use super::refusal::{Refusal, refusal};
use crate::base::Instant;
use crate::wire::ErrorCode;
use crate::wire::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, StrBytes, alter_configs_response,
    incremental_alter_configs_response, message,
};

/// Longest value of a setting: all values go into every node's log.
pub(super) const LONGEST_VALUE: usize = 1000;

/// The setting with which the meaning of an ELR changes (KIP-966).
const MIN_INSYNC: &str = "min.insync.replicas";

/// What a request wants of one resource.
struct Asked<'a> {
    resource: (i8, &'a str),
    /// Name, operation and value.
    configs: Vec<(&'a str, i8, Option<&'a str>)>,
    /// Whether settings that are not named return to their defaults.
    replaces: bool,
}

/// What became of it.
struct Altered<'a> {
    resource: (i8, &'a str),
    error: i16,
    text: Option<StrBytes>,
}

impl Controller {
    /// Changes single settings, each resource by itself.
    pub fn incremental_alter_configs(
        &self,
        _now: Instant,
        request: &IncrementalAlterConfigsRequest,
    ) -> Decision<IncrementalAlterConfigsResponse> {
        let asked = request.resources.iter().map(|asked| Asked {
            resource: (asked.resource_type, &*asked.resource_name),
            configs: asked
                .configs
                .iter()
                .map(|config| (&*config.name, config.config_operation, config.value.as_deref()))
                .collect(),
            replaces: false,
        });
        self.alter(request.validate_only, asked.collect()).map(|altered| {
            use incremental_alter_configs_response::AlterConfigsResourceResponse;
            let responses = altered.into_iter().map(|altered| {
                message!(AlterConfigsResourceResponse {
                    resource_type: altered.resource.0,
                    resource_name: altered.resource.1.into(),
                    error_code: altered.error,
                    error_message: altered.text,
                })
            });
            message!(IncrementalAlterConfigsResponse { responses: responses.collect() })
        })
    }

    /// Replaces all settings of each resource: those that are not named return to their defaults.
    pub fn alter_configs(
        &self,
        _now: Instant,
        request: &AlterConfigsRequest,
    ) -> Decision<AlterConfigsResponse> {
        let asked = request.resources.iter().map(|asked| Asked {
            resource: (asked.resource_type, &*asked.resource_name),
            configs: asked
                .configs
                .iter()
                .map(|config| (&*config.name, operation::SET, config.value.as_deref()))
                .collect(),
            replaces: true,
        });
        self.alter(request.validate_only, asked.collect()).map(|altered| {
            use alter_configs_response::AlterConfigsResourceResponse;
            let responses = altered.into_iter().map(|altered| {
                message!(AlterConfigsResourceResponse {
                    resource_type: altered.resource.0,
                    resource_name: altered.resource.1.into(),
                    error_code: altered.error,
                    error_message: altered.text,
                })
            });
            message!(AlterConfigsResponse { responses: responses.collect() })
        })
    }

    fn alter<'a>(&self, validate_only: bool, all: Vec<Asked<'a>>) -> Decision<Vec<Altered<'a>>> {
        let mut plan = self.plan();
        let twice = repeated(all.iter().map(|asked| asked.resource));
        let altered = all.into_iter().map(|asked| {
            let done = match twice.contains(&asked.resource) {
                true => {
                    refusal(ErrorCode::InvalidRequest, "Each resource must appear at most once.")
                }
                false => self.change(&mut plan, &asked),
            };
            let (error, text) = match done {
                Ok(()) => (ErrorCode::None, None),
                Err((error, text)) => (error, Some(text.into())),
            };
            Altered { resource: asked.resource, error: error.code(), text }
        });
        let altered = altered.collect();
        let records = if validate_only { Vec::new() } else { plan.into_records() };
        Decision::new(records, altered)
    }

    fn change(&self, plan: &mut Plan, asked: &Asked<'_>) -> Result<(), Refusal> {
        let mut operations = operations(&asked.configs)?;
        let resource = Resource::find(plan.image(), asked.resource)?;
        let (kind, name) = asked.resource;
        let before = plan.image().overrides(kind, name).clone();
        if asked.replaces {
            let named: BTreeSet<&str> = operations.iter().map(|(name, _)| *name).collect();
            let left_out = before.keys().filter(|key| !named.contains(key.as_str()));
            operations.extend(left_out.map(|key| (key.as_str(), Operation::Delete)));
        }
        let mut after = before.clone();
        for (key, operation) in &operations {
            operation.apply(&mut after, key, || self.list_before(resource, key))?;
        }
        self.check_settings(resource, &before, &after)?;
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
