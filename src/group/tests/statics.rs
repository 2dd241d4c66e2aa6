//! Static members (KIP-345).

use super::*;

#[test]
fn restarted_static_member_keeps_its_assignment_without_a_rebalance() {
    let mut shell = shell();
    let ids = shell.stable_statics();
    shell.commits = false;
    let mut waiter = shell.join(9, &join_static("", "b"));
    waiter.assert_waits();
    shell.commit_all();
    let answer = assert_join(waiter, ErrorCode::None);
    let new = answer.member_id.as_str();
    assert!(new != ids[1] && new.starts_with("b-"), "{new}");
    assert_eq!((answer.generation_id, answer.leader.as_str()), (1, ids[0].as_str()));
    assert!(answer.members.is_empty() && !answer.skip_assignment);
    assert_eq!(shell.state(), "Stable");
    assert_eq!(assert_sync(shell.sync(&sync(new, 1)), ErrorCode::None).assignment, ids[1]);
    let stored = shell.stored();
    let own = stored.members.iter().find(|member| member.member.as_str() == new).unwrap();
    assert_eq!(own.assignment, ids[1], "it is stored under its new id");
    assert_eq!(shell.beat(&ids[1], Some("b"), 1), ErrorCode::FencedInstanceId);
    assert_eq!(shell.beat(&ids[1], None, 1), ErrorCode::UnknownMemberId);
    assert_eq!(shell.beat(&ids[0], Some("a"), 1), ErrorCode::None);
}

#[test]
fn restarted_leader_is_told_to_skip_the_assignment() {
    let mut shell = shell();
    let ids = shell.stable_statics();
    let answer = assert_join(shell.join(9, &join_static("", "a")), ErrorCode::None);
    assert_eq!(answer.leader, answer.member_id);
    assert!(answer.skip_assignment);
    assert_eq!(answer.members.len(), 2, "it watches their subscriptions");
    let older = assert_join(shell.join(8, &join_static("", "a")), ErrorCode::None);
    assert_eq!(older.leader, answer.member_id, "one that can't skip is not told that it leads");
    assert!(older.members.is_empty() && !older.skip_assignment);
    assert_eq!(shell.members().len(), ids.len());
    assert_eq!(shell.state(), "Stable");
}

#[test]
fn refused_append_leaves_the_former_static_member_in_place() {
    let mut shell = shell();
    let ids = shell.stable_statics();
    shell.refuses = true;
    let mut refused = shell.join(9, &join_static("", "b"));
    assert_eq!(refused.poll(), crate::group::testing::Answer::Dropped);
    assert_eq!(shell.beat(&ids[1], Some("b"), 1), ErrorCode::None);
}

#[test]
fn static_member_with_another_choice_of_protocol_makes_a_rebalance() {
    let mut shell = shell();
    let both = |instance| with_protocols(join_static("", instance), &["range", "sticky"]);
    let waiters = ["a", "b"].map(|instance| shell.join(9, &both(instance)));
    shell.pass_secs(6);
    let ids = waiters.map(|waiter| waiter.get().member_id.as_str().to_owned());
    let other = shell.sync(&sync(&ids[1], 1));
    shell.sync(&assign(&ids[0], 1, &ids)).get();
    other.get();
    let sticky = with_protocols(join_static("", "b"), &["sticky"]);
    let mut waiter = shell.join(9, &sticky);
    waiter.assert_waits();
    assert_eq!(shell.beat(&ids[0], Some("a"), 1), ErrorCode::RebalanceInProgress);
    let mut again = both("a");
    again.member_id = ids[0].as_str().into();
    assert_join(shell.join(9, &again), ErrorCode::None);
    assert_eq!(waiter.get().protocol_name.as_deref(), Some("sticky"));
}

#[test]
fn two_processes_of_one_instance_fence_each_other() {
    let mut shell = shell();
    let first = shell.join(9, &join_static("", "a"));
    let second = shell.join(9, &join_static("", "a"));
    let fenced = assert_join(first, ErrorCode::FencedInstanceId);
    assert_ne!(fenced.member_id.as_str(), "");
    shell.pass_secs(6);
    let id = second.get().member_id.as_str().to_owned();
    let waiter = shell.join(9, &join_static(fenced.member_id.as_str(), "a"));
    assert_join(waiter, ErrorCode::FencedInstanceId);
    assert_eq!(shell.members(), [id]);
}

#[test]
fn static_member_that_restarts_before_the_assignment_makes_a_rebalance() {
    let mut shell = shell();
    let waiters = ["a", "b"].map(|instance| shell.join(9, &join_static("", instance)));
    shell.pass_secs(6);
    let ids = waiters.map(|waiter| waiter.get().member_id.as_str().to_owned());
    let waiting = shell.sync(&sync(&ids[1], 1));
    let mut restarted = shell.join(9, &join_static("", "b"));
    restarted.assert_waits();
    assert_sync(waiting, ErrorCode::FencedInstanceId);
    assert_sync(shell.sync(&assign(&ids[0], 1, &ids)), ErrorCode::RebalanceInProgress);
    assert_join(shell.join(9, &join_static(&ids[0], "a")), ErrorCode::None);
    assert_eq!(restarted.get().generation_id, 2);
}

#[test]
fn static_member_stays_through_a_rebalance_that_it_misses() {
    let mut shell = shell();
    let mut patient = ["a", "b"].map(|instance| join_static("", instance));
    patient.iter_mut().for_each(|request| request.session_timeout_ms = 300_000);
    let waiters = patient.each_ref().map(|request| shell.join(9, request));
    shell.pass_secs(6);
    let ids = waiters.map(|waiter| waiter.get().member_id.as_str().to_owned());
    let other = shell.sync(&sync(&ids[1], 1));
    shell.sync(&assign(&ids[0], 1, &ids)).get();
    other.get();
    let mut again = patient[1].clone();
    again.member_id = ids[1].as_str().into();
    let mut waiter = shell.join(9, &with_protocols(again, &["range"]));
    shell.pass_secs(59);
    waiter.assert_waits();
    shell.pass_secs(1);
    let answer = assert_join(waiter, ErrorCode::None);
    assert_eq!(answer.leader.as_str(), ids[1], "the one that has joined leads");
    assert_eq!(answer.members.len(), 2, "the other one keeps its place");
    assert_eq!(shell.beat(&ids[0], Some("a"), 2), ErrorCode::None);
}

#[test]
fn group_of_absent_static_members_waits_for_their_sessions() {
    let mut shell = shell();
    let mut request = join_static("", "a");
    request.session_timeout_ms = 150_000;
    let waiter = shell.join(9, &request);
    shell.pass_secs(6);
    let id = waiter.get().member_id.as_str().to_owned();
    shell.sync(&assign(&id, 1, std::slice::from_ref(&id))).get();
    let pending = shell.given_id();
    let waiter = shell.join(9, &join(&pending));
    assert_eq!(shell.leaves(&pending), ErrorCode::None);
    assert_join(waiter, ErrorCode::UnknownMemberId);
    // No member has joined whenever the time to join is over: there is none to lead.
    shell.pass_secs(130);
    assert_eq!(shell.state(), "PreparingRebalance");
    assert_eq!(shell.members(), [id]);
    shell.pass_secs(20);
    assert_eq!(shell.state(), "Empty");
}

#[test]
fn static_member_replaced_during_its_own_rejoin_takes_part_in_the_next_rebalance() {
    let mut shell = shell();
    let ids = shell.stable_statics();
    shell.commits = false;
    let mut restarted = shell.join(9, &join_static("", "b"));
    let mut joining = shell.join(3, &join(""));
    shell.commit_all();
    restarted.assert_waits();
    joining.assert_waits();
    assert_join(shell.join(9, &join_static(&ids[0], "a")), ErrorCode::None);
    assert_eq!(restarted.get().generation_id, 2);
    assert_eq!(joining.get().generation_id, 2);
}
