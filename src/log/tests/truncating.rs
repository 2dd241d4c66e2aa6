//! What a follower does to agree with its leader.

use crate::base::config::Compression;
use crate::base::{LeaderEpoch, Offset};
use crate::log::testing::{
    Headlong, Home, NOW, batch, batch_of, carry_out, clean, fill, flush, keyed, lead, read_all,
    records_of, tiny,
};
use crate::log::{LogConfig, LogError, Recovery};

#[tokio::test]
async fn cut_log_ends_where_it_was_cut_and_goes_on_from_there() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    fill(&mut log, 20, 3, 2);
    fill(&mut log, 20, 3, 5);
    let truncated = log.truncate_to(Offset(30)).unwrap();
    assert_eq!(truncated.end, Offset(30));
    assert!(truncated.epochs_changed);
    assert_eq!(log.latest_epoch(), LeaderEpoch(2));
    assert_eq!(log.truncate_to(Offset(99)).unwrap().end, Offset(30), "nothing to cut");
    fill(&mut log, 20, 1, 7);
    let batches = read_all(&log, Offset(0), 700);
    assert_eq!((batches.len(), log.log_end()), (30, Offset(50)));
    assert_eq!(log.end_offset_for(LeaderEpoch(5)), (LeaderEpoch(2), Offset(30)));
    drop(log);
    let log = home.open().await;
    assert_eq!(read_all(&log, Offset(0), 700), batches);
}

#[tokio::test]
async fn cut_inside_a_batch_takes_the_whole_batch() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    fill(&mut log, 20, 3, 2);
    assert_eq!(log.truncate_to(Offset(31)).unwrap().end, Offset(30));
    assert_eq!(log.log_end(), Offset(30));
}

#[tokio::test]
async fn cut_at_the_edge_of_a_segment_leaves_it_empty() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    fill(&mut log, 40, 3, 2);
    let edge = log.segment_bases().nth(2).unwrap();
    assert_eq!(log.truncate_to(edge).unwrap().end, edge);
    assert_eq!(log.segment_bases().last(), Some(edge));
    assert_eq!(lead(&mut log, batch(1), 3).base, edge);
    assert_eq!(log.truncate_to(Offset(0)).unwrap().end, Offset(0));
    assert_eq!((log.size(), log.segment_bases().count()), (0, 1));
}

#[tokio::test]
async fn cut_below_the_saved_recovery_point_waits_for_a_lower_one() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    fill(&mut log, 20, 3, 2);
    flush(&mut log).await;
    let high = log.mark_recovery_point();
    assert_eq!(high.offset, Offset(60));
    let refused = log.truncate_to(Offset(30)).unwrap_err();
    assert!(matches!(refused, LogError::CheckpointFirst { .. }), "{refused}");
    assert_eq!((log.log_end(), log.recovery_point()), (Offset(60), Offset(30)));
    let low = log.mark_recovery_point();
    assert_eq!(low.offset, Offset(30));
    // The save of the high mark may still be under way: only that of the low one helps.
    log.recovery_point_saved(&high);
    assert!(log.truncate_to(Offset(30)).is_err());
    log.recovery_point_saved(&low);
    log.recovery_point_saved(&high);
    assert_eq!(log.truncate_to(Offset(30)).unwrap().end, Offset(30));
}

#[tokio::test]
async fn checkpoint_read_at_the_start_counts_as_saved() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    fill(&mut log, 20, 3, 2);
    log.close().await.unwrap();
    let recovery = Recovery { clean: true, recovery_point: Offset(45), ..Recovery::default() };
    let (mut log, _) = home.try_open(recovery).await.unwrap();
    assert!(log.truncate_to(Offset(42)).is_err());
    assert!(log.truncate_to(Offset(48)).is_ok());
}

#[tokio::test]
async fn log_that_starts_anew_has_nothing_of_before() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    for index in 0..20 {
        lead(&mut log, batch_of(7, 0, index, 1), 1);
    }
    let truncated = log.truncate_fully_and_start_at(Offset(1000)).unwrap();
    assert!(truncated.epochs_changed);
    assert_eq!((log.log_start(), log.log_end()), (Offset(1000), Offset(1000)));
    assert!(log.producers().is_empty() && log.epochs().entries().is_empty());
    assert_eq!(lead(&mut log, batch(2), 4).base, Offset(1000));
    let before = read_all(&log, Offset(1000), 100);
    drop(log);
    let log = home.open().await;
    assert_eq!((log.log_start(), log.log_end()), (Offset(1000), Offset(1002)));
    assert_eq!(read_all(&log, Offset(1000), 100), before);
}

#[tokio::test]
async fn producers_forget_what_was_cut() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    for index in 0..20 {
        lead(&mut log, batch_of(7, 0, index, 1), 1);
    }
    log.truncate_to(Offset(12)).unwrap();
    let again = lead(&mut log, batch_of(7, 0, 12, 1), 2);
    assert!(!again.duplicate);
    assert!(lead(&mut log, batch_of(7, 0, 11, 1), 2).duplicate);
}

/// The shrunk case of `model` in which a reload forgot a producer's newest batch.
#[tokio::test]
async fn snapshot_from_before_deleted_batches_is_not_reloaded() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    lead(&mut log, batch_of(7, 0, 0, 1), 1);
    fill(&mut log, 20, 3, 1);
    flush(&mut log).await;
    let synced = log.recovery_point();
    lead(&mut log, batch_of(7, 0, 1, 1), 1);
    fill(&mut log, 20, 3, 1);
    let (end, last) = (log.log_end(), log.segment_bases().last().unwrap());
    drop(log);
    // A crash loses the later snapshots; the segments below the log's start go.
    let recovery = Recovery { recovery_point: synced, log_start: last, ..Recovery::default() };
    let (mut log, _) = home.try_open(recovery).await.unwrap();
    assert_eq!((log.segment_bases().next(), log.log_end()), (Some(last), end));
    log.truncate_to(end.plus(-1)).unwrap();
    assert!(!lead(&mut log, batch_of(7, 0, 2, 1), 2).duplicate);
}

#[tokio::test]
async fn truncated_file_that_a_cleaner_reads_is_not_damaged() {
    let home = Home::new(LogConfig { compacted: true, deletes: false, ..tiny() });
    let mut log = home.open().await;
    let one = |key| keyed(&[(key, Some(b"1"))], Compression::None, NOW);
    lead(&mut log, one(b'a'), 1);
    lead(&mut log, one(b'b'), 1);
    log.roll(Offset(2), NOW).unwrap();
    flush(&mut log).await;
    let mut begun = log.cleaning(Offset(2), NOW, (1 << 16, 0.9)).unwrap().unwrap();
    let mut half = log.cleaning(Offset(2), NOW, (1 << 16, 0.9)).unwrap().unwrap();
    half.read_keys(&mut Headlong).await.unwrap();
    log.truncate_to(Offset(1)).unwrap();
    // Where they expect the second batch to end, another one goes on.
    let other: Vec<_> = (b'c'..b'g').map(|key| (key, Some(&b"other"[..]))).collect();
    lead(&mut log, keyed(&other, Compression::None, NOW), 2);
    log.roll(Offset(5), NOW).unwrap();
    let after = records_of(&log);
    assert!(matches!(half.clean_next(&mut Headlong).await, Err(LogError::Corrupt { .. })));
    assert_eq!(carry_out(&mut begun, &mut log).await.unwrap(), None);
    assert_eq!(records_of(&log), after);
    assert_eq!(clean(&mut log, NOW, 1 << 16).await, Some(Offset(5)));
    assert_eq!(records_of(&log), after);
}

#[tokio::test]
async fn sync_of_a_log_that_was_cut_to_nothing_has_the_cut() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    fill(&mut log, 40, 3, 2);
    let edge = log.segment_bases().nth(2).unwrap();
    for cut in [edge, Offset(0)] {
        flush(&mut log).await;
        assert_eq!(log.truncate_to(cut).unwrap().end, cut);
        assert!(log.cut_sync().is_some());
        flush(&mut log).await;
        assert!(log.cut_sync().is_none(), "the empty file at {cut} was synced");
    }
    log.truncate_fully_and_start_at(Offset(7)).unwrap();
    flush(&mut log).await;
    assert!(log.cut_sync().is_none());
}
