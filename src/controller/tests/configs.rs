//! Settings that change while brokers run: checks as in Kafka, and what they do to an ELR.

use super::*;
use crate::wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use crate::wire::messages::{
    AlterConfigsRequest, IncrementalAlterConfigsRequest, alter_configs_request,
};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

fn resource(kind: i8, name: &str, changes: &[(&str, i8, Option<&str>)]) -> AlterConfigsResource {
    let mut resource = AlterConfigsResource::default();
    resource.resource_type = kind;
    resource.resource_name = name.into();
    resource.configs = changes
        .iter()
        .map(|(key, operation, value)| {
            let mut config = AlterableConfig::default();
            config.name = (*key).into();
            config.config_operation = *operation;
            config.value = value.map(Into::into);
            config
        })
        .collect();
    resource
}

pub(super) fn alter(
    cluster: &mut Cluster,
    resources: Vec<AlterConfigsResource>,
) -> Vec<(ErrorCode, String)> {
    let mut request = IncrementalAlterConfigsRequest::default();
    request.resources = resources;
    let decision = cluster.controller.alter_configs(cluster.now, &request);
    let response = cluster.commit(decision);
    let told = response.responses.iter().map(|told| {
        let text = told.error_message.as_ref().map(ToString::to_string);
        (ErrorCode::from_code(told.error_code), text.unwrap_or_default())
    });
    told.collect()
}

pub(super) fn topic_t(changes: &[(&str, i8, Option<&str>)]) -> Vec<AlterConfigsResource> {
    vec![resource(TOPIC, "t", changes)]
}

fn config(cluster: &Cluster) -> TopicConfig {
    cluster.image().topic_config("t", BrokerId(0), &TopicConfig::default())
}

#[test]
fn single_settings_are_set_and_return_to_their_defaults() {
    let mut cluster = Cluster::of(&[1]);
    cluster.topic(&[1], &[("retention.ms", "5000")]);
    let changes = [("retention.bytes", SET, Some("77")), ("retention.ms", DELETE, None)];
    assert_eq!(alter(&mut cluster, topic_t(&changes))[0].0, ErrorCode::None);
    let now = config(&cluster);
    assert_eq!(
        (now.retention_bytes, now.retention_ms),
        (Some(77), TopicConfig::default().retention_ms)
    );
    let log = cluster.log.len();
    assert_eq!(alter(&mut cluster, topic_t(&changes))[0].0, ErrorCode::None);
    assert_eq!(cluster.log.len(), log, "what is so already needs no record");
}

#[test]
fn lists_are_appended_to_and_subtracted_from() {
    let mut cluster = Cluster::of(&[1]);
    cluster.topic(&[1], &[]);
    alter(&mut cluster, topic_t(&[("cleanup.policy", APPEND, Some("compact"))]));
    let policy = config(&cluster).cleanup_policy;
    assert!(policy.compact && policy.delete, "the default is part of the list");
    alter(&mut cluster, topic_t(&[("cleanup.policy", SUBTRACT, Some("delete"))]));
    let policy = config(&cluster).cleanup_policy;
    assert!(policy.compact && !policy.delete);
    let (error, text) =
        alter(&mut cluster, topic_t(&[("retention.ms", APPEND, Some("1"))])).remove(0);
    assert_eq!(error, ErrorCode::InvalidConfig);
    assert_eq!(text, "Can't APPEND to key retention.ms because its type is not LIST.");
}

#[test]
fn entries_of_a_list_are_what_is_between_commas_as_in_kafka() {
    let mut cluster = Cluster::of(&[1]);
    cluster.topic(&[1], &[]);
    let mut ask = |operation: i8, value: &str| {
        let change = [("cleanup.policy", operation, Some(value))];
        let (error, _) = alter(&mut cluster, topic_t(&change)).remove(0);
        let own = cluster.image().overrides(TOPIC, "t").get("cleanup.policy");
        (error, own.cloned().unwrap_or_default())
    };
    let spaced = " compact , delete ".to_owned();
    assert_eq!(ask(SET, &spaced), (ErrorCode::None, spaced.clone()));
    assert_eq!(ask(SUBTRACT, "delete"), (ErrorCode::None, spaced));
    assert_eq!(ask(SET, "compact"), (ErrorCode::None, "compact".into()));
    assert_eq!(ask(APPEND, ""), (ErrorCode::InvalidConfig, "compact".into()));
    assert_eq!(ask(APPEND, ","), (ErrorCode::None, "compact".into()));
    assert_eq!(ask(APPEND, "delete,"), (ErrorCode::None, "compact,delete".into()));
    assert_eq!(ask(SUBTRACT, "compact,delete"), (ErrorCode::None, String::new()));
}

#[test]
fn a_value_is_judged_before_its_topic_is_looked_for() {
    let mut cluster = Cluster::of(&[1]);
    let mut ask = |name: &str, value: &str| {
        let asked = resource(TOPIC, name, &[("retention.ms", SET, Some(value))]);
        alter(&mut cluster, vec![asked]).remove(0).0
    };
    assert_eq!(ask("none", "-2"), ErrorCode::InvalidConfig);
    assert_eq!(ask("none", ""), ErrorCode::InvalidConfig);
    assert_eq!(ask("none", "5"), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(ask("a b", "-2"), ErrorCode::InvalidTopicException);
    assert_eq!(ask("", "5"), ErrorCode::InvalidRequest);
}

#[test]
fn changes_that_are_wrong_are_refused_whole() {
    let mut cluster = Cluster::of(&[1]);
    cluster.topic(&[1], &[]);
    let before = cluster.image().clone();
    let good = ("retention.bytes", SET, Some("5"));
    for (change, error, text) in [
        (("segment.ms", SET, Some("0")), ErrorCode::InvalidConfig, "segment.ms"),
        (("segment.mss", SET, Some("1")), ErrorCode::InvalidConfig, "unknown key `segment.mss`"),
        (
            ("segment.ms", SET, None),
            ErrorCode::InvalidRequest,
            "Null value not supported for : segment.ms",
        ),
        (("segment.ms", 7, Some("1")), ErrorCode::InvalidRequest, "Unknown operation type 7"),
        (("retention.bytes", SET, Some("6")), ErrorCode::InvalidRequest, "duplicate config keys"),
        (
            ("max.compaction.lag.ms", SET, Some("0")),
            ErrorCode::InvalidConfig,
            "max.compaction.lag.ms",
        ),
    ] {
        let (found, said) = alter(&mut cluster, topic_t(&[good, change])).remove(0);
        assert!(found == error && said.contains(text), "{change:?}: {found:?} {said}");
    }
    let none = alter(&mut cluster, vec![resource(TOPIC, "none", &[good])]).remove(0);
    let text = "The topic 'none' does not exist.";
    assert_eq!(none, (ErrorCode::UnknownTopicOrPartition, text.into()));
    let twice = vec![resource(TOPIC, "t", &[good]), resource(TOPIC, "t", &[good])];
    let twice = alter(&mut cluster, twice);
    assert!(twice.iter().all(|(error, _)| *error == ErrorCode::InvalidRequest), "{twice:?}");
    assert_eq!(*cluster.image(), before);
}

#[test]
fn setting_of_a_broker_counts_between_its_topics_and_all_brokers() {
    let mut cluster = Cluster::of(&[1, 2]);
    cluster.topic(&[1], &[]);
    let bytes = |cluster: &Cluster, broker| {
        let defaults = TopicConfig::default();
        cluster.image().topic_config("t", BrokerId(broker), &defaults).retention_bytes
    };
    let mut set = |kind, name: &str, key, value| {
        let done = alter(&mut cluster, vec![resource(kind, name, &[(key, SET, Some(value))])]);
        assert_eq!(done[0].0, ErrorCode::None, "{done:?}");
        (bytes(&cluster, 1), bytes(&cluster, 2))
    };
    assert_eq!(set(BROKER, "", "log.retention.bytes", "5"), (Some(5), Some(5)));
    assert_eq!(set(BROKER, "1", "log.retention.bytes", "6"), (Some(6), Some(5)));
    assert_eq!(set(TOPIC, "t", "retention.bytes", "7"), (Some(7), Some(7)));
    let gone = [("log.retention.bytes", DELETE, None)];
    alter(&mut cluster, vec![resource(BROKER, "1", &gone)]);
    alter(&mut cluster, topic_t(&[("retention.bytes", DELETE, None)]));
    assert_eq!((bytes(&cluster, 1), bytes(&cluster, 2)), (Some(5), Some(5)));
}

#[test]
fn setting_of_a_broker_that_cannot_change_is_refused() {
    let mut cluster = Cluster::of(&[1]);
    cluster.topic(&[1], &[]);
    let before = cluster.image().clone();
    for (name, key, value, error, text) in [
        ("1", "num.partitions", "5", ErrorCode::InvalidRequest, "dynamically: {num.partitions}"),
        ("", "node.id", "5", ErrorCode::InvalidRequest, "dynamically: {node.id}"),
        ("1", "log.cleaner.threads", "-1", ErrorCode::InvalidRequest, "at least 0"),
        ("1", "log.cleaner.thread", "1", ErrorCode::InvalidRequest, "log.cleaner.thread"),
        ("7", "log.cleaner.threads", "1", ErrorCode::BrokerIdNotRegistered, "id 7"),
        ("one", "log.cleaner.threads", "1", ErrorCode::InvalidRequest, "'one'"),
        ("-1", "log.cleaner.threads", "1", ErrorCode::InvalidRequest, "'-1'"),
        ("1", "min.insync.replicas", "2", ErrorCode::InvalidConfig, "while ELR is enabled"),
    ] {
        let change = [(key, SET, Some(value))];
        let (found, said) = alter(&mut cluster, vec![resource(BROKER, name, &change)]).remove(0);
        assert!(found == error && said.contains(text), "{name} {key}: {found:?} {said}");
    }
    let kind = alter(&mut cluster, vec![resource(9, "", &[("a", SET, Some("1"))])]).remove(0);
    assert_eq!(kind.0, ErrorCode::InvalidRequest);
    assert_eq!(*cluster.image(), before);
}

#[test]
fn min_insync_of_all_brokers_stays_while_elr_is_on() {
    let mut cluster = Cluster::of(&[1]);
    let set = [("min.insync.replicas", SET, Some("2"))];
    assert_eq!(alter(&mut cluster, vec![resource(BROKER, "", &set)])[0].0, ErrorCode::None);
    let gone = [("min.insync.replicas", DELETE, None)];
    let (error, text) = alter(&mut cluster, vec![resource(BROKER, "", &gone)]).remove(0);
    assert!(error == ErrorCode::InvalidConfig && text.contains("cannot be removed"), "{text}");
}

#[test]
fn settings_of_a_group_are_kept_within_limits() {
    let mut cluster = Cluster::of(&[1]);
    let change = |key, value| [(key, SET, Some(value))];
    let heartbeat = "consumer.heartbeat.interval.ms";
    let done = alter(&mut cluster, vec![resource(GROUP, "shop", &change(heartbeat, "6000"))]);
    assert_eq!(done[0].0, ErrorCode::None);
    assert_eq!(cluster.image().overrides(GROUP, "shop")[heartbeat], "6000");
    for (group, key, value, error, text) in [
        ("shop", heartbeat, "4999", ErrorCode::InvalidConfig, "at least"),
        ("shop", heartbeat, "soon", ErrorCode::InvalidConfig, "soon"),
        ("shop", "consumer.heartbeat.ms", "6000", ErrorCode::InvalidConfig, "unknown key"),
        ("", heartbeat, "6000", ErrorCode::InvalidRequest, "Default group resources"),
    ] {
        let changes = vec![resource(GROUP, group, &change(key, value))];
        let (found, said) = alter(&mut cluster, changes).remove(0);
        assert!(found == error && said.contains(text), "{group} {key}: {found:?} {said}");
    }
    alter(&mut cluster, vec![resource(GROUP, "shop", &[(heartbeat, DELETE, None)])]);
    assert!(cluster.image().overrides(GROUP, "shop").is_empty());
}

#[test]
fn alter_configs_drops_what_it_does_not_name() {
    let mut cluster = Cluster::of(&[1]);
    cluster.topic(&[1], &[("retention.ms", "5000"), ("retention.bytes", "7")]);
    let mut named = alter_configs_request::AlterableConfig::default();
    named.name = "retention.bytes".into();
    named.value = Some("8".into());
    let mut resource = alter_configs_request::AlterConfigsResource::default();
    resource.resource_type = TOPIC;
    resource.resource_name = "t".into();
    resource.configs = vec![named];
    let mut request = AlterConfigsRequest::default();
    request.resources = vec![resource];
    let decision = cluster.controller.alter_configs(cluster.now, &request);
    assert_eq!(cluster.commit(decision).responses[0].error_code, 0);
    let now = config(&cluster);
    assert_eq!(
        (now.retention_bytes, now.retention_ms),
        (Some(8), TopicConfig::default().retention_ms)
    );
}

#[test]
fn another_min_insync_replicas_voids_the_elr() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.topic(&[1, 2, 3], &[("min.insync.replicas", "3")]);
    cluster.fence(3);
    assert_eq!(cluster.elr(), [3]);
    let change = [("min.insync.replicas", SET, Some("2"))];
    alter(&mut cluster, topic_t(&change));
    assert_eq!(cluster.elr(), [0; 0], "it may lack what is committed from now on");
    assert_eq!(cluster.isr(), [1, 2]);
}
