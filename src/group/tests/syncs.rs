//! SyncGroup: who waits, what is stored, and what a refused append leaves behind.

use super::*;
use crate::group::testing::Answer;

#[test]
fn assignments_leave_once_they_are_committed() {
    let mut shell = shell();
    let (ids, waiters) = shell.joining(2);
    shell.pass_secs(6);
    let leader = waiters.into_iter().map(Waiter::get).next().unwrap().leader;
    let follower = ids.iter().find(|id| *id != leader.as_str()).unwrap();
    shell.commits = false;
    let mut first = shell.sync(&sync(follower, 1));
    first.assert_waits();
    let appended = shell.log.len();
    let mut second = shell.sync(&assign(&leader, 1, &ids));
    assert_eq!(shell.log.len(), appended + 1);
    first.assert_waits();
    second.assert_waits();
    assert_eq!(shell.state(), "CompletingRebalance");
    shell.commit_all();
    assert_eq!(shell.state(), "Stable");
    for (waiter, id) in [(first, follower.as_str()), (second, leader.as_str())] {
        let answer = assert_sync(waiter, ErrorCode::None);
        assert_eq!(answer.assignment, id.as_bytes());
        assert_eq!(answer.protocol_name.as_deref(), Some("range"));
    }
    let stored = shell.stored();
    assert_eq!((stored.generation, stored.leader.as_deref()), (1, Some(&*leader)));
    for member in stored.members {
        assert_eq!(member.assignment, member.member.as_str().as_bytes());
        assert_eq!(&member.subscription[..], b"topics");
    }
}

#[test]
fn refused_append_leaves_the_group_as_it_was() {
    let mut shell = shell();
    let (ids, waiters) = shell.joining(2);
    shell.pass_secs(6);
    let leader = waiters.into_iter().map(Waiter::get).next().unwrap().leader;
    let follower = ids.iter().find(|id| *id != leader.as_str()).unwrap();
    let mut first = shell.sync(&sync(follower, 1));
    shell.refuses = true;
    let mut refused = shell.sync(&assign(&leader, 1, &ids));
    assert_eq!(refused.poll(), Answer::Dropped);
    first.assert_waits();
    assert_eq!(shell.state(), "CompletingRebalance");
    shell.refuses = false;
    assert_join(shell.join(9, &join(&leader)), ErrorCode::None);
    assert_sync(shell.sync(&assign(&leader, 1, &ids)), ErrorCode::None);
    assert_sync(first, ErrorCode::None);
}

#[test]
fn leader_that_asks_again_does_not_store_twice() {
    let mut shell = shell();
    let (ids, waiters) = shell.joining(1);
    shell.pass_secs(6);
    waiters.into_iter().for_each(|waiter| drop(waiter.get()));
    shell.commits = false;
    let mut first = shell.sync(&assign(&ids[0], 1, &ids));
    let appended = shell.log.len();
    let second = shell.sync(&sync(&ids[0], 1));
    assert_eq!(shell.log.len(), appended);
    shell.commit_all();
    assert_eq!(first.poll(), Answer::Dropped);
    assert_eq!(assert_sync(second, ErrorCode::None).assignment, ids[0].as_bytes());
}

#[test]
fn assignment_of_an_earlier_generation_changes_nothing() {
    let mut shell = shell();
    let (ids, waiters) = shell.joining(1);
    shell.pass_secs(6);
    waiters.into_iter().for_each(|waiter| drop(waiter.get()));
    shell.commits = false;
    let waiter = shell.sync(&assign(&ids[0], 1, &ids));
    let mut joining = shell.join(3, &join(""));
    assert_sync(waiter, ErrorCode::RebalanceInProgress);
    joining.assert_waits();
    assert_eq!(shell.state(), "PreparingRebalance");
    let rejoined = assert_join(shell.join(9, &join(&ids[0])), ErrorCode::None);
    assert_eq!(rejoined.generation_id, 2);
    let follower = joining.get().member_id.as_str().to_owned();
    let mut waiter = shell.sync(&sync(&follower, 2));
    shell.commit_all();
    waiter.assert_waits();
    assert_eq!(shell.state(), "CompletingRebalance");
}

#[test]
fn sync_is_checked_in_the_order_of_kafka() {
    let mut shell = shell();
    assert_sync(shell.sync(&sync("m", 0)), ErrorCode::UnknownMemberId);
    let ids = shell.stable(2);
    assert_sync(shell.sync(&sync("m", 7)), ErrorCode::UnknownMemberId);
    let mut request = sync(&ids[1], 7);
    assert_sync(shell.sync(&request), ErrorCode::IllegalGeneration);
    request.group_instance_id = Some("a".into());
    assert_sync(shell.sync(&request), ErrorCode::UnknownMemberId);
    request = sync(&ids[1], 1);
    request.protocol_name = Some("sticky".into());
    assert_sync(shell.sync(&request), ErrorCode::InconsistentGroupProtocol);
    request.protocol_name = None;
    assert_sync(shell.sync(&request), ErrorCode::InconsistentGroupProtocol);
    request = sync(&ids[1], 1);
    request.protocol_type = Some("connect".into());
    assert_sync(shell.sync(&request), ErrorCode::InconsistentGroupProtocol);
    assert_eq!(assert_sync(shell.sync(&sync(&ids[1], 1)), ErrorCode::None).assignment, ids[1]);
    shell.join(3, &join(""));
    assert_sync(shell.sync(&sync(&ids[1], 1)), ErrorCode::RebalanceInProgress);
}

#[test]
fn assignments_of_a_follower_are_ignored() {
    let mut shell = shell();
    let (ids, waiters) = shell.joining(2);
    shell.pass_secs(6);
    let leader = waiters.into_iter().map(Waiter::get).next().unwrap().leader;
    let follower = ids.iter().find(|id| *id != leader.as_str()).unwrap();
    let mut theft = assign(follower, 1, &[follower.clone(), "stranger".to_owned()]);
    theft.assignments[0].assignment = "everything".into();
    let waiter = shell.sync(&theft);
    let mut own = assign(&leader, 1, &[leader.as_str().to_owned(), "stranger".to_owned()]);
    own.assignments[1].assignment = "lost".into();
    assert_eq!(assert_sync(shell.sync(&own), ErrorCode::None).assignment, leader.as_bytes());
    assert_eq!(assert_sync(waiter, ErrorCode::None).assignment, "", "assigned nothing");
    assert_eq!(shell.stored().members.len(), 2);
}

#[test]
fn members_that_do_not_sync_in_time_are_removed() {
    let mut shell = shell();
    let (ids, waiters) = shell.joining(2);
    shell.pass_secs(6);
    let leader = waiters.into_iter().map(Waiter::get).next().unwrap().leader;
    let leader = leader.as_str();
    let silent = ids.iter().find(|id| *id != leader).unwrap().clone();
    assert_sync(shell.sync(&assign(leader, 1, &ids)), ErrorCode::None);
    for _ in 0..11 {
        shell.pass_secs(5);
        assert_eq!(shell.beat(&silent, None, 1), ErrorCode::None);
        assert_eq!(shell.beat(leader, None, 1), ErrorCode::None);
    }
    shell.pass_secs(5);
    assert_eq!(shell.beat(&silent, None, 1), ErrorCode::UnknownMemberId);
    assert_eq!(shell.beat(leader, None, 1), ErrorCode::RebalanceInProgress);
}

#[test]
fn member_that_waits_for_its_leader_needs_no_heartbeat() {
    let mut shell = shell();
    let (ids, waiters) = shell.joining(2);
    shell.pass_secs(6);
    let leader = waiters.into_iter().map(Waiter::get).next().unwrap().leader;
    let leader = leader.as_str();
    let follower = ids.iter().find(|id| *id != leader).unwrap().clone();
    let mut waiter = shell.sync(&sync(&follower, 1));
    for _ in 0..5 {
        shell.pass_secs(9);
        assert_eq!(shell.beat(leader, None, 1), ErrorCode::None);
    }
    waiter.assert_waits();
    assert_sync(shell.sync(&assign(leader, 1, &ids)), ErrorCode::None);
    assert_sync(waiter, ErrorCode::None);
    shell.pass_secs(9);
    assert_eq!(shell.beat(&follower, None, 1), ErrorCode::None, "a whole session since then");
}
