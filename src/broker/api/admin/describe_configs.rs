//! DescribeConfigs: settings of topics, groups and of this broker, and where each comes from.

use std::sync::Arc;

use crate::base::BrokerId;
use crate::base::config::{Config, Foreign, Key, Kind, NodeConfig, OwnGroupConfig, TopicConfig};
use crate::base::topics;
use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::controller::{ConfigRecord, Image};
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::describe_configs_request::DescribeConfigsResource;
use crate::wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use crate::wire::messages::{DescribeConfigsRequest, DescribeConfigsResponse, message};

/// Resource types. Source: Kafka's `ConfigResource.Type`.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;

/// Where a value comes from. Source: Kafka's `DescribeConfigsResponse.ConfigSource`.
const FROM_TOPIC: i8 = 1;
const FROM_BROKER: i8 = 2;
const FROM_ALL_BROKERS: i8 = 3;
const FROM_FILE: i8 = 4;
const FROM_DEFAULT: i8 = 5;
const FROM_GROUP: i8 = 8;

/// Keys of a broker that Kafka does not show.
const INTERNAL: &[&str] = &[
    "group.consumer.regex.refresh.interval.ms",
    "producer.id.expiration.check.interval.ms",
    "unclean.leader.election.interval.ms",
];

/// The broker's keys for a topic's defaults that have no effect here.
const FOREIGN_SYNONYMS: &[(&str, &str)] = &[
    ("preallocate", "log.preallocate"),
    ("local.retention.ms", "log.local.retention.ms"),
    ("local.retention.bytes", "log.local.retention.bytes"),
];

/// Keys for one setting in finer and coarser units, of which the coarsest has the default.
const RETENTION: [&str; 3] = ["log.retention.ms", "log.retention.minutes", "log.retention.hours"];
const RETENTION_HOURS: &str = "168";

pub(in crate::broker) struct DescribeConfigs;

impl<W: World> Handler<Broker<W>> for DescribeConfigs {
    type Request = DescribeConfigsRequest;
    type Response = DescribeConfigsResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: DescribeConfigsRequest,
        _: Context<'_>,
    ) -> DescribeConfigsResponse {
        let (synonyms, documented) = (request.include_synonyms, request.include_documentation);
        let results = request.resources.into_iter().map(|resource| {
            let settings = match resource.resource_type {
                TOPIC => of_topic(broker, &resource.resource_name),
                BROKER => of_broker(broker, &resource.resource_name),
                GROUP => of_group(broker, &resource.resource_name),
                _ => {
                    let text = "expected a topic (2), a broker (4) or a group (32)";
                    Err((ErrorCode::InvalidRequest, text.into()))
                }
            };
            // As Kafka's, a message is empty where there is none.
            let (error, message, settings) = match settings {
                Ok(settings) => (ErrorCode::None, String::new(), settings),
                Err((error, message)) => (error, message, Vec::new()),
            };
            let wanted = settings.into_iter().filter(|setting| is_wanted(&resource, setting.name));
            message!(DescribeConfigsResult {
                error_code: error.code(),
                error_message: Some(message.into()),
                resource_type: resource.resource_type,
                configs: wanted.map(|setting| setting.shown(synonyms, documented)).collect(),
                resource_name: resource.resource_name.clone(),
            })
        });
        message!(DescribeConfigsResponse { results: results.collect() })
    }
}

fn is_wanted(resource: &DescribeConfigsResource, name: &str) -> bool {
    let keys = resource.configuration_keys.as_ref();
    keys.is_none_or(|keys| keys.is_empty() || keys.iter().any(|wanted| **wanted == *name))
}

/// One setting, and the values that it could have, the one that counts first.
struct Shown {
    name: &'static str,
    value: Option<String>,
    kind: Kind,
    read_only: bool,
    about: &'static str,
    synonyms: Vec<Synonym>,
}

/// A key, its value, and where that comes from.
type Synonym = (&'static str, String, i8);

impl Shown {
    fn shown(self, with_synonyms: bool, documented: bool) -> DescribeConfigsResourceResult {
        let source = self.synonyms.first().map_or(FROM_DEFAULT, |(_, _, source)| *source);
        let synonym = |(name, value, source): Synonym| {
            message!(DescribeConfigsSynonym {
                name: name.into(),
                value: Some(value.into()),
                source: source,
            })
        };
        let synonyms = if with_synonyms { self.synonyms } else { Vec::new() };
        message!(DescribeConfigsResourceResult {
            name: self.name.into(),
            value: self.value.map(Into::into),
            read_only: self.read_only,
            config_source: source,
            config_type: self.kind.code(),
            synonyms: synonyms.into_iter().map(synonym).collect(),
            documentation: documented.then(|| self.about.into()),
        })
    }
}

type Answer = Result<Vec<Shown>, (ErrorCode, String)>;

fn of_topic<W: World>(broker: &Broker<W>, name: &str) -> Answer {
    topics::check_name(name).map_err(|problem| (ErrorCode::InvalidTopicException, problem))?;
    let image = broker.image();
    let topic = image
        .topic(name)
        .ok_or_else(|| (ErrorCode::UnknownTopicOrPartition, format!("no topic `{name}`")))?;
    let own = image.topic_overrides(&topic.name);
    let config = image.topic_config(&topic.name, broker.me, &broker.config.topics);
    let synonyms = |key: &'static str, of_broker: Vec<Synonym>| {
        let set = own.get(key).map(|value| (key, value.to_string(), FROM_TOPIC));
        set.into_iter().chain(of_broker).collect::<Vec<_>>()
    };
    // Kafka does not show its internal keys either.
    let keys = TopicConfig::KEYS.iter().filter(|key| !key.name.starts_with("internal."));
    let known = keys.map(|key| {
        let of_broker = TopicConfig::synonyms().find(|(_, topic)| *topic == key.name);
        let of_broker = of_broker.map(|(name, _)| {
            let of_file = of_file(&broker.config, name, key.default);
            changed(&image, broker.me, name).into_iter().chain(of_file).collect()
        });
        let synonyms = synonyms(key.name, of_broker.unwrap_or_default());
        // The entries of a list are shown in the order in which they were set.
        let value = match synonyms.first() {
            Some((_, text, _)) if key.kind == Kind::List => Some(entries(text)),
            _ => config.get(key.name),
        };
        Shown {
            name: key.name,
            value,
            kind: key.kind,
            read_only: false,
            about: key.about,
            synonyms,
        }
    });
    let foreign = TopicConfig::FOREIGN.iter().flat_map(|rows| rows.iter());
    let foreign = foreign.filter(|row| !row.name.starts_with("internal.")).map(|row: &Foreign| {
        let of_broker = FOREIGN_SYNONYMS.iter().find(|(topic, _)| *topic == row.name);
        let of_broker = of_broker.map(|(_, name)| (*name, row.default.to_owned(), FROM_DEFAULT));
        Shown {
            name: row.name,
            value: Some(own.get(row.name).map_or(row.default, |value| value).to_owned()),
            kind: row.kind,
            read_only: false,
            about: "Has no effect here",
            synonyms: synonyms(row.name, of_broker.into_iter().collect()),
        }
    });
    Ok(known.chain(foreign).collect())
}

/// The entries of a list, each once.
fn entries(text: &str) -> String {
    let mut entries: Vec<&str> = Vec::new();
    for entry in text.split(',').map(str::trim) {
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    entries.join(",")
}

fn of_broker<W: World>(broker: &Broker<W>, name: &str) -> Answer {
    let image = broker.image();
    if name.is_empty() {
        // Of all brokers, what was changed while they ran is shown.
        let keys = NodeConfig::keys().filter_map(|key| {
            let value = image.overrides(ConfigRecord::BROKER, "").get(key.name)?.clone();
            Some(Shown {
                name: key.name,
                synonyms: vec![(key.name, value.clone(), FROM_ALL_BROKERS)],
                value: Some(value),
                kind: key.kind,
                read_only: false,
                about: key.about,
            })
        });
        return Ok(keys.collect());
    }
    if name.parse() != Ok(broker.me.0) {
        let text = format!("this is broker {}: ask {name} itself", broker.me);
        return Err((ErrorCode::InvalidRequest, text));
    }
    let config = &broker.config;
    let shown = |key: Key| {
        let changed = changed(&image, broker.me, key.name);
        // Where another key has the default, this one is null until it is set.
        let is_set = config.given.get(key.name).is_some() || is_changed(config, &key);
        let value = config.get(key.name).filter(|_| is_set || has_value(&key));
        let value = changed.first().map(|(_, value, _)| value.clone()).or(value);
        let of_file = of_file(config, key.name, key.default);
        Shown {
            name: key.name,
            value,
            kind: key.kind,
            read_only: !is_dynamic(key.name),
            about: key.about,
            synonyms: changed.into_iter().chain(of_file).collect(),
        }
    };
    Ok(NodeConfig::keys().filter(|key| !INTERNAL.contains(&key.name)).map(shown).collect())
}

/// Whether a key that is not set has a value: its default, or one that every node has.
fn has_value(key: &Key) -> bool {
    NodeConfig::has_default(key.name)
        || matches!(key.name, "node.id" | "process.roles" | "log.dirs")
}

fn is_changed(config: &NodeConfig, key: &Key) -> bool {
    let by_another = RETENTION.iter().any(|name| config.given.get(name).is_some());
    let by_another = by_another && key.name == RETENTION[0];
    !by_another && config.get(key.name).as_deref() != Some(key.default)
}

/// What a key was set to while brokers ran: for this one, and for all of them.
fn changed(image: &Image, broker: BrokerId, key: &'static str) -> Vec<Synonym> {
    let [all, own] = image.broker_overrides(broker);
    let own = own.get(key).map(|value| (key, value.clone(), FROM_BROKER));
    let all = all.get(key).map(|value| (key, value.clone(), FROM_ALL_BROKERS));
    own.into_iter().chain(all).collect()
}

/// Whether Kafka can change a key while a broker runs. The addresses of listeners can't change here.
fn is_dynamic(key: &str) -> bool {
    key == "listener.security.protocol.map" || NodeConfig::is_dynamic(key)
}

fn of_group<W: World>(broker: &Broker<W>, name: &str) -> Answer {
    if name.is_empty() {
        return Err((ErrorCode::InvalidRequest, "Group name must not be empty".into()));
    }
    let image = broker.image();
    let own = image.overrides(ConfigRecord::GROUP, name);
    let config = OwnGroupConfig::with(own, &broker.settings().group);
    let shown = |name: &'static str, value: Option<String>, kind, about, default: &str| {
        let set = own.get(name).map(|value| (name, value.clone(), FROM_GROUP));
        let of_broker = match OwnGroupConfig::synonym(name) {
            Some(key) if NodeConfig::keys().any(|known| known.name == key) => {
                let of_file = of_file(&broker.config, key, key_default(key));
                changed(&image, broker.me, key).into_iter().chain(of_file).collect()
            }
            Some(key) => vec![(key, default.to_owned(), FROM_DEFAULT)],
            None => vec![(name, default.to_owned(), FROM_DEFAULT)],
        };
        let synonyms = set.into_iter().chain(of_broker).collect();
        Shown { name, value, kind, read_only: false, about, synonyms }
    };
    let known = OwnGroupConfig::KEYS
        .iter()
        .map(|key| shown(key.name, config.get(key.name), key.kind, key.about, key.default));
    let foreign = OwnGroupConfig::FOREIGN.iter().flat_map(|rows| rows.iter()).map(|row| {
        let value = own.get(row.name).cloned().unwrap_or_else(|| row.default.to_owned());
        shown(row.name, Some(value), row.kind, "Has no effect here", row.default)
    });
    Ok(known.chain(foreign).collect())
}

fn key_default(name: &str) -> &'static str {
    NodeConfig::keys().find(|key| key.name == name).map_or("", |key| key.default)
}

/// The values of a broker's key: as the file has it, or as it was set otherwise, and by default.
fn of_file(config: &NodeConfig, key: &'static str, default: &'static str) -> Vec<Synonym> {
    let names = if key == RETENTION[0] { &RETENTION[..] } else { &[key][..] };
    let names: Vec<&'static str> = names.to_vec();
    let given = names.iter().filter_map(|name| Some((*name, config.given.get(name)?.to_owned())));
    let mut synonyms: Vec<Synonym> = given.map(|(name, value)| (name, value, FROM_FILE)).collect();
    if synonyms.is_empty()
        && let Some(value) = config.get(key).filter(|value| value != default)
    {
        synonyms.push((key, value, FROM_FILE));
    }
    if key == RETENTION[0] {
        synonyms.push((RETENTION[2], RETENTION_HOURS.to_owned(), FROM_DEFAULT));
    } else if NodeConfig::has_default(key) {
        synonyms.push((key, default.to_owned(), FROM_DEFAULT));
    }
    synonyms
}
