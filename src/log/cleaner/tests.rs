//! Compaction: which records stay, which go and when, and what a crash in the middle leaves.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use proptest::prelude::*;

use crate::base::config::Compression;
use crate::base::{Flaw, Flaws, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use crate::io::real::RealDisk;
use crate::log::testing::{
    Headlong, Home, NOW, RealLog, batch_of, clean, flush, keyed, lead, read_all, records_of, tiny,
};
use crate::log::{Cleaning, LogConfig, Recovery};
use crate::wire::batch::{BatchBuilder, BatchHeader, Record};

const DAY: i64 = 86_400_000;
const ROOMY: usize = 1 << 16;

fn compacting() -> LogConfig {
    LogConfig { compacted: true, deletes: false, ..tiny() }
}

/// Key, offset and value of each record.
fn contents(records: &[Record]) -> Vec<(u8, i64, Option<Vec<u8>>)> {
    let key = |record: &Record| record.key.as_ref().map_or(0, |key| key[0]);
    let value = |record: &Record| record.value.as_ref().map(|value| value.to_vec());
    records.iter().map(|record| (key(record), record.offset.0, value(record))).collect()
}

/// Appends one record per key, some hundred bytes each, and rolls the segment.
fn write(log: &mut RealLog, keys: &[u8], value: Option<&[u8]>) {
    let records: Vec<_> = keys.iter().map(|key| (*key, value)).collect();
    lead(log, keyed(&records, Compression::None, NOW), 1);
    log.roll(log.log_end(), NOW).unwrap();
}

fn names(home: &Home, ending: &str) -> Vec<String> {
    home.names().into_iter().filter(|name| name.ends_with(ending)).collect()
}

#[tokio::test]
async fn latest_record_of_each_key_keeps_its_offset() {
    let home = Home::new(compacting());
    let mut log = home.open().await;
    write(&mut log, b"abc", Some(b"1"));
    write(&mut log, b"ab", Some(b"2"));
    lead(&mut log, keyed(&[(b'a', Some(b"3"))], Compression::None, NOW), 1);
    assert_eq!(clean(&mut log, NOW, ROOMY).await, Some(Offset(5)));
    let expected = [
        (b'c', 2, Some(b"1".to_vec())),
        (b'a', 3, Some(b"2".to_vec())),
        (b'b', 4, Some(b"2".to_vec())),
        (b'a', 5, Some(b"3".to_vec())),
    ];
    assert_eq!(contents(&records_of(&log)), expected);
    assert_eq!(names(&home, ".log").len(), 2, "two segments were merged");
    assert!(names(&home, ".swap").is_empty() && names(&home, ".cleaned").is_empty());
    assert_eq!((log.log_start(), log.log_end()), (Offset(0), Offset(6)));
    drop(log);
    assert_eq!(contents(&records_of(&home.open().await)), expected, "recovered as after a crash");
    assert_eq!(contents(&records_of(&home.reopen().await)), expected);
}

#[tokio::test]
async fn tombstone_stays_until_its_delete_horizon_and_no_longer() {
    let home = Home::new(compacting());
    let mut log = home.open().await;
    write(&mut log, b"ab", Some(b"1"));
    write(&mut log, b"a", None);
    write(&mut log, b"c", Some(b"1"));
    clean(&mut log, NOW, ROOMY).await;
    let keys = |log: &RealLog| -> Vec<u8> {
        contents(&records_of(log)).into_iter().map(|(key, ..)| key).collect()
    };
    assert_eq!(keys(&log), b"bac", "the value is gone, the tombstone stays");
    let horizon = read_all(&log, Offset(0), 1 << 20)[1].delete_horizon();
    assert_eq!(horizon, Some(Timestamp(NOW.0 + DAY)));
    log.set_cleaned_to(Offset(3));
    clean(&mut log, Timestamp(NOW.0 + DAY - 1), ROOMY).await;
    assert_eq!(keys(&log), b"bac", "before its delete horizon");
    log.set_cleaned_to(Offset(3));
    clean(&mut log, Timestamp(NOW.0 + DAY), ROOMY).await;
    assert_eq!(keys(&log), b"bc");
}

#[tokio::test]
async fn flaw_early_tombstone_removes_tombstones_at_once() {
    let home = Home::new(LogConfig { flaws: Flaws::only(Flaw::EarlyTombstone), ..compacting() });
    let mut log = home.open().await;
    write(&mut log, b"ab", Some(b"1"));
    write(&mut log, b"a", None);
    clean(&mut log, NOW, ROOMY).await;
    assert_eq!(contents(&records_of(&log)), [(b'b', 1, Some(b"1".to_vec()))]);
}

#[tokio::test]
async fn uncommitted_records_are_not_cleaned() {
    let home = Home::new(compacting());
    let mut log = home.open().await;
    for value in [b"1", b"2", b"3"] {
        write(&mut log, b"a", Some(value));
    }
    flush(&mut log).await;
    let dirty =
        |log: &mut RealLog, high_watermark| log.dirtiness(Offset(high_watermark), NOW).unwrap();
    assert!(!dirty(&mut log, 0).is_due(&compacting()));
    assert_eq!(dirty(&mut log, 2).until, Offset(2));
    let mut cleaning = log.cleaning(Offset(2), NOW, (ROOMY, 0.9)).unwrap().unwrap();
    cleaning.read_keys(&mut Headlong).await.unwrap();
    assert_eq!(cleaning.until(), Offset(2), "the third record is not committed");
}

#[tokio::test]
async fn unsynced_records_supersede_nothing() {
    let home = Home::new(compacting());
    let mut log = home.open().await;
    write(&mut log, b"ab", Some(b"1"));
    flush(&mut log).await;
    write(&mut log, b"a", Some(b"2"));
    write(&mut log, b"b", None);
    assert_eq!(log.dirtiness(log.log_end(), NOW).unwrap().until, Offset(2));
    let end = log.log_end();
    let mut cleaning = log.cleaning(end, NOW, (ROOMY, 0.9)).unwrap().unwrap();
    cleaning.read_keys(&mut Headlong).await.unwrap();
    assert_eq!(cleaning.until(), Offset(2), "the record that supersedes it is not synced");
    flush(&mut log).await;
    assert_eq!(log.dirtiness(log.log_end(), NOW).unwrap().until, Offset(4));
}

#[tokio::test]
async fn empty_segment_does_not_hide_the_end_of_the_cleaned_part() {
    let home = Home::new(compacting());
    let mut log = home.open().await;
    write(&mut log, b"ab", Some(b"1"));
    write(&mut log, b"ab", Some(b"2"));
    log.close().await.unwrap();
    // Kafka leaves an empty file for a segment whose records were all superseded.
    fs::write(home.file(&names(&home, ".log")[1]), b"").unwrap();
    let mut log = home.reopen().await;
    let large = vec![b'3'; 900];
    write(&mut log, b"a", Some(&large));
    write(&mut log, b"b", Some(&large));
    clean(&mut log, NOW, ROOMY).await;
    let left = BatchHeader::parse(&fs::read(home.file(&names(&home, ".log")[0])).unwrap()).unwrap();
    assert_eq!((left.count, left.next_offset()), (0, Offset(2)), "its end is still known");
}

#[tokio::test]
async fn log_is_cleaned_in_rounds_with_little_memory() {
    let home = Home::new(compacting());
    let mut log = home.open().await;
    for _ in 0..2 {
        for key in 0..20u8 {
            write(&mut log, &[key], Some(b"v"));
        }
    }
    let mut rounds = Vec::new();
    while let Some(until) = clean(&mut log, NOW, 24 * 12).await {
        rounds.push(until.0);
    }
    assert!(rounds.len() >= 4 && rounds.is_sorted(), "{rounds:?}");
    assert_eq!(rounds.last(), Some(&40));
    let kept: Vec<i64> = records_of(&log).iter().map(|record| record.offset.0).collect();
    assert_eq!(kept, (20..40).collect::<Vec<_>>());
}

#[tokio::test]
async fn batch_with_too_many_keys_leaves_the_log_unchanged() {
    let home = Home::new(compacting());
    let mut log = home.open().await;
    write(&mut log, b"abcdefgh", Some(b"1"));
    assert_eq!(clean(&mut log, NOW, 24 * 4).await, Some(Offset(0)));
    assert_eq!(records_of(&log).len(), 8);
}

#[tokio::test]
async fn producer_is_known_after_all_its_records_are_cleaned() {
    let home = Home::new(compacting());
    let mut log = home.open().await;
    // Records without a key are from the time before the topic was compacted.
    let keyless = LogConfig { compacted: false, ..compacting() };
    log.set_config(keyless);
    for sequence in 0..3 {
        lead(&mut log, batch_of(7, 2, sequence * 5, 5), 1);
        log.roll(log.log_end(), NOW).unwrap();
    }
    log.set_config(compacting());
    clean(&mut log, NOW, ROOMY).await;
    assert_eq!(records_of(&log), []);
    let headers = read_all(&log, Offset(0), 1 << 20);
    let last = headers.last().unwrap();
    assert_eq!((last.count, last.last_sequence(), last.last_offset()), (0, 14, Offset(14)));
    drop(log);
    for name in names(&home, ".snapshot") {
        fs::remove_file(home.file(&name)).unwrap();
    }
    let mut log = home.open().await;
    log.set_config(keyless);
    assert!(lead(&mut log, batch_of(7, 2, 10, 5), 1).duplicate, "found by the batch alone");
}

/// A batch of a transaction, or the marker that ends one.
fn transactional(key: Option<u8>, marker: Option<i16>) -> BytesMut {
    let mut builder = BatchBuilder::new(Compression::None, NOW).transactional();
    if let Some(kind) = marker {
        builder = builder.control();
        let mut key = Vec::new();
        key.put_i16(0);
        key.put_i16(kind);
        builder.append(NOW, Some(&key), Some(&[0; 6]), &[]);
    } else {
        builder.append(NOW, key.as_ref().map(std::slice::from_ref), Some(b"in"), &[]);
    }
    let sequence = if marker.is_some() { -1 } else { 0 };
    let bytes = builder.finish(ProducerId(7), ProducerEpoch(0), sequence);
    BytesMut::from(&*bytes)
}

/// The log of a leader, with markers as a coordinator would write them.
async fn with_transactions(flaws: Flaws) -> (Home, RealLog) {
    let home = Home::new(LogConfig { flaws, ..compacting() });
    let mut log = home.open().await;
    let steps = [(Some(b'x'), None), (None, Some(0)), (Some(b'y'), None), (None, Some(1))];
    for (key, marker) in steps {
        let mut bytes = transactional(key, marker);
        crate::wire::batch::assign(&mut bytes, log.log_end(), LeaderEpoch(1));
        log.append_as_follower(&bytes, NOW).unwrap();
        log.roll(log.log_end(), NOW).unwrap();
    }
    lead(&mut log, keyed(&[(b'z', Some(b"1"))], Compression::None, NOW), 1);
    (home, log)
}

#[tokio::test]
async fn aborted_records_are_removed_before_their_marker() {
    let (home, mut log) = with_transactions(Flaws::default()).await;
    let aborted = log.aborted_transactions(Offset(0), Offset(9)).unwrap();
    assert_eq!((aborted.len(), aborted[0].first, aborted[0].last), (1, Offset(0), Offset(1)));
    assert_eq!(names(&home, ".txnindex"), ["00000000000000000001.txnindex"]);
    clean(&mut log, NOW, ROOMY).await;
    let offsets = |log: &RealLog| -> Vec<i64> {
        records_of(log).iter().map(|record| record.offset.0).collect()
    };
    assert_eq!(offsets(&log), [1, 2, 3, 4], "the aborted record is gone, both markers stay");
    assert_eq!(log.aborted_transactions(Offset(0), Offset(9)).unwrap(), aborted);
    log.set_cleaned_to(Offset::NONE);
    clean(&mut log, NOW, ROOMY).await;
    assert_eq!(offsets(&log), [1, 2, 3, 4], "the marker gets a delete horizon");
    assert_eq!(log.aborted_transactions(Offset(0), Offset(9)).unwrap(), []);
    log.set_cleaned_to(Offset::NONE);
    clean(&mut log, Timestamp(NOW.0 + DAY), ROOMY).await;
    assert_eq!(offsets(&log), [2, 3, 4], "the commit marker stays with its records");
}

#[tokio::test]
async fn transaction_index_that_calls_a_commit_aborted_is_ignored() {
    let (home, log) = with_transactions(Flaws::default()).await;
    let before = records_of(&log);
    log.close().await.unwrap();
    // The index omits the aborted transaction and lists the committed one.
    let index = home.file("00000000000000000001.txnindex");
    let mut entry = fs::read(&index).unwrap();
    (entry[17], entry[25], entry[33]) = (2, 3, 4);
    fs::write(&index, entry).unwrap();
    let mut log = home.reopen().await;
    let told = log.aborted_transactions(Offset(0), Offset(9)).unwrap_err().to_string();
    let named = format!("{}: corrupt at byte 0 (offset 1)", index.display());
    assert!(told.starts_with(&named), "{told}");
    let mut cleaning = log.cleaning(Offset(5), NOW, (ROOMY, 0.9)).unwrap().unwrap();
    let refused = cleaning.read_keys(&mut Headlong).await.unwrap_err();
    assert_eq!(refused.to_string(), told);
    assert_eq!(records_of(&log), before);
}

/// Whether a cleaned log, opened without any snapshot, has no open transaction.
async fn is_decided(flaws: Flaws) -> bool {
    let (home, mut log) = with_transactions(flaws).await;
    log.roll(log.log_end(), NOW).unwrap();
    assert_eq!(log.last_stable_offset(Offset(5)), Offset(5));
    clean(&mut log, NOW, ROOMY).await;
    drop(log);
    for name in names(&home, ".snapshot") {
        fs::remove_file(home.file(&name)).unwrap();
    }
    let mut log = home.open().await;
    log.last_stable_offset(Offset(5)) == Offset(5)
}

#[tokio::test]
async fn only_the_drop_markers_flaw_reopens_a_committed_transaction() {
    assert!(is_decided(Flaws::default()).await);
    assert!(!is_decided(Flaws::only(Flaw::DropMarkers)).await);
}

#[tokio::test]
async fn cleaner_stops_at_an_open_transaction() {
    let home = Home::new(compacting());
    let mut log = home.open().await;
    write(&mut log, b"a", Some(b"1"));
    lead(&mut log, transactional(Some(b'x'), None), 1);
    log.roll(log.log_end(), NOW).unwrap();
    write(&mut log, b"a", Some(b"2"));
    flush(&mut log).await;
    assert_eq!(log.last_stable_offset(Offset(3)), Offset(1));
    assert_eq!(log.dirtiness(Offset(3), NOW).unwrap().until, Offset(1));
    let mut marker = transactional(None, Some(0));
    crate::wire::batch::assign(&mut marker, log.log_end(), LeaderEpoch(1));
    log.append_as_follower(&marker, NOW).unwrap();
    assert_eq!(log.last_stable_offset(Offset(3)), Offset(1), "the marker is not committed");
    assert_eq!(log.last_stable_offset(Offset(4)), Offset(4));
    let aborted = log.aborted_transactions(Offset(0), Offset(9)).unwrap();
    drop(log);
    for name in names(&home, ".snapshot") {
        fs::remove_file(home.file(&name)).unwrap();
    }
    for name in names(&home, ".txnindex") {
        fs::write(home.file(&name), b"rubbish").unwrap();
    }
    let log = home.open().await;
    assert_eq!(log.aborted_transactions(Offset(0), Offset(9)).unwrap(), aborted);
}

#[tokio::test]
async fn cleaning_is_void_after_a_truncation() {
    let home = Home::new(compacting());
    let mut log = home.open().await;
    write(&mut log, b"ab", Some(b"1"));
    write(&mut log, b"ab", Some(b"2"));
    let mut cleaning = begun(&mut log).await;
    let mut cleaned = cleaning.clean_next(&mut Headlong).await.unwrap().unwrap();
    log.truncate_to(Offset(2)).unwrap();
    assert!(!log.swap_in(&mut cleaned).unwrap());
    assert_eq!(records_of(&log).len(), 2);
    assert!(names(&home, ".cleaned").is_empty() && names(&home, ".swap").is_empty());
}

#[tokio::test]
async fn log_truncated_during_a_swap_keeps_later_appends() {
    for steps in 0..4 {
        let home = Home::new(compacting());
        let mut log = home.open().await;
        write(&mut log, b"abcd", Some(b"1"));
        write(&mut log, b"ab", Some(b"2"));
        write(&mut log, b"ab", Some(b"3"));
        let mut cleaning = begun(&mut log).await;
        let mut cleaned = cleaning.clean_next(&mut Headlong).await.unwrap().unwrap();
        assert!(log.swap_in(&mut cleaned).unwrap());
        let mut go_on = |log: &mut RealLog, step| match step {
            0 => log.place_swap(&cleaned).unwrap(),
            1 => log.settle_swap(&mut cleaned).unwrap().remove(&RealDisk),
            _ => log.finish_swap(&cleaned).unwrap(),
        };
        (0..steps).for_each(|step| go_on(&mut log, step));
        log.truncate_to(Offset(0)).unwrap();
        write(&mut log, b"efgh", Some(b"4"));
        write(&mut log, b"ef", Some(b"5"));
        let after = records_of(&log);
        (steps..3).for_each(|step| go_on(&mut log, step));
        log.cleaned(cleaning.until());
        assert_eq!(records_of(&log), after);
        drop(log);
        let (log, report) = home.try_open(Recovery::default()).await.unwrap();
        assert_eq!((records_of(&log), report.bytes_cut), (after, 0), "cut after {steps} steps");
    }
}

async fn begun(log: &mut RealLog) -> Cleaning<RealDisk> {
    flush(log).await;
    let mut cleaning = log.cleaning(log.log_end(), NOW, (ROOMY, 0.9)).unwrap().unwrap();
    cleaning.read_keys(&mut Headlong).await.unwrap();
    cleaning
}

/// Carries out `steps` steps of a swap, then crashes.
async fn interrupted(home: &Home, steps: usize) -> (Vec<Record>, Vec<Record>) {
    let mut log = home.open().await;
    write(&mut log, b"abc", Some(b"1"));
    write(&mut log, b"ab", Some(b"2"));
    write(&mut log, b"bcd", Some(b"3"));
    lead(&mut log, keyed(&[(b'e', Some(b"4"))], Compression::None, NOW), 1);
    flush(&mut log).await;
    let before = records_of(&log);
    let mut cleaning = begun(&mut log).await;
    let mut cleaned = cleaning.clean_next(&mut Headlong).await.unwrap().unwrap();
    if steps > 0 {
        assert!(log.swap_in(&mut cleaned).unwrap());
    }
    if steps > 1 {
        log.place_swap(&cleaned).unwrap();
    }
    if steps > 2 {
        let _retired = log.settle_swap(&mut cleaned).unwrap();
    }
    if steps > 3 {
        log.finish_swap(&cleaned).unwrap();
    }
    let after: Vec<Record> =
        before.iter().filter(|r| r.offset.0 == 3 || r.offset.0 >= 5).cloned().collect();
    (before, after)
}

#[tokio::test]
async fn interrupted_swap_is_undone_or_finished() {
    for steps in 0..=4 {
        let home = Home::new(compacting());
        let (before, after) = interrupted(&home, steps).await;
        let mut log = home.open().await;
        assert_eq!(records_of(&log), if steps == 0 { before } else { after }, "{steps} steps");
        let litter: Vec<_> = home
            .names()
            .into_iter()
            .filter(|n| n.ends_with(".swap") || n.ends_with(".cleaned") || n.ends_with(".deleted"))
            .collect();
        assert!(litter.is_empty(), "{steps} steps: {litter:?}");
        assert!(!lead(&mut log, keyed(&[(b'f', None)], Compression::None, NOW), 2).duplicate);
    }
}

#[tokio::test]
async fn swap_with_an_empty_segment_of_kafka_is_finished() {
    let home = Home::new(compacting());
    let mut log = home.open().await;
    write(&mut log, b"ab", Some(b"1"));
    write(&mut log, b"ab", Some(b"2"));
    let after = records_of(&log).split_off(2);
    flush(&mut log).await;
    drop(log);
    fs::write(home.file("00000000000000000000.log.swap"), b"").unwrap();
    let recovery = Recovery { recovery_point: Offset(4), ..Recovery::default() };
    let log = home.try_open(recovery).await.unwrap().0;
    assert_eq!((records_of(&log), log.log_start()), (after, Offset(0)));
    assert!(names(&home, ".swap").is_empty());
}

/// Once the new segment counts, a power loss may keep any subset of the renames that follow.
#[tokio::test]
async fn cleaned_segment_survives_any_lost_renames_exactly_once() {
    let reference = Home::new(compacting());
    interrupted(&reference, 1).await;
    let old: Vec<String> = reference
        .names()
        .into_iter()
        .filter(|name| {
            name.starts_with("0000000000000000000")
                && !name.ends_with(".swap")
                && !name.ends_with(".snapshot")
                && !name.contains("08.")
        })
        .collect();
    assert_eq!(old.len(), 9, "{old:?}");
    for kept in 0..1u32 << old.len() {
        if kept % 5 != 0 && kept.count_ones() > 2 {
            continue;
        }
        let home = Home::new(compacting());
        let (_, after) = interrupted(&home, 1).await;
        for (index, name) in old.iter().enumerate() {
            if kept & 1 << index == 0 {
                fs::rename(home.file(name), home.file(&format!("{name}.deleted"))).unwrap();
            }
        }
        let log = home.open().await;
        assert_eq!(records_of(&log), after, "kept {kept:b}");
    }
}

#[tokio::test]
async fn follower_of_a_compacted_leader_reopens_its_log() {
    let (leader, follower) = (Home::new(compacting()), Home::new(compacting()));
    let mut log = leader.open().await;
    write(&mut log, b"abc", Some(b"1"));
    write(&mut log, b"ab", Some(b"2"));
    write(&mut log, b"c", Some(b"3"));
    clean(&mut log, NOW, ROOMY).await;
    lead(&mut log, keyed(&[(b'd', Some(b"4"))], Compression::None, NOW), 1);
    let mut copy = follower.open().await;
    let mut at = Offset(0);
    while at < log.log_end() {
        let fetched = log.read(at, 1, log.log_end(), true).unwrap();
        let slice = fetched.slice.unwrap();
        let mut bytes = vec![0; slice.len as usize];
        crate::io::File::read_exact_at(&slice.file, &mut bytes, slice.offset).unwrap();
        copy.append_as_follower(&bytes, NOW).unwrap();
        at = copy.log_end();
    }
    assert_eq!(records_of(&copy), records_of(&log));
    drop(copy);
    let recovery = Recovery::default();
    let (copy, report) = follower.try_open(recovery).await.unwrap();
    assert_eq!((records_of(&copy), report.bytes_cut), (records_of(&log), 0));
}

/// One operation on a log.
#[derive(Clone, Debug)]
enum Step {
    Write { records: Vec<(u8, bool)>, codec: usize },
    Roll,
    Clean { memory: usize, later: i64 },
    Restart { clean: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let record = (0..8u8, prop::bool::weighted(0.8));
    prop_oneof![
        6 => (proptest::collection::vec(record, 1..6), 0..5usize)
            .prop_map(|(records, codec)| Step::Write { records, codec }),
        2 => Just(Step::Roll),
        3 => (3..20usize, 0..2 * DAY).prop_map(|(keys, later)| {
            Step::Clean { memory: keys * 24, later }
        }),
        1 => any::<bool>().prop_map(|clean| Step::Restart { clean }),
    ]
}

/// Checks that the latest record of each key below `until` and all records from there on are left.
/// Tombstones may be gone.
fn check(all: &[Record], left: &[Record], until: Offset) {
    assert!(left.windows(2).all(|pair| pair[0].offset < pair[1].offset), "offsets rise");
    let by_offset: BTreeMap<_, _> = all.iter().map(|record| (record.offset, record)).collect();
    for record in left {
        assert_eq!(by_offset.get(&record.offset), Some(&record), "unchanged");
    }
    let mut latest = BTreeMap::new();
    for record in all.iter().filter(|record| record.offset < until) {
        latest.insert(record.key.clone(), record);
    }
    let is_left = |record: &Record| left.binary_search_by_key(&record.offset, |r| r.offset).is_ok();
    for record in latest.values().filter(|record| record.value.is_some()) {
        // The cleaner's memory may have ended in the middle of the batch that supersedes it.
        let superseded = left.iter().any(|r| r.key == record.key && r.offset > record.offset);
        assert!(
            is_left(record) || superseded,
            "the latest of {:?} at {}",
            record.key,
            record.offset
        );
    }
    for record in all.iter().filter(|record| record.offset >= until) {
        assert!(is_left(record), "offset {} is not cleaned yet", record.offset);
    }
    for record in left.iter().filter(|record| record.offset < until) {
        let last = latest[&record.key];
        assert_eq!(last.offset, record.offset, "no superseded record is left");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn latest_record_of_each_key_survives_any_schedule(
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async move {
            let config = LogConfig { delete_retention: Duration::from_secs(3600), ..compacting() };
            let home = Home::new(config);
            let mut log = home.open().await;
            let (mut all, mut until) = (Vec::new(), Offset(0));
            for step in steps {
                match step {
                    Step::Write { records, codec } => {
                        let records: Vec<_> = records
                            .iter()
                            .map(|(key, alive)| (*key, alive.then_some(&b"a value"[..])))
                            .collect();
                        let codec = Compression::ALL[codec];
                        let before = log.log_end();
                        lead(&mut log, keyed(&records, codec, NOW), 1);
                        all.extend(records_of(&log).into_iter().filter(|r| r.offset >= before));
                    }
                    Step::Roll if log.active().unwrap().size > 0 => {
                        log.roll(log.log_end(), NOW).unwrap();
                    }
                    Step::Roll => {}
                    Step::Clean { memory, later } => {
                        let now = Timestamp(NOW.0 + later);
                        until = clean(&mut log, now, memory).await.unwrap_or(until).max(until);
                    }
                    Step::Restart { clean } => {
                        if clean {
                            log.close().await.unwrap();
                        } else {
                            drop(log);
                        }
                        log = if clean { home.reopen().await } else { home.open().await };
                        log.set_cleaned_to(until);
                    }
                }
                check(&all, &records_of(&log), until);
            }
        });
    }
}
