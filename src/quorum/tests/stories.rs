//! Short stories of one fault each, told with the fix and without.

use std::time::Duration;

use super::super::Settings;
use super::cluster::Cluster;
use crate::base::{BrokerId, Flaws};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// A cluster with a leader that all follow, and the leader.
fn settled(voters: i32, flaws: Flaws, seed: u64) -> (Cluster, BrokerId) {
    let mut cluster = Cluster::new(voters, Settings { flaws, ..Settings::default() }, seed);
    cluster.until("a leader", SECOND * 20, |cluster| cluster.leader().is_some()).unwrap();
    cluster.run(SECOND).unwrap();
    cluster.write();
    cluster.run(SECOND).unwrap();
    let leader = cluster.leader().unwrap();
    (cluster, leader)
}

/// Lets time pass in small steps until something holds.
fn watch(cluster: &mut Cluster, what: &str, holds: impl Fn(&Cluster) -> bool) {
    for _ in 0..20_000 {
        if holds(cluster) {
            return;
        }
        cluster.run(MILLISECOND).unwrap();
    }
    panic!("never: {what}");
}

fn log_len(cluster: &Cluster, id: BrokerId) -> usize {
    cluster.nodes[&id].shell.as_ref().unwrap().log.len()
}

/// Figure 8 of the Raft paper: a record of an old epoch on a majority, and a leader that never had it.
fn figure_eight(flaws: Flaws) -> Result<(), String> {
    let (mut cluster, first) = settled(3, flaws, 1);
    let ids = cluster.ids();
    // The first leader appends what no other gets.
    cluster.weather.isolate(first, ids.iter().copied());
    for _ in 0..20 {
        cluster.write();
    }
    // The second one is elected, and appends what no other gets.
    watch(&mut cluster, "a second leader", |cluster| cluster.leader() != Some(first));
    let second = cluster.leader().unwrap();
    let third = ids.iter().copied().find(|id| *id != first && *id != second).unwrap();
    cluster.weather.isolate(second, ids.iter().copied());
    cluster.run(MILLISECOND * 50)?;
    cluster.crash(second);
    // The first leads again, and the third gets records of its first epoch.
    let before = log_len(&cluster, third);
    cluster.weather.cut.clear();
    watch(&mut cluster, "old records on a majority", |cluster| log_len(cluster, third) > before);
    cluster.run(MILLISECOND * 20)?;
    let start = cluster.shell(first).unwrap().machine.leads().unwrap().start;
    assert!(log_len(&cluster, third) < start.0 as usize, "records of old epochs only");
    // The second returns: its log ends in a larger epoch than that of the third.
    cluster.crash(first);
    cluster.start(second);
    cluster.until("the second leads", SECOND * 20, |cluster| cluster.leader() == Some(second))
}

#[test]
fn records_of_old_epochs_are_not_committed_by_counting() {
    assert_eq!(figure_eight(Flaws::default()), Ok(()));
}

/// How often the epoch changed because of a voter that was cut off and came back.
fn epochs_of_an_isolated_voter(flaws: Flaws) -> i32 {
    let (mut cluster, leader) = settled(3, flaws, 2);
    let epoch = |cluster: &Cluster| cluster.leaders().last().unwrap().0.0;
    let before = epoch(&cluster);
    let ids = cluster.ids();
    let voter = ids.iter().copied().find(|id| *id != leader).unwrap();
    cluster.weather.isolate(voter, ids.into_iter());
    cluster.run(SECOND * 10).unwrap();
    cluster.weather.cut.clear();
    cluster.run(SECOND * 10).unwrap();
    epoch(&cluster) - before
}

#[test]
fn voter_that_was_cut_off_does_not_depose_the_leader() {
    assert_eq!(epochs_of_an_isolated_voter(Flaws::default()), 0);
}

/// Whether a leader that was cut off from all voters still leads after a while.
fn leads_on_when_cut_off(flaws: Flaws) -> bool {
    let (mut cluster, leader) = settled(3, flaws, 3);
    let ids = cluster.ids();
    cluster.weather.isolate(leader, ids.into_iter());
    cluster.run(SECOND * 4).unwrap();
    cluster.leaders().iter().any(|(_, id)| *id == leader)
}

#[test]
fn leader_that_is_cut_off_resigns() {
    assert!(!leads_on_when_cut_off(Flaws::default()));
}

/// Whether the best successor of a leader that stops is elected before any other stands.
fn best_successor_wins(flaws: Flaws) -> bool {
    let (mut cluster, leader) = settled(5, flaws, 4);
    cluster.with(leader, |shell, now| shell.machine.resign(now));
    // The second successor stands after 125 ms.
    cluster.run(MILLISECOND * 120).unwrap();
    cluster.leader().is_some_and(|id| id != leader)
}

#[test]
fn best_successor_of_a_stopped_leader_wins_at_once() {
    assert!(best_successor_wins(Flaws::default()));
}

#[cfg(debug_assertions)]
mod flaws {
    use super::*;
    use crate::base::Flaw;

    #[test]
    fn figure_eight_shows_commits_of_old_epochs() {
        let broken = figure_eight(Flaws::only(Flaw::CommitOldEpoch)).unwrap_err();
        assert!(broken.contains("lacks some"), "{broken}");
    }

    #[test]
    fn voter_without_pre_vote_deposes_the_leader() {
        assert!(epochs_of_an_isolated_voter(Flaws::only(Flaw::NoPreVote)) > 0);
    }

    #[test]
    fn leader_without_check_quorum_leads_on() {
        assert!(leads_on_when_cut_off(Flaws::only(Flaw::NoCheckQuorum)));
    }

    #[test]
    fn refused_pre_votes_waste_the_first_election() {
        assert!(!best_successor_wins(Flaws::only(Flaw::PreVoteRefusedAfterResignation)));
    }
}
