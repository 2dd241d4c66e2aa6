//! DescribeConfigs: settings of topics and of this broker, and where each comes from.

use std::sync::Arc;

use crate::base::config::{Config, Key, NodeConfig, TopicConfig};
use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::describe_configs_request::DescribeConfigsResource;
use crate::wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use crate::wire::messages::{DescribeConfigsRequest, DescribeConfigsResponse, message};

/// Resource types. Source: Kafka's `ConfigResource.Type`.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Where a value comes from. Source: Kafka's `DescribeConfigsResponse.ConfigSource`.
const FROM_TOPIC: i8 = 1;
const FROM_FILE: i8 = 4;
const FROM_DEFAULT: i8 = 5;

pub(in crate::broker) struct DescribeConfigs;

impl<W: World> Handler<Broker<W>> for DescribeConfigs {
    type Request = DescribeConfigsRequest;
    type Response = DescribeConfigsResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: DescribeConfigsRequest,
        _: Context<'_>,
    ) -> DescribeConfigsResponse {
        let documented = request.include_documentation;
        let results = request.resources.into_iter().map(|resource| {
            let configs = match resource.resource_type {
                TOPIC => of_topic(broker, &resource, documented),
                BROKER => of_broker(broker, &resource, documented),
                _ => {
                    Err((ErrorCode::InvalidRequest, "expected a topic (2) or a broker (4)".into()))
                }
            };
            let (error, message, configs) = match configs {
                Ok(configs) => (ErrorCode::None, None, configs),
                Err((error, message)) => (error, Some(message), Vec::new()),
            };
            message!(DescribeConfigsResult {
                error_code: error.code(),
                error_message: message.map(|text: String| text.into()),
                resource_type: resource.resource_type,
                resource_name: resource.resource_name,
                configs: configs,
            })
        });
        message!(DescribeConfigsResponse { results: results.collect() })
    }
}

type Answer = Result<Vec<DescribeConfigsResourceResult>, (ErrorCode, String)>;

fn of_topic<W: World>(
    broker: &Broker<W>,
    resource: &DescribeConfigsResource,
    documented: bool,
) -> Answer {
    let image = broker.image();
    let topic = image.topic(&resource.resource_name).ok_or_else(|| {
        (ErrorCode::UnknownTopicOrPartition, format!("no topic `{}`", resource.resource_name))
    })?;
    let own = image.topic_overrides(&topic.name);
    let config = image.topic_config(&topic.name, &broker.config.topics);
    let source = |key: &Key| {
        if own.contains_key(key.name) {
            FROM_TOPIC
        } else if broker.config.topics.get(key.name).as_deref() != Some(key.default) {
            FROM_FILE
        } else {
            FROM_DEFAULT
        }
    };
    // Kafka does not show its internal keys either.
    let keys = TopicConfig::KEYS.iter().filter(|key| !key.name.starts_with("internal.")).copied();
    let value = |key: &Key| config.get(key.name);
    Ok(describe(keys, value, resource, source, false, documented))
}

fn of_broker<W: World>(
    broker: &Broker<W>,
    resource: &DescribeConfigsResource,
    documented: bool,
) -> Answer {
    if !resource.resource_name.is_empty() && *resource.resource_name != *broker.me.to_string() {
        let text = format!("this is broker {}: ask {} itself", broker.me, resource.resource_name);
        return Err((ErrorCode::InvalidRequest, text));
    }
    let source = |key: &Key| {
        let changed = broker.config.get(key.name).as_deref() != Some(key.default);
        if changed { FROM_FILE } else { FROM_DEFAULT }
    };
    let value = |key: &Key| broker.config.get(key.name);
    Ok(describe(NodeConfig::keys(), value, resource, source, true, documented))
}

fn describe(
    keys: impl Iterator<Item = Key>,
    value: impl Fn(&Key) -> Option<String>,
    resource: &DescribeConfigsResource,
    source: impl Fn(&Key) -> i8,
    read_only: bool,
    documented: bool,
) -> Vec<DescribeConfigsResourceResult> {
    let wanted = |key: &Key| {
        let keys = resource.configuration_keys.as_ref();
        keys.is_none_or(|keys| keys.is_empty() || keys.iter().any(|wanted| **wanted == *key.name))
    };
    let result = |key: Key| {
        message!(DescribeConfigsResourceResult {
            name: key.name.into(),
            value: value(&key).map(Into::into),
            read_only: read_only,
            config_source: source(&key),
            documentation: documented.then(|| key.about.into()),
        })
    };
    keys.filter(wanted).map(result).collect()
}
