//! Members that leave or die.

use super::*;

fn identity(member: &str, instance: Option<&str>) -> MemberIdentity {
    message!(MemberIdentity {
        member_id: member.into(),
        group_instance_id: instance.map(Into::into),
        reason: Some("tired".into()),
    })
}

#[test]
fn group_whose_last_member_leaves_is_stored_as_empty() {
    let mut shell = shell();
    let ids = shell.stable(1);
    shell.pass_secs(5);
    assert_eq!(shell.leaves(&ids[0]), ErrorCode::None);
    assert_eq!(shell.state(), "Empty");
    let stored = shell.stored();
    assert_eq!((stored.generation, stored.members.len()), (2, 0));
    assert_eq!((stored.protocol, stored.leader), (None, None));
    assert_eq!(stored.protocol_type, "consumer");
    assert_eq!(stored.state_since, shell.wall());
    assert_eq!(shell.leaves(&ids[0]), ErrorCode::UnknownMemberId);
}

#[test]
fn member_that_leaves_makes_the_others_join_again() {
    let mut shell = shell();
    let ids = shell.stable(3);
    assert_eq!(shell.leaves(&ids[0]), ErrorCode::None);
    assert_eq!(shell.beat(&ids[1], None, 1), ErrorCode::RebalanceInProgress);
    let waiters: Vec<_> = ids[1..].iter().map(|id| shell.join(9, &join(id))).collect();
    for waiter in waiters {
        let answer = assert_join(waiter, ErrorCode::None);
        assert!(ids[1..].contains(&answer.leader.as_str().to_owned()), "another member leads");
    }
}

#[test]
fn rebalance_completes_when_the_member_leaves_that_it_waits_for() {
    let mut shell = shell();
    let ids = shell.stable(2);
    let mut waiter = shell.join(9, &join(&ids[0]));
    waiter.assert_waits();
    assert_eq!(shell.leaves(&ids[1]), ErrorCode::None);
    assert_eq!(assert_join(waiter, ErrorCode::None).members.len(), 1);
}

#[test]
fn member_that_leaves_while_it_waits_is_told_to_join_again() {
    let mut shell = shell();
    let ids = shell.stable(2);
    let waiter = shell.join(9, &join(&ids[0]));
    assert_eq!(shell.leaves(&ids[0]), ErrorCode::None);
    assert_join(waiter, ErrorCode::UnknownMemberId);
    let (ids, waiters) = {
        let mut shell = super::shell();
        let (ids, waiters) = shell.joining(2);
        shell.pass_secs(6);
        let leader = waiters.into_iter().map(Waiter::get).next().unwrap().leader;
        let follower = ids.iter().find(|id| *id != leader.as_str()).unwrap().clone();
        let waiter = shell.sync(&sync(&follower, 1));
        assert_eq!(shell.leaves(&follower), ErrorCode::None);
        (ids, waiter)
    };
    assert_eq!(ids.len(), 2);
    assert_sync(waiters, ErrorCode::UnknownMemberId);
}

#[test]
fn old_leave_names_one_member_and_has_one_error() {
    let mut shell = shell();
    let ids = shell.stable(2);
    let response = shell.leave(2, vec![identity("stranger", None)]);
    assert_eq!(response.error_code, ErrorCode::UnknownMemberId.code());
    assert!(response.members.is_empty());
    assert_eq!(shell.leave(0, vec![identity(&ids[1], None)]).error_code, 0);
    assert_eq!(shell.members(), ids[..1]);
}

#[test]
fn each_member_of_a_leave_has_its_own_error() {
    let mut shell = shell();
    let ids = shell.stable_statics();
    let pending = shell.given_id();
    let response = shell.leave(
        5,
        vec![
            identity("", Some("a")),
            identity("", Some("nobody")),
            identity("", None),
            identity("imposter", Some("b")),
            identity("stranger", None),
            identity(&pending, None),
        ],
    );
    let errors: Vec<_> =
        response.members.iter().map(|member| ErrorCode::from_code(member.error_code)).collect();
    let unknown = ErrorCode::UnknownMemberId;
    let expected =
        [ErrorCode::None, unknown, unknown, ErrorCode::FencedInstanceId, unknown, ErrorCode::None];
    assert_eq!(errors, expected);
    assert_eq!((response.error_code, shell.members()), (0, vec![ids[1].clone()]));
    assert_join(shell.join(9, &join(&pending)), unknown);
}

#[test]
fn leave_of_an_unknown_group_is_an_error_of_its_members() {
    let mut shell = shell();
    assert_eq!(shell.leaves("m"), ErrorCode::UnknownMemberId);
    let response = shell.leave(1, vec![identity("m", None)]);
    assert_eq!(response.error_code, ErrorCode::UnknownMemberId.code());
}

#[test]
fn silent_member_is_removed_when_its_session_ends() {
    let mut shell = shell();
    let ids = shell.stable(2);
    for _ in 0..3 {
        shell.pass_secs(4);
        shell.beat(&ids[0], None, 1);
    }
    assert_eq!(shell.members(), ids[..1]);
    assert_eq!(shell.beat(&ids[0], None, 1), ErrorCode::RebalanceInProgress);
    assert_eq!(shell.beat(&ids[1], None, 1), ErrorCode::UnknownMemberId);
    shell.pass_secs(10);
    assert_eq!(shell.state(), "Empty", "the other one has died as well");
    assert_eq!(shell.stored().members.len(), 0);
}

#[test]
fn member_that_dies_during_a_rebalance_does_not_delay_it() {
    let mut shell = shell();
    let ids = shell.stable(2);
    let mut waiter = shell.join(9, &join(&ids[0]));
    shell.pass_secs(9);
    waiter.assert_waits();
    shell.pass_secs(1);
    assert_eq!(assert_join(waiter, ErrorCode::None).members.len(), 1);
}

#[test]
fn refused_append_of_an_empty_group_is_repeated_later() {
    let mut shell = shell();
    shell.stable(1);
    shell.refuses = true;
    shell.pass_secs(20);
    assert_eq!(shell.state(), "Stable");
    shell.refuses = false;
    shell.pass_secs(1);
    assert_eq!(shell.state(), "Empty");
}

#[test]
fn heartbeat_is_checked_in_the_order_of_kafka() {
    let mut shell = shell();
    assert_eq!(shell.beat("m", None, 0), ErrorCode::UnknownMemberId);
    let ids = shell.stable_statics();
    let pending = shell.given_id();
    assert_eq!(shell.beat(&pending, None, 1), ErrorCode::UnknownMemberId);
    assert_eq!(shell.beat(&ids[0], Some("b"), 7), ErrorCode::FencedInstanceId);
    assert_eq!(shell.beat(&ids[0], Some("c"), 7), ErrorCode::UnknownMemberId);
    assert_eq!(shell.beat(&ids[0], Some("a"), 7), ErrorCode::IllegalGeneration);
    assert_eq!(shell.beat(&ids[0], Some("a"), 1), ErrorCode::None);
}
