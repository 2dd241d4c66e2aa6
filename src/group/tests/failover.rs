//! Another coordinator takes over.

use super::*;
use crate::group::testing::Answer;

#[test]
fn members_of_a_stable_group_do_not_notice_a_failover() {
    let mut shell = shell();
    let ids = shell.stable(3);
    shell.pass_secs(9);
    shell.fail_over(shell.log.len());
    assert_eq!(shell.state(), "Stable");
    shell.pass_secs(9);
    for id in &ids[..2] {
        assert_eq!(shell.beat(id, None, 1), ErrorCode::None, "a whole session since the failover");
        assert_eq!(assert_sync(shell.sync(&sync(id, 1)), ErrorCode::None).assignment, *id);
    }
    shell.pass_secs(2);
    assert_eq!(shell.beat(&ids[2], None, 1), ErrorCode::UnknownMemberId, "it died meanwhile");
    assert_eq!(shell.beat(&ids[0], None, 1), ErrorCode::RebalanceInProgress);
}

#[test]
fn rebalance_is_forgotten_by_a_failover() {
    let mut shell = shell();
    let ids = shell.stable(2);
    let fresh = shell.given_id();
    let mut joining = shell.join(9, &join(&fresh));
    shell.fail_over(shell.log.len());
    assert_eq!(joining.poll(), Answer::Dropped);
    assert_eq!(shell.state(), "Stable");
    assert_eq!(shell.beat(&ids[0], None, 1), ErrorCode::None);
    assert_join(shell.join(9, &join(&fresh)), ErrorCode::UnknownMemberId);
    let fresh = shell.given_id();
    shell.join(9, &join(&fresh)).assert_waits();
    assert_eq!(shell.beat(&ids[0], None, 1), ErrorCode::RebalanceInProgress);
}

#[test]
fn assignment_that_was_lost_is_answered_by_nobody() {
    let mut shell = shell();
    let (ids, waiters) = shell.joining(1);
    shell.pass_secs(6);
    waiters.into_iter().for_each(|waiter| drop(waiter.get()));
    shell.commits = false;
    let mut waiter = shell.sync(&assign(&ids[0], 1, &ids));
    shell.fail_over(shell.log.len() - 1);
    assert_eq!(waiter.poll(), Answer::Dropped);
    assert_eq!(shell.state(), "Empty", "as it was stored before");
    assert_eq!(shell.beat(&ids[0], None, 1), ErrorCode::UnknownMemberId);
}

#[test]
fn new_coordinator_draws_other_ids() {
    let mut shell = shell();
    let mut ids: Vec<_> = (0..3).map(|_| shell.given_id()).collect();
    shell.pass_secs(1);
    shell.fail_over(1);
    ids.extend((0..3).map(|_| shell.given_id()));
    shell.pass_secs(1);
    shell.fail_over(1);
    ids.extend((0..3).map(|_| shell.given_id()));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 9);
}

#[test]
fn loaded_group_that_is_too_large_makes_a_rebalance() {
    let mut shell = shell();
    let ids = shell.stable(3);
    shell.set(|settings| settings.max_size = 2);
    assert_eq!(shell.state(), "PreparingRebalance");
    let mut waiters: Vec<_> = ids.iter().map(|id| shell.join(9, &join(id))).collect();
    assert_join(waiters.pop().unwrap(), ErrorCode::GroupMaxSizeReached);
    shell.pass_secs(60);
    assert!(waiters.into_iter().all(|waiter| waiter.get().error_code == 0));
    assert_eq!(shell.members().len(), 2);
}

#[test]
fn member_of_an_old_record_has_its_session_to_join_again() {
    let mut shell = shell();
    let ids = shell.stable(2);
    let Some(Record::ClassicGroup { value: Some(value), .. }) = shell.log.last_mut() else {
        panic!("the last record is the group's")
    };
    value.members.iter_mut().for_each(|member| member.rebalance_timeout_ms = -1);
    shell.fail_over(shell.log.len());
    let mut hasty = join(&ids[0]);
    hasty.rebalance_timeout_ms = 1_000;
    let mut waiter = shell.join(9, &hasty);
    shell.pass_secs(9);
    waiter.assert_waits();
    assert_eq!(shell.beat(&ids[1], None, 1), ErrorCode::RebalanceInProgress);
    shell.pass_secs(1);
    assert_eq!(assert_join(waiter, ErrorCode::None).members.len(), 1);
}

#[test]
fn tombstone_removes_the_group_on_every_coordinator() {
    let mut shell = shell();
    let ids = shell.stable(1);
    shell.leaves(&ids[0]);
    shell.given_id();
    let deleted = shell.decide(|machine, now, _| machine.delete_group(now, GROUP));
    assert_eq!(deleted, Some(Some(ErrorCode::None)));
    assert_eq!(shell.state(), "Dead");
    shell.fail_over(shell.log.len());
    assert_eq!(shell.state(), "Dead");
    shell.pass_secs(60);
}

#[test]
fn damaged_record_is_loaded_without_a_panic() {
    let mut shell = shell();
    shell.stable_statics();
    let Some(Record::ClassicGroup { group, value: Some(mut value) }) = shell.log.last().cloned()
    else {
        panic!("the last record is the group's")
    };
    value.leader = Some("nobody".into());
    value.members[1].instance = value.members[0].instance.clone();
    value.members.push(value.members[1].clone());
    value.members[2].session_timeout_ms = -5;
    value.members[2].rebalance_timeout_ms = -1;
    value.protocol = None;
    value.generation = i32::MAX;
    shell.log.push(Record::ClassicGroup { group, value: Some(value) });
    shell.fail_over(shell.log.len());
    assert_eq!(shell.members().len(), 1);
    shell.pass_secs(60);
    assert_eq!(shell.state(), "Empty");
}
