//! What is null, and what is empty: topics by name, by id, twice, or not at all.

use brokerquake::wire::messages::create_topics_response::CreatableTopicResult;
use brokerquake::wire::messages::delete_topics_request::DeleteTopicState;
use brokerquake::wire::messages::delete_topics_response::DeletableTopicResult;
use brokerquake::wire::messages::metadata_request::MetadataRequestTopic;
use brokerquake::wire::messages::metadata_response::MetadataResponseTopic;
use brokerquake::wire::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, MetadataRequest, StrBytes, Uuid,
};

use super::ask::{Node, creation, error, message};

/// A nullable text: null, or in quotes; only whether there is one, for messages.
fn shown(text: Option<&StrBytes>) -> String {
    text.map_or_else(|| "null".to_owned(), |text| format!("{:?}", &**text))
}

fn there(text: Option<&StrBytes>) -> &'static str {
    match text {
        None => "null",
        Some(text) if text.is_empty() => "empty",
        Some(_) => "a message",
    }
}

fn id_shown(id: Uuid, known: &[(Uuid, &str)]) -> String {
    match known.iter().find(|(other, _)| *other == id) {
        Some((_, name)) => (*name).to_owned(),
        None if id == Uuid::ZERO => "zero".to_owned(),
        None => "other".to_owned(),
    }
}

const UNKNOWN: [u8; 16] = [9; 16];

fn named(name: &str) -> MetadataRequestTopic {
    message!(MetadataRequestTopic { name: Some(name.into()) })
}

fn identified(id: Uuid) -> MetadataRequestTopic {
    message!(MetadataRequestTopic { topic_id: id })
}

pub fn ask(node: &mut Node) {
    node.create("names-one", 2, &[]);
    node.create("names-two", 1, &[]);
    let ids: Vec<Uuid> =
        node.topics(&["names-one", "names-two"]).iter().map(|topic| topic.topic_id).collect();
    let unknown = Uuid::from_bytes(UNKNOWN);
    let known = [(ids[0], "id of one"), (ids[1], "id of two"), (unknown, "unknown id")];
    metadata(node, &known);
    create(node, &known);
    delete(node, &known);
}

fn metadata(node: &mut Node, known: &[(Uuid, &str)]) {
    let (one, unknown) = (known[0].0, known[2].0);
    let both = |id: Uuid, name: &str| {
        message!(MetadataRequestTopic { topic_id: id, name: Some(name.into()) })
    };
    for (what, asked) in [
        ("a topic", vec![named("names-one")]),
        ("a topic twice", vec![named("names-one"), named("names-one")]),
        ("two topics, one twice", vec![named("names-two"), named("names-one"), named("names-two")]),
        ("unknown topic", vec![named("names-none")]),
        ("unknown topic twice", vec![named("names-none"), named("names-none")]),
        ("invalid name", vec![named("a b")]),
        ("empty name", vec![named("")]),
        ("id", vec![identified(one)]),
        ("id twice", vec![identified(one), identified(one)]),
        ("unknown id", vec![identified(unknown)]),
        ("unknown id twice", vec![identified(unknown), identified(unknown)]),
        ("zero id, null name", vec![identified(Uuid::ZERO)]),
        ("id and name", vec![named("names-one"), identified(one)]),
        ("id and name in one", vec![both(one, "names-one")]),
        ("unknown id and name in one", vec![both(unknown, "names-one")]),
        ("known and unknown", vec![named("names-none"), named("names-one")]),
        ("no topic", vec![]),
    ] {
        for version in [9, 12, 13] {
            if version < 10 && asked.iter().any(|topic| topic.name.is_none()) {
                continue;
            }
            let asked = match version {
                9 if asked.iter().any(|topic| topic.topic_id != Uuid::ZERO) => continue,
                _ => Some(asked.clone()),
            };
            let answer = node.try_ask(version, &message!(MetadataRequest { topics: asked }));
            let answer = answer.map_or("closed".to_owned(), |answer| {
                let topic = |topic: &MetadataResponseTopic| {
                    format!(
                        "{} {} {} {}",
                        error(topic.error_code),
                        shown(topic.name.as_ref()),
                        id_shown(topic.topic_id, known),
                        topic.partitions.len()
                    )
                };
                let mut topics: Vec<String> = answer.topics.iter().map(topic).collect();
                // Kafka answers in the order of a hash.
                topics.sort();
                format!("{} {topics:?}", error(answer.error_code))
            });
            node.note(format_args!("metadata v{version}: {what}"), answer);
        }
    }
}

fn create(node: &mut Node, known: &[(Uuid, &str)]) {
    let good = || creation("names-new", 2, &[("retention.ms", "5000")]);
    let mut twice = creation("names-twice", 1, &[]);
    twice.topics.push(twice.topics[0].clone());
    let mut only_check = creation("names-checked", 1, &[]);
    only_check.validate_only = true;
    let mut null_config = creation("names-null", 1, &[("retention.ms", "1")]);
    null_config.topics[0].configs[0].value = None;
    let mut none = creation("names-zero", 0, &[]);
    none.topics[0].replication_factor = 1;
    let mut twice_set = creation("names-set", 1, &[("retention.ms", "1"), ("retention.ms", "2")]);
    twice_set.topics[0].name = "names-set".into();
    for (what, request) in [
        ("a topic", good()),
        ("a topic that exists", good()),
        ("a topic twice", twice),
        ("a check", only_check),
        ("a null value", null_config),
        ("a setting twice", twice_set),
        ("no partitions", none),
        ("invalid name", creation("a b", 1, &[])),
        ("empty name", creation("", 1, &[])),
        ("unknown key", creation("names-key", 1, &[("retention.msec", "5")])),
        ("no topics", message!(CreateTopicsRequest { timeout_ms: 1000 })),
    ] {
        let answer = node.try_ask(7, &request);
        let answer = answer.map_or("closed".to_owned(), |answer| {
            let topic = |topic: &CreatableTopicResult| {
                let configs = match &topic.configs {
                    None => "null",
                    Some(configs) if configs.is_empty() => "none",
                    Some(_) => "configs",
                };
                format!(
                    "{} {:?} {} {} {} x{} {configs} {}",
                    error(topic.error_code),
                    &*topic.name,
                    there(topic.error_message.as_ref()),
                    id_shown(topic.topic_id, known),
                    topic.num_partitions,
                    topic.replication_factor,
                    topic.topic_config_error_code,
                )
            };
            format!("{:?}", answer.topics.iter().map(topic).collect::<Vec<_>>())
        });
        node.note(format_args!("create: {what}"), answer);
    }
}

fn delete(node: &mut Node, known: &[(Uuid, &str)]) {
    let named = |name: &str| message!(DeleteTopicState { name: Some(name.into()) });
    let identified = |id: Uuid| message!(DeleteTopicState { topic_id: id });
    let both =
        |id: Uuid, name: &str| message!(DeleteTopicState { topic_id: id, name: Some(name.into()) });
    let (one, two, unknown) = (known[0].0, known[1].0, known[2].0);
    for (what, topics) in [
        ("unknown name", vec![named("names-none")]),
        ("unknown id", vec![identified(unknown)]),
        ("neither", vec![identified(Uuid::ZERO)]),
        ("id and name in one", vec![both(one, "names-one")]),
        ("unknown name twice", vec![named("names-none"), named("names-none")]),
        ("id twice", vec![identified(one), identified(one)]),
        ("name and id of one topic", vec![named("names-one"), identified(one)]),
        ("name twice", vec![named("names-one"), named("names-one")]),
        ("name", vec![named("names-one")]),
        ("id", vec![identified(two)]),
    ] {
        let request = message!(DeleteTopicsRequest { topics: topics, timeout_ms: 10_000 });
        let answer = node.try_ask(6, &request);
        let answer = answer.map_or("closed".to_owned(), |answer| {
            let topic = |topic: &DeletableTopicResult| {
                format!(
                    "{} {} {} {}",
                    error(topic.error_code),
                    shown(topic.name.as_ref()),
                    id_shown(topic.topic_id, known),
                    there(topic.error_message.as_ref()),
                )
            };
            let mut topics: Vec<String> = answer.responses.iter().map(topic).collect();
            topics.sort();
            format!("{topics:?}")
        });
        node.note(format_args!("delete: {what}"), answer);
    }
    let request = message!(DeleteTopicsRequest {
        topic_names: vec!["names-none".into()],
        timeout_ms: 10_000,
    });
    let answer = node.ask(4, &request).responses.remove(0);
    let answer = format!("{} {}", error(answer.error_code), shown(answer.name.as_ref()));
    node.note("delete v4: unknown name", answer);
}
