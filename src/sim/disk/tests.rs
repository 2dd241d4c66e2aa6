//! Guarantees of the disk, one story each. Random histories are in `sims/models.rs`.

mod cache;
mod faulty;
mod weakest;

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;

use super::{DiskProfile, Failing, PagePool, SimDisk, Sleep, Writeback};
use crate::base::{Instant, Seed};
use crate::io::{Disk, File, Map, Open};
use crate::sim::{HostId, Observer, Survival, Trace, What};

/// A disk, its clock, and the engine's callbacks.
struct Rig {
    disk: SimDisk,
    clock: Arc<AtomicU64>,
    observer: Observer,
    trace: Arc<Mutex<Trace>>,
    struck: Arc<AtomicBool>,
}

impl Rig {
    fn new(seed: u64) -> Self {
        let clock = Arc::new(AtomicU64::new(0));
        let (observer, trace) = (Observer::default(), Arc::new(Mutex::new(Trace::default())));
        let read = clock.clone();
        let now = Arc::new(move || Instant(read.load(Ordering::Relaxed)));
        let disk = SimDisk::new(HostId(1), Seed(seed), now, observer.clone(), trace.clone());
        Self { disk, clock, observer, trace, struck: Arc::default() }
    }

    /// A process; sleeping moves the clock, and ends at the second poll.
    fn boot(&self) -> SimDisk {
        let clock = self.clock.clone();
        let sleep: Sleep = Arc::new(move |time| {
            let clock = clock.clone();
            Box::pin(async move {
                yield_once().await;
                clock.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
            })
        });
        let struck = self.struck.clone();
        self.disk.boot(sleep, Arc::new(move || struck.store(true, Ordering::Relaxed)))
    }

    fn seen(&self) -> Vec<What> {
        self.observer.drain().into_iter().map(|seen| seen.what).collect()
    }
}

fn yield_once() -> impl Future<Output = ()> + Send {
    let mut waited = false;
    std::future::poll_fn(move |_| {
        let ready = std::mem::replace(&mut waited, true);
        if ready { Poll::Ready(()) } else { Poll::Pending }
    })
}

fn finish<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = poll(future.as_mut()) {
            return value;
        }
    }
}

fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn path(text: &str) -> &Path {
    Path::new(text)
}

fn read(disk: &SimDisk, name: &str) -> io::Result<Vec<u8>> {
    let file = disk.open(path(name), Open::Existing)?;
    let mut bytes = vec![0; file.len()? as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// A file with durable content under a durable name.
fn durable(disk: &SimDisk, name: &str, bytes: &[u8]) -> super::SimFile {
    let file = disk.open(path(name), Open::OrCreate).unwrap();
    file.write_at(bytes, 0).unwrap();
    finish(file.sync()).unwrap();
    finish(disk.sync_dir(path(name).parent().unwrap())).unwrap();
    file
}

#[test]
fn writes_and_stores_survive_a_kill() {
    let rig = Rig::new(1);
    let disk = rig.boot();
    let file = disk.open(path("/a"), Open::New).unwrap();
    file.write_at(b"written", 0).unwrap();
    let mut map = disk.map(&file, 7).unwrap();
    map.write(3, b"MAP").unwrap();
    rig.disk.kill();
    assert_eq!(read(&rig.boot(), "/a").unwrap(), b"wriMAPn");
}

#[test]
fn handles_of_a_dead_process_do_nothing() {
    let rig = Rig::new(1);
    let disk = rig.boot();
    let file = durable(&disk, "/a", b"before");
    let mut map = disk.map(&file, 6).unwrap();
    rig.disk.kill();
    let next = rig.boot();
    assert!(file.write_at(b"x", 0).is_err());
    assert!(file.set_len(0).is_err() && file.len().is_err());
    assert!(map.write(0, b"x").is_err());
    assert!(disk.open(path("/b"), Open::New).is_err());
    assert!(disk.remove(path("/a")).is_err());
    assert!(finish(file.sync()).is_err());
    assert_eq!(read(&next, "/a").unwrap(), b"before");
    assert!(!next.exists(path("/b")).unwrap());
}

#[test]
fn without_a_sync_a_power_loss_takes_bytes_sizes_and_names() {
    let rig = Rig::new(1);
    let disk = rig.boot();
    let kept = durable(&disk, "/kept", b"old");
    kept.write_at(b"new and longer", 0).unwrap();
    let nameless = disk.open(path("/nameless"), Open::New).unwrap();
    nameless.write_at(b"synced", 0).unwrap();
    finish(nameless.sync()).unwrap();
    disk.rename(path("/kept"), path("/renamed")).unwrap();
    rig.disk.power_loss(&Survival::Nothing);
    let disk = rig.boot();
    assert_eq!(read(&disk, "/kept").unwrap(), b"old");
    assert_eq!(rig.disk.files().len(), 1);
}

#[test]
fn power_loss_may_keep_everything() {
    let rig = Rig::new(1);
    let disk = rig.boot();
    disk.create_dir_all(path("/d/e")).unwrap();
    let file = disk.open(path("/d/e/a"), Open::New).unwrap();
    file.write_at(b"never synced", 0).unwrap();
    rig.disk.power_loss(&Survival::Everything);
    assert_eq!(read(&rig.boot(), "/d/e/a").unwrap(), b"never synced");
    assert_eq!(rig.disk.peek_stable("/d/e/a").unwrap(), b"never synced");
}

#[test]
fn synced_file_is_lost_with_its_directorys_unsynced_name() {
    let rig = Rig::new(1);
    let disk = rig.boot();
    disk.create_dir_all(path("/d")).unwrap();
    durable(&disk, "/d/a", b"x");
    rig.disk.power_loss(&Survival::Nothing);
    assert!(!rig.boot().exists(path("/d")).unwrap());
}

#[test]
fn sync_covers_data_dirty_at_its_start_when_it_ends() {
    let rig = Rig::new(1);
    let disk = rig.boot();
    let file = durable(&disk, "/a", b"one");
    file.write_at(b"two", 0).unwrap();
    let mut sync = Box::pin(file.sync());
    assert!(poll(sync.as_mut()).is_pending());
    assert_eq!(rig.disk.peek_stable("/a").unwrap(), b"one");
    file.write_at(b"three", 0).unwrap();
    finish(sync).unwrap();
    assert_eq!(rig.disk.peek_stable("/a").unwrap(), b"two");
    rig.disk.power_loss(&Survival::Nothing);
    assert_eq!(read(&rig.boot(), "/a").unwrap(), b"two");
}

#[test]
fn late_sync_does_not_overwrite_a_newer_one() {
    let rig = Rig::new(1);
    let disk = rig.boot();
    let file = durable(&disk, "/a", b"one");
    file.write_at(b"two", 0).unwrap();
    let mut early = Box::pin(file.sync());
    assert!(poll(early.as_mut()).is_pending());
    file.write_at(b"three", 0).unwrap();
    finish(file.sync()).unwrap();
    finish(early).unwrap();
    assert_eq!(rig.disk.peek_stable("/a").unwrap(), b"three");
}

#[test]
fn file_truncated_during_a_sync_can_be_synced_again() {
    let rig = Rig::new(1);
    let disk = rig.boot();
    let file = durable(&disk, "/a", b"");
    file.write_at(&[7; 5000], 0).unwrap();
    let mut sync = Box::pin(file.sync());
    assert!(poll(sync.as_mut()).is_pending());
    file.set_len(0).unwrap();
    finish(sync).unwrap();
    assert_eq!(rig.disk.peek_stable("/a").unwrap(), [7; 5000]);
    finish(file.sync()).unwrap();
    file.set_len(5000).unwrap();
    finish(file.sync()).unwrap();
    assert_eq!(rig.disk.peek_stable("/a").unwrap(), [0; 5000]);
}

#[test]
fn a_rename_survives_whole_or_not_at_all() {
    let mut seen = [false; 2];
    for seed in 0..50 {
        let rig = Rig::new(seed);
        let disk = rig.boot();
        durable(&disk, "/checkpoint", b"old");
        durable(&disk, "/checkpoint.tmp", b"new");
        disk.rename(path("/checkpoint.tmp"), path("/checkpoint")).unwrap();
        rig.disk.power_loss(&Survival::Drawn);
        let disk = rig.boot();
        let renamed = !disk.exists(path("/checkpoint.tmp")).unwrap();
        assert_eq!(read(&disk, "/checkpoint").unwrap(), if renamed { b"new" } else { b"old" });
        seen[usize::from(renamed)] = true;
    }
    assert_eq!(seen, [true; 2]);
}

#[test]
fn name_is_not_reused_before_its_old_file_was_renamed() {
    for seed in 0..100 {
        let rig = Rig::new(seed);
        let disk = rig.boot();
        durable(&disk, "/log", b"first");
        disk.rename(path("/log"), path("/log.old")).unwrap();
        let next = disk.open(path("/log"), Open::New).unwrap();
        next.write_at(b"second", 0).unwrap();
        rig.disk.power_loss(&Survival::Drawn);
        let disk = rig.boot();
        let found = read(&disk, "/log").or_else(|_| read(&disk, "/log.old")).unwrap();
        let old = read(&disk, "/log.old").unwrap_or(found);
        assert_eq!(old, b"first");
    }
}

#[test]
fn sizes_and_bytes_survive_independently_and_pages_tear() {
    let (mut zeros, mut torn, mut short) = (false, false, false);
    for seed in 0..300 {
        let rig = Rig::new(seed);
        let disk = rig.boot();
        let file = durable(&disk, "/a", b"");
        file.write_at(&[7; 3 * 4096], 0).unwrap();
        rig.disk.power_loss(&Survival::Drawn);
        let bytes = read(&rig.boot(), "/a").unwrap();
        assert!(bytes.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        short |= bytes.len() < 3 * 4096;
        for page in bytes.chunks_exact(4096) {
            zeros |= page.iter().all(|byte| *byte == 0);
            torn |= page.contains(&0) && page.contains(&7);
        }
    }
    assert!(zeros && torn && short);
}

#[test]
fn the_power_fails_between_two_operations_of_one_task() {
    let rig = Rig::new(1);
    let disk = rig.boot();
    let file = durable(&disk, "/a", b"..");
    rig.disk.power_loss_at(1, Survival::Everything);
    file.write_at(b"1", 0).unwrap();
    assert!(!rig.disk.struck());
    assert!(file.write_at(b"2", 1).is_err());
    assert!(rig.disk.struck() && rig.struck.load(Ordering::Relaxed));
    assert!(file.write_at(b"3", 0).is_err());
    assert_eq!(rig.disk.peek("/a").unwrap(), b"1.");
    rig.disk.power_loss(&Survival::Nothing);
    let disk = rig.boot();
    assert!(!rig.disk.struck());
    assert_eq!(read(&disk, "/a").unwrap(), b"1.");
}

#[test]
fn open_handles_keep_a_removed_or_replaced_file() {
    let rig = Rig::new(1);
    let disk = rig.boot();
    let removed = durable(&disk, "/a", b"removed");
    disk.remove(path("/a")).unwrap();
    let replaced = durable(&disk, "/b", b"replaced");
    durable(&disk, "/c", b"replacing");
    disk.rename(path("/c"), path("/b")).unwrap();
    finish(disk.sync_dir(path("/"))).unwrap();
    let mut bytes = [0; 8];
    assert_eq!(removed.read_at(&mut bytes, 0).unwrap(), 7);
    assert_eq!(replaced.read_at(&mut bytes, 0).unwrap(), 8);
    assert_eq!(&bytes, b"replaced");
    assert_eq!(rig.disk.stats().used_pages, 3);
    drop((removed, replaced));
    assert_eq!(rig.disk.stats().used_pages, 1);
}

#[test]
fn a_preallocated_file_takes_space_only_where_it_was_touched() {
    let rig = Rig::new(1);
    let disk = rig.boot();
    let file = durable(&disk, "/index", b"");
    file.set_len(10 << 20).unwrap();
    let mut map = disk.map(&file, 10 << 20).unwrap();
    assert_eq!(rig.disk.stats().used_pages, 0);
    map.write(5 << 20, &[1; 8]).unwrap();
    assert_eq!(rig.disk.stats().used_pages, 1);
    file.set_len(8).unwrap();
    assert_eq!(rig.disk.stats().used_pages, 0);
    assert_eq!(rig.disk.stats().dirty_pages, 0);
}

#[test]
fn a_store_survives_a_power_loss_only_after_a_flush() {
    let rig = Rig::new(1);
    let disk = rig.boot();
    let file = durable(&disk, "/index", &[0; 16]);
    let mut map = disk.map(&file, 16).unwrap();
    map.write(0, b"flushed!").unwrap();
    finish(map.flush()).unwrap();
    map.write(8, b"stored!!").unwrap();
    let mut bytes = [0; 16];
    map.read(0, &mut bytes);
    assert_eq!(&bytes, b"flushed!stored!!");
    rig.disk.power_loss(&Survival::Nothing);
    assert_eq!(read(&rig.boot(), "/index").unwrap(), b"flushed!\0\0\0\0\0\0\0\0");
}

#[test]
fn pages_of_a_failed_sync_stay_lost_after_a_successful_one() {
    let rig = Rig::new(1);
    let disk = rig.boot();
    let file = durable(&disk, "/a", b"old");
    file.write_at(b"new", 0).unwrap();
    rig.disk.fail(Failing::Sync, 1, None);
    assert_eq!(finish(file.sync()).unwrap_err().raw_os_error(), Some(5));
    finish(file.sync()).unwrap();
    assert_eq!(read(&disk, "/a").unwrap(), b"new");
    rig.disk.power_loss(&Survival::Everything);
    assert_eq!(read(&rig.boot(), "/a").unwrap(), b"old");
}

#[test]
fn a_full_disk_refuses_a_write_and_has_room_again_after_a_removal() {
    let rig = Rig::new(1);
    let profile = DiskProfile { capacity: Some(4 * 4096), ..DiskProfile::default() };
    rig.disk.set_profile(profile);
    let disk = rig.boot();
    let big = durable(&disk, "/big", &[1; 3 * 4096]);
    let file = disk.open(path("/a"), Open::New).unwrap();
    let refused = file.write_at(&[2; 2 * 4096], 0).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 4096);
    big.write_at(&[3; 4096], 0).unwrap();
    drop(big);
    disk.remove(path("/big")).unwrap();
    file.write_at(&[2; 2 * 4096], 0).unwrap();
}

#[test]
fn operations_cost_time_and_a_cold_cache_costs_more() {
    let rig = Rig::new(1);
    let disk = rig.boot();
    durable(&disk, "/a", &[1; 64 * 4096]);
    finish(disk.settle());
    let before = rig.clock.load(Ordering::Relaxed);
    finish(disk.settle());
    assert_eq!(rig.clock.load(Ordering::Relaxed), before);
    let timed = |disk: &SimDisk| {
        let before = rig.clock.load(Ordering::Relaxed);
        read(disk, "/a").unwrap();
        finish(disk.settle());
        Duration::from_nanos(rig.clock.load(Ordering::Relaxed) - before)
    };
    let warm = timed(&disk);
    rig.disk.power_loss(&Survival::Nothing);
    let disk = rig.boot();
    let (cold, warmed) = (timed(&disk), timed(&disk));
    assert!(!warm.is_zero() && warmed == warm && cold > warm * 5);
    assert_eq!(rig.disk.stats().page_misses, 64);
}

#[test]
fn flusher_writes_old_pages_without_a_sync() {
    let mut kept = 0;
    for seed in 0..20 {
        let rig = Rig::new(seed);
        let writeback = Some(Writeback::default());
        rig.disk.set_profile(DiskProfile { writeback, ..DiskProfile::default() });
        let disk = rig.boot();
        let file = durable(&disk, "/a", b"old");
        file.write_at(b"new", 0).unwrap();
        rig.clock.fetch_add(20_000_000_000, Ordering::Relaxed);
        file.len().unwrap();
        disk.exists(path("/")).unwrap();
        assert_eq!(rig.disk.peek_stable("/a").unwrap(), b"old");
        rig.clock.fetch_add(20_000_000_000, Ordering::Relaxed);
        rig.disk.power_loss(&Survival::Nothing);
        kept += usize::from(read(&rig.boot(), "/a").unwrap() == b"new");
    }
    assert_eq!(kept, 20);
}

#[test]
fn observers_see_logs_and_indexes_only() {
    let rig = Rig::new(1);
    let disk = rig.boot();
    disk.create_dir_all(path("/d")).unwrap();
    let log = disk.open(path("/d/0.log"), Open::New).unwrap();
    let index = disk.open(path("/d/0.index"), Open::New).unwrap();
    let other = disk.open(path("/d/0.snapshot"), Open::New).unwrap();
    other.write_at(b"nobody looks", 0).unwrap();
    log.write_at(b"abc", 0).unwrap();
    index.write_at(b"xyz", 0).unwrap();
    log.set_len(1).unwrap();
    disk.rename(path("/d"), path("/e")).unwrap();
    log.write_at(b"d", 1).unwrap();
    disk.rename(path("/e/0.log"), path("/e/0.log.deleted")).unwrap();
    log.write_at(b"unseen", 0).unwrap();
    let seen: Vec<String> = rig.seen().iter().map(|what| format!("{what:?}")).collect();
    let told = [
        r#"Cut { path: "/d/0.log", len: 0 }"#,
        r#"Cut { path: "/d/0.index", len: 0 }"#,
        r#"Wrote { path: "/d/0.log", offset: 0, bytes: b"abc" }"#,
        r#"Wrote { path: "/d/0.index", offset: 0, bytes: b"xyz" }"#,
        r#"Cut { path: "/d/0.log", len: 1 }"#,
        r#"Renamed { from: "/d", to: "/e" }"#,
        r#"Wrote { path: "/e/0.log", offset: 1, bytes: b"d" }"#,
        r#"Renamed { from: "/e/0.log", to: "/e/0.log.deleted" }"#,
    ];
    assert_eq!(seen, told);
}

#[test]
fn write_without_a_change_is_not_observed() {
    let rig = Rig::new(1);
    let disk = rig.boot();
    let log = disk.open(path("/0.log"), Open::New).unwrap();
    log.write_at(&[1; 9000], 0).unwrap();
    rig.seen();
    log.write_at(&[1; 5000], 4000).unwrap();
    assert!(rig.seen().is_empty());
    assert_eq!(rig.disk.stats().dirty_pages, 3, "it still counts as a write");
    log.write_at(&[1; 5001], 4000).unwrap();
    assert_eq!(rig.seen().len(), 1, "the file is longer");
    log.write_at(&[2], 8999).unwrap();
    assert_eq!(rig.seen().len(), 1);
}

#[test]
fn full_pages_are_shared_between_disks_until_one_changes() {
    let (pool, rigs) = (PagePool::default(), [Rig::new(1), Rig::new(2)]);
    let files = rigs.each_ref().map(|rig| {
        rig.disk.share_pages(&pool);
        let disk = rig.boot();
        let file = disk.open(path("/0.log"), Open::New).unwrap();
        file.write_at(&[7; 3 * 4096 + 100], 0).unwrap();
        file
    });
    assert_eq!(pool.len(), 1, "three full pages of two files are one");
    files[0].write_at(&[8; 10], 4096).unwrap();
    assert_eq!(rigs[0].disk.peek("/0.log").unwrap()[4096..4106], [8; 10]);
    assert_eq!(rigs[1].disk.peek("/0.log").unwrap(), [7; 3 * 4096 + 100]);
}

#[test]
fn costs_of_page_hits_accumulate() {
    let rig = Rig::new(1);
    rig.disk.set_patience(Duration::from_micros(20));
    let disk = rig.boot();
    let file = durable(&disk, "/a", &[1; 100]);
    let mut waits = 0;
    let before = rig.clock.load(Ordering::Relaxed);
    for _ in 0..1000 {
        file.read_at(&mut [0; 100], 0).unwrap();
        let now = rig.clock.load(Ordering::Relaxed);
        finish(disk.settle());
        waits += usize::from(rig.clock.load(Ordering::Relaxed) > now);
    }
    let took = Duration::from_nanos(rig.clock.load(Ordering::Relaxed) - before);
    assert!((20..=50).contains(&waits), "{waits}");
    assert!(took >= DiskProfile::default().call * 950, "no cost is forgotten: {took:?}");
}

#[test]
fn power_loss_reports_the_rest_of_each_log() {
    let rig = Rig::new(1);
    let disk = rig.boot();
    let log = durable(&disk, "/0.log", b"kept");
    log.write_at(b"lost", 4).unwrap();
    disk.open(path("/1.log"), Open::New).unwrap();
    rig.seen();
    rig.disk.power_loss(&Survival::Nothing);
    let seen: Vec<String> = rig.seen().iter().map(|what| format!("{what:?}")).collect();
    let told = ["PowerLost { lost_pages: 1 }", r#"Survived { path: "/0.log", bytes: b"kept" }"#];
    assert_eq!(seen, told);
}

#[test]
fn same_seed_gives_the_same_history() {
    let run = |seed| {
        let rig = Rig::new(seed);
        let disk = rig.boot();
        let file = durable(&disk, "/0.log", &[1; 9000]);
        file.write_at(&[2; 90_000], 5000).unwrap();
        rig.disk.power_loss(&Survival::Drawn);
        let hash = rig.trace.lock().hash();
        (hash, rig.clock.load(Ordering::Relaxed))
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}
