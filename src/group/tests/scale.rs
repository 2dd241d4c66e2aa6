//! A thousand members.

use std::time::Instant as Clock;

use super::*;

/// Joins of large groups must not copy the group. A quadratic cost would take minutes here.
#[test]
fn thousand_members_join_sync_and_beat_in_little_time() {
    const MEMBERS: usize = 1000;
    let mut shell = shell();
    shell.checks = false;
    let began = Clock::now();
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
    let stable = began.elapsed();
    for _ in 0..10 {
        shell.pass_secs(3);
        for id in &ids {
            assert_eq!(shell.beat(id, None, 1), ErrorCode::None);
        }
    }
    let beats = began.elapsed() - stable;
    shell.pass_secs(60);
    assert_eq!(shell.state(), "Empty", "all of them died at once");
    let died = began.elapsed() - stable - beats;
    println!(
        "{MEMBERS} members: stable after {stable:?}, 10,000 heartbeats in {beats:?}, died in {died:?}"
    );
    shell.machine().classic.check_all();
    for took in [stable, beats, died] {
        assert!(took.as_secs() < 20, "{stable:?}, {beats:?}, {died:?}");
    }
}
