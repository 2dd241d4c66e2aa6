//! Settings of topics, brokers and groups: read and changed.

use std::collections::BTreeMap;

use super::Admin;
use super::attempts::Verdict;
use super::description::{ConfigChange, ConfigEntry, ConfigResource, ConfigSource, ConfigSynonym};
use crate::client::AdminError;
use crate::io::{Address, World};
use crate::wire::ErrorCode;
use crate::wire::messages::describe_configs_request::DescribeConfigsResource;
use crate::wire::messages::describe_configs_response::DescribeConfigsResourceResult;
use crate::wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use crate::wire::messages::{
    DescribeConfigsRequest, DescribeConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, message,
};

impl ConfigResource {
    /// Type and name. Source of the numbers: Kafka's `ConfigResource.Type`.
    fn on_the_wire(&self) -> (i8, String) {
        match self {
            Self::Topic(name) => (2, name.clone()),
            Self::Broker(id) => (4, id.to_string()),
            Self::AllBrokers => (4, String::new()),
            Self::Group(group) => (32, group.clone()),
        }
    }
}

impl ConfigChange {
    /// Operation and value. Source of the numbers: Kafka's `AlterConfigOp.OpType`.
    fn on_the_wire(&self) -> (i8, Option<&str>) {
        match self {
            Self::Set(value) => (0, Some(value)),
            Self::Delete => (1, None),
            Self::Append(value) => (2, Some(value)),
            Self::Subtract(value) => (3, Some(value)),
        }
    }
}

impl ConfigSource {
    fn from_code(code: i8) -> Self {
        match code {
            1 => Self::Topic,
            2 => Self::Broker,
            3 => Self::AllBrokers,
            4 => Self::File,
            5 => Self::Default,
            8 => Self::Group,
            _ => Self::Other,
        }
    }
}

impl<W: World> Admin<W> {
    /// All settings of a topic, broker or group, by name.
    pub async fn describe_configs(
        &self,
        resource: &ConfigResource,
    ) -> Result<BTreeMap<String, ConfigEntry>, AdminError> {
        let (kind, name) = resource.on_the_wire();
        let resource_of =
            message!(DescribeConfigsResource { resource_type: kind, resource_name: name.into() });
        let request = message!(DescribeConfigsRequest {
            resources: vec![resource_of],
            include_synonyms: true,
        });
        let only = self.owner(resource).await?;
        self.ask(&mut self.attempts(), only.as_ref(), &request, |answer, _| read(answer)).await
    }

    /// Changes settings of a topic, broker or group while it is in use: all of them, or none.
    pub async fn incremental_alter_configs(
        &self,
        resource: &ConfigResource,
        changes: &[(&str, ConfigChange)],
    ) -> Result<(), AdminError> {
        let request = alteration(resource, changes);
        let only = self.owner(resource).await?;
        self.ask(&mut self.attempts(), only.as_ref(), &request, |answer, _| altered(answer)).await
    }

    /// The only broker that may be asked: a broker knows its own settings only.
    async fn owner(&self, resource: &ConfigResource) -> Result<Option<Address>, AdminError> {
        match resource {
            ConfigResource::Broker(id) => self.address_of(*id).await.map(Some),
            _ => Ok(None),
        }
    }
}

fn alteration(
    resource: &ConfigResource,
    changes: &[(&str, ConfigChange)],
) -> IncrementalAlterConfigsRequest {
    let (kind, name) = resource.on_the_wire();
    let configs = changes.iter().map(|(name, change)| {
        let (operation, value) = change.on_the_wire();
        message!(AlterableConfig {
            name: (*name).into(),
            config_operation: operation,
            value: value.map(Into::into),
        })
    });
    let resource = message!(AlterConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configs: configs.collect(),
    });
    message!(IncrementalAlterConfigsRequest { resources: vec![resource] })
}

fn altered(answer: &IncrementalAlterConfigsResponse) -> Verdict<()> {
    let Some(told) = answer.responses.first() else {
        return Verdict::Refused(AdminError::Incomplete("the change of settings".into()));
    };
    verdict(told.error_code, told.error_message.as_ref().map(ToString::to_string))
        .unwrap_or(Verdict::Done(()))
}

/// `None` without an error.
fn verdict<T>(code: i16, message: Option<String>) -> Option<Verdict<T>> {
    match ErrorCode::from_code(code) {
        ErrorCode::None => None,
        // The topic does not exist: time does not help.
        error @ ErrorCode::UnknownTopicOrPartition => {
            Some(Verdict::Refused(AdminError::Broker { error, message }))
        }
        error => Some(Verdict::from_error(error, message)),
    }
}

fn read(answer: &DescribeConfigsResponse) -> Verdict<BTreeMap<String, ConfigEntry>> {
    let Some(told) = answer.results.first() else {
        return Verdict::Refused(AdminError::Incomplete("the settings".into()));
    };
    let message = told.error_message.as_ref().map(ToString::to_string);
    if let Some(refused) = verdict(told.error_code, message) {
        return refused;
    }
    let entries = told.configs.iter().map(|config| (config.name.to_string(), entry(config)));
    Verdict::Done(entries.collect())
}

fn entry(config: &DescribeConfigsResourceResult) -> ConfigEntry {
    let source = ConfigSource::from_code(config.config_source);
    let synonyms = config.synonyms.iter().map(|synonym| ConfigSynonym {
        name: synonym.name.to_string(),
        value: synonym.value.as_ref().map(ToString::to_string),
        source: ConfigSource::from_code(synonym.source),
    });
    ConfigEntry {
        value: config.value.as_ref().map(ToString::to_string),
        read_only: config.read_only,
        is_default: source == ConfigSource::Default,
        source,
        synonyms: synonyms.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::BrokerId;
    use crate::wire::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;

    #[test]
    fn each_resource_and_operation_has_kafkas_number() {
        let changes = [
            ("a", ConfigChange::Set("1".into())),
            ("b", ConfigChange::Delete),
            ("c", ConfigChange::Append("x".into())),
            ("d", ConfigChange::Subtract("y".into())),
        ];
        let asked = |resource| {
            let resource = alteration(&resource, &changes).resources.remove(0);
            let configs = resource.configs.iter().map(|config| config.config_operation);
            (resource.resource_type, resource.resource_name.to_string(), configs.collect())
        };
        let all = || vec![0, 1, 2, 3];
        assert_eq!(asked(ConfigResource::Topic("t".into())), (2, "t".into(), all()));
        assert_eq!(asked(ConfigResource::Broker(BrokerId(3))), (4, "3".into(), all()));
        assert_eq!(asked(ConfigResource::AllBrokers), (4, String::new(), all()));
        assert_eq!(asked(ConfigResource::Group("g".into())), (32, "g".into(), all()));
    }

    #[test]
    fn refused_change_is_an_error_and_a_lost_controller_is_asked_again() {
        let answer = |error: ErrorCode| {
            let told = message!(AlterConfigsResourceResponse { error_code: error.code() });
            altered(&message!(IncrementalAlterConfigsResponse { responses: vec![told] }))
        };
        assert!(matches!(answer(ErrorCode::None), Verdict::Done(())));
        assert!(matches!(answer(ErrorCode::InvalidConfig), Verdict::Refused(_)));
        assert!(matches!(answer(ErrorCode::UnknownTopicOrPartition), Verdict::Refused(_)));
        assert!(matches!(answer(ErrorCode::NotController), Verdict::Again(_)));
        assert!(matches!(answer(ErrorCode::RequestTimedOut), Verdict::Again(_)));
        let nothing = IncrementalAlterConfigsResponse::default();
        assert!(matches!(altered(&nothing), Verdict::Refused(_)));
    }
}
