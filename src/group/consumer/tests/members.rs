//! Members that miss responses, come back, and are static.

use super::*;

#[test]
fn member_that_missed_the_response_may_send_its_previous_epoch() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join("a", &["orders"]));
    shell.accepted(&join("b", &["orders"]));
    shell.accepted(&beat("a", 2));
    shell.accepted(&beat_owning("a", 2, &[(ORDERS, &[0])]));
    shell.expect("a", 3, MemberState::Stable, &[(ORDERS, &[0])]);
    let again = shell.accepted(&beat_owning("a", 2, &[(ORDERS, &[0])]));
    assert_eq!(again.member_epoch, 3);
    let (error, _) = shell.refused(&beat_owning("a", 2, &[(ORDERS, &[0, 1])]));
    assert_eq!(error, ErrorCode::FencedMemberEpoch, "it still uses what it gave up");
    let (error, _) = shell.refused(&beat("a", 2));
    assert_eq!(error, ErrorCode::FencedMemberEpoch, "it does not tell what it owns");
}

#[test]
fn fenced_member_comes_back_with_epoch_zero() {
    // KAFKA-19233, in each state.
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join("a", &["orders"]));
    let again = shell.accepted(&join("a", &["orders"]));
    assert_eq!((again.member_epoch, assigned(&again)), (2, orders(&[0, 1])));
    shell.accepted(&join("b", &["orders"]));
    shell.accepted(&beat("a", 2));
    shell.expect("a", 2, MemberState::UnrevokedPartitions, &[(ORDERS, &[0])]);
    let waiting = shell.accepted(&join("b", &["orders"]));
    assert_eq!((waiting.member_epoch, assigned(&waiting)), (3, Some(Vec::new())));
    let again = shell.accepted(&join("a", &["orders"]));
    assert_eq!((again.member_epoch, assigned(&again)), (3, orders(&[0])));
}

#[test]
fn heartbeat_that_says_nothing_new_writes_nothing() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join("a", &["orders"]));
    let end = shell.log.len();
    for _ in 0..3 {
        shell.wait(seconds(5));
        let response = shell.accepted(&beat_owning("a", 2, &[(ORDERS, &[0, 1])]));
        assert_eq!((response.member_epoch, assigned(&response)), (2, None));
    }
    assert_eq!(shell.log.len(), end);
}

#[test]
fn full_request_is_answered_with_the_whole_assignment() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join("a", &["orders"]));
    let mut full = join("a", &["orders"]);
    full.member_epoch = 2;
    full.topic_partitions = owned(&[(ORDERS, &[0, 1])]);
    assert_eq!(assigned(&shell.accepted(&full)), orders(&[0, 1]));
}

#[test]
fn coordinator_makes_member_ids_for_clients_of_version_zero() {
    let mut shell = Shell::new(2, 1);
    let response = shell.send(0, &join("", &["orders"]));
    assert_eq!((response.error_code, response.member_id.as_deref()), (0, Some("made-1")));
    assert!(shell.group().member("made-1").is_some());
}

#[test]
fn static_member_that_comes_back_in_time_causes_no_rebalance() {
    let mut shell = Shell::new(4, 1);
    shell.accepted(&join_static("a", "one"));
    shell.accepted(&join_static("b", "two"));
    shell.accepted(&{
        let mut told = beat("a", 2);
        told.instance_id = Some("one".into());
        told
    });
    shell.accepted(&{
        let mut done = beat_owning("a", 2, &[(ORDERS, &[0, 1])]);
        done.instance_id = Some("one".into());
        done
    });
    shell.accepted(&beat("b", 3));
    assert_eq!(shell.group().state(), GroupState::Stable);

    let left = shell.accepted(&leave_static("b", "two"));
    assert_eq!((left.member_id.as_deref(), left.member_epoch), (Some("b"), -2));
    shell.wait(seconds(44));
    shell.accepted(&beat("a", 3));
    assert_eq!(shell.group().epoch(), 3);
    let back = shell.accepted(&join_static("c", "two"));
    assert_eq!((back.member_epoch, assigned(&back)), (3, orders(&[2, 3])));
    assert_eq!((shell.group().epoch(), shell.group().len()), (3, 2));
    shell.wait(seconds(44));
    assert!(shell.group().member("c").is_some(), "the session of b is not that of c");
}

#[test]
fn static_member_that_stays_away_is_fenced_after_its_session() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join_static("a", "one"));
    shell.accepted(&leave_static("a", "one"));
    shell.wait(seconds(45));
    assert!(shell.group().is_empty());
}

#[test]
fn static_member_that_left_while_revoking_releases_what_it_had_to_revoke() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join_static("a", "one"));
    shell.accepted(&join("b", &["orders"]));
    let mut told = beat("a", 2);
    told.instance_id = Some("one".into());
    shell.accepted(&told);
    shell.accepted(&leave_static("a", "one"));
    assert_eq!(assigned(&shell.accepted(&beat("b", 3))), orders(&[1]));
    shell.wait(seconds(31));
    assert_eq!(shell.group().len(), 2, "it has nothing to revoke any more");
    let back = shell.accepted(&join_static("c", "one"));
    assert_eq!((back.member_epoch, assigned(&back)), (3, orders(&[0])));
}

#[test]
fn static_member_that_missed_a_response_joins_again_with_its_id() {
    // apache/kafka#23542.
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join_static("a", "one"));
    let again = shell.accepted(&join_static("a", "one"));
    assert_eq!((again.member_epoch, assigned(&again)), (2, orders(&[0, 1])));
    shell.accepted(&leave_static("a", "one"));
    let back = shell.accepted(&join_static("a", "one"));
    assert_eq!((back.member_epoch, assigned(&back)), (2, orders(&[0, 1])));
    assert_eq!(shell.group().epoch(), 2);
}
