//! The page cache under memory pressure.

use std::ops::Range;

use super::*;
use crate::sim::disk::Memory;

const PAGE: usize = 4096;

fn short(rig: &Rig, pages: u64) -> SimDisk {
    let memory = Some(Memory { pages, ..Memory::default() });
    rig.disk.set_profile(DiskProfile { memory, stall_one_in: 0, ..DiskProfile::default() });
    rig.boot()
}

/// The cost of reading a page, including all waits.
fn timed(rig: &Rig, disk: &SimDisk, file: &crate::sim::disk::SimFile, page: usize) -> Duration {
    finish(disk.settle());
    let before = rig.clock.load(Ordering::Relaxed);
    file.read_exact_at(&mut [0; PAGE], (page * PAGE) as u64).unwrap();
    finish(disk.settle());
    Duration::from_nanos(rig.clock.load(Ordering::Relaxed) - before)
}

#[test]
fn least_recently_used_page_is_evicted_first() {
    let rig = Rig::new(1);
    let disk = short(&rig, 16);
    let hot = durable(&disk, "/hot", &[1; PAGE]);
    let cold = durable(&disk, "/cold", &[1; PAGE]);
    let big = durable(&disk, "/big", &[2; 8 * PAGE]);
    for round in 0..8 {
        big.write_at(&[2; PAGE], ((8 + round) * PAGE) as u64).unwrap();
        finish(big.sync()).unwrap();
        timed(&rig, &disk, &hot, 0);
    }
    let before = rig.disk.stats();
    let hit = timed(&rig, &disk, &hot, 0);
    assert_eq!(rig.disk.stats().page_misses, before.page_misses);
    let miss = timed(&rig, &disk, &cold, 0);
    assert_eq!(rig.disk.stats().page_misses, before.page_misses + 1);
    assert!(miss > hit * 20, "{miss:?} against {hit:?}");
    assert!(before.evicted > 0);
}

#[test]
fn dirty_pages_stay_in_memory_until_they_are_written() {
    let rig = Rig::new(1);
    let memory = Some(Memory { pages: 16, background_ratio: 90, dirty_ratio: 95, read_ahead: 0 });
    rig.disk.set_profile(DiskProfile { memory, ..DiskProfile::default() });
    let disk = rig.boot();
    let big = durable(&disk, "/big", &[2; 40 * PAGE]);
    let dirty = disk.open(path("/dirty"), Open::New).unwrap();
    dirty.write_at(&[1; PAGE], 0).unwrap();
    big.read_exact_at(&mut [0; 40 * PAGE], 0).unwrap();
    let before = rig.disk.stats().page_misses;
    dirty.read_exact_at(&mut [0; PAGE], 0).unwrap();
    assert_eq!(rig.disk.stats().page_misses, before);
    assert_eq!(read(&disk, "/dirty").unwrap(), [1; PAGE]);
}

#[test]
fn only_sequential_readers_get_read_ahead() {
    let order = |pages: &[usize]| {
        let rig = Rig::new(1);
        let disk = short(&rig, 1000);
        let file = durable(&disk, "/a", &[1; 200 * PAGE]);
        rig.disk.power_loss(&Survival::Nothing);
        drop(file);
        let disk = rig.boot();
        let file = disk.open(path("/a"), Open::Existing).unwrap();
        let time: Duration = pages.iter().map(|page| timed(&rig, &disk, &file, *page)).sum();
        (rig.disk.stats(), time)
    };
    let sequential: Vec<usize> = (0..100).collect();
    let random: Vec<usize> = (0..100).map(|page| page * 37 % 200).collect();
    let (ahead, fast) = order(&sequential);
    let (lone, slow) = order(&random);
    assert!(ahead.read_ahead > 80 && ahead.page_misses < 20, "{ahead:?}");
    assert!(lone.read_ahead < 10 && lone.page_misses > 90, "{lone:?}");
    assert!(slow > fast * 4, "{slow:?} against {fast:?}");
}

#[test]
fn lagging_reader_evicts_pages_of_the_tail_reader() {
    let rig = Rig::new(1);
    let disk = short(&rig, 64);
    let old = durable(&disk, "/old.log", &[1; 500 * PAGE]);
    let tail = durable(&disk, "/tail.log", &[2; 32 * PAGE]);
    tail.read_exact_at(&mut [0; 32 * PAGE], 0).unwrap();
    let reads = |disk: &SimDisk| -> Duration {
        (0..32).map(|page| timed(&rig, disk, &tail, page * 5 % 32)).sum()
    };
    let alone = reads(&disk);
    for part in 0..5 {
        old.read_exact_at(&mut [0; 100 * PAGE], part * 100 * PAGE as u64).unwrap();
    }
    let together = reads(&disk);
    let again = reads(&disk);
    assert!(together > alone * 3, "{together:?} against {alone:?}");
    assert_eq!(again, alone, "no other reader evicts pages");
}

#[test]
fn writer_above_the_dirty_ratio_waits_for_the_device() {
    let rig = Rig::new(1);
    let disk = short(&rig, 1000);
    let file = disk.open(path("/0.log"), Open::New).unwrap();
    let write = |count: usize, from: usize| {
        finish(disk.settle());
        let before = rig.clock.load(Ordering::Relaxed);
        for page in from..from + count {
            file.write_at(&[1; PAGE], (page * PAGE) as u64).unwrap();
            finish(disk.settle());
        }
        Duration::from_nanos(rig.clock.load(Ordering::Relaxed) - before) / count as u32
    };
    let free = write(90, 0);
    assert_eq!(rig.disk.stats().written_back, 0, "nothing is written below the background ratio");
    write(1000, 90);
    let throttled = write(1000, 1090);
    let stats = rig.disk.stats();
    assert!(stats.throttled > 500 && !stats.throttled_for.is_zero(), "{stats:?}");
    assert!(stats.dirty_pages <= 200, "{stats:?}");
    // From then on, writes are limited by the device.
    let device = DiskProfile::default().write_page;
    assert!(throttled > free * 3 && throttled < device * 2, "{throttled:?} after {free:?}");
}

/// How long `calls` calls take: with a wait after each, and with one wait after all of them.
fn one_by_one_and_at_once(
    rig: &Rig,
    disk: &SimDisk,
    calls: usize,
    call: impl Fn(usize),
) -> [Duration; 2] {
    let time = |range: Range<usize>, settles: bool| {
        finish(disk.settle());
        let before = rig.clock.load(Ordering::Relaxed);
        for number in range {
            call(number);
            if settles {
                finish(disk.settle());
            }
        }
        finish(disk.settle());
        Duration::from_nanos(rig.clock.load(Ordering::Relaxed) - before)
    };
    [time(0..calls, true), time(calls..2 * calls, false)]
}

#[test]
fn throttled_writes_of_one_step_wait_for_each_page_once() {
    let rig = Rig::new(1);
    let disk = short(&rig, 1000);
    let file = disk.open(path("/0.log"), Open::New).unwrap();
    let [one_by_one, at_once] = one_by_one_and_at_once(&rig, &disk, 2000, |page| {
        file.write_at(&[1; PAGE], (page * PAGE) as u64).unwrap();
    });
    let device = DiskProfile::default().write_page * 2000;
    assert!(rig.disk.stats().throttled > 1500, "{:?}", rig.disk.stats());
    assert!(at_once > device * 3 / 4 && at_once < device * 5 / 4, "{at_once:?}, {one_by_one:?}");
}

#[test]
fn cold_reads_of_one_step_wait_for_each_page_once() {
    let rig = Rig::new(1);
    let disk = short(&rig, 1000);
    let file = durable(&disk, "/a", &[1; 200 * PAGE]);
    rig.disk.power_loss(&Survival::Nothing);
    drop(file);
    let disk = rig.boot();
    let file = disk.open(path("/a"), Open::Existing).unwrap();
    let [one_by_one, at_once] = one_by_one_and_at_once(&rig, &disk, 90, |number| {
        file.read_exact_at(&mut [0; PAGE], (number * 37 % 200 * PAGE) as u64).unwrap();
    });
    assert!(rig.disk.stats().page_misses > 160, "{:?}", rig.disk.stats());
    assert!(at_once < one_by_one * 5 / 4, "{at_once:?} at once, {one_by_one:?} one by one");
}

#[test]
fn pages_are_written_back_in_random_order() {
    let mut gaps = 0;
    for seed in 0..10 {
        let rig = Rig::new(seed);
        let disk = short(&rig, 400);
        let file = durable(&disk, "/0.log", b"");
        for page in 0..60 {
            file.write_at(&[7; PAGE], page * PAGE as u64).unwrap();
        }
        rig.disk.power_loss(&Survival::Everything);
        let disk = rig.boot();
        assert_eq!(read(&disk, "/0.log").unwrap(), [7; 60 * PAGE]);
        let file = disk.open(path("/0.log"), Open::Existing).unwrap();
        for page in 0..60 {
            file.write_at(&[8; PAGE], page * PAGE as u64).unwrap();
        }
        rig.disk.power_loss(&Survival::Nothing);
        let found = read(&rig.boot(), "/0.log").unwrap();
        let new: Vec<bool> = found.chunks(PAGE).map(|page| page[0] == 8).collect();
        gaps += usize::from(new.windows(2).any(|pair| !pair[0] && pair[1]));
    }
    assert!(gaps > 5, "{gaps}");
}

#[test]
fn append_cost_is_independent_of_dirty_pages() {
    let cost = |dirty: u64| {
        let rig = Rig::new(1);
        let disk = short(&rig, 4 * dirty);
        let file = disk.open(path("/0.log"), Open::New).unwrap();
        (0..dirty).for_each(|page| file.write_at(&[1], page * PAGE as u64).unwrap());
        finish(disk.settle());
        let before = rig.clock.load(Ordering::Relaxed);
        (0..100).for_each(|at| file.write_at(&[1; 100], (dirty << 12) + at * 100).unwrap());
        finish(disk.settle());
        rig.clock.load(Ordering::Relaxed) - before
    };
    assert!(cost(4000) <= cost(40) * 3 / 2);
}

#[test]
fn one_read_in_many_stalls_on_a_slow_device() {
    let rig = Rig::new(1);
    let stall = Duration::from_millis(500)..=Duration::from_secs(2);
    let profile = DiskProfile { read_stall_one_in: 10, stall, ..DiskProfile::default() };
    rig.disk.set_profile(profile);
    let disk = rig.boot();
    durable(&disk, "/a", &[1; 100 * PAGE]);
    rig.disk.power_loss(&Survival::Nothing);
    let disk = rig.boot();
    let file = disk.open(path("/a"), Open::Existing).unwrap();
    let times: Vec<Duration> = (0..100).map(|page| timed(&rig, &disk, &file, page)).collect();
    let hung = times.iter().filter(|time| **time >= Duration::from_millis(500)).count();
    assert!((2..30).contains(&hung), "{hung}");
    let stats = rig.disk.stats();
    assert_eq!(stats.stalls, hung as u64);
    assert!(stats.stalled >= Duration::from_millis(500) * hung as u32);
}
