//! JoinGroup: ids, the first rebalance, rebalances, protocols, limits.

use std::time::Duration;

use super::*;

#[test]
fn dynamic_member_is_given_an_id_before_it_joins() {
    let mut shell = shell();
    let id = shell.given_id();
    assert!(id.starts_with("app-") && id.len() == 4 + 36, "{id}");
    assert_eq!(shell.state(), "Empty");
    let mut waiter = shell.join(9, &join(&id));
    waiter.assert_waits();
    assert_eq!(shell.state(), "PreparingRebalance");
    shell.pass(Duration::from_millis(2999));
    waiter.assert_waits();
    shell.pass(Duration::from_millis(1));
    let answer = assert_join(waiter, ErrorCode::None);
    assert_eq!((answer.generation_id, answer.leader.as_str()), (1, id.as_str()));
    assert_eq!(answer.protocol_name.as_deref(), Some("range"));
    assert_eq!(answer.protocol_type.as_deref(), Some("consumer"));
    assert_eq!(answer.members.len(), 1);
    assert_eq!(&answer.members[0].metadata[..], b"topics");
    assert_eq!(shell.state(), "CompletingRebalance");
}

#[test]
fn ids_differ_and_old_clients_join_without_one() {
    let mut shell = shell();
    assert_ne!(shell.given_id(), shell.given_id());
    let mut old = shell.join(3, &join(""));
    old.assert_waits();
    shell.pass_secs(60);
    assert_eq!(
        assert_join(old, ErrorCode::None).members.len(),
        1,
        "ids that no member joined with"
    );
}

#[test]
fn group_that_a_member_asks_to_join_has_a_record_at_once() {
    let mut shell = shell();
    shell.given_id();
    assert_eq!(shell.log.len(), 1);
    let stored = shell.stored();
    assert_eq!((stored.generation, stored.members.len(), stored.protocol), (0, 0, None));
    assert_eq!(stored.state_since, shell.wall());
    shell.given_id();
    assert_eq!(shell.log.len(), 1, "once");
}

#[test]
fn first_rebalance_waits_while_members_arrive() {
    let mut shell = shell();
    let mut first = shell.join(3, &join(""));
    let mut others = Vec::new();
    for _ in 0..3 {
        shell.pass_secs(2);
        others.push(shell.join(3, &join("")));
    }
    // Each delay of 3 s in which a member came is followed by another one.
    shell.pass(Duration::from_millis(2999));
    first.assert_waits();
    shell.pass(Duration::from_millis(3001));
    assert_eq!(first.get().members.len(), 4);
    others.into_iter().for_each(|waiter| assert_eq!(waiter.get().generation_id, 1));
}

#[test]
fn first_rebalance_ends_with_the_rebalance_timeout_though_members_arrive() {
    let mut shell = shell();
    let hasty = |mut request: JoinGroupRequest| {
        request.rebalance_timeout_ms = 10_000;
        request
    };
    let mut first = shell.join(3, &hasty(join("")));
    for _ in 0..9 {
        shell.pass_secs(1);
        shell.join(3, &hasty(join("")));
    }
    first.assert_waits();
    shell.pass_secs(1);
    assert_eq!(first.get().members.len(), 10, "10 s after the first member");
}

#[test]
fn rebalance_completes_as_soon_as_every_member_has_joined_again() {
    let mut shell = shell();
    let ids = shell.stable(3);
    let mut fresh = shell.given_id();
    assert_eq!(shell.beat(&ids[1], None, 1), ErrorCode::None, "an id alone rebalances nothing");
    let mut joining = shell.join(9, &join(&fresh));
    assert_eq!(shell.beat(&ids[1], None, 1), ErrorCode::RebalanceInProgress);
    let mut waiters: Vec<_> = ids[..2].iter().map(|id| shell.join(9, &join(id))).collect();
    joining.assert_waits();
    waiters.push(shell.join(9, &join(&ids[2])));
    let leader = joining.get().leader.as_str().to_owned();
    assert_eq!(leader, ids[0], "the leader stays");
    for waiter in waiters {
        let answer = assert_join(waiter, ErrorCode::None);
        assert_eq!(answer.generation_id, 2);
        let is_leader = answer.member_id == answer.leader;
        assert_eq!(answer.members.len(), if is_leader { 4 } else { 0 });
    }
    fresh.clear();
}

#[test]
fn rebalance_waits_for_ids_that_were_given_out() {
    let mut shell = shell();
    let ids = shell.stable(1);
    let pending = shell.given_id();
    let mut leader = shell.join(9, &join(&ids[0]));
    leader.assert_waits();
    let joined = shell.join(9, &join(&pending));
    assert_eq!(leader.get().members.len(), 2);
    assert_join(joined, ErrorCode::None);
}

#[test]
fn member_that_does_not_join_again_in_time_is_removed() {
    let mut shell = shell();
    let ids = shell.stable(2);
    let rebalance = |mut request: JoinGroupRequest| {
        request.session_timeout_ms = 1_000_000;
        request
    };
    // The silent leader is alive: its session outlasts the rebalance.
    let mut waiter = shell.join(9, &rebalance(with_protocols(join(&ids[1]), &["range"])));
    for _ in 0..10 {
        assert_eq!(shell.beat(&ids[0], None, 1), ErrorCode::RebalanceInProgress);
        waiter.assert_waits();
        shell.pass_secs(6);
    }
    let answer = assert_join(waiter, ErrorCode::None);
    assert_eq!((answer.leader.as_str(), answer.members.len()), (ids[1].as_str(), 1));
    assert_eq!(shell.beat(&ids[0], None, 1), ErrorCode::UnknownMemberId);
}

#[test]
fn follower_with_the_same_metadata_is_answered_with_its_generation() {
    let mut shell = shell();
    let ids = shell.stable(2);
    let answer = assert_join(shell.join(9, &join(&ids[1])), ErrorCode::None);
    assert_eq!((answer.generation_id, answer.members.len()), (1, 0));
    assert_eq!(answer.leader.as_str(), ids[0]);
    assert_eq!(shell.state(), "Stable");
    let mut waiter = shell.join(9, &join(&ids[0]));
    waiter.assert_waits();
    assert_eq!(shell.state(), "PreparingRebalance", "a leader knows why it joins again");
}

#[test]
fn member_whose_answer_was_lost_is_answered_again_while_others_sync() {
    let mut shell = shell();
    let (ids, waiters) = shell.joining(2);
    shell.pass_secs(6);
    waiters.into_iter().for_each(|waiter| drop(waiter.get()));
    let leader = assert_join(shell.join(9, &join(&ids[0])), ErrorCode::None).leader;
    for id in &ids {
        let answer = assert_join(shell.join(9, &join(id)), ErrorCode::None);
        assert_eq!(answer.members.len(), if *id == leader.as_str() { 2 } else { 0 });
    }
    assert_eq!(shell.state(), "CompletingRebalance");
    let mut changed = shell.join(9, &with_protocols(join(&ids[0]), &["range"]));
    changed.assert_waits();
    assert_eq!(shell.state(), "PreparingRebalance", "other metadata");
}

#[test]
fn retried_join_replaces_the_one_that_waits() {
    let mut shell = shell();
    let id = shell.given_id();
    let mut first = shell.join(9, &join(&id));
    let second = shell.join(9, &join(&id));
    assert_eq!(first.poll(), crate::group::testing::Answer::Dropped);
    shell.pass_secs(3);
    assert_eq!(second.get().members.len(), 1);
}

#[test]
fn protocol_with_the_most_votes_wins() {
    let mut shell = shell();
    let preferences: [&[&str]; 3] = [&["a", "b", "c"], &["b", "c", "a"], &["x", "c", "b"]];
    let waiters: Vec<_> = preferences
        .iter()
        .map(|protocols| shell.join(3, &with_protocols(join(""), protocols)))
        .collect();
    shell.pass_secs(6);
    for waiter in waiters {
        let answer = waiter.get();
        assert_eq!(answer.protocol_name.as_deref(), Some("b"), "`a` and `x` are not common");
        for member in answer.members {
            assert_eq!(&member.metadata[..], b"as b");
        }
    }
}

#[test]
fn member_without_a_common_protocol_is_refused() {
    let mut shell = shell();
    let refused = ErrorCode::InconsistentGroupProtocol;
    assert_join(shell.join(9, &with_protocols(join(""), &[])), refused);
    let mut untyped = join("");
    untyped.protocol_type = "".into();
    assert_join(shell.join(9, &untyped), refused);
    let ids = shell.stable(1);
    assert_join(shell.join(9, &with_protocols(join(""), &["sticky"])), refused);
    let mut other = join("");
    other.protocol_type = "connect".into();
    assert_join(shell.join(9, &other), refused);
    assert_join(shell.join(9, &with_protocols(join(&ids[0]), &["sticky"])), refused);
    assert_eq!(shell.state(), "Stable");
}

#[test]
fn protocol_named_twice_counts_once() {
    let mut shell = shell();
    let first = shell.join(3, &with_protocols(join(""), &["range", "range"]));
    let second = shell.join(3, &join(""));
    shell.pass_secs(6);
    assert_eq!(first.get().protocol_name.as_deref(), Some("range"));
    assert_eq!(second.get().generation_id, 1);
}

#[test]
fn full_group_refuses_new_members_and_keeps_those_that_it_has() {
    let mut shell = Shell::new(GroupSettings { max_size: 2, ..GroupSettings::default() });
    let (ids, _waiters) = shell.joining(3);
    assert_eq!(shell.members(), sorted(&ids[..2]));
    let full = assert_join(shell.join(9, &join("")), ErrorCode::GroupMaxSizeReached);
    assert_eq!(full.member_id.as_str(), "");
    shell.pass_secs(6);
    assert_join(shell.join(9, &join("")), ErrorCode::GroupMaxSizeReached);
    assert_join(shell.join(9, &join(&ids[1])), ErrorCode::None);
}

fn sorted(ids: &[String]) -> Vec<String> {
    let mut ids = ids.to_vec();
    ids.sort();
    ids
}

#[test]
fn session_timeout_out_of_bounds_is_refused() {
    let mut shell = shell();
    for millis in [i32::MIN, -1, 0, 5_999, 1_800_001, i32::MAX] {
        let mut request = join("");
        request.session_timeout_ms = millis;
        assert_join(shell.join(9, &request), ErrorCode::InvalidSessionTimeout);
    }
    let mut nameless = join("");
    nameless.group_id = "".into();
    assert_join(shell.join(9, &nameless), ErrorCode::InvalidGroupId);
    assert_join(shell.join(9, &join("stranger")), ErrorCode::UnknownMemberId);
    assert!(shell.log.is_empty() && shell.machine().list::<&str>(&[], &[]).is_empty());
}

#[test]
fn id_that_nobody_joins_with_expires_with_its_session() {
    let mut shell = shell();
    let id = shell.given_id();
    shell.pass(Duration::from_millis(9_999));
    shell.join(9, &join(&id)).assert_waits();
    let other = shell.given_id();
    shell.pass_secs(10);
    assert_join(shell.join(9, &join(&other)), ErrorCode::UnknownMemberId);
}

#[test]
fn new_member_waits_five_minutes_at_most_and_is_not_a_ghost_then() {
    let mut shell = shell();
    let ids = shell.stable(1);
    let mut waiter = shell.join(3, &{
        let mut request = join("");
        request.rebalance_timeout_ms = 1_000_000;
        request
    });
    for _ in 0..59 {
        shell.beat(&ids[0], None, 1);
        shell.pass_secs(5);
    }
    waiter.assert_waits();
    shell.beat(&ids[0], None, 1);
    shell.pass_secs(5);
    assert_join(waiter, ErrorCode::UnknownMemberId);
    assert_eq!(shell.members(), ids);
}

#[test]
fn given_id_does_not_belong_to_a_static_member() {
    let mut shell = shell();
    let id = shell.given_id();
    assert_join(shell.join(9, &join_static(&id, "a")), ErrorCode::UnknownServerError);
}
