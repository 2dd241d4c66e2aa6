//! Producers and their transactions in a log: verified, ended, fenced, recovered, forgotten.

use std::time::Duration;

use bytes::BytesMut;

use crate::base::config::Compression;
use crate::base::{Flaw, Flaws, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use crate::log::testing::{Home, NOW, RealLog, batch_of, fill, flush, lead, tiny};
use crate::log::{
    AppendError, Appended, Guard, LogConfig, Recovery, TransactionEnd, TransactionalWrite, Writer,
};
use crate::wire::batch::BatchBuilder;

const ID: ProducerId = ProducerId(7);

fn verified() -> LogConfig {
    LogConfig { verified_transactions: true, ..tiny() }
}

/// A batch of one record of a transaction.
fn transactional(epoch: i16, sequence: i32) -> BytesMut {
    let mut builder = BatchBuilder::new(Compression::None, NOW).transactional();
    builder.append(NOW, Some(b"k"), Some(b"v"), &[]);
    BytesMut::from(&builder.finish(ID, ProducerEpoch(epoch), sequence)[..])
}

fn append(log: &mut RealLog, mut batch: BytesMut, writer: Writer) -> Result<Appended, AppendError> {
    log.append_as(&mut batch, LeaderEpoch(1), NOW, writer)
}

fn produce(
    log: &mut RealLog,
    epoch: i16,
    sequence: i32,
    guard: Guard,
) -> Result<Appended, AppendError> {
    append(log, transactional(epoch, sequence), Writer::Client(guard))
}

fn end(log: &mut RealLog, epoch: i16, commit: bool, version: i8) -> Result<Appended, AppendError> {
    let producer_epoch = ProducerEpoch(epoch);
    let end =
        TransactionEnd { producer: ID, producer_epoch, coordinator_epoch: 3, commit, version };
    append(log, end.batch(NOW), Writer::Marker { version })
}

fn begin(log: &mut RealLog, epoch: i16, sequence: i32) -> Result<Option<Guard>, AppendError> {
    let epoch = ProducerEpoch(epoch);
    let write = TransactionalWrite { producer: ID, epoch, sequence, bumps_epoch: false };
    log.begin_verification(&write, NOW)
}

fn is_unverified(result: Result<Appended, AppendError>) -> bool {
    matches!(result, Err(AppendError::NotInTransaction { .. }))
}

#[tokio::test]
async fn transaction_begins_with_a_guard_and_ends_with_its_marker() {
    let home = Home::new(verified());
    let mut log = home.open().await;
    assert!(is_unverified(produce(&mut log, 0, 0, Guard::NONE)));
    let guard = begin(&mut log, 0, 0).unwrap().expect("nothing of it is here");
    assert_eq!(produce(&mut log, 0, 0, guard).unwrap().base, Offset(0));
    assert_eq!(begin(&mut log, 0, 1).unwrap(), None, "it is here");
    assert_eq!(produce(&mut log, 0, 1, Guard::NONE).unwrap().base, Offset(1));
    assert_eq!(log.last_stable_offset(Offset(2)), Offset(0));
    end(&mut log, 0, true, 1).unwrap();
    assert_eq!(log.last_stable_offset(Offset(3)), Offset(3));
    assert!(is_unverified(produce(&mut log, 0, 2, guard)), "of the transaction before");
    assert_eq!(log.log_end(), Offset(3), "nothing refused was written");
}

#[tokio::test]
async fn late_answer_of_a_coordinator_leaves_no_transaction_hanging() {
    let home = Home::new(verified());
    let mut log = home.open().await;
    let guard = begin(&mut log, 0, 0).unwrap().unwrap();
    end(&mut log, 0, false, 1).unwrap();
    assert!(is_unverified(produce(&mut log, 0, 0, guard)));
    assert_eq!(log.producers().first_open_transaction(), None);
    let flaws = Flaws::only(Flaw::UnverifiedTransaction);
    log.set_config(LogConfig { flaws, ..verified() });
    produce(&mut log, 0, 0, guard).unwrap();
    assert_eq!(log.producers().first_open_transaction(), Some(Offset(1)), "it hangs");
}

#[tokio::test]
async fn fenced_producer_begins_no_verification() {
    let home = Home::new(verified());
    let mut log = home.open().await;
    lead(&mut log, batch_of(7, 3, 0, 1), 1);
    let fenced = begin(&mut log, 2, 1);
    assert!(matches!(fenced, Err(AppendError::InvalidProducerEpoch { .. })), "{fenced:?}");
    let guard = begin(&mut log, 3, 1).unwrap().unwrap();
    log.abandon_verifications();
    assert!(is_unverified(produce(&mut log, 3, 1, guard)), "another leader epoch");
}

#[tokio::test]
async fn offsets_in_a_transaction_need_a_guard_and_no_sequence_numbers() {
    let home = Home::new(verified());
    let mut log = home.open().await;
    let offsets =
        |log: &mut RealLog, guard| append(log, transactional(0, -1), Writer::Coordinator(guard));
    assert!(is_unverified(offsets(&mut log, Guard::NONE)));
    let guard = begin(&mut log, 0, -1).unwrap().unwrap();
    offsets(&mut log, guard).unwrap();
    offsets(&mut log, Guard::NONE).unwrap();
    end(&mut log, 1, true, 2).unwrap();
    let fenced = offsets(&mut log, guard);
    assert!(matches!(fenced, Err(AppendError::InvalidProducerEpoch { .. })), "{fenced:?}");
}

#[tokio::test]
async fn epochs_of_markers_and_open_transactions_survive_restarts() {
    for clean in [true, false] {
        let home = Home::new(tiny());
        let mut log = home.open().await;
        produce(&mut log, 0, 0, Guard::NONE).unwrap();
        end(&mut log, 1, true, 2).unwrap();
        produce(&mut log, 1, 0, Guard::NONE).unwrap();
        fill(&mut log, 20, 3, 1);
        let before = log.producers().get(ID).cloned().unwrap();
        assert_eq!((before.epoch, before.coordinator_epoch), (ProducerEpoch(1), 3));
        let mut log = match clean {
            true => {
                log.close().await.unwrap();
                home.reopen().await
            }
            false => {
                drop(log);
                home.open().await
            }
        };
        assert_eq!(log.producers().get(ID), Some(&before), "clean: {clean}");
        let end_offset = log.log_end();
        assert_eq!(log.last_stable_offset(end_offset), Offset(2));
        let fenced = produce(&mut log, 0, 1, Guard::NONE);
        assert!(matches!(fenced, Err(AppendError::InvalidProducerEpoch { .. })), "{fenced:?}");
    }
}

#[tokio::test]
async fn records_whose_marker_is_not_replicated_stay_unstable_after_a_restart() {
    for clean in [true, false] {
        let home = Home::new(tiny());
        let mut log = home.open().await;
        fill(&mut log, 1, 1, 1);
        produce(&mut log, 0, 0, Guard::NONE).unwrap();
        fill(&mut log, 20, 3, 1);
        let marker = end(&mut log, 1, true, 2).unwrap().base;
        // Its snapshot is written behind the marker.
        fill(&mut log, 20, 3, 1);
        flush(&mut log).await;
        let mut log = match clean {
            true => {
                log.close().await.unwrap();
                home.reopen().await
            }
            false => {
                let recovery_point = log.recovery_point();
                drop(log);
                let recovery = Recovery { recovery_point, ..Recovery::default() };
                home.try_open(recovery).await.unwrap().0
            }
        };
        assert_eq!(log.last_stable_offset(marker), Offset(1), "clean: {clean}");
        assert_eq!(log.last_stable_offset(marker.next()), marker.next(), "clean: {clean}");
    }
}

#[tokio::test]
async fn truncation_above_an_unreplicated_marker_keeps_its_records_unstable() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    produce(&mut log, 0, 0, Guard::NONE).unwrap();
    let marker = end(&mut log, 1, true, 2).unwrap().base;
    fill(&mut log, 40, 3, 1);
    let kept = log.log_end();
    fill(&mut log, 40, 3, 1);
    flush(&mut log).await;
    log.truncate_to(kept).unwrap();
    assert!(log.segment_bases().count() > 1, "a snapshot is behind the marker");
    assert_eq!(log.last_stable_offset(marker), Offset(0));
    assert_eq!(log.last_stable_offset(marker.next()), marker.next());
}

#[tokio::test]
async fn long_transaction_with_an_unreplicated_marker_is_not_stable_after_a_restart() {
    let home = Home::new(LogConfig::default());
    let mut log = home.open().await;
    produce(&mut log, 0, 0, Guard::NONE).unwrap();
    fill(&mut log, 3000, 40, 1);
    let marker = end(&mut log, 1, true, 2).unwrap().base;
    fill(&mut log, 1, 1, 1);
    log.close().await.unwrap();
    let mut log = home.reopen().await;
    let stable = log.last_stable_offset(marker);
    assert!(Offset(0) < stable && stable < marker, "{stable} of {marker}");
    assert_eq!(log.last_stable_offset(marker.next()), marker.next());
}

#[tokio::test]
async fn transactions_whose_markers_are_committed_take_no_memory() {
    let home = Home::new(LogConfig::default());
    let mut log = home.open().await;
    for transaction in 0..3 {
        produce(&mut log, 0, transaction, Guard::NONE).unwrap();
        end(&mut log, 0, true, 1).unwrap();
    }
    assert_eq!(log.unreplicated.len(), 3);
    log.committed(Offset(3));
    assert_eq!(log.unreplicated.len(), 2, "the second marker is at offset 3");
    log.committed(log.log_end());
    assert!(log.unreplicated.is_empty());
}

#[tokio::test]
async fn marker_of_a_transaction_that_wrote_nothing_is_in_no_index() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    end(&mut log, 0, false, 1).unwrap();
    produce(&mut log, 0, 0, Guard::NONE).unwrap();
    for _ in 0..2 {
        end(&mut log, 0, false, 1).unwrap();
    }
    flush(&mut log).await;
    drop(log);
    let log = home.open().await;
    let aborted = log.aborted_transactions(Offset(0), log.log_end()).unwrap();
    assert_eq!(
        aborted.iter().map(|of| (of.first, of.last)).collect::<Vec<_>>(),
        [(Offset(1), Offset(2))]
    );
}

#[tokio::test]
async fn transaction_index_that_a_power_loss_left_is_built_again_from_the_log() {
    let (zeros, wrong) = ([0; 34], [&[0; 25][..], &[1], &[0; 8]].concat());
    for left in [&zeros[..], &wrong[..]] {
        let home = Home::new(tiny());
        let mut log = home.open().await;
        fill(&mut log, 20, 3, 1);
        flush(&mut log).await;
        let (base, recovery_point) = (log.segment_bases().last().unwrap(), log.recovery_point());
        let first = produce(&mut log, 0, 0, Guard::NONE).unwrap().base;
        let marker = end(&mut log, 0, false, 1).unwrap().base;
        drop(log);
        let index = home.file(&format!("{:020}.txnindex", base.0));
        assert_eq!(std::fs::read(&index).unwrap().len(), left.len());
        std::fs::write(&index, left).unwrap();

        let recovery = Recovery { recovery_point, ..Recovery::default() };
        let (log, _) = home.try_open(recovery).await.unwrap();
        assert!(base > Offset(0) && log.segment_bases().last() == Some(base));
        let aborted = log.aborted_transactions(Offset(0), log.log_end()).unwrap();
        let found: Vec<_> = aborted.iter().map(|of| (of.first, of.last)).collect();
        assert_eq!(found, [(first, marker)]);
    }
}

/// A log with an aborted transaction of two batches, which the log's start separates: the first, the
/// start, and the marker.
async fn aborted_across_the_start() -> (Home, RealLog, [Offset; 3]) {
    let home = Home::new(LogConfig::default());
    let mut log = home.open().await;
    fill(&mut log, 1, 1, 1);
    let first = produce(&mut log, 0, 0, Guard::NONE).unwrap().base;
    let start = produce(&mut log, 0, 1, Guard::NONE).unwrap().base;
    let marker = end(&mut log, 0, false, 1).unwrap().base;
    flush(&mut log).await;
    (home, log, [first, start, marker])
}

#[tokio::test]
async fn aborted_transaction_that_spans_the_log_start_is_known_after_a_crash() {
    let (home, log, [first, log_start, marker]) = aborted_across_the_start().await;
    let recovery_point = log.recovery_point();
    drop(log);
    let recovery = Recovery { log_start, recovery_point, ..Recovery::default() };
    let (log, _) = home.try_open(recovery).await.unwrap();
    let aborted = log.aborted_transactions(log_start, log.log_end()).unwrap();
    let found: Vec<_> = aborted.iter().map(|of| (of.first, of.last)).collect();
    assert_eq!(found, [(first, marker)]);
}

#[tokio::test]
async fn log_is_read_from_its_start_on_where_what_is_below_is_unreadable() {
    let (home, mut log, [_, start, _]) = aborted_across_the_start().await;
    assert!(log.advance_log_start(start));
    assert_eq!(log.first_known(), Offset(0));
    let path = home.file("00000000000000000000.log");
    let mut bytes = std::fs::read(&path).unwrap();
    // The first batch's length.
    bytes[8] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(log.first_known(), start);
}

#[tokio::test]
async fn aborted_transaction_is_found_behind_what_a_power_loss_left_in_the_index() {
    // The power loss took the markers, and left the index with the size that their entries gave it.
    for (kept, left) in [(0, 34), (0, 102), (1, 34), (1, 68)] {
        let home = Home::new(LogConfig::default());
        let mut log = home.open().await;
        fill(&mut log, 1, 1, 1);
        let mut expected = Vec::new();
        for sequence in 0..kept {
            let first = produce(&mut log, 0, sequence, Guard::NONE).unwrap().base;
            expected.push((first, end(&mut log, 0, false, 1).unwrap().base));
        }
        drop(log);
        let index = home.file("00000000000000000000.txnindex");
        let mut bytes = std::fs::read(&index).unwrap_or_default();
        bytes.extend(vec![0; left]);
        std::fs::write(&index, bytes).unwrap();

        let mut log = home.open().await;
        let first = produce(&mut log, 0, kept, Guard::NONE).unwrap().base;
        expected.push((first, end(&mut log, 0, false, 1).unwrap().base));
        let aborted = log.aborted_transactions(Offset(0), log.log_end()).unwrap();
        let found: Vec<_> = aborted.iter().map(|of| (of.first, of.last)).collect();
        assert_eq!(found, expected, "{kept} entries and {left} zeros");
    }
}

#[tokio::test]
async fn truncation_removes_the_aborted_transaction_of_a_producer_that_expired() {
    let config = LogConfig { producer_expiration: Duration::from_millis(100), ..tiny() };
    let home = Home::new(config);
    let mut log = home.open().await;
    fill(&mut log, 1, 1, 1);
    let first = produce(&mut log, 0, 0, Guard::NONE).unwrap().base;
    fill(&mut log, 1, 3, 1);
    end(&mut log, 0, false, 1).unwrap();
    log.expire_producers(Timestamp(NOW.0 + 100));
    assert!(log.producers().is_empty());
    log.truncate_to(first).unwrap();
    log.save_epochs().await.unwrap();

    produce(&mut log, 0, 0, Guard::NONE).unwrap();
    let marker = end(&mut log, 0, false, 1).unwrap().base;
    let aborted = log.aborted_transactions(Offset(0), log.log_end()).unwrap();
    let found: Vec<_> = aborted.iter().map(|of| (of.first, of.last)).collect();
    assert_eq!(found, [(first, marker)]);
}

#[tokio::test]
async fn follower_learns_the_epoch_of_a_marker() {
    let (home, other) = (Home::new(verified()), Home::new(verified()));
    let (mut leader, mut follower) = (home.open().await, other.open().await);
    let guard = begin(&mut leader, 0, 0).unwrap().unwrap();
    produce(&mut leader, 0, 0, guard).unwrap();
    end(&mut leader, 1, false, 2).unwrap();
    let waiting = begin(&mut follower, 0, 0).unwrap().unwrap();
    let slice = leader.read(Offset(0), 1 << 20, leader.log_end(), true).unwrap().slice.unwrap();
    let mut bytes = vec![0; slice.len as usize];
    crate::io::File::read_exact_at(&slice.file, &mut bytes, slice.offset).unwrap();
    follower.append_as_follower(&bytes, NOW).unwrap();
    assert_eq!(follower.producers(), leader.producers());
    assert!(produce(&mut follower, 0, 0, waiting).is_err(), "its verification has ended");
}

#[tokio::test]
async fn retention_keeps_the_producer_whose_last_batch_it_deletes() {
    for flawed in [false, true] {
        let flaws = if flawed { Flaws::only(Flaw::ForgetProducer) } else { Flaws::default() };
        let home = Home::new(LogConfig { flaws, ..tiny() });
        let mut log = home.open().await;
        lead(&mut log, batch_of(7, 0, 0, 1), 1);
        fill(&mut log, 20, 3, 1);
        flush(&mut log).await;
        let start = log.segment_bases().nth(2).unwrap();
        assert!(log.advance_log_start(start));
        log.retire_segments(start).unwrap();
        let again = lead(&mut log, batch_of(7, 0, 0, 1), 1);
        assert_eq!(again.duplicate, !flawed);
    }
}

#[tokio::test]
async fn stable_offset_is_never_below_the_log_start() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    produce(&mut log, 0, 0, Guard::NONE).unwrap();
    fill(&mut log, 3, 1, 1);
    assert_eq!(log.last_stable_offset(Offset(4)), Offset(0));
    log.advance_log_start(Offset(2));
    assert_eq!(log.last_stable_offset(Offset(4)), Offset(2), "its records were deleted");
}

#[tokio::test]
async fn log_says_when_its_producers_may_expire() {
    let config = LogConfig { producer_expiration: Duration::from_millis(100), ..verified() };
    let home = Home::new(config);
    let mut log = home.open().await;
    assert_eq!(log.producers_expire_at(), None);
    begin(&mut log, 0, 0).unwrap();
    let due = Timestamp(NOW.0 + 100);
    assert_eq!(log.producers_expire_at(), Some(due), "a verification that comes to nothing");
    log.expire_producers(due);
    assert_eq!(log.producers_expire_at(), None);
    lead(&mut log, batch_of(8, 0, 0, 1), 1);
    assert_eq!(log.producers_expire_at(), Some(due));
    log.expire_producers(Timestamp(due.0 - 1));
    assert_eq!(log.producers_expire_at(), Some(due), "too early");
    log.close().await.unwrap();
    let mut log = home.reopen().await;
    assert_eq!(log.producers_expire_at(), Some(due), "known from the snapshot");
    log.expire_producers(due);
    assert!(log.producers().is_empty());
}
