//! Describing, listing and deleting groups.

use super::*;

#[test]
fn stable_group_is_described_with_subscriptions_and_assignments() {
    let mut shell = shell();
    let ids = shell.stable(2);
    let described = shell.machine().describe(6, GROUP);
    assert_eq!((described.error_code, described.group_state.as_str()), (0, "Stable"));
    assert_eq!(described.protocol_type.as_str(), "consumer");
    assert_eq!(described.protocol_data.as_str(), "range");
    for member in &described.members {
        assert_eq!(&member.member_metadata[..], b"topics");
        assert_eq!(member.member_assignment, member.member_id.as_bytes());
        assert_eq!(member.client_id.as_str(), "app");
        assert_eq!(member.client_host.as_str(), "/127.0.0.1");
    }
    shell.join(9, &join(&ids[0]));
    let described = shell.machine().describe(6, GROUP);
    assert_eq!(described.group_state.as_str(), "PreparingRebalance");
    assert_eq!(described.protocol_data.as_str(), "");
    assert!(described.members.iter().all(|member| member.member_metadata.is_empty()));
}

#[test]
fn absent_group_is_dead_and_an_error_since_version_six() {
    let shell = shell();
    let described = shell.machine().describe(5, GROUP);
    assert_eq!((described.error_code, described.group_state.as_str()), (0, "Dead"));
    let described = shell.machine().describe(6, GROUP);
    assert_eq!(described.error_code, ErrorCode::GroupIdNotFound.code());
    assert_eq!(described.error_message.as_deref(), Some("Group payments not found."));
}

#[test]
fn groups_are_listed_by_state_and_type() {
    let mut shell = shell();
    shell.stable(1);
    let mut other = join("");
    other.group_id = "empty".into();
    shell.join(9, &other);
    let names = |states: &[&str], types: &[&str]| {
        let listed = shell.machine().list(states, types);
        listed.iter().map(|group| group.group_id.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&[], &[]), ["empty", "payments"]);
    assert_eq!(names(&["stable"], &[]), ["payments"]);
    assert_eq!(names(&["EMPTY", " Stable"], &["Classic"]), ["empty", "payments"]);
    assert!(names(&["Dead"], &[]).is_empty());
    assert!(names(&[], &["consumer"]).is_empty());
    let listed = shell.machine().list::<&str>(&[], &[]);
    assert_eq!(listed[0].protocol_type.as_str(), "");
    assert_eq!(listed[1].protocol_type.as_str(), "consumer");
    assert_eq!(
        (listed[1].group_state.as_str(), listed[1].group_type.as_str()),
        ("Stable", "classic")
    );
}

#[test]
fn only_empty_groups_are_deleted() {
    let mut shell = shell();
    let delete = |shell: &mut Shell| {
        shell.decide(|machine, now, _| machine.delete_group(now, GROUP)).unwrap().unwrap()
    };
    assert_eq!(delete(&mut shell), ErrorCode::GroupIdNotFound);
    let ids = shell.stable(1);
    assert_eq!(delete(&mut shell), ErrorCode::NonEmptyGroup);
    let waiter = shell.join(9, &join(&ids[0]));
    waiter.get();
    assert_eq!(delete(&mut shell), ErrorCode::NonEmptyGroup);
    shell.leaves(&ids[0]);
    assert_eq!(delete(&mut shell), ErrorCode::None);
    assert_eq!(delete(&mut shell), ErrorCode::GroupIdNotFound);
}
