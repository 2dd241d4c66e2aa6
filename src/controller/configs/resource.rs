//! What may be set for a topic, a broker, all brokers, and a group.

use std::collections::BTreeMap;

use super::MIN_INSYNC;
use crate::base::config::{Config, ConfigError, Kind, NodeConfig, OwnGroupConfig, TopicConfig};
use crate::base::{BrokerId, topics};
use crate::controller::Image;
use crate::controller::machine::{Controller, ELR_FEATURE};
use crate::controller::record::ConfigRecord;
use crate::controller::refusal::{Refusal, refusal};
use crate::wire::ErrorCode;

/// The owner of settings, as a request names it.
#[derive(Clone, Copy)]
pub(super) enum Resource {
    Topic,
    Broker(BrokerId),
    AllBrokers,
    Group,
}

impl Resource {
    /// The resource of a type and a name, which need not exist.
    pub(super) fn named((kind, name): (i8, &str)) -> Result<Self, Refusal> {
        match kind {
            ConfigRecord::TOPIC if name.is_empty() => {
                refusal(ErrorCode::InvalidRequest, "Default topic resources are not allowed.")
            }
            ConfigRecord::TOPIC => {
                topics::check_name(name)
                    .map_err(|text| (ErrorCode::InvalidTopicException, text))?;
                Ok(Self::Topic)
            }
            ConfigRecord::BROKER if name.is_empty() => Ok(Self::AllBrokers),
            ConfigRecord::BROKER => match name.parse::<i32>().ok().filter(|id| *id >= 0) {
                Some(id) => Ok(Self::Broker(BrokerId(id))),
                None => {
                    let text = format!("Broker '{name}': expected the id of a broker, or no name.");
                    refusal(ErrorCode::InvalidRequest, text)
                }
            },
            ConfigRecord::GROUP if name.is_empty() => {
                refusal(ErrorCode::InvalidRequest, "Default group resources are not allowed.")
            }
            ConfigRecord::GROUP => Ok(Self::Group),
            kind => {
                let text = format!(
                    "Unexpected resource type {kind}: expected a topic (2), a broker (4) or a \
                     group (32)."
                );
                refusal(ErrorCode::InvalidRequest, text)
            }
        }
    }

    /// A topic and a broker have to exist; a group need not.
    pub(super) fn check_exists(self, image: &Image, name: &str) -> Result<(), Refusal> {
        match self {
            Self::Topic if image.topic(name).is_none() => {
                let text = format!("The topic '{name}' does not exist.");
                refusal(ErrorCode::UnknownTopicOrPartition, text)
            }
            Self::Broker(id) if image.broker(id).is_none() => {
                refusal(ErrorCode::BrokerIdNotRegistered, format!("No broker with id {id} found."))
            }
            _ => Ok(()),
        }
    }
}

impl Controller {
    /// The value of a list that a resource does not set itself; `None` if the key is not a list.
    pub(super) fn list_before(&self, resource: Resource, key: &str) -> Option<String> {
        let (image, settings) = (self.image(), self.settings());
        match resource {
            Resource::Topic => {
                let known = TopicConfig::KEYS.iter().find(|known| known.name == key);
                known.filter(|known| known.kind == Kind::List)?;
                image.topic_config("", settings.me, &settings.topic_defaults).get(key)
            }
            Resource::Broker(_) | Resource::AllBrokers => {
                NodeConfig::keys().find(|known| known.name == key && known.kind == Kind::List)?;
                // Only the defaults of topics have lists that are dynamic.
                let (_, own) = TopicConfig::synonyms().find(|(broker, _)| *broker == key)?;
                settings.topic_defaults.get(own)
            }
            Resource::Group => None,
        }
    }

    /// Checks all settings of a resource together.
    pub(super) fn check_settings(
        &self,
        resource: Resource,
        before: &BTreeMap<String, String>,
        after: &BTreeMap<String, String>,
    ) -> Result<(), Refusal> {
        match resource {
            Resource::Topic => self.check_topic(after),
            Resource::Broker(_) | Resource::AllBrokers => {
                self.check_broker(after)?;
                self.check_min_insync(resource, before, after)
            }
            Resource::Group => OwnGroupConfig::check(after, &self.settings().groups)
                .map_err(|error| (ErrorCode::InvalidConfig, error.to_string())),
        }
    }

    fn check_topic(&self, after: &BTreeMap<String, String>) -> Result<(), Refusal> {
        let mut config = self.settings().topic_defaults.clone();
        for (key, value) in after {
            match config.set(key, value) {
                Ok(()) | Err(ConfigError::NoEffect { .. }) => {}
                Err(error) => return refusal(ErrorCode::InvalidConfig, error.to_string()),
            }
        }
        config.check().map_err(|error| (ErrorCode::InvalidConfig, error.to_string()))
    }

    /// Checks each value by itself, and the defaults of topics together. The broker itself knows the
    /// rest of its settings: it checks them before it passes a request on.
    fn check_broker(&self, after: &BTreeMap<String, String>) -> Result<(), Refusal> {
        let mut config =
            NodeConfig { topics: self.settings().topic_defaults.clone(), ..NodeConfig::default() };
        for (key, value) in after {
            let Some(set) = config.set_dynamic(key, value) else {
                let text = format!("Cannot update these configs dynamically: {{{key}}}");
                return refusal(ErrorCode::InvalidRequest, text);
            };
            // As Kafka, which checks a broker's values as part of the request.
            set.map_err(|error| (ErrorCode::InvalidRequest, error.to_string()))?;
        }
        config.topics.check().map_err(|error| (ErrorCode::InvalidConfig, error.to_string()))
    }

    /// KIP-966: with eligible leader replicas, all brokers have one `min.insync.replicas`.
    fn check_min_insync(
        &self,
        resource: Resource,
        before: &BTreeMap<String, String>,
        after: &BTreeMap<String, String>,
    ) -> Result<(), Refusal> {
        if self.image().feature(ELR_FEATURE) < 1 {
            return Ok(());
        }
        let (was, will) = (before.get(MIN_INSYNC), after.get(MIN_INSYNC));
        match resource {
            Resource::Broker(_) if was != will => refusal(
                ErrorCode::InvalidConfig,
                "Broker-level min.insync.replicas cannot be altered while ELR is enabled.",
            ),
            Resource::AllBrokers if was.is_some() && will.is_none() => refusal(
                ErrorCode::InvalidConfig,
                "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.",
            ),
            _ => Ok(()),
        }
    }
}
