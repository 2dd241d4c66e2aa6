//! Gaps of a compacted log: which of them a cleaner has made, and which a crash.

use std::fs;

use bytes::BytesMut;

use crate::base::{LeaderEpoch, Offset};
use crate::log::testing::{Home, NOW, RealLog, batch, flush, read_all, records_of, tiny};
use crate::log::{LogConfig, LogError, Recovery};
use crate::wire::batch::{BatchHeader, assign};

fn compacted() -> LogConfig {
    LogConfig { compacted: true, deletes: false, ..tiny() }
}

fn synced(recovery_point: i64) -> Recovery {
    Recovery { recovery_point: Offset(recovery_point), ..Recovery::default() }
}

/// Appends batches of three records each, with these base offsets, as a follower gets them.
fn copy(log: &mut RealLog, bases: impl IntoIterator<Item = i64>) {
    for base in bases {
        let mut bytes = batch(3);
        assign(&mut bytes, Offset(base), LeaderEpoch(2));
        log.append_as_follower(&bytes, NOW).unwrap();
    }
}

/// What a follower has of a compacted leader: after each batch two records are missing.
async fn follower() -> (Home, RealLog, Vec<BatchHeader>) {
    let home = Home::new(compacted());
    let mut log = home.open().await;
    copy(&mut log, (0..20).map(|batch| batch * 5));
    let all = read_all(&log, Offset(0), 1 << 20);
    assert_eq!((all.len(), log.log_end()), (20, Offset(98)));
    (home, log, all)
}

fn log_of(base: Offset) -> String {
    format!("{:020}.log", base.0)
}

/// As Kafka would have named it: after its first batch.
fn rename_as_kafka_does(home: &Home, base: Offset) {
    let bytes = fs::read(home.file(&log_of(base))).unwrap();
    let first = BatchHeader::parse(&bytes).unwrap().base_offset;
    assert_eq!(first, base.plus(2));
    fs::rename(home.file(&log_of(base)), home.file(&log_of(first))).unwrap();
}

#[tokio::test]
async fn segments_of_a_follower_meet_though_its_leader_was_compacted() {
    let (home, log, all) = follower().await;
    let bases: Vec<Offset> = log.segment_bases().collect();
    assert!(bases.len() > 2);
    let ends: Vec<Offset> = all.iter().map(BatchHeader::next_offset).collect();
    assert!(bases[1..].iter().all(|base| ends.contains(base)), "{bases:?}");
    drop(log);
    for recovery_point in [0, 7, 50, 98] {
        let (log, report) = home.try_open(synced(recovery_point)).await.unwrap();
        assert_eq!((report.bytes_cut, report.cut_because), (0, None));
        assert_eq!(read_all(&log, Offset(0), 1 << 20), all, "a killed process loses nothing");
    }
}

#[tokio::test]
async fn lost_segment_ends_a_compacted_log_there() {
    let (home, log, all) = follower().await;
    let second = log.segment_bases().nth(1).unwrap();
    drop(log);
    // The end of the first segment was not on the platter, and the second was.
    let path = home.file(&log_of(Offset(0)));
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..2 * batch(3).len()]).unwrap();
    let (mut log, report) = home.try_open(synced(5)).await.unwrap();
    assert_eq!((log.log_end(), report.bytes_cut > 0), (Offset(8), true));
    let why = report.cut_because.unwrap();
    assert!(why.contains(&format!("begins at {second} where 8 is due")), "{why}");
    copy(&mut log, (2..20).map(|batch| batch * 5));
    assert_eq!(read_all(&log, Offset(0), 1 << 20), all, "fetched again");
}

#[tokio::test]
async fn gap_between_synced_or_cleaned_segments_is_accepted() {
    let (mut home, log, _) = follower().await;
    let bases: Vec<Offset> = log.segment_bases().collect();
    let all = records_of(&log);
    drop(log);
    rename_as_kafka_does(&home, bases[1]);
    let first = bases[1].plus(2);
    let whole = [
        synced(bases[1].0 + 1),
        synced(98),
        Recovery { cleaned_to: first, ..Recovery::default() },
        Recovery { clean: true, ..synced(98) },
    ];
    for recovery in whole {
        let (log, report) = home.try_open(recovery).await.unwrap();
        assert_eq!((log.log_end(), report.bytes_cut), (Offset(98), 0), "{recovery:?}");
        assert_eq!(records_of(&log), all);
    }
    home.config = tiny();
    let refused = home.try_open(synced(bases[1].0 + 1)).await.unwrap_err();
    assert!(matches!(refused, LogError::Corrupt { .. }), "{refused}");
    home.config = compacted();
    let (log, report) = home.try_open(synced(bases[1].0)).await.unwrap();
    assert_eq!(log.log_end(), bases[1], "nothing tells it from a loss");
    assert!(report.bytes_cut > 0 && report.cut_because.is_some());
}

#[tokio::test]
async fn offset_beyond_the_reach_of_an_index_begins_a_segment() {
    let home = Home::new(compacted());
    let mut log = home.open().await;
    let far = i64::from(i32::MAX) + 10;
    let mut bytes = BytesMut::new();
    for base in [0, far] {
        let mut next = batch(3);
        assign(&mut next, Offset(base), LeaderEpoch(2));
        bytes.extend_from_slice(&next);
    }
    log.append_as_follower(&bytes, NOW).unwrap();
    assert_eq!(log.log_end(), Offset(3), "the rest comes again");
    copy(&mut log, [far]);
    assert_eq!(log.segment_bases().collect::<Vec<_>>(), [Offset(0), Offset(far)]);
    let all = read_all(&log, Offset(0), 1 << 20);
    drop(log);
    let (log, report) = home.try_open(Recovery::default()).await.unwrap();
    assert_eq!((read_all(&log, Offset(0), 1 << 20), report.bytes_cut), (all, 0));
}

#[tokio::test]
async fn gaps_are_accepted_after_the_cleanup_policy_changes() {
    let (mut home, mut log, all) = follower().await;
    log.set_config(tiny());
    copy(&mut log, [100]);
    flush(&mut log).await;
    drop(log);
    home.config = LogConfig { was_compacted: true, ..tiny() };
    for recovery in [Recovery::default(), synced(98), Recovery { clean: true, ..synced(103) }] {
        let (log, report) = home.try_open(recovery).await.unwrap();
        let found = read_all(&log, Offset(0), 1 << 20);
        assert_eq!((found.len(), &found[..20], report.bytes_cut), (21, &all[..], 0));
    }
    home.config = tiny();
    assert!(home.try_open(synced(98)).await.is_err(), "where no cleaner was, it is damage");
}

#[tokio::test]
async fn gap_is_read_over_where_a_topic_is_compacted_only_since_the_log_was_opened() {
    let mut log = Home::new(tiny()).open().await;
    log.set_config(compacted());
    copy(&mut log, [5, 10]);
    let found = read_all(&log, Offset(0), 1 << 20);
    let bases: Vec<i64> = found.iter().map(|header| header.base_offset.0).collect();
    assert_eq!(bases, [5, 10]);
}

#[tokio::test]
async fn truncation_at_a_gap_lowers_the_recovery_point_to_the_log_end() {
    // Offset 4 is missing: the batch before it ends at 3. At 5 and in the middle of the batch that
    // begins there, the gap goes with the batch.
    for cut in 3..=7 {
        let (_home, mut log, _) = follower().await;
        flush(&mut log).await;
        assert_eq!(log.truncate_to(Offset(cut)).unwrap().end, Offset(3), "at {cut}");
        assert_eq!((log.log_end(), log.recovery_point()), (Offset(3), Offset(3)), "at {cut}");
    }
    let home = Home::new(compacted());
    let mut log = home.open().await;
    copy(&mut log, [1]);
    flush(&mut log).await;
    assert_eq!(log.truncate_to(Offset(1)).unwrap().end, Offset(0), "before the first batch");
    assert_eq!((log.log_end(), log.recovery_point()), (Offset(0), Offset(0)));
}
