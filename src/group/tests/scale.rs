//! A thousand members.

use super::*;

/// Joins of large groups must not copy the group: a quadratic cost would take minutes here.
#[test]
fn thousand_members_join_sync_beat_and_die_with_two_records() {
    const MEMBERS: usize = 1000;
    let mut shell = shell();
    shell.checks = false;
    let (ids, waiters) = shell.joining(MEMBERS);
    shell.pass_secs(6);
    let leader = waiters.into_iter().map(Waiter::get).next().unwrap().leader;
    let mut waiters = Vec::new();
    for id in ids.iter().filter(|id| *id != leader.as_str()) {
        waiters.push(shell.sync(&sync(id, 1)));
    }
    shell.sync(&assign(&leader, 1, &ids)).get();
    for waiter in waiters {
        assert_sync(waiter, ErrorCode::None);
    }
    assert_eq!(shell.state(), "Stable");
    assert_eq!(shell.log.len(), 2, "two records: empty, and stable");
    for _ in 0..10 {
        shell.pass_secs(3);
        for id in &ids {
            assert_eq!(shell.beat(id, None, 1), ErrorCode::None);
        }
    }
    shell.pass_secs(60);
    assert_eq!(shell.state(), "Empty", "all of them died at once");
    shell.machine().classic.check_all();
}
