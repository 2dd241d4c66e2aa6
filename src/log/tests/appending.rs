//! What a log accepts, where it puts it, and how it is found again.

use crate::base::{LeaderEpoch, Offset, ProducerId, Timestamp};
use crate::log::testing::{
    Home, NOW, RealLog, batch, batch_at, batch_of, fill, lead, read_all, tiny,
};
use crate::log::{AppendError, Appended, LogConfig, ReadError};
use crate::wire::batch::BatchHeader;

fn try_lead(log: &mut RealLog, bytes: &[u8]) -> Result<Appended, AppendError> {
    log.append_as_leader(&mut bytes.to_vec(), LeaderEpoch(5), NOW)
}

#[tokio::test]
async fn appended_batches_are_read_back_in_order() {
    let home = Home::new(LogConfig::default());
    let mut log = home.open().await;
    let first = lead(&mut log, batch(3), 5);
    let second = lead(&mut log, batch(2), 5);
    assert_eq!((first.base, first.end), (Offset(0), Offset(3)));
    assert_eq!((second.base, second.end), (Offset(3), Offset(5)));
    assert!(first.new_epoch && !second.new_epoch);
    let batches = read_all(&log, Offset(0), 1 << 20);
    let bases: Vec<i64> = batches.iter().map(|header| header.base_offset.0).collect();
    assert_eq!(bases, [0, 3]);
    assert!(batches.iter().all(|header| header.leader_epoch == LeaderEpoch(5)));
    assert_eq!(read_all(&log, Offset(4), 1), batches[1..], "the batch that holds the offset");
}

#[tokio::test]
async fn several_batches_are_appended_all_or_none() {
    let home = Home::new(LogConfig::default());
    let mut log = home.open().await;
    let mut both = [&batch(3)[..], &batch(2)[..]].concat();
    assert_eq!(try_lead(&mut log, &both).unwrap().end, Offset(5));
    let last = both.len() - 1;
    both[last] ^= 1;
    let error = try_lead(&mut log, &both).unwrap_err();
    assert!(matches!(error, AppendError::Invalid { at, .. } if at > 0), "{error}");
    assert_eq!(log.log_end(), Offset(5));
    assert!(matches!(try_lead(&mut log, &[]), Err(AppendError::Empty)));
    assert!(try_lead(&mut log, &both[..30]).is_err());
}

#[tokio::test]
async fn invalid_client_batches_are_refused() {
    let config = LogConfig { max_message_bytes: 500, ..LogConfig::default() };
    let home = Home::new(config);
    let mut log = home.open().await;
    let large = try_lead(&mut log, &batch_at(1, 600, 0)).unwrap_err();
    assert!(matches!(large, AppendError::TooLarge { limit: 500, .. }), "{large}");
    let mut control = batch(1);
    control[22] |= 0x20;
    let mut sparse = batch(2);
    sparse[60] = 1;
    let mut without = batch_of(7, 0, 0, 1);
    without[53] = 0xff;
    for (mut wrong, why) in [(control, "control"), (sparse, "disagree"), (without, "sequence")] {
        let crc = crc32c::crc32c(&wrong[21..]).to_be_bytes();
        wrong[17..21].copy_from_slice(&crc);
        let error = try_lead(&mut log, &wrong).unwrap_err();
        assert!(matches!(error, AppendError::Refused { .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
    assert_eq!(log.log_end(), Offset(0));
}

#[tokio::test]
async fn leader_of_an_older_epoch_appends_nothing() {
    let home = Home::new(LogConfig::default());
    let mut log = home.open().await;
    assert!(log.begin_epoch(LeaderEpoch(6)));
    assert!(!log.begin_epoch(LeaderEpoch(6)));
    let error = try_lead(&mut log, &batch(1)).unwrap_err();
    assert!(matches!(error, AppendError::EpochFell { .. }), "{error}");
}

#[tokio::test]
async fn repeated_batch_is_answered_with_where_it_is() {
    let home = Home::new(LogConfig::default());
    let mut log = home.open().await;
    for index in 0..5 {
        lead(&mut log, batch_of(7, 0, index * 2, 2), 5);
    }
    let again = lead(&mut log, batch_of(7, 0, 2, 2), 5);
    assert!(again.duplicate);
    assert_eq!((again.base, again.end), (Offset(2), Offset(4)));
    assert_eq!(log.log_end(), Offset(10), "nothing was written");
    let gap = try_lead(&mut log, &batch_of(7, 0, 12, 2)).unwrap_err();
    assert!(matches!(gap, AppendError::OutOfOrderSequence { expected: 10, found: 12, .. }));
    lead(&mut log, batch_of(7, 1, 0, 1), 5);
    let fenced = try_lead(&mut log, &batch_of(7, 0, 10, 1)).unwrap_err();
    assert!(matches!(fenced, AppendError::InvalidProducerEpoch { .. }), "{fenced}");
}

#[tokio::test]
async fn follower_gets_the_same_bytes_and_must_not_leave_a_gap() {
    let (leader_home, home) = (Home::new(tiny()), Home::new(LogConfig::default()));
    let (mut leader, mut follower) = (leader_home.open().await, home.open().await);
    fill(&mut leader, 10, 3, 4);
    fill(&mut leader, 10, 3, 6);
    let mut at = Offset(0);
    while at < leader.log_end() {
        let fetched = leader.read(at, 300, leader.log_end(), true).unwrap();
        let slice = fetched.slice.unwrap();
        let mut bytes = vec![0; slice.len as usize];
        crate::io::File::read_exact_at(&slice.file, &mut bytes, slice.offset).unwrap();
        let torn = [&bytes[..], &bytes[..40]].concat();
        let appended = follower.append_as_follower(&torn, NOW).unwrap();
        assert_eq!((appended.base, appended.end), (at, fetched.next));
        let again = follower.append_as_follower(&bytes, NOW).unwrap_err();
        assert!(matches!(again, AppendError::NotContinuous { .. }), "{again}");
        at = fetched.next;
    }
    assert_eq!(read_all(&leader, Offset(0), 1000), read_all(&follower, Offset(0), 1 << 20));
    assert_eq!(leader.epochs(), follower.epochs());
}

#[tokio::test]
async fn full_segment_is_followed_by_another_and_reads_cross_them() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    let rolls = (0..30).filter(|_| lead(&mut log, batch(3), 1).rolled).count();
    assert!(rolls > 3);
    assert_eq!(log.segment_bases().count(), rolls + 1);
    for max_bytes in [1, 200, 500, 5000] {
        assert_eq!(read_all(&log, Offset(0), max_bytes).len(), 30, "{max_bytes} at a time");
    }
    let names = home.names();
    assert!(names.contains(&"00000000000000000000.log".to_owned()), "{names:?}");
    let index = std::fs::metadata(home.file("00000000000000000000.index")).unwrap().len();
    assert!(
        (8..200).contains(&index) && index.is_multiple_of(8),
        "{index} bytes: cut to what is used"
    );
}

#[tokio::test]
async fn segment_ends_with_its_time_its_index_or_its_offsets() {
    let config = LogConfig { segment_span: std::time::Duration::from_secs(1), ..tiny() };
    let home = Home::new(config);
    let mut log = home.open().await;
    assert!(!lead(&mut log, batch_at(1, 10, 5000), 0).rolled);
    assert!(!lead(&mut log, batch_at(1, 10, 6000), 0).rolled);
    assert!(lead(&mut log, batch_at(1, 10, 6001), 0).rolled);
    assert!(!lead(&mut log, batch_at(1, 10, 7001), 0).rolled, "the new segment's own time");

    let config = LogConfig { segment_index_bytes: 36, ..tiny() };
    let config = LogConfig { segment_bytes: 1 << 20, index_interval_bytes: 0, ..config };
    let home = Home::new(config);
    let mut log = home.open().await;
    let rolled: Vec<bool> = (0..4).map(|t| lead(&mut log, batch_at(1, 9, t), 0).rolled).collect();
    assert_eq!(rolled, [false, false, false, true], "two entries, and one kept free");
}

#[tokio::test]
async fn read_stops_where_it_is_told() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    fill(&mut log, 6, 2, 1);
    let size = batch(2).len();
    let read = |from, max, until| log.read(Offset(from), max, Offset(until), false).unwrap();
    let len = |from, max, until| read(from, max, until).slice.map_or(0, |slice| slice.len);
    assert_eq!(len(0, size * 3 + 10, 100), size as u64 * 3, "whole batches only");
    assert_eq!(len(0, 1 << 20, 6), size as u64 * 3, "none that begins at the limit");
    assert_eq!(len(0, 1 << 20, 5), size as u64 * 3, "one that spans the limit");
    assert_eq!(len(4, 1 << 20, 4), 0);
    assert_eq!(len(0, size - 1, 100), 0, "not even one");
    assert_eq!(read(0, 0, 100).next, Offset(0));
    assert_eq!(len(12, 1 << 20, 100), 0, "the end is not an error");
    let available = |from, max, until| read(from, max, until).available.bytes;
    assert_eq!(available(0, size * 3 + 10, 100), size as u64 * 3 + 10, "also half a batch");
    assert_eq!(available(0, size - 1, 100), size as u64 - 1, "though no batch has room");
    assert_eq!(available(0, 1 << 20, 6), size as u64 * 3, "nothing at or above the limit");
    assert_eq!(available(0, size * 3 + 10, 6), size as u64 * 3);
    assert_eq!(available(4, 1 << 20, 4), 0);
    let first = log.read(Offset(0), 1, Offset(100), true).unwrap();
    assert_eq!(first.available.bytes, size as u64, "a larger first batch counts whole");
    let beyond = log.read(Offset(13), 1, Offset(100), true).unwrap_err();
    assert!(matches!(beyond, ReadError::OffsetOutOfRange { .. }), "{beyond}");
}

#[tokio::test]
async fn below_the_log_start_nothing_is_read() {
    let home = Home::new(LogConfig::default());
    let mut log = home.open().await;
    fill(&mut log, 4, 2, 1);
    assert!(log.advance_log_start(Offset(3)));
    assert!(!log.advance_log_start(Offset(2)));
    let below = log.read(Offset(2), 1, Offset(100), true).unwrap_err();
    let text = below.to_string();
    assert_eq!(text, "offset 2 is outside 3..=8");
    assert_eq!(log.epochs().entries(), [(LeaderEpoch(1), Offset(3))]);
    assert_eq!(log.offset_for_timestamp(Timestamp(0)).unwrap().unwrap().offset, Offset(3));
    assert!(log.advance_log_start(Offset(100)));
    assert_eq!(log.log_start(), Offset(8), "never above the end");
}

#[tokio::test]
async fn records_are_found_by_their_time() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    assert_eq!(log.max_timestamp().unwrap(), None);
    for time in [10, 20, 5, 40, 40, 35, 60, 50] {
        lead(&mut log, batch_at(2, 100, time), 3);
    }
    let at = |time| log.offset_for_timestamp(Timestamp(time)).unwrap().map(|found| found.offset.0);
    assert_eq!(at(0), Some(0));
    assert_eq!(at(10), Some(0));
    assert_eq!(at(11), Some(2));
    assert_eq!(at(21), Some(6));
    assert_eq!(at(40), Some(6));
    assert_eq!(at(41), Some(12));
    assert_eq!(at(61), None);
    let latest = log.max_timestamp().unwrap().unwrap();
    assert_eq!((latest.offset, latest.timestamp), (Offset(12), Timestamp(60)));
    assert_eq!(latest.epoch, LeaderEpoch(3));
}

#[tokio::test]
async fn state_of_producers_spans_a_clean_end() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    for index in 0..8 {
        lead(&mut log, batch_of(7, 0, index * 2, 2), 5);
        lead(&mut log, batch(1), 5);
    }
    let before = log.producers().get(ProducerId(7)).cloned().unwrap();
    assert_eq!(before.batches.len(), 5);
    log.close().await.unwrap();
    let mut log = home.reopen().await;
    assert_eq!(log.producers().get(ProducerId(7)), Some(&before), "all five, not only the last");
    assert!(lead(&mut log, batch_of(7, 0, 8, 2), 5).duplicate);
}

#[tokio::test]
async fn file_has_the_sent_bytes_except_offset_and_epoch() {
    let home = Home::new(LogConfig::default());
    let mut log = home.open().await;
    fill(&mut log, 1, 2, 1);
    let sent = batch(3);
    lead(&mut log, sent.clone(), 9);
    let file = std::fs::read(home.file("00000000000000000000.log")).unwrap();
    let stored = &file[batch(2).len()..];
    assert_eq!(stored[8..12], sent[8..12]);
    assert_eq!(stored[16..], sent[16..]);
    let header = BatchHeader::parse(stored).unwrap();
    assert_eq!((header.base_offset, header.leader_epoch), (Offset(2), LeaderEpoch(9)));
}

#[tokio::test]
async fn read_says_whether_the_next_segment_has_more() {
    let home = Home::new(LogConfig { segment_bytes: 200, ..LogConfig::default() });
    let mut log = home.open().await;
    fill(&mut log, 4, 2, 1);
    assert!(log.segments.len() > 1, "several segments");
    let first_end = log.segments.values().next().unwrap().end;
    let more = |until| log.read(Offset(0), 1, until, true).unwrap().available.in_next_segment;
    assert!(more(log.log_end()) && more(first_end.next()));
    assert!(!more(first_end), "all that may be read is in the first one");
}
