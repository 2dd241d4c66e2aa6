//! An index is a shortcut: one that does not agree with the log is rebuilt.

use std::fs;
use std::path::Path;

use crate::base::{Offset, Timestamp};
use crate::log::LogConfig;
use crate::log::testing::{Home, NOW, RealLog, batch_at, lead, read_all, tiny};
use crate::wire::batch::{BatchHeader, batches};

/// Batches of different sizes and times.
fn mixed(log: &mut RealLog, count: i64) {
    for index in 0..count {
        lead(log, batch_at(1 + (index % 3) as usize, (index % 7) as usize * 11, index), 1);
    }
}

/// Every entry names the beginning of a batch, by its last offset or its latest time.
fn assert_agrees(dir: &Path, base: i64) -> usize {
    let read = |extension| fs::read(dir.join(format!("{base:020}.{extension}"))).unwrap();
    let log = read("log");
    let (mut at, mut headers) = (0, Vec::new());
    for each in batches(&log) {
        let (header, bytes) = each.unwrap();
        headers.push((at as u32, header));
        at += bytes.len();
    }
    let word = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
    let index = read("index");
    for entry in index.chunks(8) {
        let (last, position) = (base + i64::from(word(&entry[..4])), word(&entry[4..]));
        assert!(headers.iter().any(|(at, h)| *at == position && h.last_offset() == Offset(last)));
    }
    for entry in read("timeindex").chunks(12) {
        let time = Timestamp(i64::from_be_bytes(entry[..8].try_into().unwrap()));
        let last = Offset(base + i64::from(word(&entry[8..])));
        let held = |h: &BatchHeader| h.last_offset() == last && h.max_timestamp == time;
        assert!(headers.iter().any(|(_, h)| held(h)));
    }
    index.len() / 8
}

#[tokio::test]
async fn every_entry_names_a_batch() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    mixed(&mut log, 100);
    let bases: Vec<Offset> = log.segment_bases().collect();
    log.close().await.unwrap();
    let entries: usize = bases.iter().map(|base| assert_agrees(&home.path(), base.0)).sum();
    assert!(entries > bases.len() * 2, "{entries} entries in {} segments", bases.len());
}

#[tokio::test]
async fn rebuilt_index_equals_the_one_that_was_kept() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    mixed(&mut log, 60);
    log.close().await.unwrap();
    let mut log = home.reopen().await;
    mixed(&mut log, 3);
    log.truncate_to(Offset(110)).unwrap();
    mixed(&mut log, 40);
    let bases: Vec<Offset> = log.segment_bases().collect();
    log.close().await.unwrap();
    for base in bases {
        let path = home.file(&format!("{:020}.index", base.0));
        let kept = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let log = home.reopen().await;
        read_all(&log, Offset(0), 500);
        log.close().await.unwrap();
        assert_eq!(fs::read(&path).unwrap(), kept, "segment {base}");
    }
}

#[tokio::test]
async fn missing_or_damaged_index_is_never_believed() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    mixed(&mut log, 100);
    let before = read_all(&log, Offset(0), 300);
    let bases: Vec<Offset> = log.segment_bases().collect();
    log.close().await.unwrap();
    let damages: [fn(&mut Vec<u8>); 6] = [
        |bytes| bytes.clear(),
        |bytes| bytes.truncate(bytes.len().saturating_sub(3)),
        |bytes| bytes.fill(0),
        |bytes| bytes.extend([0; 24]),
        |bytes| bytes.iter_mut().for_each(|byte| *byte ^= 0x55),
        // Rises, and stays inside the segment: only the batches know better.
        |bytes| bytes.chunks_mut(4).for_each(|word| word[3] = word[3].wrapping_add(1)),
    ];
    for damage in damages {
        for extension in ["index", "timeindex"] {
            for base in &bases {
                let path = home.file(&format!("{:020}.{extension}", base.0));
                let mut bytes = fs::read(&path).unwrap();
                damage(&mut bytes);
                fs::write(&path, bytes).unwrap();
            }
            let log = home.reopen().await;
            for (index, header) in before.iter().enumerate() {
                let read = read_all(&log, header.last_offset(), 300);
                assert_eq!(read[..], before[index..]);
                let time = Timestamp(index as i64);
                let found = log.offset_for_timestamp(time).unwrap().unwrap();
                assert_eq!(found.offset, header.base_offset, "by time {time}");
            }
            log.close().await.unwrap();
            bases.iter().for_each(|base| {
                assert_agrees(&home.path(), base.0);
            });
        }
    }
}

#[tokio::test]
async fn index_that_lost_its_entries_is_built_anew() {
    let home = Home::new(crate::log::LogConfig::default());
    let mut log = home.open().await;
    for _ in 0..20 {
        lead(&mut log, batch_at(1, 900_000, 7), 1);
    }
    log.close().await.unwrap();
    let path = home.file("00000000000000000000.index");
    assert_eq!(fs::metadata(&path).unwrap().len(), 19 * 8);
    fs::write(&path, b"").unwrap();
    home.reopen().await.close().await.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 19 * 8);
}

#[tokio::test]
async fn time_index_ends_with_the_last_moment_where_one_append_fills_it() {
    let roomy = LogConfig { segment_bytes: 1 << 20, index_interval_bytes: 0, ..tiny() };
    let leader = Home::new(roomy);
    let mut log = leader.open().await;
    (0..10).for_each(|at| _ = lead(&mut log, batch_at(1, 9, at), 0));
    log.close().await.unwrap();
    let file = format!("{:020}", 0);
    let fetched = fs::read(leader.file(&format!("{file}.log"))).unwrap();
    // Room for four moments; a follower appends ten batches at once.
    let follower = Home::new(LogConfig { segment_index_bytes: 48, ..roomy });
    let mut log = follower.open().await;
    log.append_as_follower(&fetched, NOW).unwrap();
    log.close().await.unwrap();
    let entries = fs::read(follower.file(&format!("{file}.timeindex"))).unwrap();
    let times: Vec<i64> =
        entries.chunks(12).map(|e| i64::from_be_bytes(e[..8].try_into().unwrap())).collect();
    assert_eq!(times, [1, 2, 3, 9]);
}

#[tokio::test]
async fn reopened_time_index_has_room_for_the_last_moment() {
    let roomy = LogConfig { segment_bytes: 1 << 20, index_interval_bytes: 0, ..tiny() };
    let mut home = Home::new(roomy);
    let mut log = home.open().await;
    (0..5).for_each(|at| _ = lead(&mut log, batch_at(1, 9, at), 0));
    log.close().await.unwrap();
    // Room for two moments, of which the segment has four: it is sealed at the next append.
    home.config.segment_index_bytes = 24;
    let mut log = home.reopen().await;
    let rolled: Vec<bool> = (5..8).map(|at| lead(&mut log, batch_at(1, 9, at), 0).rolled).collect();
    assert_eq!(rolled, [true, false, true]);
    log.close().await.unwrap();
    assert_eq!(assert_agrees(&home.path(), 0), 4);
}

#[tokio::test]
async fn truncation_leaves_the_room_of_an_index_as_it_is() {
    let config = LogConfig { segment_bytes: 1 << 20, index_interval_bytes: 0, ..tiny() };
    let mut home = Home::new(config);
    let mut log = home.open().await;
    (0..5).for_each(|at| _ = lead(&mut log, batch_at(1, 9, at), 0));
    log.close().await.unwrap();
    home.config.segment_index_bytes = 24;
    let mut log = home.reopen().await;
    let len =
        |extension: &str| fs::metadata(home.file(&format!("{:020}.{extension}", 0))).unwrap().len();
    let before = (len("index"), len("timeindex"));
    // A file that shrank now would end with an entry of a batch that is gone.
    log.truncate_to(Offset(3)).unwrap();
    assert_eq!((len("index"), len("timeindex")), before);
    log.close().await.unwrap();
    assert_eq!(assert_agrees(&home.path(), 0), 2);
}
