//! Topics: placement, validation as in Kafka, settings and deletion.

use std::collections::BTreeMap;

use super::*;
use crate::wire::messages::delete_topics_request::DeleteTopicState;
use crate::wire::messages::{CreateTopicsResponse, DeleteTopicsRequest};

fn create_all(cluster: &mut Cluster, topics: Vec<CreatableTopic>) -> CreateTopicsResponse {
    let mut request = CreateTopicsRequest::default();
    request.topics = topics;
    let decision = cluster.controller.create_topics(cluster.now, &request);
    cluster.commit(decision)
}

#[test]
fn replicas_and_leaders_are_spread_over_brokers() {
    let mut cluster = Cluster::of(&[1, 2, 3, 4]);
    cluster.create(topic("orders", 40, 3)).unwrap();
    let orders = cluster.image().topic("orders").unwrap();
    let (mut leaders, mut copies) = (BTreeMap::new(), BTreeMap::new());
    for state in orders.partitions.values() {
        assert_eq!((state.replicas.len(), &state.isr), (3, &state.replicas));
        assert_eq!(state.leader, Some(state.replicas[0]));
        *leaders.entry(state.replicas[0]).or_insert(0) += 1;
        for id in &state.replicas {
            *copies.entry(*id).or_insert(0) += 1;
        }
        let mut distinct = state.replicas.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 3);
        assert_eq!(state.directory_of(state.replicas[1]), directory(state.replicas[1].0));
    }
    assert!(leaders.values().all(|count| *count == 10), "{leaders:?}");
    assert!(copies.values().all(|count| *count == 30), "{copies:?}");
}

#[test]
fn replicas_are_spread_over_racks() {
    let mut cluster = Cluster::new();
    for id in 1..=6 {
        let mut request = cluster.registration(id, BrokerEpoch::NONE);
        request.rack = Some(format!("rack-{}", id % 3).into());
        cluster.register(&request).unwrap();
        cluster.heartbeat(id);
    }
    cluster.create(topic("orders", 30, 3)).unwrap();
    for state in cluster.image().topic("orders").unwrap().partitions.values() {
        let mut racks: Vec<_> = state.replicas.iter().map(|id| id.0 % 3).collect();
        racks.sort_unstable();
        assert_eq!(racks, [0, 1, 2], "{:?}", state.replicas);
    }
}

#[test]
fn fenced_broker_gets_replicas_last_and_never_leads() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.fence(3);
    cluster.create(topic("small", 20, 2)).unwrap();
    for state in cluster.image().topic("small").unwrap().partitions.values() {
        assert!(!state.replicas.contains(&BrokerId(3)));
    }
    cluster.create(topic("wide", 20, 3)).unwrap();
    for state in cluster.image().topic("wide").unwrap().partitions.values() {
        assert_ne!(state.replicas[0], BrokerId(3));
        assert!(!state.isr.contains(&BrokerId(3)));
    }
    assert_eq!(cluster.create(topic("wider", 1, 4)), Err(ErrorCode::InvalidReplicationFactor));
}

#[test]
fn invalid_counts_are_rejected_and_minus_one_is_the_default() {
    let mut cluster = Cluster::of(&[1]);
    for copies in [0, -2] {
        let refused = cluster.create(topic("orders", 1, copies));
        assert_eq!(refused, Err(ErrorCode::InvalidReplicationFactor));
    }
    for partitions in [0, -2] {
        let refused = cluster.create(topic("orders", partitions, 1));
        assert_eq!(refused, Err(ErrorCode::InvalidPartitions));
    }
    let refused = cluster.create(topic("orders", i32::MAX, 1));
    assert_eq!(refused, Err(ErrorCode::PolicyViolation));
    assert_eq!(cluster.create(topic("orders", -1, -1)), Ok(()));
    assert_eq!(cluster.image().topic("orders").unwrap().partitions.len(), 1);
}

#[test]
fn no_topic_is_placed_while_all_brokers_are_fenced() {
    let mut cluster = Cluster::of(&[1]);
    cluster.fence(1);
    assert_eq!(cluster.create(topic("orders", 1, 1)), Err(ErrorCode::InvalidReplicationFactor));
}

#[test]
fn topic_names_that_kafka_rejects_are_rejected() {
    let mut cluster = Cluster::of(&[1]);
    let long = "x".repeat(250);
    for name in ["", ".", "..", "a b", "a/b", "ä", &long] {
        let refused = cluster.create(topic(name, 1, 1));
        assert_eq!(refused, Err(ErrorCode::InvalidTopicException), "{name}");
    }
    assert_eq!(cluster.create(topic(&long[1..], 1, 1)), Ok(()));
    let metadata = cluster.create(topic("__cluster_metadata", 1, 1));
    assert_eq!(metadata, Err(ErrorCode::TopicAuthorizationFailed));
    assert_eq!(cluster.create(topic("a.b", 1, 1)), Ok(()));
    let colliding = cluster.create(topic("a_b", 1, 1));
    assert_eq!(colliding, Err(ErrorCode::InvalidTopicException));
    assert_eq!(cluster.create(topic("a.b", 1, 1)), Err(ErrorCode::TopicAlreadyExists));
    let mut request = crate::wire::messages::DeleteTopicsRequest::default();
    request.topic_names = vec!["a.b".into()];
    let decision = cluster.controller.delete_topics(cluster.now, &request);
    cluster.commit(decision);
    assert_eq!(cluster.create(topic("a_b", 1, 1)), Ok(()));
}

#[test]
fn duplicate_name_is_rejected_once_and_others_are_created() {
    let mut cluster = Cluster::of(&[1]);
    let answer = create_all(
        &mut cluster,
        vec![topic("twice", 1, 1), topic("once", 2, 1), topic("twice", 1, 1)],
    );
    let codes: Vec<_> = answer.topics.iter().map(|t| (t.name.to_string(), t.error_code)).collect();
    let refused = ErrorCode::InvalidRequest.code();
    assert_eq!(codes, [("twice".to_owned(), refused), ("once".to_owned(), 0)]);
    assert!(cluster.image().topic("twice").is_none());
}

#[test]
fn each_creation_of_a_topic_has_its_own_id() {
    let mut cluster = Cluster::of(&[1]);
    create_all(&mut cluster, vec![topic("a", 1, 1), topic("b", 1, 1)]);
    let first = cluster.image().topic("a").unwrap().id;
    assert_ne!(first, cluster.image().topic("b").unwrap().id);
    assert_eq!(delete(&mut cluster, Some("a"), TopicId::ZERO), Ok(()));
    cluster.create(topic("a", 1, 1)).unwrap();
    assert_ne!(first, cluster.image().topic("a").unwrap().id);
}

#[test]
fn topic_settings_are_checked_stored_and_returned() {
    let mut cluster = Cluster::of(&[1]);
    let with = |configs: &[(&str, &str)]| {
        let mut topic = topic("orders", 1, 1);
        topic.configs = settings(configs);
        topic
    };
    for bad in [
        &[("min.insync.replica", "2")][..],
        &[("min.insync.replicas", "two")],
        &[("min.insync.replicas", "0")],
        &[("segment.bytes", "1")],
    ] {
        assert_eq!(cluster.create(with(bad)), Err(ErrorCode::InvalidConfig), "{bad:?}");
    }
    let mut null = with(&[("retention.ms", "1")]);
    null.configs[0].value = None;
    assert_eq!(cluster.create(null), Err(ErrorCode::InvalidConfig));
    let answer = create_all(&mut cluster, vec![with(&[("min.insync.replicas", "2")])]);
    let configs = answer.topics[0].configs.as_ref().unwrap();
    let found = configs.iter().find(|entry| &*entry.name == "min.insync.replicas").unwrap();
    assert_eq!((found.value.as_deref(), found.config_source), (Some("2"), 1));
    let config = cluster.image().topic_config("orders", BrokerId(0), &TopicConfig::default());
    assert_eq!(config.min_insync_replicas, 2);
    assert_eq!(cluster.image().topic_overrides("orders").len(), 1);
}

#[test]
fn rejected_topic_has_an_empty_list_of_settings() {
    let mut cluster = Cluster::of(&[1]);
    let answer = create_all(&mut cluster, vec![topic("..", 1, 1)]);
    assert_eq!(answer.topics[0].configs, Some(Vec::new()));
}

#[test]
fn settings_for_all_brokers_are_topic_defaults() {
    let mut cluster = Cluster::of(&[1]);
    cluster.create(topic("orders", 1, 1)).unwrap();
    let record = ConfigRecord {
        resource_type: ConfigRecord::BROKER,
        resource: String::new(),
        name: "min.insync.replicas".into(),
        value: Some("3".into()),
    };
    cluster.commit(Decision::new(vec![Record::Config(record)], ()));
    let config = cluster.image().topic_config("orders", BrokerId(0), &TopicConfig::default());
    assert_eq!(config.min_insync_replicas, 3);
}

#[test]
fn validate_only_creates_nothing() {
    let cluster = Cluster::of(&[1]);
    let mut request = CreateTopicsRequest::default();
    request.topics = vec![topic("orders", 3, 1)];
    request.validate_only = true;
    let decision = cluster.controller.create_topics(cluster.now, &request);
    assert!(decision.records.is_empty());
    assert_eq!(
        (decision.response.topics[0].error_code, decision.response.topics[0].num_partitions),
        (0, 3)
    );
}

#[test]
fn manual_assignments_are_validated_and_kept() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.fence(3);
    let mut create = |partitions: &[(i32, &[i32])]| {
        let assignment = |(index, replicas): &(i32, &[i32])| {
            let mut assignment = CreatableReplicaAssignment::default();
            assignment.partition_index = *index;
            assignment.broker_ids = replicas.to_vec();
            assignment
        };
        let mut topic = topic("t", -1, -1);
        topic.assignments = partitions.iter().map(assignment).collect();
        cluster.create(topic)
    };
    for bad in [
        &[(0, &[][..])][..],
        &[(0, &[9])],
        &[(0, &[1, 1])],
        &[(0, &[3])],
        &[(0, &[1]), (2, &[2])],
        &[(0, &[1]), (1, &[1, 2])],
        &[(0, &[1]), (0, &[2])],
    ] {
        assert_eq!(create(bad), Err(ErrorCode::InvalidReplicaAssignment), "{bad:?}");
    }
    assert_eq!(create(&[(1, &[2, 1]), (0, &[3, 2])]), Ok(()));
    assert_eq!((cluster.leader(), cluster.isr()), (Some(2), vec![2]));
    let mut both = topic("u", 1, -1);
    both.assignments = vec![CreatableReplicaAssignment::default()];
    assert_eq!(cluster.create(both), Err(ErrorCode::InvalidRequest));
}

fn delete(cluster: &mut Cluster, name: Option<&str>, id: TopicId) -> Result<(), ErrorCode> {
    let mut state = DeleteTopicState::default();
    state.name = name.map(Into::into);
    state.topic_id = id.into();
    let mut request = DeleteTopicsRequest::default();
    request.topics = vec![state];
    let decision = cluster.controller.delete_topics(cluster.now, &request);
    let answer = cluster.commit(decision);
    ErrorCode::from_code(answer.responses[0].error_code).check()
}

#[test]
fn topics_are_deleted_by_name_or_id_with_their_settings() {
    let mut cluster = Cluster::of(&[1]);
    let id = cluster.topic(&[1], &[("min.insync.replicas", "2")]);
    assert_eq!(delete(&mut cluster, Some("t"), id), Err(ErrorCode::InvalidRequest));
    assert_eq!(delete(&mut cluster, None, TopicId::ZERO), Err(ErrorCode::InvalidRequest));
    assert_eq!(delete(&mut cluster, None, id), Ok(()));
    assert_eq!(cluster.changes, [Change::TopicDeleted { topic: "t".into(), topic_id: id }]);
    assert!(cluster.image().topic("t").is_none() && cluster.image().topic_by_id(id).is_none());
    assert!(cluster.image().topic_overrides("t").is_empty());
    assert_eq!(delete(&mut cluster, None, id), Err(ErrorCode::UnknownTopicId));
    let again = delete(&mut cluster, Some("t"), TopicId::ZERO);
    assert_eq!(again, Err(ErrorCode::UnknownTopicOrPartition));
    cluster.topic(&[1], &[]);
    let mut old = DeleteTopicsRequest::default();
    old.topic_names = vec!["t".into()];
    let decision = cluster.controller.delete_topics(cluster.now, &old);
    assert_eq!(cluster.commit(decision).responses[0].error_code, 0);
}
