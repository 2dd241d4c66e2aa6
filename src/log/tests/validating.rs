//! What a leader asks of a client's records, and what it changes in them.

use std::time::Duration;

use bytes::BytesMut;

use crate::base::config::{Compression, TimestampType, TopicCompression};
use crate::base::{LeaderEpoch, Offset, Timestamp};
use crate::io::File;
use crate::log::testing::{Home, NOW, RealLog, batch_of};
use crate::log::{AppendError, Appended, LogConfig};
use crate::wire::batch::{self, BatchBuilder, HEADER_LEN, Record};

fn try_lead(log: &mut RealLog, bytes: &[u8]) -> Result<Appended, AppendError> {
    log.append_as_leader(&mut bytes.to_vec(), LeaderEpoch(5), NOW)
}

/// A batch of records, each with a key or without, at a time.
fn batch(codec: Compression, records: &[(Option<&str>, i64)]) -> BytesMut {
    let mut builder = BatchBuilder::new(codec, Timestamp(records[0].1));
    for (key, timestamp) in records {
        let value = [b'v'; 100];
        builder.append(Timestamp(*timestamp), key.map(str::as_bytes), Some(&value), &[]);
    }
    BytesMut::from(&*builder.finish_plain())
}

/// Changes a batch's bytes and puts its checksum right.
fn altered(bytes: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    change(&mut bytes);
    let crc = crc32c::crc32c(&bytes[21..]).to_be_bytes();
    bytes[17..21].copy_from_slice(&crc);
    bytes
}

fn stored(log: &RealLog) -> Vec<u8> {
    let slice = log.read(Offset(0), 1 << 20, log.log_end(), true).unwrap().slice.unwrap();
    let mut bytes = vec![0; slice.len as usize];
    slice.file.read_exact_at(&mut bytes, slice.offset).unwrap();
    bytes
}

fn records(bytes: &[u8]) -> Vec<Record> {
    batch::records(bytes, 1 << 20).unwrap()
}

#[tokio::test]
async fn compressed_batches_are_kept_as_they_came() {
    for codec in Compression::ALL {
        let home = Home::new(LogConfig::default());
        let mut log = home.open().await;
        let sent = batch(codec, &[(None, NOW.0), (Some("k"), NOW.0)]);
        try_lead(&mut log, &sent).unwrap();
        // The base offset and the leader's epoch have their own place, outside of the checksum.
        assert_eq!(stored(&log)[16..], sent[16..], "{codec}");
    }
}

#[tokio::test]
async fn batch_is_recompressed_only_for_another_codec() {
    for (kept, compression) in [
        (Compression::None, TopicCompression::Fixed(Compression::None)),
        (Compression::Zstd, TopicCompression::Fixed(Compression::Zstd)),
    ] {
        let home = Home::new(LogConfig { compression, ..LogConfig::default() });
        for codec in Compression::ALL {
            let mut log = home.open().await;
            let from = log.log_end();
            let sent = batch(codec, &[(None, NOW.0), (Some("k"), NOW.0 + 1)]);
            let appended = try_lead(&mut log, &sent).unwrap();
            assert_eq!((appended.base, appended.end), (from, from.plus(2)));
            let all = stored(&log);
            let (header, last) = batch::batches(&all).last().unwrap().unwrap();
            assert_eq!(header.compression(), kept, "{codec}");
            assert_eq!(records(last)[0].offset, from);
            let values = |bytes: &[u8]| {
                let read = records(bytes).into_iter();
                read.map(|r| (r.timestamp, r.key, r.value)).collect::<Vec<_>>()
            };
            assert_eq!(values(last), values(&sent));
            if codec == kept {
                assert_eq!(last[16..], sent[16..], "not touched");
            }
        }
    }
}

#[tokio::test]
async fn batch_that_is_too_large_uncompressed_is_refused() {
    let compression = TopicCompression::Fixed(Compression::None);
    let config = LogConfig { max_message_bytes: 500, compression, ..LogConfig::default() };
    let home = Home::new(config);
    let mut log = home.open().await;
    let many: Vec<_> = (0..10).map(|_| (None, NOW.0)).collect();
    let error = try_lead(&mut log, &batch(Compression::Zstd, &many)).unwrap_err();
    assert!(matches!(error, AppendError::TooLarge { limit: 500, .. }), "{error}");
    assert_eq!(log.log_end(), Offset(0));
}

#[tokio::test]
async fn repeated_batch_that_was_compressed_anew_is_still_known() {
    let compression = TopicCompression::Fixed(Compression::Lz4);
    let home = Home::new(LogConfig { compression, ..LogConfig::default() });
    let mut log = home.open().await;
    assert!(!try_lead(&mut log, &batch_of(7, 0, 0, 3)).unwrap().duplicate);
    assert!(try_lead(&mut log, &batch_of(7, 0, 0, 3)).unwrap().duplicate);
}

#[tokio::test]
async fn records_that_are_not_what_their_header_says_are_refused() {
    let home = Home::new(LogConfig::default());
    let mut log = home.open().await;
    for codec in [Compression::None, Compression::Snappy] {
        let good = batch(codec, &[(None, NOW.0), (None, NOW.0)]);
        // One record more, in the count as in the offsets.
        let more = altered(&good, |bytes| (bytes[26], bytes[60]) = (2, 3));
        let error = try_lead(&mut log, &more).unwrap_err();
        assert!(matches!(error, AppendError::Malformed { at: 0, .. }), "{error}");
        let fewer = altered(&good, |bytes| (bytes[26], bytes[60]) = (0, 1));
        assert!(matches!(try_lead(&mut log, &fewer), Err(AppendError::Malformed { .. })));
    }
    // The second record's offset: 0 again. Length, attributes and time take 4 bytes.
    let good = batch(Compression::None, &[(None, NOW.0), (None, NOW.0)]);
    let second = HEADER_LEN + (good.len() - HEADER_LEN) / 2;
    assert_eq!(good[second + 4], 2, "zigzag for 1");
    let twice = altered(&good, |bytes| bytes[second + 4] = 0);
    let error = try_lead(&mut log, &twice).unwrap_err();
    let AppendError::Records { wrong_time: false, problems } = error else { panic!("{error}") };
    assert_eq!(problems[0].index, 1);
    assert_eq!(problems[0].problem, "it has the offset 0 in its batch where 1 is due");
    // Bytes that no codec understands, under a checksum that is right.
    let zstd = batch(Compression::Zstd, &[(None, NOW.0)]);
    let noise = altered(&zstd, |bytes| bytes[HEADER_LEN..].fill(0xa5));
    assert!(matches!(try_lead(&mut log, &noise), Err(AppendError::Malformed { .. })));
    assert_eq!(log.log_end(), Offset(0));
}

#[tokio::test]
async fn bomb_is_refused_before_it_goes_off() {
    let config = LogConfig { max_decompressed_bytes: 10_000, ..LogConfig::default() };
    let home = Home::new(config);
    let mut log = home.open().await;
    let many: Vec<_> = (0..1000).map(|_| (None, NOW.0)).collect();
    for codec in &Compression::ALL[1..] {
        let error = try_lead(&mut log, &batch(*codec, &many)).unwrap_err();
        assert!(matches!(error, AppendError::Bomb { limit: 10_000, .. }), "{codec}: {error}");
    }
    try_lead(&mut log, &batch(Compression::None, &many)).unwrap();
}

#[tokio::test]
async fn compacted_topic_names_the_records_that_have_no_key() {
    let home = Home::new(LogConfig { compacted: true, ..LogConfig::default() });
    let mut log = home.open().await;
    for codec in [Compression::None, Compression::Gzip] {
        let sent = batch(codec, &[(Some("a"), NOW.0), (None, NOW.0), (None, NOW.0)]);
        let error = try_lead(&mut log, &sent).unwrap_err();
        let AppendError::Records { wrong_time: false, problems } = error else { panic!() };
        assert_eq!(problems.iter().map(|p| p.index).collect::<Vec<_>>(), [1, 2]);
    }
    try_lead(&mut log, &batch(Compression::None, &[(Some("a"), NOW.0)])).unwrap();
}

#[tokio::test]
async fn records_from_too_far_in_the_past_or_the_future_are_named() {
    let config = LogConfig {
        timestamp_before_max: Some(Duration::from_secs(10)),
        timestamp_after_max: Some(Duration::from_secs(5)),
        ..LogConfig::default()
    };
    let home = Home::new(config);
    let mut log = home.open().await;
    let times = [NOW.0 - 10_001, NOW.0 - 10_000, NOW.0 + 5_000, NOW.0 + 5_001];
    let sent = batch(Compression::Lz4, &times.map(|time| (None, time)));
    let error = try_lead(&mut log, &sent).unwrap_err();
    let AppendError::Records { wrong_time: true, problems } = error else { panic!() };
    assert_eq!(problems.iter().map(|p| p.index).collect::<Vec<_>>(), [0, 3]);
    // A record without a timestamp is accepted.
    try_lead(&mut log, &batch(Compression::None, &[(None, NOW.0), (None, -1)])).unwrap();
    // With the time of the append, the producer's timestamps are not checked.
    let config = LogConfig { timestamp_type: TimestampType::LogAppendTime, ..config };
    log.set_config(config);
    try_lead(&mut log, &sent).unwrap();
}

#[tokio::test]
async fn append_time_is_in_the_header_and_in_the_answer() {
    let timestamp_type = TimestampType::LogAppendTime;
    let home = Home::new(LogConfig { timestamp_type, ..LogConfig::default() });
    let mut log = home.open().await;
    let appended = try_lead(&mut log, &batch(Compression::Zstd, &[(None, 5), (None, 7)])).unwrap();
    assert_eq!(appended.append_time, Some(NOW));
    let bytes = stored(&log);
    let header = batch::check(&bytes).unwrap();
    assert_eq!((header.timestamp_type(), header.max_timestamp), (timestamp_type, NOW));
    assert!(records(&bytes).iter().all(|record| record.timestamp == NOW));
    // A producer may not claim it.
    let error = try_lead(&mut log, &bytes).unwrap_err();
    assert!(matches!(error, AppendError::Records { wrong_time: true, .. }), "{error}");
}

#[tokio::test]
async fn latest_timestamp_that_is_none_of_the_records_is_put_right() {
    let home = Home::new(LogConfig::default());
    let mut log = home.open().await;
    let sent = batch(Compression::None, &[(None, NOW.0), (None, NOW.0 + 3), (None, NOW.0 + 1)]);
    let wrong = altered(&sent, |bytes| bytes[35..43].copy_from_slice(&i64::MAX.to_be_bytes()));
    let appended = try_lead(&mut log, &wrong).unwrap();
    assert_eq!(appended.append_time, None);
    let header = batch::check(&stored(&log)).unwrap();
    assert_eq!(header.max_timestamp, Timestamp(NOW.0 + 3));
}

#[tokio::test]
async fn flags_that_only_a_broker_sets_are_removed() {
    for flag in [0x08, 0x40] {
        let home = Home::new(LogConfig::default());
        let mut log = home.open().await;
        let sent = batch(Compression::Zstd, &[(None, NOW.0), (None, NOW.0 + 1)]);
        try_lead(&mut log, &altered(&sent, |bytes| bytes[22] |= flag)).unwrap();
        assert_eq!(stored(&log)[16..], sent[16..], "flag {flag:#x}");
    }
}

#[tokio::test]
async fn client_numbers_its_batches_from_0() {
    let home = Home::new(LogConfig::default());
    let mut log = home.open().await;
    let mut sent = batch(Compression::None, &[(None, NOW.0)]);
    sent[7] = 5;
    let error = try_lead(&mut log, &sent).unwrap_err();
    assert!(matches!(error, AppendError::Refused { .. }), "{error}");
}
