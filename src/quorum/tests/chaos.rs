//! Random faults, then none: nothing committed is lost, and then a leader is elected and commits.

use std::ops::Range;
use std::time::Duration;

use rand_chacha::rand_core::Rng;

use super::super::{ReplicaKey, Settings, VoterSet};
use super::cluster::{Cluster, Weather, key};
use super::shell::Content;
use crate::base::{BrokerId, Flaw, Flaws};

/// Faults of one run, with 0.8 s between two on average.
const FAULTS: usize = 30;

/// Within this time after the last fault, a leader is elected, and a record committed on all nodes.
const CONVERGES_WITHIN: Duration = Duration::from_secs(20);

/// A run with fixed voters: faults, then fair weather in which the cluster has to converge.
fn run(voters: i32, flaws: Flaws, seed: u64) -> Result<(), String> {
    let settings = Settings { flaws, ..Settings::default() };
    let mut cluster = Cluster::new(voters, settings, seed);
    suffer(&mut cluster, |_| {})?;
    converge(&mut cluster)
}

/// The same with shells that break their rule: messages do not wait for the quorum-state file.
fn run_with_hasty_shells(voters: i32, flaws: Flaws, seed: u64) -> Result<(), String> {
    let settings = Settings { flaws, ..Settings::default() };
    let mut cluster = Cluster::new(voters, settings, seed);
    cluster.is_hasty = true;
    suffer(&mut cluster, |_| {})
}

/// A run in which voters join and leave. It need not converge: as in Kafka, a replica whose removal is
/// not committed does not stand for election, though it may have the longest log.
fn run_with_changing_voters(nodes: i32, flaws: Flaws, seed: u64) -> Result<(), String> {
    let settings = Settings { flaws, ..Settings::default() };
    let voters = (1..=nodes).map(BrokerId).map(key).collect();
    let mut cluster = Cluster::of(voters, settings, seed);
    suffer(&mut cluster, change_voters)?;
    cluster.weather = Weather::fair();
    cluster.start_all();
    cluster.run(CONVERGES_WITHIN)
}

fn suffer(cluster: &mut Cluster, also: impl Fn(&mut Cluster)) -> Result<(), String> {
    for _ in 0..FAULTS {
        strike(cluster);
        also(cluster);
        let mut left = Duration::from_millis(50 + cluster.random.next_u64() % 1500);
        while left > Duration::ZERO {
            let step = left.min(Duration::from_millis(100));
            left -= step;
            cluster.run(step)?;
            cluster.write();
        }
    }
    Ok(())
}

fn strike(cluster: &mut Cluster) {
    let ids = cluster.ids();
    let any = ids[cluster.random.next_u32() as usize % ids.len()];
    let prefers_leader = cluster.random.next_u32().is_multiple_of(2);
    let some = cluster.leader().filter(|_| prefers_leader).unwrap_or(any);
    match cluster.random.next_u32() % 16 {
        0..=2 => cluster.crash(some),
        3 => ids.into_iter().for_each(|id| cluster.crash(id)),
        4..=6 => cluster.start_all(),
        7..=8 => cluster.weather.isolate(some, ids.into_iter()),
        9 => {
            // One direction only.
            let cuts = ids.into_iter().filter(|id| *id != some).map(|id| (id, some));
            cluster.weather.cut.extend(cuts);
        }
        10..=11 => cluster.weather.cut.clear(),
        12 => {
            let weather = &mut cluster.weather;
            (weather.lost, weather.doubled, weather.late) = (100, 100, 100);
        }
        13 => cluster.weather = Weather::fair(),
        14 => cluster.weather.longest_sync = Duration::from_millis(300),
        _ => cluster.with(some, |shell, now| shell.machine.resign(now)),
    }
}

/// A leader adds or removes a voter, any of them, also itself.
fn change_voters(cluster: &mut Cluster) {
    let Some(leader) = cluster.leader() else { return };
    let ids = cluster.ids();
    let any = ids[cluster.random.next_u32() as usize % ids.len()];
    cluster.with(leader, |shell, now| {
        let voters = shell.machine.voters();
        let is_kept = |voter: &ReplicaKey| voter.id != any;
        let joins = (!voters.contains(any)).then_some(key(any));
        let changed: VoterSet = voters.iter().filter(is_kept).chain(joins).collect();
        if shell.may_change_voters() && !changed.is_empty() {
            shell.append(now, Content::Voters(changed));
        }
    });
}

fn converge(cluster: &mut Cluster) -> Result<(), String> {
    cluster.weather = Weather::fair();
    cluster.start_all();
    let has_one_leader = |cluster: &Cluster| cluster.leaders().len() == 1;
    cluster.until("one leader", CONVERGES_WITHIN, has_one_leader)?;
    // A late message may still depose it.
    cluster.run(Duration::from_secs(6))?;
    cluster.until("one leader", CONVERGES_WITHIN, has_one_leader)?;
    cluster.write();
    let leader = cluster.leader().unwrap();
    let end = cluster.shell(leader).unwrap().log.len();
    cluster.until("the record is committed everywhere", CONVERGES_WITHIN, |cluster| {
        let mut shells = cluster.nodes.values().filter_map(|node| node.shell.as_ref());
        shells.all(|shell| {
            shell.machine.high_watermark().is_some_and(|committed| committed.0 as usize >= end)
        })
    })
}

type Run = fn(i32, Flaws, u64) -> Result<(), String>;

fn holds(run: Run, nodes: i32, seeds: Range<u64>) {
    for seed in seeds {
        if let Err(broken) = run(nodes, Flaws::default(), seed) {
            panic!("{nodes} nodes, seed {seed}: {broken}");
        }
    }
}

#[test]
fn one_voter_keeps_its_promises() {
    holds(run, 1, 0..100);
}

#[test]
fn three_voters_keep_their_promises() {
    holds(run, 3, 0..150);
}

#[test]
fn five_voters_keep_their_promises() {
    holds(run, 5, 0..80);
}

#[test]
fn changing_voters_keep_their_promises() {
    holds(run_with_changing_voters, 3, 0..80);
    holds(run_with_changing_voters, 5, 0..60);
}

/// The laws fire: some seed of these shows the flaw.
#[cfg(debug_assertions)]
fn shows(run: Run, nodes: i32, flaw: Flaw, seeds: Range<u64>) {
    let broken = seeds.filter_map(|seed| run(nodes, Flaws::only(flaw), seed).err()).next();
    let broken = broken.expect("no seed shows it");
    let is_loss = broken.contains("lacks some") || broken.contains("committed other");
    assert!(is_loss, "{broken}");
}

#[cfg(debug_assertions)]
#[test]
fn unsynced_acknowledgements_lose_committed_records() {
    shows(run, 3, Flaw::NoFsyncBeforeAck, 0..100);
}

#[cfg(debug_assertions)]
#[test]
fn removed_leader_that_counts_itself_loses_committed_records() {
    shows(run_with_changing_voters, 3, Flaw::LeaderCountsItself, 0..1000);
}

#[test]
fn messages_that_do_not_wait_for_the_disk_allow_a_second_vote() {
    let broken = (0..300).filter_map(|seed| run_with_hasty_shells(5, Flaws::default(), seed).err());
    let mut broken = broken.filter(|broken| broken.contains("voted for"));
    assert!(broken.next().is_some(), "no seed shows it");
}
