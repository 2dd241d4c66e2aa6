//! How old segments leave a log, and what a crash makes of that.

use std::fs;
use std::time::Duration;

use crate::base::{Offset, Timestamp};
use crate::io::real::RealDisk;
use crate::log::testing::{Home, NOW, RealLog, batch_at, batch_of, fill, lead, read_all, tiny};
use crate::log::{Due, LogConfig, Recovery};

fn names(home: &Home, ending: &str) -> Vec<String> {
    home.names().into_iter().filter(|name| name.ends_with(ending)).collect()
}

/// Four segments of two batches, a second apart.
async fn aged(config: LogConfig) -> (Home, RealLog) {
    let home = Home::new(config);
    let mut log = home.open().await;
    for segment in 0..4 {
        for _ in 0..2 {
            lead(&mut log, batch_at(1, 20, NOW.0 + segment * 1000), 1);
        }
        if segment < 3 {
            log.roll(log.log_end(), NOW).unwrap();
        }
    }
    (home, log)
}

fn keeping(retention: u64) -> LogConfig {
    LogConfig { retention: Some(Duration::from_millis(retention)), ..tiny() }
}

#[tokio::test]
async fn old_segments_leave_the_log_before_their_files_are_removed() {
    let (home, mut log) = aged(keeping(1500)).await;
    let late = Timestamp(NOW.0 + 2501);
    assert_eq!(log.expire(Offset(8), NOW).unwrap(), None);
    assert_eq!(log.expire(Offset(8), late).unwrap(), Some((Offset(4), Due::Time)));
    assert_eq!(log.log_start(), Offset(4));
    assert_eq!(names(&home, ".log").len(), 4, "none goes before the log's start is saved");
    let reader = log.read(Offset(4), 1 << 20, Offset(8), true).unwrap();
    let retired = log.retire_segments(Offset(4)).unwrap();
    assert_eq!(names(&home, ".log"), ["00000000000000000004.log", "00000000000000000006.log"]);
    assert_eq!(names(&home, ".log.deleted").len(), 2);
    assert!(log.read(Offset(3), 100, Offset(8), true).is_err());
    retired.remove(&RealDisk);
    assert!(names(&home, ".deleted").is_empty());
    assert!(reader.slice.is_some());
    assert_eq!(log.expire(Offset(8), late).unwrap(), None, "once");
    drop(log);
    let log = home.open().await;
    assert_eq!((log.log_start(), log.log_end()), (Offset(4), Offset(8)));
}

#[tokio::test]
async fn retention_of_all_segments_begins_a_new_one() {
    let (home, mut log) = aged(keeping(10)).await;
    let late = Timestamp(NOW.0 + 90_000);
    assert_eq!(log.expire(Offset(7), late).unwrap(), Some((Offset(6), Due::Time)));
    log.retire_segments(Offset(6)).unwrap();
    assert_eq!(log.segment_bases().collect::<Vec<_>>(), [Offset(6)], "not what is uncommitted");
    assert_eq!(log.expire(Offset(8), late).unwrap(), Some((Offset(8), Due::Time)));
    log.retire_segments(Offset(8)).unwrap();
    assert_eq!((log.log_start(), log.log_end(), log.size()), (Offset(8), Offset(8), 0));
    assert_eq!(lead(&mut log, batch_at(1, 20, late.0), 2).base, Offset(8));
    drop(log);
    let log = home.open().await;
    assert_eq!((log.log_start(), log.log_end()), (Offset(8), Offset(9)));
}

#[tokio::test]
async fn deletion_that_a_crash_cut_short_leaves_no_hole() {
    // Which of the renames were forgotten is up to the file system: any of the two old segments
    // may still be there, alone or with the other.
    for (forgotten, recovery_point) in (0..4).flat_map(|kept| [(kept, 0), (kept, 3), (kept, 8)]) {
        let (home, mut log) = aged(keeping(1500)).await;
        let (start, _) = log.expire(Offset(8), Timestamp(NOW.0 + 2501)).unwrap().unwrap();
        let kept: Vec<_> = (0..2).filter(|index| forgotten & 1 << index != 0).collect();
        let before: Vec<_> = kept
            .iter()
            .map(|index| home.file(&format!("{:020}.log", index * 2)))
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        log.retire_segments(start).unwrap();
        drop(log);
        for (path, bytes) in before {
            fs::write(path, bytes).unwrap();
        }
        let recovery_point = Offset(recovery_point);
        let saved = Recovery { log_start: start, recovery_point, ..Recovery::default() };
        let (log, _) = home.try_open(saved).await.unwrap();
        assert_eq!((log.log_start(), log.log_end()), (start, Offset(8)), "kept {kept:?}");
        let first = log.segment_bases().next();
        assert_eq!(first, Some(start), "what lies below the start is gone for good");
        assert!(names(&home, ".deleted").is_empty());
    }
}

#[tokio::test]
async fn crash_that_undoes_a_deletion_keeps_the_epochs() {
    let (home, mut log) = aged(keeping(1500)).await;
    fill(&mut log, 2, 1, 3);
    let before = log.epochs().clone();
    assert!(log.advance_log_start(Offset(9)));
    log.save_epochs().await.unwrap();
    drop(log);
    let saved = fs::read(home.file("leader-epoch-checkpoint")).unwrap();
    // All of them were forgotten, where all was deleted.
    for (epochs, recovery_point) in
        [&saved[..], b"0\n0\n"].iter().flat_map(|e| [0, 4, 10].map(|p| (e, p)))
    {
        fs::write(home.file("leader-epoch-checkpoint"), epochs).unwrap();
        let recovery_point = Offset(recovery_point);
        let recovery = Recovery { recovery_point, ..Recovery::default() };
        let (log, _) = home.try_open(recovery).await.unwrap();
        assert_eq!((log.log_start(), log.epochs()), (Offset(0), &before));
    }
}

#[tokio::test]
async fn deleted_records_are_removed_under_any_policy() {
    let (_home, mut log) = aged(keeping(1)).await;
    log.set_config(LogConfig { compacted: true, deletes: false, ..keeping(1) });
    let late = Timestamp(NOW.0 + 90_000);
    assert_eq!(log.expire(Offset(8), late).unwrap(), None);
    log.advance_log_start(Offset(5));
    assert_eq!(log.expire(Offset(8), late).unwrap(), Some((Offset(5), Due::LogStart)));
    log.retire_segments(Offset(5)).unwrap();
    assert_eq!(log.segment_bases().next(), Some(Offset(4)), "part of it may be read");
    assert_eq!(log.expire(Offset(8), late).unwrap(), None);
}

#[tokio::test]
async fn producer_outlives_its_records() {
    // KIP-360: else a repeated batch would be taken for a new one.
    let home = Home::new(keeping(10));
    let mut log = home.open().await;
    lead(&mut log, batch_of(7, 0, 0, 3), 1);
    let late = Timestamp(NOW.0 + 90_000);
    let (start, _) = log.expire(Offset(3), late).unwrap().unwrap();
    log.retire_segments(start).unwrap();
    assert_eq!((log.size(), log.log_start()), (0, Offset(3)));
    assert!(lead(&mut log, batch_of(7, 0, 0, 3), 1).duplicate);
    log.close().await.unwrap();
    let mut log = home.reopen().await;
    assert!(lead(&mut log, batch_of(7, 0, 0, 3), 1).duplicate);
    assert!(read_all(&log, Offset(3), 100).is_empty());
}

#[tokio::test]
async fn producer_outlives_its_records_when_a_crash_follows() {
    // All of it was deleted before a recovery point was saved: only the snapshot knows the producer.
    let home = Home::new(keeping(10));
    let mut log = home.open().await;
    lead(&mut log, batch_of(7, 0, 0, 3), 1);
    let (start, _) = log.expire(Offset(3), Timestamp(NOW.0 + 90_000)).unwrap().unwrap();
    log.retire_segments(start).unwrap().remove(&RealDisk);
    drop(log);
    let recovery = Recovery { log_start: start, ..Recovery::default() };
    let (mut log, _) = home.try_open(recovery).await.unwrap();
    assert_eq!((log.log_start(), log.log_end()), (Offset(3), Offset(3)));
    assert!(lead(&mut log, batch_of(7, 0, 0, 3), 1).duplicate);
}

#[tokio::test]
async fn segments_of_one_age_roll_at_times_of_their_own() {
    let config = LogConfig {
        segment_span: Duration::from_secs(100),
        segment_jitter: Duration::from_secs(50),
        segment_bytes: 1 << 20,
        ..tiny()
    };
    let mut spans = std::collections::BTreeSet::new();
    for _ in 0..8 {
        let home = Home::new(config);
        let mut log = home.open().await;
        let mut now = NOW.0;
        while !lead(&mut log, batch_at(1, 0, now), 1).rolled {
            now += 1000;
        }
        let span = (now - NOW.0) / 1000;
        assert!((51..=101).contains(&span), "{span} s");
        spans.insert(span);
    }
    assert!(spans.len() > 2, "{spans:?}");
    let home = Home::new(LogConfig { segment_jitter: Duration::ZERO, ..config });
    let mut log = home.open().await;
    fill(&mut log, 1, 1, 1);
    assert!(!lead(&mut log, batch_at(1, 0, NOW.0 + 100_000), 1).rolled);
    assert!(lead(&mut log, batch_at(1, 0, NOW.0 + 100_001), 1).rolled);
}
