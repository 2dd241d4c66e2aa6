//! States that a crash may and may not leave, generated and explained.

use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;

use super::*;
use crate::base::{Instant, Seed};
use crate::sim::disk::{DiskProfile, SimDisk, Sleep};
use crate::sim::{HostId, Observer, Survival, Trace};

const ROOT: &str = "/data";

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
}

fn machine(seed: u64) -> SimDisk {
    let trace = Arc::new(Mutex::new(Trace::default()));
    let now = Arc::new(|| Instant::START);
    let disk = SimDisk::new(HostId(0), Seed(seed), now, Observer::default(), trace);
    disk.set_profile(DiskProfile::instant());
    disk
}

fn boot(machine: &SimDisk) -> SimDisk {
    let sleep: Sleep = Arc::new(|_| Box::pin(std::future::ready(())));
    machine.boot(sleep, Arc::new(|| {}))
}

/// A log in miniature: a file that grows, is synced and truncated, and a checkpoint that is
/// replaced.
fn work(disk: &Recorder<SimDisk>, synced: bool) {
    let at = |name: &str| Path::new(ROOT).join(name);
    let log = disk.open(&at("log"), Open::New).unwrap();
    log.write_at(&[1; 5000], 0).unwrap();
    block_on(log.sync()).unwrap();
    block_on(disk.sync_dir(Path::new(ROOT))).unwrap();
    log.write_at(&[2; 5000], 5000).unwrap();
    log.write_at(&[3; 600], 300).unwrap();
    let aside = disk.open(&at("checkpoint.tmp"), Open::New).unwrap();
    aside.write_at(b"new", 0).unwrap();
    if synced {
        block_on(aside.sync()).unwrap();
    }
    disk.rename(&at("checkpoint.tmp"), &at("checkpoint")).unwrap();
    let mut index = disk.open(&at("index"), Open::New).unwrap();
    index.set_len(8192).unwrap();
    let mut map = disk.map(&index, 8192).unwrap();
    crate::io::Map::write(&mut map, 8, b"entry").unwrap();
    disk.create_dir_all(&at("gone")).unwrap();
    disk.rename(&at("gone"), &at("gone-delete")).unwrap();
    log.set_len(7000).unwrap();
    log.write_at(&[4; 3000], 7000).unwrap();
    index = disk.open(&at("log"), Open::Existing).unwrap();
    drop(index);
}

fn recorded(seed: u64, synced: bool) -> (SimDisk, Vec<Step>) {
    let machine = machine(seed);
    let disk = boot(&machine);
    disk.create_dir_all(Path::new(ROOT)).unwrap();
    block_on(disk.sync_dir(Path::new("/"))).unwrap();
    let recorder = Recorder::new(disk, ROOT);
    work(&recorder, synced);
    let steps = recorder.steps();
    (machine, steps)
}

fn found(machine: &SimDisk) -> Found {
    look_at(&boot(machine), Path::new(ROOT)).unwrap()
}

#[test]
fn recorded_steps_give_the_same_files_on_any_disk() {
    let (simulated, steps) = recorded(1, true);
    let real = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut player = Player::new(crate::io::real::RealDisk, real.path());
    for step in &steps {
        runtime.block_on(player.perform(step)).unwrap_or_else(|error| panic!("{step}: {error}"));
    }
    simulated.kill();
    let seen = found(&simulated);
    assert_eq!(look_at(&crate::io::real::RealDisk, real.path()).unwrap(), seen);
    assert_eq!(History::after(&steps).unwrap().cached(), seen);
    assert!(steps.iter().any(|step| matches!(step, Step::Store { .. })));
}

#[test]
fn laid_out_state_reads_back_unchanged() {
    let (_, steps) = recorded(1, true);
    let state = History::after(&steps).unwrap().cached();
    let (machine, dir) = (machine(2), Path::new(ROOT));
    lay_out(&boot(&machine), dir, &state).unwrap();
    machine.kill();
    assert_eq!(found(&machine), state);
}

#[test]
fn order_explains_what_the_simulated_disk_leaves() {
    let kept = [
        (Survival::Nothing, Order::AtomicRenames),
        (Survival::Drawn, Order::AtomicRenames),
        (Survival::Weakest, Order::Weakest),
        (Survival::Ext4Ordered, Order::Ext4Ordered),
        (Survival::Everything, Order::EverythingDurable),
    ];
    let (mut torn, mut stronger) = (0, 0);
    for seed in 0..150 {
        for (survival, order) in &kept {
            let (machine, steps) = recorded(seed, true);
            let history = History::after(&steps).unwrap();
            machine.power_loss(survival);
            let found = found(&machine);
            for weaker in Order::ALL.into_iter().filter(|weaker| weaker <= order) {
                let told = history.explain(&found, weaker);
                let may_differ = weaker == Order::Ext4Ordered && *order != Order::Ext4Ordered;
                assert!(told.is_ok() || may_differ, "{survival:?} as {weaker:?}: {told:?}");
            }
            torn += u32::from(history.order_of(&found) == Some(Order::Weakest));
            stronger += u32::from(history.order_of(&found) == Some(Order::Ext4Ordered));
        }
    }
    assert!(torn > 0 && stronger > 0, "{torn} renames torn, {stronger} as a journal keeps it");
}

#[test]
fn order_explains_every_state_that_it_generates() {
    for synced in [true, false] {
        let (_, steps) = recorded(1, synced);
        let mut history = History::of(&Found::new());
        for step in &steps {
            history.step(step).unwrap();
            for order in Order::ALL {
                history.states(order, Bound::default(), |state| {
                    let told = history.explain(&state, order);
                    assert!(told.is_ok(), "{order:?} after `{step}`: {told:?}");
                });
            }
        }
    }
}

#[test]
fn state_that_was_never_written_is_rejected() {
    let (_, steps) = recorded(1, true);
    let history = History::after(&steps).unwrap();
    let wrong = |change: &dyn Fn(&mut Found)| {
        let mut state = history.cached();
        change(&mut state);
        assert_eq!(history.order_of(&state), None, "{:?}", state.keys());
        history.explain(&state, Order::Weakest).unwrap_err().to_string()
    };
    let edit = |bytes: &'static [u8], name: &'static str| {
        move |state: &mut Found| drop(state.insert(name.into(), Some(Bytes::from_static(bytes))))
    };
    let foreign = wrong(&edit(b"?", "stranger"));
    assert_eq!(foreign, "`stranger`: no step created it");
    let short = wrong(&edit(b"1", "log"));
    assert_eq!(short, "`log`: a size of 1 is outside 5000 to 10000");
    let rotten = wrong(&|state| {
        let log = state.get_mut("log").unwrap();
        let mut bytes = log.as_ref().unwrap().to_vec();
        bytes[4100] ^= 1;
        *log = Some(bytes.into());
    });
    assert_eq!(rotten, "`log`: the sector at byte 4096 never had this content");
    // Synced content under a synced name must be there.
    let gone = wrong(&|state| drop(state.remove("log")));
    assert_eq!(gone, "`log`: not found, although it must be there");
}

#[test]
fn checkpoint_renamed_before_its_sync_may_be_empty() {
    let empty = |synced| {
        let (_, steps) = recorded(1, synced);
        let mut found = false;
        History::after(&steps).unwrap().states(Order::AtomicRenames, Bound::default(), |state| {
            found |= state.get("checkpoint").is_some_and(|b| b.as_ref().unwrap().is_empty());
        });
        found
    };
    assert!(empty(false) && !empty(true));
}

#[test]
fn impossible_sequence_of_steps_is_refused() {
    let steps = [Step::Remove { path: "a".into() }];
    assert_eq!(History::after(&steps).unwrap_err().kind(), io::ErrorKind::NotFound);
    let steps = [Step::SetLen { file: FileNo(3), len: 1 }];
    assert!(History::after(&steps).unwrap_err().to_string().contains("no file is open as 3"));
}
