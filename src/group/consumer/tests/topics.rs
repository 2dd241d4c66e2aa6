//! Topics that change under a group, and regular expressions.

use super::*;
use crate::wire::messages::consumer_group_describe_response::DescribedGroup;

fn described(shell: &Shell) -> DescribedGroup {
    shell.group().describe(&shell.image, &shell.settings)
}

#[test]
fn new_partitions_reach_the_group_with_the_next_heartbeat() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join("a", &["orders"]));
    shell.create_partitions(PAYMENTS, 1..2);
    shell.accepted(&beat("a", 2));
    assert_eq!(shell.group().epoch(), 2, "it does not subscribe to that topic");
    shell.create_partitions(ORDERS, 2..3);
    let next = shell.accepted(&beat("a", 2));
    assert_eq!((next.member_epoch, assigned(&next)), (3, orders(&[0, 1, 2])));
}

#[test]
fn topic_that_is_created_after_the_join_is_assigned() {
    let mut shell = Shell::new(2, 1);
    let joined = shell.accepted(&join("a", &["later"]));
    assert_eq!((joined.member_epoch, assigned(&joined)), (2, Some(Vec::new())));
    shell.create_topic("later", topic_id(3), 1);
    let next = shell.accepted(&beat("a", 2));
    assert_eq!(assigned(&next), Some(vec![(topic_id(3), vec![0])]));
}

#[test]
fn topic_deleted_and_created_again_is_another_topic() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join("a", &["orders"]));
    shell.metadata(controller::Record::RemoveTopic(ORDERS));
    let told = shell.accepted(&beat("a", 2));
    assert_eq!((told.member_epoch, assigned(&told)), (2, Some(Vec::new())));
    shell.create_topic("orders", topic_id(7), 1);
    shell.accepted(&beat_owning("a", 2, &[]));
    let next = shell.accepted(&beat("a", shell.group().member("a").unwrap().epoch));
    shell.expect("a", 4, MemberState::Stable, &[(topic_id(7), &[0])]);
    assert_eq!(next.member_epoch, 4);
}

#[test]
fn change_of_racks_is_a_change_of_metadata() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join("a", &["orders"]));
    shell.register(1, "b");
    assert_eq!(shell.accepted(&beat("a", 2)).member_epoch, 3, "KIP-1101");
    shell.register(2, "c");
    assert_eq!(shell.accepted(&beat("a", 3)).member_epoch, 3, "it has no replica");
}

#[test]
fn metadata_hash_is_that_of_kafka() {
    // What hash4j 0.22 computes for a topic `orders` with two partitions and without racks, whose id
    // is 01010101-0101-0101-0101-010101010101.
    let mut shell = Shell::empty();
    let id = TopicId([1; 16]);
    shell.metadata(controller::Record::Topic(TopicRecord { name: "orders".into(), id }));
    shell.create_partitions(id, 0..2);
    let names = ["missing", "orders"].into_iter();
    assert_eq!(super::super::hash::of(&shell.image, names), 2_418_189_869_542_540_743);
    assert_eq!(super::super::hash::of(&shell.image, ["missing"].into_iter()), 0);
}

#[test]
fn pattern_matches_whole_names_and_follows_new_topics() {
    let mut shell = Shell::new(2, 1);
    shell.create_topic("orders-eu", topic_id(3), 1);
    let joined = shell.accepted(&join_pattern("a", "orders-.*|pay"));
    assert_eq!(assigned(&joined), Some(vec![(topic_id(3), vec![0])]));
    shell.create_topic("orders-us", topic_id(4), 1);
    shell.accepted(&beat("a", 2));
    assert_eq!(shell.group().epoch(), 2, "patterns were resolved less than 10 s ago");
    shell.wait(seconds(10));
    let next = shell.accepted(&beat("a", 2));
    assert_eq!(assigned(&next), Some(vec![(topic_id(3), vec![0]), (topic_id(4), vec![0])]));
    let end = shell.log.len();
    for _ in 0..5 {
        shell.wait(seconds(10));
        shell.register(1, "a");
        shell.accepted(&beat("a", 3));
    }
    assert_eq!(shell.log.len(), end, "nothing changed");
    let described = described(&shell);
    assert_eq!(described.members[0].subscribed_topic_regex.as_deref(), Some("orders-.*|pay"));
    assert!(described.members[0].subscribed_topic_names.is_empty());
}

#[test]
fn pattern_of_the_last_member_with_it_is_forgotten() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join_pattern("a", "orders"));
    shell.accepted(&join_pattern("b", "orders"));
    let mut changes = beat_owning("a", 2, &[(ORDERS, &[0, 1])]);
    changes.subscribed_topic_regex = Some("".into());
    changes.subscribed_topic_names = Some(vec!["payments".into()]);
    shell.accepted(&changes);
    assert!(shell.group().subscribes_to("orders") && shell.group().subscribes_to("payments"));
    shell.accepted(&beat("b", -1));
    assert!(!shell.group().subscribes_to("orders"));
    let last = shell.log.iter().rev().find_map(|record| match record {
        Record::RegularExpression { pattern, value, .. } => Some((&**pattern, value.is_some())),
        _ => None,
    });
    assert_eq!(last, Some(("orders", false)));
}

#[test]
fn names_and_a_pattern_of_one_member_are_joined() {
    let mut shell = Shell::new(1, 1);
    let mut request = join_pattern("a", "pay.*");
    request.subscribed_topic_names = Some(vec!["orders".into()]);
    let joined = shell.accepted(&request);
    assert_eq!(assigned(&joined), Some(vec![(ORDERS, vec![0]), (PAYMENTS, vec![0])]));
}

#[test]
fn patterns_are_resolved_again_after_the_refresh_interval() {
    let mut shell = Shell::new(1, 1);
    shell.accepted(&join_pattern("a", "orders"));
    shell.wait(seconds(40));
    shell.accepted(&beat("a", 2));
    let end = shell.log.len();
    for _ in 0..14 {
        shell.wait(seconds(40));
        shell.accepted(&beat("a", 2));
    }
    assert_eq!(shell.log.len(), end, "600 s have passed");
    shell.wait(seconds(1));
    shell.accepted(&beat("a", 2));
    assert!(
        matches!(&shell.log[end..], [Record::RegularExpression { value: Some(_), .. }]),
        "601 s have passed"
    );
}

#[test]
fn description_shows_the_group_to_people() {
    let mut shell = Shell::new(2, 1);
    let mut request = join_static("a", "one");
    request.rack_id = Some("r".into());
    shell.accepted(&request);
    shell.accepted(&join("b", &["orders"]));
    shell.accepted(&{
        let mut told = beat("a", 2);
        told.instance_id = Some("one".into());
        told
    });
    let group = described(&shell);
    assert_eq!((&*group.group_id, &*group.group_state), ("g", "Reconciling"));
    assert_eq!((group.group_epoch, group.assignment_epoch), (3, 3));
    assert_eq!(&*group.assignor_name, "uniform");
    let a = &group.members[0];
    assert_eq!((&*a.member_id, a.member_epoch, a.member_type), ("a", 2, 1));
    assert_eq!((a.instance_id.as_deref(), a.rack_id.as_deref()), (Some("one"), Some("r")));
    assert_eq!((&*a.client_id, &*a.client_host), ("client", "/10.0.0.1"));
    assert_eq!(&*a.subscribed_topic_names[0], "orders");
    assert_eq!(&*a.assignment.topic_partitions[0].topic_name, "orders");
    assert_eq!(a.assignment.topic_partitions[0].partitions, [0]);
    let b = &group.members[1];
    assert!(b.assignment.topic_partitions.is_empty());
    assert_eq!(b.target_assignment.topic_partitions[0].partitions, [1]);
    let listed = shell.group().list();
    assert_eq!((&*listed.protocol_type, &*listed.group_type), ("consumer", "consumer"));
    assert_eq!(&*listed.group_state, "Reconciling");
}
