//! Disks that fail, lie, or corrupt data.

use super::*;
use crate::sim::Kept;
use crate::sim::disk::{Corruption, Memory, Place, SimFile};

const EIO: Option<i32> = Some(5);

fn full(error: io::Error) -> bool {
    error.kind() == io::ErrorKind::StorageFull
}

#[test]
fn power_loss_loses_all_syncs_of_a_lying_disk() {
    let rig = Rig::new(1);
    let disk = rig.boot();
    let file = durable(&disk, "/a", b"old");
    rig.disk.set_profile(DiskProfile { lies: true, ..DiskProfile::default() });
    file.write_at(b"new", 0).unwrap();
    finish(file.sync()).unwrap();
    durable(&disk, "/b", b"named");
    rig.disk.power_loss(&Survival::Nothing);
    let disk = rig.boot();
    assert_eq!(read(&disk, "/a").unwrap(), b"old");
    assert!(!disk.exists(path("/b")).unwrap());
    // An honest disk again: the next sync writes the data that was lied about.
    let file = disk.open(path("/a"), Open::Existing).unwrap();
    file.write_at(b"new", 0).unwrap();
    finish(file.sync()).unwrap();
    rig.disk.set_profile(DiskProfile::default());
    finish(file.sync()).unwrap();
    assert_eq!(rig.disk.peek_stable("/a").unwrap(), b"new");
}

/// A file whose second write was lost when the kernel wrote it back.
fn failed_writeback(rig: &Rig) -> (SimDisk, SimFile) {
    let writeback = Some(Writeback::default());
    rig.disk.set_profile(DiskProfile { writeback, ..DiskProfile::default() });
    let disk = rig.boot();
    let file = durable(&disk, "/a", b"old");
    file.write_at(b"new", 0).unwrap();
    rig.disk.fail(Failing::WriteBack, 1, None);
    rig.clock.fetch_add(60_000_000_000, Ordering::Relaxed);
    disk.exists(path("/")).unwrap();
    (disk, file)
}

#[test]
fn writeback_error_is_reported_once_by_the_next_sync() {
    let rig = Rig::new(1);
    let (disk, file) = failed_writeback(&rig);
    assert_eq!(finish(file.sync()).unwrap_err().raw_os_error(), EIO);
    finish(file.sync()).unwrap();
    assert_eq!(read(&disk, "/a").unwrap(), b"new");
    rig.disk.power_loss(&Survival::Everything);
    assert_eq!(read(&rig.boot(), "/a").unwrap(), b"old");
}

#[test]
fn writeback_error_is_reported_to_no_process_once_the_fault_is_over() {
    let rig = Rig::new(1);
    let (_, file) = failed_writeback(&rig);
    rig.disk.fail(Failing::WriteBack, 0, None);
    finish(file.sync()).unwrap();
    rig.disk.power_loss(&Survival::Everything);
    assert_eq!(read(&rig.boot(), "/a").unwrap(), b"old", "and the page is still lost");
}

#[test]
fn short_write_leaves_some_bytes_and_fails() {
    let mut parts = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let rig = Rig::new(seed);
        let disk = rig.boot();
        let file = durable(&disk, "/a", b"");
        rig.disk.fail(Failing::Write, 1, None);
        assert_eq!(file.write_at(&[7; 100], 0).unwrap_err().raw_os_error(), EIO);
        let len = file.len().unwrap();
        assert!(len < 100);
        assert!(read(&disk, "/a").unwrap().iter().all(|byte| *byte == 7));
        parts.insert(len);
        file.write_at(&[7; 100], 0).unwrap();
    }
    assert!(parts.len() > 10);
}

#[test]
fn refused_write_is_observed_with_what_it_changed_and_only_if_bytes_are_missing() {
    for seed in 0..40 {
        let rig = Rig::new(seed);
        let disk = rig.boot();
        let log = disk.open(path("/0.log"), Open::New).unwrap();
        log.write_at(&[7; 9000], 0).unwrap();
        rig.seen();
        let refused = |bytes: &[u8], offset| {
            rig.disk.fail(Failing::Write, 1, None);
            assert_eq!(log.write_at(bytes, offset).unwrap_err().raw_os_error(), EIO);
            let seen = rig.seen().into_iter();
            let seen = seen.map(|what| match what {
                What::Wrote { bytes, .. } => bytes.len(),
                other => panic!("saw {other:?}"),
            });
            seen.collect::<Vec<_>>()
        };
        assert!(refused(&[7; 5000], 4000).is_empty(), "the file has all of them already");
        assert_eq!(refused(&[&[7; 4999][..], &[8]].concat(), 4001), [0], "the last is missing");
        assert_eq!(read(&disk, "/0.log").unwrap(), [7; 9000]);
        let longer = refused(&[8; 100], 9000);
        let len = log.len().unwrap() as usize;
        assert_eq!(longer, [len - 9000]);
        log.set_len(9000).unwrap();
        rig.seen();
        log.write_at(&[7; 5000], 4000).unwrap();
        assert!(rig.seen().is_empty());
    }
}

#[test]
fn sync_and_rename_fail_without_space_then_succeed() {
    let rig = Rig::new(1);
    let disk = rig.boot();
    let file = durable(&disk, "/a", b"old");
    file.write_at(b"new", 0).unwrap();
    rig.disk.fail(Failing::SyncFull, 1, None);
    rig.disk.fail(Failing::Rename, 1, None);
    assert!(full(finish(file.sync()).unwrap_err()));
    assert!(full(disk.rename(path("/a"), path("/b")).unwrap_err()));
    assert!(disk.exists(path("/a")).unwrap() && !disk.exists(path("/b")).unwrap());
    disk.rename(path("/a"), path("/b")).unwrap();
    finish(file.sync()).unwrap();
    assert_eq!(rig.disk.peek_stable("/b").unwrap_err().kind(), io::ErrorKind::NotFound);
    rig.disk.power_loss(&Survival::Everything);
    assert_eq!(read(&rig.boot(), "/b").unwrap(), b"old", "clean, and never written");
}

#[test]
fn truncated_pages_stay_so_once_a_sync_succeeds() {
    for seed in 0..50 {
        let rig = Rig::new(seed);
        let disk = rig.boot();
        let file = durable(&disk, "/a", &[7; 9000]);
        file.set_len(0).unwrap();
        rig.disk.fail(Failing::Sync, 1, None);
        assert_eq!(finish(file.sync()).unwrap_err().raw_os_error(), EIO);
        finish(file.sync()).unwrap();
        file.write_at(&[8; 6000], 0).unwrap();
        rig.disk.power_loss(&Survival::Drawn);
        let left = read(&rig.boot(), "/a").unwrap();
        assert!(left.iter().all(|byte| *byte != 7), "seed {seed}");
    }
}

#[test]
fn dead_directory_fails_and_others_work() {
    let rig = Rig::new(1);
    let disk = rig.boot();
    disk.create_dir_all(path("/data1/t-0")).unwrap();
    disk.create_dir_all(path("/data2")).unwrap();
    let dead = durable(&disk, "/data1/t-0/0.log", b"x");
    let alive = durable(&disk, "/data2/0.log", b"x");
    let profile = DiskProfile { dead: Some("/data1".into()), ..DiskProfile::default() };
    rig.disk.set_profile(profile);
    let told = |result: io::Result<()>| result.unwrap_err().raw_os_error();
    assert_eq!(told(dead.write_at(b"y", 1)), EIO);
    assert_eq!(told(dead.read_at(&mut [0; 1], 0).map(drop)), EIO);
    assert_eq!(told(finish(dead.sync())), EIO);
    assert_eq!(told(finish(disk.sync_dir(path("/data1")))), EIO);
    assert_eq!(told(disk.list(path("/data1/t-0")).map(drop)), EIO);
    assert_eq!(told(disk.rename(path("/data2/0.log"), path("/data1/0.log"))), EIO);
    alive.write_at(b"y", 1).unwrap();
    finish(alive.sync()).unwrap();
    assert_eq!(read(&disk, "/data2/0.log").unwrap(), b"xy");
}

#[test]
fn bit_rot_shows_when_the_page_is_read_from_the_platter() {
    let rig = Rig::new(3);
    let disk = rig.boot();
    let file = durable(&disk, "/0.log", &[7; 3 * 4096]);
    durable(&disk, "/0.index", &[7; 4096]);
    assert_eq!(rig.disk.corrupt(Corruption::BitRot, 1, Place::Disk, ""), 1);
    let bytes = read(&disk, "/0.log").unwrap();
    let wrong: Vec<u8> = bytes.into_iter().filter(|byte| *byte != 7).collect();
    assert_eq!(wrong.len(), 1);
    assert_eq!((wrong[0] ^ 7).count_ones(), 1);
    assert_eq!(read(&disk, "/0.index").unwrap(), [7; 4096], "only logs are corrupted");
    // Pages that are written again are valid again.
    file.write_at(&[8; 3 * 4096], 0).unwrap();
    finish(file.sync()).unwrap();
    rig.disk.power_loss(&Survival::Nothing);
    assert_eq!(read(&rig.boot(), "/0.log").unwrap(), [8; 3 * 4096]);
}

#[test]
fn a_latent_error_fails_reads_until_the_page_is_written_again() {
    let rig = Rig::new(1);
    let disk = rig.boot();
    let file = durable(&disk, "/0.log", &[7; 4096]);
    assert_eq!(
        rig.disk.corrupt(Corruption::LatentError, 5, Place::Disk, ""),
        1,
        "there is one page"
    );
    assert_eq!(read(&disk, "/0.log").unwrap_err().raw_os_error(), EIO);
    assert_eq!(read(&disk, "/0.log").unwrap_err().raw_os_error(), EIO);
    file.write_at(&[8; 4096], 0).unwrap();
    finish(file.sync()).unwrap();
    rig.disk.power_loss(&Survival::Nothing);
    assert_eq!(read(&rig.boot(), "/0.log").unwrap(), [8; 4096]);
}

#[test]
fn lost_write_shows_only_after_eviction() {
    let rig = Rig::new(1);
    let disk = rig.boot();
    let file = durable(&disk, "/0.log", &[1; 4096]);
    rig.disk.corrupt(Corruption::LostWrite, 1, Place::Disk, "");
    file.write_at(&[2; 4096], 0).unwrap();
    finish(file.sync()).unwrap();
    assert_eq!(read(&disk, "/0.log").unwrap(), [2; 4096]);
    assert_eq!(rig.disk.stats().dirty_pages, 0);
    rig.disk.power_loss(&Survival::Everything);
    assert_eq!(read(&rig.boot(), "/0.log").unwrap(), [1; 4096]);
}

#[test]
fn misdirected_write_lands_on_the_neighbour_page() {
    let rig = Rig::new(1);
    let disk = rig.boot();
    let file = durable(&disk, "/0.log", &[1; 8192]);
    rig.disk.corrupt(Corruption::MisdirectedWrite, 1, Place::Disk, "");
    file.write_at(&[2; 4096], 4096).unwrap();
    finish(file.sync()).unwrap();
    rig.disk.power_loss(&Survival::Everything);
    let found = read(&rig.boot(), "/0.log").unwrap();
    assert_eq!((found[0], found[4096]), (2, 1));
}

#[test]
fn stale_read_returns_the_old_page_once() {
    let rig = Rig::new(1);
    let memory = Some(Memory { pages: 4, ..Memory::default() });
    rig.disk.set_profile(DiskProfile { memory, ..DiskProfile::default() });
    let disk = rig.boot();
    let file = durable(&disk, "/0.log", &[1; 4096]);
    rig.disk.corrupt(Corruption::StaleRead, 1, Place::Disk, "");
    file.write_at(&[2; 4096], 0).unwrap();
    finish(file.sync()).unwrap();
    let other = durable(&disk, "/other", &[9; 16 * 4096]);
    let mut page = [0; 4096];
    file.read_at(&mut page, 0).unwrap();
    assert_eq!(page[0], 1);
    other.read_at(&mut [0; 16 * 4096], 0).unwrap();
    file.read_at(&mut page, 0).unwrap();
    assert_eq!(page[0], 2);
}

#[test]
fn a_read_fails_only_where_it_reaches_the_platter() {
    let rig = Rig::new(1);
    let disk = rig.boot();
    durable(&disk, "/a", &[1; 4096]);
    rig.disk.power_loss(&Survival::Nothing);
    let disk = rig.boot();
    rig.disk.fail(Failing::Read, 1, None);
    assert_eq!(read(&disk, "/a").unwrap_err().raw_os_error(), EIO);
    assert_eq!(read(&disk, "/a").unwrap(), [1; 4096]);
}

#[test]
fn rename_may_be_torn_without_order() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let rig = Rig::new(seed);
        let disk = rig.boot();
        durable(&disk, "/old", b"x");
        disk.rename(path("/old"), path("/new")).unwrap();
        rig.disk.power_loss(&Survival::Weakest);
        let disk = rig.boot();
        seen.insert((disk.exists(path("/old")).unwrap(), disk.exists(path("/new")).unwrap()));
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[test]
fn journal_orders_names_and_writes_bytes_before_sizes() {
    let (mut names, mut sizes) =
        (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    for seed in 0..100 {
        let rig = Rig::new(seed);
        let disk = rig.boot();
        let file = durable(&disk, "/a", &[1; 100]);
        disk.open(path("/first"), Open::New).unwrap();
        // A sync of any file commits earlier name changes.
        file.write_at(&[1; 100], 0).unwrap();
        finish(file.sync()).unwrap();
        disk.open(path("/second"), Open::New).unwrap();
        disk.open(path("/third"), Open::New).unwrap();
        file.write_at(&[2; 3 * 4096], 100).unwrap();
        rig.disk.power_loss(&Survival::Ext4Ordered);
        let disk = rig.boot();
        let there = ["/first", "/second", "/third"].map(|name| disk.exists(path(name)).unwrap());
        assert!(there[0] && (there[1] || !there[2]), "{there:?}");
        names.insert(there);
        let bytes = read(&disk, "/a").unwrap();
        assert!(bytes[100..].iter().all(|byte| *byte == 2), "no zeros below the size");
        sizes.insert(bytes.len());
    }
    assert_eq!(names.len(), 3);
    assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [100, 4096, 8192, 12288, 12388]);
}

#[test]
fn exactly_the_chosen_parts_survive() {
    let rig = Rig::new(1);
    let disk = rig.boot();
    let log = durable(&disk, "/0.log", b"");
    let index = durable(&disk, "/0.index", b"");
    log.write_at(&[1; 3 * 4096], 0).unwrap();
    index.write_at(&[1; 4096], 0).unwrap();
    disk.open(path("/new"), Open::New).unwrap();
    let pages = Some((1, 2));
    let kept = vec![Kept::File { ending: ".log".into(), pages }, Kept::Names];
    rig.disk.power_loss(&Survival::Chosen(kept));
    let disk = rig.boot();
    let found = read(&disk, "/0.log").unwrap();
    assert_eq!((found.len(), found[0], found[4096]), (8192, 0, 1));
    assert_eq!(read(&disk, "/0.index").unwrap(), b"");
    assert!(disk.exists(path("/new")).unwrap());
}
