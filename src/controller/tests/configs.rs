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

fn alter(cluster: &mut Cluster, resources: Vec<AlterConfigsResource>) -> Vec<(ErrorCode, String)> {
    let mut request = IncrementalAlterConfigsRequest::default();
    request.resources = resources;
    let decision = cluster.controller.incremental_alter_configs(cluster.now, &request);
    let response = cluster.commit(decision);
    let told = response.responses.iter().map(|told| {
        let text = told.error_message.as_ref().map(ToString::to_string);
        (ErrorCode::from_code(told.error_code), text.unwrap_or_default())
    });
    told.collect()
}

fn topic_t(changes: &[(&str, i8, Option<&str>)]) -> Vec<AlterConfigsResource> {
    vec![resource(TOPIC, "t", changes)]
}

fn config(cluster: &Cluster) -> TopicConfig {
    cluster.image().topic_config("t", &TopicConfig::default())
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
fn defaults_of_all_brokers_change_and_those_of_one_are_refused() {
    let mut cluster = Cluster::of(&[1]);
    cluster.topic(&[1], &[]);
    let change = [("log.retention.bytes", SET, Some("5"))];
    assert_eq!(alter(&mut cluster, vec![resource(BROKER, "", &change)])[0].0, ErrorCode::None);
    assert_eq!(config(&cluster).retention_bytes, Some(5));
    let one = alter(&mut cluster, vec![resource(BROKER, "1", &change)]).remove(0);
    assert!(one.0 == ErrorCode::InvalidRequest && one.1.contains("name no broker"), "{one:?}");
    let other = [("num.io.threads", SET, Some("5"))];
    let other = alter(&mut cluster, vec![resource(BROKER, "", &other)]).remove(0);
    assert!(other.1.contains("Cannot update these configs dynamically"), "{other:?}");
    let kind = alter(&mut cluster, vec![resource(9, "", &change)]).remove(0);
    assert_eq!(kind.0, ErrorCode::InvalidRequest);
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
