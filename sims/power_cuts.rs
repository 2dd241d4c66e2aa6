//! Real power cuts: `serve` on a real file system whose platter stops accepting writes, under a
//! librdkafka load. Compares the claims of the simulated disk with the kernel.
//!
//! Needs root, loop devices and `xfs_io`; without them, each test prints the reason and passes.
//! `BROKERQUAKE_POWER_CUTS` sets the number of cuts on each file system.
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

#[path = "clients/server.rs"]
mod server;
#[path = "clients/traffic.rs"]
mod traffic;
#[path = "crashes/aging.rs"]
#[allow(dead_code, reason = "what a recovered log should have in it is judged elsewhere")]
mod aging;
#[path = "crashes/operations.rs"]
#[allow(dead_code, reason = "what a recovered log should have in it is judged elsewhere")]
mod operations;
#[path = "crashes/keys.rs"]
#[allow(dead_code, reason = "what a recovered log should have in it is judged elsewhere")]
mod keys;
#[path = "crashes/workload.rs"]
#[allow(dead_code, reason = "what a recovered log should have in it is judged elsewhere")]
mod workload;
mod power_cuts {
    pub mod load;
    pub mod machine;
}

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use brokerquake::base::Flaws;
use brokerquake::io::real::RealDisk;
use brokerquake::sim::crash::{History, Order, Player, look_at};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;

use power_cuts::load::{Load, Told, size};
use power_cuts::machine::{FileSystem, Machine, Writeback};
use server::Server;
use traffic::{consume_all, record};

const TOPIC: &str = "orders";
const PARTITIONS: i32 = 3;

/// Cuts on each file system: few in every test run, many on request.
fn cuts() -> u64 {
    let given = std::env::var("BROKERQUAKE_POWER_CUTS").ok();
    given.map_or(1, |given| given.parse().expect("BROKERQUAKE_POWER_CUTS is a number"))
}

/// Number of cuts after which a disk is replaced, so that it does not fill up.
const CUTS_OF_A_DISK: u64 = 10;

/// The result of one run of a broker with its cuts.
#[derive(Debug, Default)]
struct Outcome {
    cuts: u64,
    acknowledged: usize,
    lost: usize,
    /// Partitions that kept a part of the records acknowledged between two cuts, and lost a part.
    split: usize,
}

impl Outcome {
    /// Counts what one cut lost. It may lose the end of a partition, but nothing in its middle.
    fn add_losses(&mut self, kind: FileSystem, told: &Told, read: &BTreeMap<u64, Vec<u8>>) {
        let partitions = PARTITIONS as u64;
        for partition in 0..partitions {
            let mine = told.acknowledged.iter().filter(|key| *key % partitions == partition);
            let fates: Vec<bool> = mine.map(|key| read.contains_key(key)).collect();
            let kept = fates.iter().take_while(|kept| **kept).count();
            let hole = fates[kept..].contains(&true);
            assert!(!hole, "{kind:?}: a record is gone from the middle of {TOPIC}-{partition}");
            self.acknowledged += fates.len();
            self.lost += fates.len() - kept;
            self.split += usize::from(kept > 0 && kept < fates.len());
        }
    }
}

/// Runs a broker under load on a file system, cuts its power repeatedly, and checks what each boot
/// serves.
fn cut_again_and_again(
    machine: &Machine,
    cuts: std::ops::Range<u64>,
    configs: &[(&str, &str)],
    mut look: impl FnMut(&Told, &BTreeMap<u64, Vec<u8>>),
) {
    let mut server = Server::start_in(&machine.disk());
    // The test has just written its configuration.
    machine.sync();
    server.create_topic(TOPIC, PARTITIONS, 1, configs);
    let mut first = 0;
    for cut in cuts {
        let mut draw = ChaCha12Rng::seed_from_u64(cut);
        let load = Load::start(server.bootstrap(), TOPIC, PARTITIONS, first);
        std::thread::sleep(Duration::from_millis(draw.random_range(300..3_000)));
        server.freeze();
        machine.cut_power();
        server.kill();
        let told = load.stop();
        machine.restore_power();
        server.restart();
        look(&told, &consume_all(&server.bootstrap(), TOPIC, PARTITIONS));
        first = told.next;
    }
}

/// The disks of a file system, each with its cuts; prints the reason if there can be none here.
fn machines(kind: FileSystem) -> impl Iterator<Item = (Machine, std::ops::Range<u64>)> {
    let firsts = (0..cuts()).step_by(CUTS_OF_A_DISK as usize);
    firsts.map_while(move |first| match Machine::new(kind) {
        Ok(machine) => Some((machine, first..cuts().min(first + CUTS_OF_A_DISK))),
        Err(why) => {
            eprintln!("no power is cut on {}: {why}", kind.name());
            None
        }
    })
}

fn assert_unchanged(read: &BTreeMap<u64, Vec<u8>>) {
    for (key, value) in read {
        assert!(*value == record(*key, size(*key)), "record {key} came back changed");
    }
}

#[test]
fn flush_before_ack_loses_nothing_in_a_power_cut() {
    for kind in FileSystem::ALL {
        let mut total = Outcome::default();
        for (machine, cuts) in machines(kind) {
            let mut acknowledged = Vec::new();
            let configs = [("flush.before.ack", "true")];
            total.cuts += cuts.end - cuts.start;
            cut_again_and_again(&machine, cuts, &configs, |told, read| {
                assert_unchanged(read);
                acknowledged.extend(&told.acknowledged);
                for key in &acknowledged {
                    assert!(read.contains_key(key), "{kind:?}: acknowledged record {key} is gone");
                }
            });
            total.acknowledged += acknowledged.len();
        }
        eprintln!("{} synced before acknowledged: {total:?}", kind.name());
        assert!(
            total.cuts == 0 || total.acknowledged > 0,
            "{kind:?}: nothing was ever acknowledged"
        );
    }
}

#[test]
fn unflushed_broker_loses_the_acknowledged_tail_in_a_power_cut() {
    let _hasty = Writeback::hasty();
    for kind in FileSystem::ALL {
        let mut total = Outcome::default();
        for (machine, cuts) in machines(kind) {
            let mut survivors = BTreeSet::new();
            total.cuts += cuts.end - cuts.start;
            cut_again_and_again(&machine, cuts, &[], |told, read| {
                assert_unchanged(read);
                for key in &survivors {
                    assert!(read.contains_key(key), "{kind:?}: record {key} survived a cut before");
                }
                total.add_losses(kind, told, read);
                survivors = read.keys().copied().collect();
            });
        }
        eprintln!("{} synced by the kernel: {total:?}", kind.name());
        assert!(total.cuts == 0 || total.lost > 0, "{kind:?}: cuts without any loss prove nothing");
    }
}

/// Recorded series of operations that one cut interrupts.
const WORKLOADS_OF_A_CUT: u64 = 10;

/// Makes the recorded calls of several logs, each up to a drawn one, loses power, and explains the
/// remains of each by the model. Counts the orders that explain them.
fn cut_recorded_work(machine: &Machine, cut: u64, seen: &mut BTreeMap<Order, u64>) {
    let mut draw = ChaCha12Rng::seed_from_u64(cut);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let roots = |index: u64| machine.disk().join(format!("cut-{cut}-{index}"));
    let mut work = Vec::new();
    for index in 0..WORKLOADS_OF_A_CUT {
        std::fs::create_dir(roots(index)).unwrap();
        let operations = operations::drawn(cut * WORKLOADS_OF_A_CUT + index);
        let mut steps = workload::record(&operations, Flaws::default()).steps;
        steps.truncate(draw.random_range(0..=steps.len()));
        work.push(steps);
    }
    machine.sync();
    let mut players = Vec::new();
    for (index, steps) in work.iter().enumerate() {
        let mut player = Player::new(RealDisk, roots(index as u64));
        for step in steps {
            runtime.block_on(player.perform(step)).unwrap();
        }
        players.push(player);
        // The kernel writes some of it back in the meantime.
        std::thread::sleep(Duration::from_millis(draw.random_range(0..200)));
    }
    machine.cut_power();
    drop(players);
    machine.restore_power();
    for (index, steps) in work.iter().enumerate() {
        let found = look_at(&RealDisk, &roots(index as u64)).unwrap();
        let history = History::after(steps).unwrap();
        let Some(order) = history.order_of(&found) else {
            let why = history.explain(&found, Order::Weakest).unwrap_err();
            panic!("cut {cut}, workload {index}: no crash of the model's leaves that: {why}");
        };
        *seen.entry(order).or_default() += 1;
    }
}

#[test]
fn model_explains_every_state_after_a_real_power_cut() {
    let _hasty = Writeback::hasty();
    for kind in FileSystem::ALL {
        let mut seen = BTreeMap::new();
        for (machine, cuts) in machines(kind) {
            cuts.for_each(|cut| cut_recorded_work(&machine, cut, &mut seen));
        }
        eprintln!("{}: strongest order that explains what was found: {seen:?}", kind.name());
    }
}
