//! What the simulated disk costs in real time: an append, whatever is unsynced, and a power loss.
//!
//! `cargo bench --bench disk`: `append/1000` and `append/1000000` must agree within a factor of two.

// A benchmark is the one place that asks the real clock how long a simulation takes.
#![allow(clippy::disallowed_methods)]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant as Wall};

use brokerquake::base::{Instant, Seed};
use brokerquake::io::{Disk, File, Open};
use brokerquake::sim::disk::SimDisk;
use brokerquake::sim::{HostId, Observer, Survival, Trace};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use parking_lot::Mutex;

/// Bytes of one append: a small batch.
const BATCH: usize = 100;
/// Appends that are timed together.
const TIMED: u64 = 1000;

struct Rig {
    hardware: SimDisk,
    disk: SimDisk,
    observer: Observer,
}

fn rig() -> Rig {
    let observer = Observer::default();
    let trace = Arc::new(Mutex::new(Trace::default()));
    let now = Arc::new(|| Instant::START);
    let hardware = SimDisk::new(HostId(0), Seed(1), now, observer.clone(), trace);
    let disk = boot(&hardware);
    Rig { hardware, disk, observer }
}

fn boot(hardware: &SimDisk) -> SimDisk {
    hardware.boot(Arc::new(|_| Box::pin(std::future::ready(()))), Arc::new(|| {}))
}

/// Appends to a log, and what an observer would take of it is thrown away in time.
fn append(rig: &Rig, file: &impl File, from: u64, count: u64) -> Duration {
    let mut spent = Duration::ZERO;
    let mut position = from;
    while position < from + count {
        let until = (position + TIMED).min(from + count);
        let start = Wall::now();
        for index in position..until {
            file.write_at(black_box(&[7; BATCH]), index * BATCH as u64).expect("there is room");
        }
        spent += start.elapsed();
        position = until;
        rig.observer.drain();
    }
    spent
}

fn appends(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("append");
    group.throughput(Throughput::Elements(TIMED));
    for unsynced in [1_000, 1_000_000] {
        let rig = rig();
        let file = rig.disk.open(Path::new("/0.log"), Open::New).expect("a new name");
        append(&rig, &file, 0, unsynced);
        group.bench_function(BenchmarkId::from_parameter(unsynced), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    spent += append(&rig, &file, unsynced, TIMED);
                    file.set_len(unsynced * BATCH as u64).expect("it shrinks");
                }
                spent
            });
        });
    }
    group.finish();
}

fn power_losses(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("power-loss-with-10-dirty-pages");
    for synced_mib in [1u64, 100] {
        // Not a log: an observer would be told all of it.
        let rig = rig();
        let mut disk = rig.disk.clone();
        let file = disk.open(Path::new("/data"), Open::New).expect("a new name");
        file.write_at(&vec![1; (synced_mib << 20) as usize], 0).expect("there is room");
        rig.hardware.power_loss(&Survival::Everything);
        group.bench_function(BenchmarkId::new("synced-mib", synced_mib), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    disk = boot(&rig.hardware);
                    let file = disk.open(Path::new("/data"), Open::Existing).expect("it is there");
                    file.write_at(&[2; 10 * 4096], 0).expect("there is room");
                    let start = Wall::now();
                    rig.hardware.power_loss(&Survival::Nothing);
                    spent += start.elapsed();
                    rig.observer.drain();
                }
                spent
            });
        });
    }
    group.finish();
}

criterion_group!(benches, appends, power_losses);
criterion_main!(benches);
