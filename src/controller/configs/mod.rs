//! IncrementalAlterConfigs and AlterConfigs: settings of topics, brokers and groups, while they run.
//!
//! Both requests are read as operations on single settings; AlterConfigs also deletes every setting
//! that it does not name.
//!
//! | file | contents |
//! |---|---|
//! | `alteration` | both requests as one |
//! | `operation` | operations as requests have them, and what they make of a value |
//! | `resource` | what may be set for a topic, a broker, all brokers, a group |
//!
//! Source of checks and texts: Kafka's `ConfigurationControlManager`, `ConfigAdminManager`,
//! `ControllerConfigurationValidator`; KIP-226, KIP-339, KIP-848.

mod alteration;
mod operation;
mod resource;

use std::collections::BTreeSet;

pub use self::alteration::Alteration;
use self::operation::{Operation, operations, repeated};
use self::resource::Resource;
use super::machine::{Controller, Decision};
use super::plan::Plan;
use super::record::{ConfigRecord, PartitionChange, Record};
use super::refusal::{Refusal, refusal};
use crate::base::Instant;
use crate::wire::ErrorCode;

/// Longest value of a setting: all values go into every node's log.
pub(super) const LONGEST_VALUE: usize = 1000;

/// The setting with which the meaning of an ELR changes (KIP-966).
const MIN_INSYNC: &str = "min.insync.replicas";

impl Controller {
    /// Changes settings, of each resource by itself.
    pub fn alter_configs<R: Alteration>(
        &self,
        _now: Instant,
        request: &R,
    ) -> Decision<R::Response> {
        let mut plan = self.plan();
        let twice = repeated(request.resources().iter().map(R::name));
        let mut response = R::Response::default();
        for of in request.resources() {
            let resource = R::name(of);
            let done = match twice.contains(&resource) {
                true => {
                    refusal(ErrorCode::InvalidRequest, "Each resource must appear at most once.")
                }
                false => self.change::<R>(&mut plan, of),
            };
            let (error, text) = match done {
                Ok(()) => (ErrorCode::None, None),
                Err((error, text)) => (error, Some(text.into())),
            };
            R::answers(&mut response).push(R::answer(resource, error.code(), text));
        }
        let records = if request.validates_only() { Vec::new() } else { plan.into_records() };
        Decision::new(records, response)
    }

    fn change<R: Alteration>(&self, plan: &mut Plan, of: &R::Resource) -> Result<(), Refusal> {
        let mut operations = operations(&R::changes(of))?;
        let (kind, name) = R::name(of);
        let resource = Resource::named((kind, name))?;
        let before = plan.image().overrides(kind, name).clone();
        if R::REPLACES {
            let named: BTreeSet<&str> = operations.iter().map(|(name, _)| *name).collect();
            let left_out = before.keys().filter(|key| !named.contains(key.as_str()));
            operations.extend(left_out.map(|key| (key.as_str(), Operation::Delete)));
        }
        let mut after = before.clone();
        for (key, operation) in &operations {
            operation.apply(&mut after, key, || self.list_before(resource, key))?;
        }
        // As in Kafka, a value is judged first.
        self.check_settings(resource, &before, &after)?;
        resource.check_exists(plan.image(), name)?;
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
