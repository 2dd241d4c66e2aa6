//! Descriptions of the cluster and of its settings: messages built and read.

use std::collections::BTreeMap;

use super::attempts::Verdict;
use super::description::{BrokerDescription, ClusterDescription, ConfigEntry, ConfigResource};
use crate::base::BrokerId;
use crate::client::AdminError;
use crate::io::Address;
use crate::wire::ErrorCode;
use crate::wire::messages::describe_configs_request::DescribeConfigsResource;
use crate::wire::messages::{
    DescribeClusterRequest, DescribeClusterResponse, DescribeConfigsRequest,
    DescribeConfigsResponse, message,
};

/// Asks for the brokers, not for the controllers (KIP-919).
pub(super) fn question() -> DescribeClusterRequest {
    message!(DescribeClusterRequest { endpoint_type: 1 })
}

/// Asks for all settings of a resource. Source of the numbers: Kafka's `ConfigResource.Type`.
pub(super) fn configs_question(resource: &ConfigResource) -> DescribeConfigsRequest {
    let mut described = DescribeConfigsResource::default();
    (described.resource_type, described.resource_name) = match resource {
        ConfigResource::Topic(name) => (2, name.as_str().into()),
        ConfigResource::Broker(id) => (4, id.to_string().into()),
    };
    message!(DescribeConfigsRequest { resources: vec![described] })
}

pub(super) fn described(answer: &DescribeClusterResponse) -> Verdict<ClusterDescription> {
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

pub(super) fn configs_read(
    answer: &DescribeConfigsResponse,
) -> Verdict<BTreeMap<String, ConfigEntry>> {
    /// Kafka's `ConfigSource.DEFAULT_CONFIG`.
    const DEFAULT: i8 = 5;
    let Some(told) = answer.results.first() else {
        return Verdict::Refused(AdminError::Incomplete("the settings".into()));
    };
    let error = ErrorCode::from_code(told.error_code);
    if !error.is_none() {
        let message = told.error_message.as_ref().map(|message| message.to_string());
        // The topic does not exist: time does not help.
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
