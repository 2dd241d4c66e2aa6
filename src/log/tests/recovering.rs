//! What is found after a clean end, after a crash, and after worse.

use std::fs;
use std::path::PathBuf;

use crate::base::{LeaderEpoch, Offset};
use crate::io::real::RealDisk;
use crate::log::testing::{Home, NOW, RealLog, batch, fill, flush, lead, read_all, tiny};
use crate::log::{LogConfig, LogError, Progress, ReadError, Recovery};

/// A log of one segment that was not closed, with five batches of three records: its file, and what is
/// in it.
async fn five_batches(epoch: i32) -> (Home, PathBuf, Vec<u8>) {
    let home = Home::new(LogConfig::default());
    let mut log = home.open().await;
    fill(&mut log, 5, 3, epoch);
    drop(log);
    let path = home.file("00000000000000000000.log");
    let bytes = fs::read(&path).unwrap();
    (home, path, bytes)
}

fn crashed(recovery_point: i64) -> Recovery {
    Recovery { recovery_point: Offset(recovery_point), ..Recovery::default() }
}

#[tokio::test]
async fn clean_end_leaves_files_as_kafka_does() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    fill(&mut log, 4, 3, 2);
    fill(&mut log, 1, 3, 3);
    let mark = log.close().await.unwrap();
    assert_eq!(mark.offset, Offset(15));
    assert_eq!(
        home.names(),
        [
            "00000000000000000000.index",
            "00000000000000000000.log",
            "00000000000000000000.timeindex",
            "00000000000000000015.snapshot",
            "leader-epoch-checkpoint",
        ]
    );
    let epochs = fs::read_to_string(home.file("leader-epoch-checkpoint")).unwrap();
    assert_eq!(epochs, "0\n2\n2 0\n3 12\n");
    let index = fs::read(home.file("00000000000000000000.index")).unwrap();
    let size = batch(3).len() as u32;
    let entries: Vec<u8> = (1..=4)
        .flat_map(|n: u32| [(n * 3 + 2).to_be_bytes(), (n * size).to_be_bytes()].concat())
        .collect();
    assert_eq!(index, entries, "each batch but the first, by its last offset");
    let times = fs::read(home.file("00000000000000000000.timeindex")).unwrap();
    assert_eq!(times, [&1_000_000u64.to_be_bytes()[..], &2u32.to_be_bytes()].concat());
}

#[tokio::test]
async fn after_a_clean_end_nothing_is_examined_and_appending_goes_on() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    fill(&mut log, 20, 3, 2);
    let before = read_all(&log, Offset(0), 1000);
    log.close().await.unwrap();
    let recovery = Recovery { clean: true, ..crashed(60) };
    let (mut log, report) = home.try_open(recovery).await.unwrap();
    assert_eq!(report.batches_checked, 0);
    assert_eq!((log.log_end(), log.recovery_point()), (Offset(60), Offset(60)));
    assert_eq!(read_all(&log, Offset(0), 1000), before);
    assert_eq!(log.epochs().entries(), [(LeaderEpoch(2), Offset(0))]);
    assert_eq!(lead(&mut log, batch(1), 2).base, Offset(60));
}

#[tokio::test]
async fn process_crash_loses_nothing_but_half_an_append() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    fill(&mut log, 5, 3, 2);
    let before = read_all(&log, Offset(0), 1000);
    drop(log);
    let path = home.file("00000000000000000000.log");
    let mut bytes = fs::read(&path).unwrap();
    let whole = bytes.len();
    bytes.extend_from_slice(&batch(3)[..70]);
    fs::write(&path, &bytes).unwrap();
    let (log, report) = home.try_open(crashed(0)).await.unwrap();
    assert_eq!((report.batches_checked, report.bytes_cut), (5, 70));
    assert!(report.cut_because.unwrap().contains("torn"));
    assert_eq!(read_all(&log, Offset(0), 1000), before);
    assert_eq!(fs::metadata(&path).unwrap().len(), whole as u64);
}

#[tokio::test]
async fn bad_batch_above_the_recovery_point_ends_the_log_there() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    fill(&mut log, 40, 3, 2);
    let bases: Vec<i64> = log.segment_bases().map(|base| base.0).collect();
    drop(log);
    let broken = bases[1];
    let path = home.file(&format!("{broken:020}.log"));
    let mut bytes = fs::read(&path).unwrap();
    let second = batch(3).len();
    bytes[second + 80] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let (mut log, report) = home.try_open(crashed(broken)).await.unwrap();
    assert_eq!(log.log_end(), Offset(broken + 3));
    assert!(report.cut_because.unwrap().contains("CRC"));
    assert_eq!(log.segment_bases().count(), 2, "later segments went with it");
    assert_eq!(log.recovery_point(), Offset(broken));
    fill(&mut log, 10, 3, 2);
    assert_eq!(read_all(&log, Offset(0), 1000).len() as i64, broken / 3 + 1 + 10);
}

#[tokio::test]
async fn corrupt_synced_batch_is_refused_and_the_rest_served() {
    let (home, path, good) = five_batches(2).await;
    let mut bytes = good.clone();
    let size = batch(3).len();
    bytes[size * 2 + 65] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let (mut log, report) = home.try_open(crashed(9)).await.unwrap();
    let damaged = report.damaged.unwrap();
    assert_eq!((&damaged.path, damaged.position), (&path, size as u64 * 2));
    assert_eq!((damaged.offset, report.bytes_cut), (Offset(6), 0));
    assert_eq!((log.log_end(), fs::read(&path).unwrap()), (Offset(15), bytes));
    // As much as can be is served before it, and all behind it.
    let read = |log: &RealLog, from: i64| log.read(Offset(from), 1 << 20, Offset(15), true);
    assert_eq!(read(&log, 0).unwrap().next, Offset(6));
    for refused in 6..9 {
        let error = read(&log, refused).unwrap_err();
        assert!(matches!(error, ReadError::Log(LogError::Corrupt { .. })), "{error}");
    }
    assert_eq!(read(&log, 9).unwrap().next, Offset(15));
    // Appends continue behind it; above the recovery point a corrupt batch is a torn end.
    lead(&mut log, batch(3), 2);
    assert_eq!(log.log_end(), Offset(18));
    drop(log);
    assert_eq!(home.try_open(crashed(6)).await.unwrap().0.log_end(), Offset(6));
}

#[tokio::test]
async fn corrupt_batch_of_unknown_length_is_an_error_that_names_it() {
    let (home, path, good) = five_batches(2).await;
    let size = batch(3).len();
    // Its length, its offset, and the last one: nothing follows that could tell.
    for (at, place, offset) in [(size * 2 + 11, 2, 6), (size * 2 + 7, 2, 6), (size * 4 + 65, 4, 12)]
    {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let error = home.try_open(crashed(15)).await.unwrap_err();
        let LogError::Corrupt { path: named, position, offset: told, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!((named, *position), (&path, size as u64 * place), "byte {at}");
        assert_eq!(*told, Offset(offset));
        assert_eq!(fs::read(&path).unwrap(), bytes, "nothing was cut");
    }
}

#[tokio::test]
async fn bytes_behind_a_torn_end_are_not_taken_for_data() {
    let (home, path, good) = five_batches(4).await;
    let size = batch(3).len();
    // Zeros up to a size that was durable before its data.
    fs::write(&path, [&good[..], &[0; 5000]].concat()).unwrap();
    assert_eq!(home.try_open(crashed(0)).await.unwrap().0.log_end(), Offset(15));
    // A batch from before a cut, at the right place of the file, but of another offset.
    fs::write(&path, [&good[..size * 2], &good[size * 3..]].concat()).unwrap();
    assert_eq!(home.try_open(crashed(0)).await.unwrap().0.log_end(), Offset(6));
    // One of the right offset, but of an older leader.
    let mut bytes = good.clone();
    bytes[size * 3 + 15] = 3;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(home.try_open(crashed(0)).await.unwrap().0.log_end(), Offset(9));
}

#[tokio::test]
async fn segment_that_is_missing_ends_the_log_or_is_an_error() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    fill(&mut log, 40, 3, 2);
    let bases: Vec<Offset> = log.segment_bases().collect();
    drop(log);
    fs::remove_file(home.file(&format!("{:020}.log", bases[2].0))).unwrap();
    let error = home.try_open(crashed(bases[3].0)).await;
    assert!(error.is_ok(), "the segments below the recovery point are not examined");
    drop(error);
    let error = home.try_open(crashed(bases[2].0 + 1)).await.unwrap_err();
    assert!(matches!(error, LogError::Corrupt { .. }), "{error}");
    let (log, _) = home.try_open(crashed(bases[1].0)).await.unwrap();
    assert_eq!(log.log_end(), bases[2]);
}

#[tokio::test]
async fn recovery_point_passes_only_what_was_synced() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    fill(&mut log, 2, 3, 2);
    assert_eq!(log.unflushed_messages(), 6);
    let plan = log.flush_plan();
    fill(&mut log, 1, 3, 2);
    assert_eq!(plan.upto(), Offset(6));
    let flushed = plan.run().await.unwrap();
    log.flushed(&flushed);
    assert_eq!((log.recovery_point(), log.unflushed_messages()), (Offset(6), 3));
    fill(&mut log, 20, 3, 2);
    let flushed = log.roll_flush_plan().run().await.unwrap();
    log.flushed(&flushed);
    assert_eq!(Some(log.recovery_point()), log.segment_bases().last());
    flush(&mut log).await;
    assert_eq!(log.unflushed_messages(), 0);
    assert!(log.flush_plan().is_empty(), "nothing is left to sync");
}

#[tokio::test]
async fn cut_of_an_earlier_process_is_synced_before_anything_is_appended() {
    for cut in [0, 6] {
        let home = Home::new(tiny());
        let mut log = home.open().await;
        fill(&mut log, 4, 3, 2);
        log.truncate_to(Offset(cut)).unwrap();
        drop(log);
        let (mut log, report) = home.try_open(crashed(cut)).await.unwrap();
        assert_eq!((log.log_end(), report.bytes_cut), (Offset(cut), 0));
        assert!(log.cut_sync().is_some(), "it may not be durable");
        flush(&mut log).await;
        assert!(log.cut_sync().is_none() && log.flush_plan().is_empty());
        log.close().await.unwrap();
        let (log, _) = home.try_open(Recovery { clean: true, ..crashed(cut) }).await.unwrap();
        assert!(log.cut_sync().is_none(), "a clean stop leaves nothing to sync");
    }
}

#[tokio::test]
async fn sync_that_was_overtaken_by_a_cut_proves_nothing() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    fill(&mut log, 4, 3, 2);
    let plan = log.flush_plan();
    log.truncate_to(Offset(6)).unwrap();
    fill(&mut log, 4, 3, 2);
    let flushed = plan.run().await.unwrap();
    log.flushed(&flushed);
    assert_eq!(log.recovery_point(), Offset(0));
}

#[tokio::test]
async fn epochs_are_rebuilt_from_batches() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    fill(&mut log, 10, 3, 2);
    flush(&mut log).await;
    let synced = log.recovery_point();
    fill(&mut log, 10, 3, 4);
    let expected = log.epochs().clone();
    drop(log);
    let path = home.file("leader-epoch-checkpoint");
    for checkpoint in [None, Some("0\n1\n2 0\n"), Some("0\n2\n2 0\n9 33\n"), Some("nonsense")] {
        match checkpoint {
            None => fs::remove_file(&path).unwrap(),
            Some(text) => fs::write(&path, text).unwrap(),
        }
        let (log, _) = home.try_open(crashed(synced.0)).await.unwrap();
        assert_eq!(log.epochs(), &expected, "{checkpoint:?}");
    }
    fs::remove_file(&path).unwrap();
    let (log, _) = home.try_open(Recovery { clean: true, ..crashed(60) }).await.unwrap();
    assert_eq!(log.epochs(), &expected, "also after a clean end");
}

#[tokio::test]
async fn litter_of_what_was_not_finished_is_removed() {
    let home = Home::new(tiny());
    drop(home.open().await);
    for name in [
        "leader-epoch-checkpoint.7.tmp",
        "00000000000000000009.log.deleted",
        "00000000000000000009.index",
    ] {
        fs::write(home.file(name), "x").unwrap();
    }
    fs::write(home.file("partition.metadata"), "version: 0\n").unwrap();
    drop(home.open().await);
    let names = home.names();
    assert!(!names.iter().any(|name| name.contains("tmp") || name.contains('9')), "{names:?}");
    assert!(names.contains(&"partition.metadata".to_owned()));
}

#[tokio::test]
async fn log_start_above_everything_begins_the_log_there() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    fill(&mut log, 4, 3, 2);
    drop(log);
    let recovery = Recovery { log_start: Offset(50), ..crashed(0) };
    let (mut log, _) = home.try_open(recovery).await.unwrap();
    assert_eq!((log.log_start(), log.log_end()), (Offset(50), Offset(50)));
    assert_eq!(lead(&mut log, batch(1), 3).base, Offset(50));
    assert_eq!(log.epochs().entries(), [(LeaderEpoch(3), Offset(50))]);
}

#[tokio::test]
async fn broken_snapshot_costs_only_reading() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    for index in 0..20 {
        lead(&mut log, crate::log::testing::batch_of(7, 0, index, 1), 1);
    }
    let before = log.producers().clone();
    log.close().await.unwrap();
    for name in home.names().iter().filter(|name| name.ends_with("snapshot")) {
        fs::write(home.file(name), b"garbage").unwrap();
    }
    assert_eq!(home.reopen().await.producers(), &before);
}

#[tokio::test]
async fn rotten_bytes_after_a_clean_shutdown_are_refused() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    fill(&mut log, 20, 3, 2);
    let before = read_all(&log, Offset(0), 1000);
    log.close().await.unwrap();
    let path = home.file("00000000000000000000.log");
    let mut bytes = fs::read(&path).unwrap();
    let size = batch(3).len();
    bytes[2 * size + 100] ^= 0x10;
    fs::write(&path, &bytes).unwrap();
    let recovery = Recovery { clean: true, ..crashed(60) };
    let (log, report) = home.try_open(recovery).await.unwrap();
    assert_eq!(report.batches_checked, 0, "nothing is read before it is asked for");
    let read = |from| log.read(Offset(from), size, log.log_end(), true);
    assert!(read(0).unwrap().slice.is_some());
    let refused = read(6).unwrap_err().to_string();
    let place = format!("{}: corrupt at byte {}", path.display(), 2 * size);
    assert!(refused.starts_with(&place) && refused.contains("CRC-32C"), "{refused}");
    assert_eq!(read_all(&log, Offset(9), 1000), before[3..]);
}

#[tokio::test]
async fn readers_do_not_skip_the_lost_end_of_a_sealed_segment() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    fill(&mut log, 20, 3, 2);
    let second = log.segment_bases().nth(1).unwrap();
    log.close().await.unwrap();
    let path = home.file("00000000000000000000.log");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..batch(3).len()]).unwrap();
    let recovery = Recovery { clean: true, ..crashed(60) };
    let (log, _) = home.try_open(recovery).await.unwrap();
    let refused = log.read(Offset(3), 1000, log.log_end(), true).unwrap_err().to_string();
    assert!(refused.contains(&format!("it ends here, and {second} should follow")), "{refused}");
    fs::remove_file(&path).unwrap();
    drop(log);
    let (log, report) = home.try_open(recovery).await.unwrap();
    assert_eq!((log.log_start(), report.begins_late_after), (second, Some(Offset(0))));
}

#[tokio::test]
async fn hole_between_segments_hides_neither_what_is_before_nor_behind() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    fill(&mut log, 20, 3, 2);
    let bases: Vec<Offset> = log.segment_bases().collect();
    let before = read_all(&log, Offset(0), 1000);
    log.close().await.unwrap();
    let recovery = Recovery { clean: true, ..crashed(60) };
    let [first, second] = [0, 1].map(|at: usize| home.file(&format!("{:020}.log", bases[at].0)));
    fs::remove_file(&second).unwrap();
    // A missing segment, and one that has also lost its last batch.
    for hole in [bases[1], bases[1].plus(-3)] {
        let (log, _) = home.try_open(recovery).await.unwrap();
        let mut at = Offset(0);
        while at < hole {
            let fetched = log.read(at, 1 << 20, log.log_end(), true).unwrap();
            assert!(fetched.next > at && fetched.next <= hole);
            at = fetched.next;
        }
        for inside in hole.0..bases[2].0 {
            let refused = log.read(Offset(inside), 1000, log.log_end(), true).unwrap_err();
            assert!(refused.to_string().contains("corrupt at byte"), "{refused}");
            assert_eq!(log.beyond_hole(Offset(inside)), Some(bases[2]));
        }
        for outside in [0, hole.0 - 1, bases[2].0, 59, 60, 61] {
            assert_eq!(log.beyond_hole(Offset(outside)), None, "{outside}");
        }
        let behind = before.iter().filter(|batch| batch.base_offset >= bases[2]);
        assert!(read_all(&log, bases[2], 1000).iter().eq(behind));
        let bytes = fs::read(&first).unwrap();
        fs::write(&first, &bytes[..bytes.len() - batch(3).len()]).unwrap();
    }
    // A batch that is torn is corrupt, and no hole.
    let bytes = fs::read(&first).unwrap();
    fs::write(&first, &bytes[..bytes.len() - 1]).unwrap();
    let (log, _) = home.try_open(recovery).await.unwrap();
    assert_eq!(log.beyond_hole(bases[1]), None);
}

#[tokio::test]
async fn end_of_a_synced_segment_that_a_crash_took_is_damage() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    fill(&mut log, 20, 3, 2);
    let bases: Vec<Offset> = log.segment_bases().collect();
    log.close().await.unwrap();
    let whole = home.try_open(crashed(60)).await.unwrap().1;
    assert_eq!(whole.damaged, None);
    let path = home.file(&format!("{:020}.log", bases[1].0));
    let bytes = fs::read(&path).unwrap();
    // Without its last batch, and empty: a disk that lied may keep neither.
    for (kept, end) in [(bytes.len() - batch(3).len(), bases[2].plus(-3)), (0, bases[1])] {
        fs::write(&path, &bytes[..kept]).unwrap();
        let (log, report) = home.try_open(crashed(60)).await.unwrap();
        let damaged = report.damaged.unwrap();
        let problem = format!("the segment ends here, and the next one begins at {}", bases[2]);
        assert_eq!((damaged.offset, damaged.problem), (end, problem));
        assert_eq!(log.log_end(), Offset(60), "what is behind stays");
    }
}

#[tokio::test]
async fn end_that_is_missing_after_a_clean_end_is_damage() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    fill(&mut log, 20, 3, 2);
    let last = log.segment_bases().last().unwrap();
    log.close().await.unwrap();
    fs::remove_file(home.file(&format!("{:020}.log", last.0))).unwrap();
    let recovery = Recovery { clean: true, ..crashed(60) };
    let (log, report) = home.try_open(recovery).await.unwrap();
    assert_eq!(log.log_end(), last);
    let damaged = report.damaged.unwrap();
    assert_eq!(
        (damaged.offset, &*damaged.problem),
        (last, "the log ends here, and was closed at 60")
    );
}

#[tokio::test]
async fn recovery_reports_every_segment_that_it_examines() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    fill(&mut log, 40, 3, 2);
    let bases: Vec<_> = log.segment_bases().collect();
    drop(log);
    assert!(bases.len() > 3, "{bases:?}");
    let size =
        |base: &Offset| fs::metadata(home.file(&format!("{:020}.log", base.0))).unwrap().len();
    let mut heard = Vec::new();
    // What lies in segments below the recovery point is not examined.
    let recovery = crashed(bases[2].0);
    let watch = |progress| heard.push(progress);
    let opened = RealLog::open_watched(RealDisk, home.path(), tiny(), recovery, NOW, watch).await;
    assert!(opened.unwrap().1.batches_checked > 0);
    let due = &bases[2..];
    let all: u64 = due.iter().map(size).sum();
    assert_eq!(heard.len(), due.len() + 1);
    for (done, told) in heard.iter().enumerate() {
        let bytes_done = due[..done].iter().map(size).sum();
        let segments_left = due.len() - done;
        assert_eq!(*told, Progress { segments_left, bytes_left: all - bytes_done, bytes_done });
    }
}
