//! Requests that are refused, in Kafka's words. None of them changes anything.

use super::*;

#[test]
fn requests_that_no_correct_client_sends_are_invalid() {
    let edited = |edit: &dyn Fn(&mut Request)| {
        let mut request = join("a", &["orders"]);
        edit(&mut request);
        request
    };
    let cases = [
        (
            edited(&|r| (r.member_id, r.group_id) = (" ".into(), "".into())),
            "MemberId can't be empty.",
        ),
        (beat("", -1), "MemberId can't be empty."),
        (edited(&|r| r.group_id = " ".into()), "GroupId can't be empty."),
        (edited(&|r| r.instance_id = Some("".into())), "InstanceId can't be empty."),
        (edited(&|r| r.rack_id = Some("\t".into())), "RackId can't be empty."),
        (
            edited(&|r| r.rebalance_timeout_ms = -1),
            "RebalanceTimeoutMs must be provided in first request.",
        ),
        (
            edited(&|r| r.topic_partitions = None),
            "TopicPartitions must be empty when (re-)joining.",
        ),
        (
            edited(&|r| r.topic_partitions = owned(&[(ORDERS, &[0])])),
            "TopicPartitions must be empty when (re-)joining.",
        ),
        (
            edited(&|r| r.subscribed_topic_names = None),
            "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when \
             (re-)joining.",
        ),
        (beat("a", -2), "InstanceId can't be null."),
        (beat("a", -3), "MemberEpoch is invalid."),
    ];
    let mut shell = Shell::new(2, 1);
    for (request, text) in cases {
        assert_eq!(shell.refused(&request), (ErrorCode::InvalidRequest, text.to_owned()));
    }
    let empty = shell.send(0, &join("", &["orders"]));
    assert_eq!(empty.error_code, 0, "version 0 leaves the member id to the coordinator");
}

#[test]
fn assignor_that_is_not_configured_is_refused() {
    let mut shell = Shell::new(2, 1);
    let mut request = join("a", &["orders"]);
    request.server_assignor = Some("sticky".into());
    let text = "ServerAssignor sticky is not supported. Supported assignors: uniform, range.";
    assert_eq!(shell.refused(&request), (ErrorCode::UnsupportedAssignor, text.to_owned()));
    shell.settings.assignors = vec!["uniform".to_owned()];
    request.server_assignor = Some("range".into());
    assert_eq!(shell.refused(&request).0, ErrorCode::UnsupportedAssignor);
}

#[test]
fn group_is_created_by_members_that_join_only() {
    let mut shell = Shell::new(2, 1);
    let text = "Consumer group g not found.".to_owned();
    for epoch in [-1, 4] {
        let refused = shell.refused(&beat("a", epoch));
        assert_eq!(refused, (ErrorCode::GroupIdNotFound, text.clone()));
    }
}

#[test]
fn members_that_are_not_in_the_group_are_unknown() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join("a", &["orders"]));
    let text = "Member b is not a member of group g.".to_owned();
    for epoch in [-1, 2] {
        let refused = shell.refused(&beat("b", epoch));
        assert_eq!(refused, (ErrorCode::UnknownMemberId, text.clone()));
    }
    for epoch in [-2, -1, 2] {
        let mut request = leave_static("b", "two");
        request.member_epoch = epoch;
        let refused = shell.refused(&request);
        assert_eq!(refused, (ErrorCode::UnknownMemberId, "Instance id two is unknown.".into()));
    }
}

#[test]
fn epochs_that_the_member_was_not_given_are_fenced() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join("a", &["orders"]));
    let (error, text) = shell.refused(&beat("a", 3));
    assert_eq!(error, ErrorCode::FencedMemberEpoch);
    assert_eq!(
        text,
        "The consumer group member has a greater member epoch (3) than the one known by the group \
         coordinator (2). The member must abandon all its partitions and rejoin."
    );
    let (error, text) = shell.refused(&beat_owning("a", 1, &[(ORDERS, &[0])]));
    assert_eq!(error, ErrorCode::FencedMemberEpoch);
    assert!(text.contains("a smaller member epoch (1)"), "{text}");
}

#[test]
fn instance_id_in_use_is_not_released_to_another_member() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join_static("a", "one"));
    let (error, text) = shell.refused(&join_static("b", "one"));
    assert_eq!(error, ErrorCode::UnreleasedInstanceId);
    assert_eq!(
        text,
        "Static member b with instance id one cannot join the group because the instance id is \
         owned by a member."
    );
}

#[test]
fn replaced_static_member_is_fenced() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join_static("a", "one"));
    shell.accepted(&leave_static("a", "one"));
    shell.accepted(&join_static("b", "one"));
    for epoch in [-2, -1, 2] {
        let mut request = leave_static("a", "one");
        request.member_epoch = epoch;
        let text = "Static member a with instance id one was fenced by member b.".to_owned();
        assert_eq!(shell.refused(&request), (ErrorCode::FencedInstanceId, text));
    }
}

#[test]
fn member_keeps_its_instance_id() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join_static("a", "one"));
    for request in [join_static("a", "two"), join("a", &["orders"])] {
        assert_eq!(shell.refused(&request).0, ErrorCode::InvalidRequest);
    }
}

#[test]
fn full_group_refuses_new_members_only() {
    let mut shell = Shell::new(2, 1);
    shell.settings.max_size = 1;
    shell.accepted(&join("a", &["orders"]));
    let text = "The consumer group has reached its maximum capacity of 1 members.".to_owned();
    let refused = shell.refused(&join("b", &["orders"]));
    assert_eq!(refused, (ErrorCode::GroupMaxSizeReached, text));
    shell.accepted(&join("a", &["orders"]));
    shell.accepted(&beat("a", 2));
}

#[test]
fn patterns_without_meaning_are_refused() {
    let mut shell = Shell::new(2, 1);
    for pattern in ["(", "a)|(b", "[", "*"] {
        let (error, text) = shell.refused(&join_pattern("a", pattern));
        assert_eq!(error, ErrorCode::InvalidRegularExpression, "{pattern}");
        let start = format!("SubscribedTopicRegex `{pattern}` is not a valid regular expression: ");
        assert!(text.starts_with(&start) && !text.contains('\n'), "{text}");
    }
}

#[test]
fn member_in_a_state_of_a_newer_version_must_start_over() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join("a", &["orders"]));
    let Some(Record::CurrentAssignment { group, member, value }) = shell.log.pop() else {
        panic!("the last record is the member's assignment")
    };
    let value = value.map(|mut value| {
        value.state = 127;
        value
    });
    shell.log.push(Record::CurrentAssignment { group, member, value });
    shell.fail_over(shell.log.len());
    shell.accepted(&join("b", &["orders"]));
    assert_eq!(shell.refused(&beat("a", 2)).0, ErrorCode::FencedMemberEpoch);
    let back = shell.accepted(&beat_owning("a", 2, &[]));
    assert_eq!((back.member_epoch, assigned(&back)), (3, orders(&[0])));
}
