//! Who may commit and fetch offsets.

use super::*;

fn commit(shell: &Shell, member: &str, epoch: i32) -> Result<Commit, ErrorCode> {
    let committer = Committer { member, instance: None, epoch, version: Some(9) };
    shell.group().may_commit(committer)
}

#[test]
fn member_commits_with_its_epoch() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join("a", &["orders"]));
    assert_eq!(commit(&shell, "a", 2), Ok(Commit::Any));
    assert_eq!(commit(&shell, "a", 3), Err(ErrorCode::StaleMemberEpoch));
    assert_eq!(commit(&shell, "b", 2), Err(ErrorCode::UnknownMemberId));
    assert_eq!(commit(&shell, "", -1), Err(ErrorCode::UnknownMemberId));
    let old = Committer { member: "a", instance: None, epoch: 2, version: Some(8) };
    assert_eq!(shell.group().may_commit(old), Err(ErrorCode::UnsupportedVersion));
    let transactional = Committer { member: "", instance: None, epoch: -1, version: None };
    assert_eq!(shell.group().may_commit(transactional), Ok(Commit::Any));
}

#[test]
fn member_with_an_older_epoch_commits_what_it_owned_then_and_still_owns() {
    // KIP-1251: orders-0 was assigned in epoch 2, orders-1 is revoked, and orders-2 is new.
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join("a", &["orders"]));
    shell.accepted(&join("b", &["orders"]));
    shell.accepted(&beat("a", 2));
    shell.accepted(&beat_owning("a", 2, &[(ORDERS, &[0])]));
    shell.create_partitions(ORDERS, 2..3);
    shell.accepted(&beat("a", 3));
    shell.expect("a", 4, MemberState::Stable, &[(ORDERS, &[0, 2])]);
    let allowed = commit(&shell, "a", 3).unwrap();
    assert_eq!(allowed.check(ORDERS, 0), Ok(()));
    assert_eq!(allowed.check(ORDERS, 1), Err(ErrorCode::StaleMemberEpoch), "given up");
    assert_eq!(allowed.check(ORDERS, 2), Err(ErrorCode::StaleMemberEpoch), "assigned later");
    assert_eq!(allowed.check(TopicId::ZERO, 0), Err(ErrorCode::StaleMemberEpoch));
    assert_eq!(commit(&shell, "a", 1).unwrap().check(ORDERS, 0), Err(ErrorCode::StaleMemberEpoch));
    assert_eq!(Commit::Any.check(TopicId::ZERO, 0), Ok(()));
}

#[test]
fn member_may_commit_what_it_has_yet_to_revoke() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join("a", &["orders", "payments"]));
    let mut adds = beat_owning("a", 2, &[(ORDERS, &[0, 1]), (PAYMENTS, &[0])]);
    adds.subscribed_topic_names = Some(vec!["payments".into()]);
    shell.accepted(&adds);
    shell.expect("a", 2, MemberState::UnrevokedPartitions, &[(PAYMENTS, &[0])]);
    let late = Commit::AssignedBy {
        epoch: 2,
        assigned: shell.group().member("a").unwrap().assigned.clone(),
        pending: shell.group().member("a").unwrap().pending.clone(),
    };
    assert_eq!(late.check(ORDERS, 1), Ok(()));
    assert_eq!(commit(&shell, "a", 2), Ok(Commit::Any));
}

#[test]
fn group_without_members_takes_commits_of_tools() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join("a", &["orders"]));
    assert_eq!(shell.group().may_delete(), Err(ErrorCode::NonEmptyGroup));
    shell.accepted(&beat("a", -1));
    assert_eq!(commit(&shell, "", -1), Ok(Commit::Any));
    assert_eq!(commit(&shell, "a", 2), Err(ErrorCode::UnknownMemberId));
    assert_eq!(shell.group().may_delete(), Ok(()));
}

#[test]
fn member_fetches_with_its_epoch_and_tools_without() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join("a", &["orders"]));
    let group = shell.group();
    assert_eq!(group.may_fetch(None, -1), Ok(()));
    assert_eq!(group.may_fetch(Some("a"), 2), Ok(()));
    assert_eq!(group.may_fetch(Some("a"), 1), Err(ErrorCode::StaleMemberEpoch));
    assert_eq!(group.may_fetch(Some("b"), 2), Err(ErrorCode::UnknownMemberId));
}
