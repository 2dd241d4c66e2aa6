//! Who may commit and fetch offsets.

use super::*;
use crate::group::offsets::{Committer, Scope, Subscriber};

fn committer(member: &str, epoch: i32) -> Committer<'_> {
    Committer { member, instance: None, epoch, is_transactional: false, version: 9 }
}

fn commit(shell: &Shell, member: &str, epoch: i32) -> Result<Scope, ErrorCode> {
    shell.group().validate_commit(&committer(member, epoch))
}

/// Whether a member may commit one partition in this epoch.
fn check(shell: &Shell, epoch: i32, (topic, partition): (TopicId, i32)) -> Result<(), ErrorCode> {
    shell.group().validate_partition(&committer("a", epoch), topic, partition)
}

#[test]
fn member_commits_with_its_epoch() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join("a", &["orders"]));
    assert_eq!(commit(&shell, "a", 2), Ok(Scope::Everything));
    assert_eq!(commit(&shell, "a", 3), Err(ErrorCode::StaleMemberEpoch));
    assert_eq!(commit(&shell, "b", 2), Err(ErrorCode::UnknownMemberId));
    assert_eq!(commit(&shell, "", -1), Err(ErrorCode::UnknownMemberId));
    let old = Committer { version: 8, ..committer("a", 2) };
    assert_eq!(shell.group().validate_commit(&old), Err(ErrorCode::UnsupportedVersion));
    let transactional = Committer { is_transactional: true, version: 3, ..committer("", -1) };
    assert_eq!(shell.group().validate_commit(&transactional), Ok(Scope::Everything));
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
    assert_eq!(commit(&shell, "a", 3), Ok(Scope::Partitions));
    assert_eq!(check(&shell, 3, (ORDERS, 0)), Ok(()));
    assert_eq!(check(&shell, 3, (ORDERS, 1)), Err(ErrorCode::StaleMemberEpoch), "given up");
    assert_eq!(check(&shell, 3, (ORDERS, 2)), Err(ErrorCode::StaleMemberEpoch), "assigned later");
    assert_eq!(check(&shell, 3, (TopicId::ZERO, 0)), Err(ErrorCode::StaleMemberEpoch));
    assert_eq!(check(&shell, 1, (ORDERS, 0)), Err(ErrorCode::StaleMemberEpoch));
}

#[test]
fn member_may_commit_what_it_has_yet_to_revoke() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join("a", &["orders", "payments"]));
    let mut drops = beat_owning("a", 2, &[(ORDERS, &[0, 1]), (PAYMENTS, &[0])]);
    drops.subscribed_topic_names = Some(vec!["payments".into()]);
    shell.accepted(&drops);
    shell.expect("a", 2, MemberState::UnrevokedPartitions, &[(PAYMENTS, &[0])]);
    assert_eq!(commit(&shell, "a", 2), Ok(Scope::Everything));
    assert_eq!(check(&shell, 2, (ORDERS, 1)), Ok(()));
}

#[test]
fn group_without_members_takes_commits_of_tools() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join("a", &["orders"]));
    shell.accepted(&beat("a", -1));
    assert_eq!(commit(&shell, "", -1), Ok(Scope::Everything));
    assert_eq!(commit(&shell, "a", 2), Err(ErrorCode::UnknownMemberId));
}

#[test]
fn member_fetches_with_its_epoch_and_tools_without() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join("a", &["orders"]));
    let group = shell.group();
    assert_eq!(group.validate_fetch(None, -1), Ok(()));
    assert_eq!(group.validate_fetch(Some("a"), 2), Ok(()));
    assert_eq!(group.validate_fetch(Some("a"), 1), Err(ErrorCode::StaleMemberEpoch));
    assert_eq!(group.validate_fetch(Some("b"), 2), Err(ErrorCode::UnknownMemberId));
    assert!(group.subscribed_to("orders") && !group.subscribed_to("payments"));
}
