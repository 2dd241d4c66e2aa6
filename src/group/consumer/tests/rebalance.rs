//! Members join and leave: who owns what, in which epoch, and when.

use super::*;

#[test]
fn first_member_gets_every_partition_in_epoch_two() {
    let mut shell = Shell::new(3, 1);
    let response = shell.accepted(&join("a", &["orders"]));
    assert_eq!(response.member_epoch, 2, "epoch 1 belongs to a group without members (KIP-1263)");
    assert_eq!(response.heartbeat_interval_ms, 5_000);
    assert_eq!(assigned(&response), orders(&[0, 1, 2]));
    assert_eq!(shell.group().state(), GroupState::Stable);
}

#[test]
fn partition_is_handed_over_only_once_it_is_revoked() {
    let mut shell = Shell::new(4, 1);
    shell.accepted(&join("a", &["orders"]));
    let joined = shell.accepted(&join("b", &["orders"]));
    assert_eq!((joined.member_epoch, assigned(&joined)), (3, Some(Vec::new())));
    shell.expect("b", 3, MemberState::UnreleasedPartitions, &[]);
    assert_eq!(shell.group().state(), GroupState::Reconciling);

    let told = shell.accepted(&beat("a", 2));
    assert_eq!((told.member_epoch, assigned(&told)), (2, orders(&[0, 1])));
    shell.expect("a", 2, MemberState::UnrevokedPartitions, &[(ORDERS, &[0, 1])]);

    // While it still uses them, no other member gets them.
    let busy = shell.accepted(&beat_owning("a", 2, &[(ORDERS, &[0, 1, 2, 3])]));
    assert_eq!((busy.member_epoch, assigned(&busy)), (2, None));
    assert_eq!(assigned(&shell.accepted(&beat("b", 3))), None);

    let done = shell.accepted(&beat_owning("a", 2, &[(ORDERS, &[0, 1])]));
    assert_eq!((done.member_epoch, assigned(&done)), (3, None));
    let given = shell.accepted(&beat("b", 3));
    assert_eq!((given.member_epoch, assigned(&given)), (3, orders(&[2, 3])));
    assert_eq!(shell.group().state(), GroupState::Stable);
}

#[test]
fn partitions_of_a_member_that_left_go_to_the_others() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join("a", &["orders"]));
    shell.accepted(&join("b", &["orders"]));
    let left = shell.accepted(&beat("a", -1));
    assert_eq!((left.member_id.as_deref(), left.member_epoch), (Some("a"), -1));
    assert_eq!(shell.group().state(), GroupState::Assigning);
    let next = shell.accepted(&beat("b", 3));
    assert_eq!((next.member_epoch, assigned(&next)), (4, orders(&[0, 1])));
}

#[test]
fn group_without_members_stays_and_its_target_is_up_to_date() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join("a", &["orders"]));
    shell.accepted(&beat("a", -1));
    let group = shell.group();
    assert_eq!((group.state(), group.epoch(), group.target_epoch()), (GroupState::Empty, 3, 3));
    for record in group.tombstones() {
        shell.group = replayed(shell.group.take(), &record);
    }
    assert_eq!(shell.group, None, "its tombstones delete it");
}

#[test]
fn partition_that_returns_to_the_member_that_revokes_it_stays_owned() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join("a", &["orders"]));
    shell.accepted(&join("b", &["orders"]));
    shell.accepted(&beat("a", 2));
    shell.expect("a", 2, MemberState::UnrevokedPartitions, &[(ORDERS, &[0])]);
    shell.accepted(&beat("b", -1));
    // KAFKA-16147: b is gone, so partition 1 comes back before a has given it up.
    shell.accepted(&beat_owning("a", 2, &[(ORDERS, &[0])]));
    shell.expect("a", 4, MemberState::Stable, &[(ORDERS, &[0, 1])]);
    assert_eq!(shell.group().owner(ORDERS, 1), Some(&"a".into()));
    shell.accepted(&join("c", &["orders"]));
    shell.accepted(&beat("c", 5));
    shell.expect("c", 5, MemberState::UnreleasedPartitions, &[]);
}

#[test]
fn silent_member_is_fenced_after_its_session() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join("a", &["orders"]));
    shell.accepted(&join("b", &["orders"]));
    shell.wait(seconds(44));
    shell.accepted(&beat("b", 3));
    assert_eq!(shell.group().len(), 2);
    assert_eq!(shell.sessions.deadline(), Some(Instant::from_secs(1_045)));
    shell.wait(seconds(1));
    assert_eq!(shell.group().len(), 1);
    let next = shell.accepted(&beat("b", 3));
    assert_eq!((next.member_epoch, assigned(&next)), (4, orders(&[0, 1])));
}

#[test]
fn member_that_never_revokes_is_fenced_after_its_rebalance_timeout() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join("a", &["orders"]));
    shell.accepted(&join("b", &["orders"]));
    shell.accepted(&beat("a", 2));
    for _ in 0..2 {
        shell.wait(seconds(14));
        shell.accepted(&beat_owning("a", 2, &[(ORDERS, &[0, 1])]));
        shell.accepted(&beat("b", 3));
    }
    assert_eq!(shell.group().len(), 2);
    shell.wait(seconds(2));
    assert_eq!(shell.group().len(), 1, "30 s are over, although its session is not");
    let next = shell.accepted(&beat("b", 3));
    assert_eq!(assigned(&next), orders(&[0, 1]));
}

#[test]
fn member_that_revoked_in_time_outlives_its_rebalance_timeout() {
    let mut shell = Shell::new(2, 1);
    shell.accepted(&join("a", &["orders"]));
    shell.accepted(&join("b", &["orders"]));
    shell.accepted(&beat("a", 2));
    shell.wait(seconds(29));
    shell.accepted(&beat_owning("a", 2, &[(ORDERS, &[0])]));
    shell.wait(seconds(2));
    assert_eq!(shell.group().len(), 2);
}

#[test]
fn rebalances_in_quick_succession_share_one_target_assignment() {
    let mut shell = Shell::new(4, 1);
    shell.settings.assignment_interval = seconds(1);
    shell.accepted(&join("a", &["orders"]));
    for member in ["b", "c", "d"] {
        let joined = shell.accepted(&join(member, &["orders"]));
        assert_eq!((joined.member_epoch, assigned(&joined)), (2, Some(Vec::new())));
    }
    assert_eq!(shell.group().state(), GroupState::Assigning);
    shell.wait(Duration::from_millis(999));
    shell.accepted(&beat("a", 2));
    assert_eq!(shell.group().target_epoch(), 2);
    shell.wait(Duration::from_millis(1));
    let told = shell.accepted(&beat("a", 2));
    assert_eq!(assigned(&told), orders(&[0]));
    assert_eq!((shell.group().epoch(), shell.group().target_epoch()), (5, 5));
}

#[test]
fn first_target_assignment_does_not_wait_whatever_the_date_is() {
    let mut shell = Shell::new(2, 1);
    shell.settings.assignment_interval = seconds(1);
    shell.wall = Timestamp(10);
    assert_eq!(assigned(&shell.accepted(&join("a", &["orders"]))), orders(&[0, 1]));
}

#[test]
fn clock_that_went_back_does_not_hold_the_target_assignment_back() {
    let mut shell = Shell::new(2, 1);
    shell.settings.assignment_interval = seconds(1);
    shell.accepted(&join("a", &["orders"]));
    shell.wall.0 -= 3_600_000;
    shell.accepted(&join("b", &["orders"]));
    assert_eq!(shell.group().target_epoch(), 3);
}

#[test]
fn dropped_topic_is_revoked_before_the_next_target() {
    let mut shell = Shell::new(2, 1);
    shell.settings.assignment_interval = seconds(1);
    shell.accepted(&join("a", &["orders", "payments"]));
    let mut dropping = beat_owning("a", 2, &[(ORDERS, &[0, 1]), (PAYMENTS, &[0])]);
    dropping.subscribed_topic_names = Some(vec!["orders".into()]);
    let told = shell.accepted(&dropping);
    assert_eq!((told.member_epoch, assigned(&told)), (2, orders(&[0, 1])));
    shell.expect("a", 2, MemberState::UnrevokedPartitions, &[(ORDERS, &[0, 1])]);
    let done = shell.accepted(&beat_owning("a", 2, &[(ORDERS, &[0, 1])]));
    assert_eq!(done.member_epoch, 2, "there is no newer target yet");
    shell.wait(seconds(1));
    assert_eq!(shell.accepted(&beat("a", 2)).member_epoch, 3);
}

#[test]
fn assignor_that_most_members_ask_for_wins() {
    let mut shell = Shell::new(4, 4);
    let mut asks = join("a", &["orders", "payments"]);
    asks.server_assignor = Some("range".into());
    shell.accepted(&asks);
    let described = shell.group().describe(&shell.image, &shell.settings);
    assert_eq!(&*described.assignor_name, "range");
    shell.accepted(&join("b", &["orders", "payments"]));
    let target = shell.group().target("b").unwrap();
    let both = [(ORDERS, 2), (ORDERS, 3), (PAYMENTS, 2), (PAYMENTS, 3)];
    assert!(target.iter().eq(both), "equal partitions of topics go together: {target:?}");
}
