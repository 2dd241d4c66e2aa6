//! CreatePartitions: placement and checks as in Kafka.

use std::collections::BTreeMap;

use super::*;
use crate::wire::messages::CreatePartitionsRequest;
use crate::wire::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};

fn more(name: &str, count: i32) -> CreatePartitionsTopic {
    let mut topic = CreatePartitionsTopic::default();
    topic.name = name.into();
    topic.count = count;
    topic.assignments = None;
    topic
}

fn on(name: &str, count: i32, replicas: &[&[i32]]) -> CreatePartitionsTopic {
    let mut topic = more(name, count);
    let assignments = replicas.iter().map(|ids| {
        let mut assignment = CreatePartitionsAssignment::default();
        assignment.broker_ids = ids.to_vec();
        assignment
    });
    topic.assignments = Some(assignments.collect());
    topic
}

fn ask(
    cluster: &mut Cluster,
    topics: Vec<CreatePartitionsTopic>,
    validate_only: bool,
) -> Vec<(ErrorCode, String)> {
    let mut request = CreatePartitionsRequest::default();
    request.topics = topics;
    request.validate_only = validate_only;
    let decision = cluster.controller.create_partitions(cluster.now, &request);
    let response = cluster.commit(decision);
    let results = response.results.iter().map(|result| {
        let text = result.error_message.as_ref().map(ToString::to_string);
        (ErrorCode::from_code(result.error_code), text.unwrap_or_default())
    });
    results.collect()
}

#[test]
fn new_partitions_follow_the_present_ones_with_as_many_replicas() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.create(topic("orders", 2, 3)).unwrap();
    let before = cluster.image().topic("orders").unwrap().partitions.clone();
    assert_eq!(ask(&mut cluster, vec![more("orders", 6)], false)[0].0, ErrorCode::None);
    let orders = cluster.image().topic("orders").unwrap();
    assert_eq!(orders.partitions.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    for (index, state) in orders.partitions.iter() {
        assert_eq!((state.replicas.len(), &state.isr), (3, &state.replicas));
        assert!(before.get(index).is_none_or(|known| known == state));
    }
    let leaders = orders.partitions.values().filter_map(|state| state.leader);
    let mut counts: BTreeMap<BrokerId, i32> = BTreeMap::new();
    leaders.for_each(|leader| *counts.entry(leader).or_default() += 1);
    assert!(counts.values().all(|count| *count <= 3), "{counts:?}");
}

#[test]
fn manual_assignment_is_taken_if_it_fits_the_topic() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.create(topic("orders", 1, 2)).unwrap();
    let bad = ErrorCode::InvalidReplicaAssignment;
    for (asked, why) in [
        (on("orders", 3, &[&[1, 2]]), "only 1 assignment(s)"),
        (on("orders", 2, &[&[1, 2, 3]]), "not consistent with previous partitions"),
        (on("orders", 2, &[&[1, 9]]), "includes broker 9"),
        (on("orders", 2, &[&[1, 1]]), "broker 1 more than once"),
    ] {
        let (error, text) = ask(&mut cluster, vec![asked], false).remove(0);
        assert!(error == bad && text.contains(why), "{error:?} {text}");
    }
    let asked = on("orders", 3, &[&[3, 1], &[2, 3]]);
    assert_eq!(ask(&mut cluster, vec![asked], false)[0].0, ErrorCode::None);
    let orders = cluster.image().topic("orders").unwrap();
    assert_eq!(orders.partitions[&1].replicas, [BrokerId(3), BrokerId(1)]);
    assert_eq!(orders.partitions[&2].leader, Some(BrokerId(2)));
}

#[test]
fn what_is_no_increase_is_refused_and_changes_nothing() {
    let mut cluster = Cluster::of(&[1]);
    cluster.create(topic("orders", 3, 1)).unwrap();
    let before = cluster.image().clone();
    let asked = vec![more("orders", 3), more("none", 3), more("twice", 2), more("twice", 3)];
    let answers = ask(&mut cluster, asked, false);
    let texts: Vec<&str> = answers.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["Topic already has 3 partition(s).", "", "Duplicate topic name.",]);
    let fewer = ask(&mut cluster, vec![more("orders", 2)], false).remove(0);
    let text = "The topic orders currently has 3 partition(s); 2 would not be an increase.";
    assert_eq!(fewer, (ErrorCode::InvalidPartitions, text.into()));
    for count in [i32::MIN, -1, 0] {
        let refused = ask(&mut cluster, vec![more("orders", count)], false).remove(0);
        assert_eq!(refused.0, ErrorCode::InvalidPartitions);
    }
    let huge = ask(&mut cluster, vec![more("orders", i32::MAX)], false).remove(0);
    assert_eq!(huge.0, ErrorCode::PolicyViolation);
    assert_eq!(ask(&mut cluster, vec![more("orders", 9)], true)[0].0, ErrorCode::None);
    assert_eq!(*cluster.image(), before, "validating changes nothing either");
}
