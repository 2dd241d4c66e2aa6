//! Batches: layout, checks, false counts, and records that round-trip.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::base::config::Compression;
use crate::base::{ProducerEpoch, ProducerId};

fn sample(codec: Compression) -> Bytes {
    let mut builder = BatchBuilder::new(codec, Timestamp(1_000));
    builder.append(Timestamp(1_000), Some(b"k"), Some(b"one"), &[]);
    builder.append(Timestamp(900), None, None, &[(b"h", Some(b"1")), (b"h", None)]);
    builder.append(Timestamp(2_000), Some(b""), Some(&[b'x'; 500]), &[(b"", Some(b""))]);
    builder.finish(ProducerId(7), ProducerEpoch(3), 42)
}

#[test]
fn header_says_what_the_builder_was_told() {
    let batch = sample(Compression::Zstd);
    let header = check(&batch).unwrap();
    assert_eq!(header.size(), batch.len());
    assert_eq!(header.compression(), Compression::Zstd);
    assert_eq!((header.base_offset, header.last_offset()), (Offset(0), Offset(2)));
    assert_eq!(header.next_offset(), Offset(3));
    assert_eq!((header.base_timestamp, header.max_timestamp), (Timestamp(1_000), Timestamp(2_000)));
    assert_eq!((header.producer_id, header.producer_epoch), (ProducerId(7), ProducerEpoch(3)));
    assert_eq!((header.base_sequence, header.last_sequence()), (42, 44));
    assert!(header.is_dense() && header.has_producer());
    assert!(!header.is_control() && !header.is_transactional());
}

/// Bytes laid out by hand from the protocol's description, not by the builder.
#[test]
fn layout_is_kafkas() {
    let mut builder = BatchBuilder::new(Compression::None, Timestamp(5));
    builder.append(Timestamp(6), Some(b"k"), Some(b"v"), &[(b"h", Some(b"w"))]);
    let batch = builder.transactional().finish(ProducerId(1), ProducerEpoch(2), 3);
    let mut expected = Vec::new();
    expected.extend(0i64.to_be_bytes()); // base offset
    expected.extend(62i32.to_be_bytes()); // length
    expected.extend((-1i32).to_be_bytes()); // leader epoch
    expected.push(2); // magic
    expected.extend([0; 4]); // CRC, below
    expected.extend(0x10i16.to_be_bytes()); // attributes
    expected.extend(0i32.to_be_bytes()); // last offset delta
    expected.extend(5i64.to_be_bytes());
    expected.extend(6i64.to_be_bytes());
    expected.extend(1i64.to_be_bytes());
    expected.extend(2i16.to_be_bytes());
    expected.extend(3i32.to_be_bytes());
    expected.extend(1i32.to_be_bytes()); // count
    expected.extend([12 << 1, 0, 1 << 1, 0, 1 << 1, b'k', 1 << 1, b'v']);
    expected.extend([1 << 1, 1 << 1, b'h', 1 << 1, b'w']);
    let crc = crc32c::crc32c(&expected[21..]);
    expected[17..21].copy_from_slice(&crc.to_be_bytes());
    assert_eq!(batch, expected);
}

#[test]
fn records_keep_their_order_and_repeated_header_keys() {
    for codec in Compression::ALL {
        let mut batch = sample(codec).to_vec();
        assign(&mut batch, Offset(100), LeaderEpoch(9));
        assert_eq!(check(&batch).unwrap().leader_epoch, LeaderEpoch(9));
        let read = records(&batch, 10_000).unwrap();
        let offsets: Vec<_> = read.iter().map(|record| record.offset.0).collect();
        assert_eq!(offsets, [100, 101, 102]);
        let times: Vec<_> = read.iter().map(|record| record.timestamp.0).collect();
        assert_eq!(times, [1_000, 900, 2_000]);
        assert_eq!((&read[1].key, &read[1].value), (&None, &None));
        let headers: Vec<_> =
            read[1].headers.iter().map(|h| (&h.key[..], h.value.is_some())).collect();
        assert_eq!(headers, [(&b"h"[..], true), (&b"h"[..], false)]);
        assert_eq!(read[2].key.as_deref(), Some(&b""[..]));
        let lazily: Result<Vec<_>, _> = records_of(&batch.into(), 10_000).unwrap().collect();
        assert_eq!(lazily.unwrap(), read);
    }
}

#[test]
fn flipped_bit_anywhere_under_the_checksum_is_found() {
    let batch = sample(Compression::None);
    for bit in 21 * 8..batch.len() * 8 {
        let mut altered = batch.to_vec();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(check(&altered).is_err(), "bit {bit}");
    }
    for bit in 17 * 8..21 * 8 {
        let mut altered = batch.to_vec();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(check(&altered), Err(BatchError::Crc { .. })), "bit {bit}");
    }
}

#[test]
fn append_time_replaces_timestamps_and_updates_the_checksum() {
    let mut batch = sample(Compression::Gzip).to_vec();
    stamp_append_time(&mut batch, Timestamp(77_000));
    assert_eq!(check(&batch).unwrap().timestamp_type(), TimestampType::LogAppendTime);
    let read = records(&batch, 10_000).unwrap();
    assert!(read.iter().all(|record| record.timestamp == Timestamp(77_000)));
}

#[test]
fn batches_are_walked_up_to_a_torn_one() {
    let (one, two) = (sample(Compression::None), sample(Compression::Lz4));
    let mut bytes = one.to_vec();
    bytes.extend_from_slice(&two);
    bytes.extend_from_slice(&one[..one.len() - 1]);
    let walked: Vec<_> = batches(&bytes).collect();
    assert_eq!(walked.len(), 3);
    assert_eq!(walked[0].as_ref().unwrap().1, one);
    assert_eq!(walked[1].as_ref().unwrap().1, two);
    assert_eq!(walked[2], Err(BatchError::Torn { needed: one.len(), have: one.len() - 1 }));
    assert_eq!(batches(&[]).next(), None);
    assert_eq!(batches(&bytes[..30]).count(), 1);
}

#[test]
fn zeros_that_a_crash_leaves_are_not_a_batch() {
    assert!(matches!(BatchHeader::parse(&[0; 100]), Err(BatchError::Magic(0))));
}

#[test]
fn headers_that_contradict_themselves_are_refused() {
    let batch = sample(Compression::None);
    let altered = |change: fn(&mut BatchHeader)| {
        let mut header = BatchHeader::parse(&batch).unwrap();
        change(&mut header);
        let mut bytes = [0; HEADER_LEN];
        header.write(&mut bytes);
        BatchHeader::parse(&bytes)
    };
    assert!(altered(|_| ()).is_ok());
    assert!(matches!(altered(|h| h.magic = 1), Err(BatchError::Magic(1))));
    assert!(altered(|h| h.batch_length = -1).is_err());
    assert!(altered(|h| h.batch_length = 48).is_err());
    assert!(altered(|h| h.base_offset = Offset(-1)).is_err());
    assert!(altered(|h| h.base_offset = Offset(i64::MAX - 2)).is_err());
    assert!(altered(|h| h.last_offset_delta = -1).is_err());
    assert!(altered(|h| h.count = -1).is_err());
    assert!(altered(|h| h.count = 4).is_err());
    assert!(altered(|h| h.count = 2).is_ok(), "compaction removes records");
    assert!(altered(|h| h.attributes = 5).is_err(), "no such codec");
}

#[test]
fn bomb_inside_a_batch_is_refused() {
    for codec in &Compression::ALL[1..] {
        let mut builder = BatchBuilder::new(*codec, Timestamp(0));
        builder.append(Timestamp(0), None, Some(&vec![0; 1 << 20]), &[]);
        let batch = builder.finish_plain();
        assert!(batch.len() < 100_000);
        assert!(matches!(records(&batch, 1 << 16), Err(BatchError::Compression(_))));
        assert_eq!(records(&batch, 2 << 20).unwrap().len(), 1);
    }
}

#[test]
fn sequence_numbers_wrap_to_zero() {
    assert_eq!(add_to_sequence(i32::MAX, 1), 0);
    assert_eq!(add_to_sequence(i32::MAX - 1, 3), 1);
    assert_eq!(add_to_sequence(5, 2), 7);
}

/// Replaces a batch's records and count, with a right checksum: what a liar would send.
fn forged(body: &[u8], count: i32) -> Vec<u8> {
    let mut header = BatchHeader::parse(&sample(Compression::None)).unwrap();
    header.batch_length = (HEADER_LEN - LENGTH_PREFIX + body.len()) as i32;
    header.last_offset_delta = i32::MAX;
    header.count = count;
    let mut bytes = vec![0; HEADER_LEN];
    bytes.extend_from_slice(body);
    header.crc = 0;
    header.write(bytes.first_chunk_mut().unwrap());
    header.crc = header::crc_of(&bytes);
    header.write(bytes.first_chunk_mut().unwrap());
    bytes
}

#[test]
fn false_counts_under_a_valid_checksum_allocate_nothing() {
    for (body, count) in [
        (&b""[..], i32::MAX),
        (&[12, 0, 0, 0, 1, 1, 0], i32::MAX),
        (&[12, 0, 0, 0, 1, 1, 0, 9], 1),
        (&[14, 0, 0, 0, 1, 1, 0, 0], 1),
        (&[0xfe, 0xff, 0xff, 0xff, 0x0f, 0], 1),
        (&[20, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f], 1),
        (&[20, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0x0f, 1, 0], 1),
        (&[1, 0, 0, 0, 1, 1, 0], 1),
    ] {
        assert!(records(&forged(body, count), 1000).is_err(), "{body:?}");
    }
    assert_eq!(records(&forged(&[12, 0, 0, 0, 1, 1, 0], 1), 1000).unwrap().len(), 1);
}

type AnyRecord = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>);

fn any_record() -> impl Strategy<Value = AnyRecord> {
    let blob = || proptest::collection::vec(any::<u8>(), 0..200);
    // Few keys, so that they repeat.
    let key = proptest::collection::vec(0u8..3, 0..2);
    let header = (key, proptest::option::of(blob()));
    (
        any::<i64>(),
        proptest::option::of(blob()),
        proptest::option::of(blob()),
        proptest::collection::vec(header, 0..6),
    )
}

fn any_codec() -> impl Strategy<Value = Compression> {
    proptest::sample::select(&Compression::ALL[..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_records_come_back_as_they_went_in(
        codec in any_codec(),
        given in proptest::collection::vec(any_record(), 1..30),
    ) {
        // Half the range, so that differences of timestamps fit.
        let time = |t: i64| Timestamp(t / 2);
        let mut builder = BatchBuilder::new(codec, time(given[0].0));
        for (timestamp, key, value, headers) in &given {
            let headers: Vec<_> = headers.iter().map(|(k, v)| (&k[..], v.as_deref())).collect();
            let (key, value) = (key.as_deref(), value.as_deref());
            let size = builder.estimated_size_with(time(*timestamp), key, value, &headers);
            builder.append(time(*timestamp), key, value, &headers);
            prop_assert_eq!(builder.estimated_size(), size);
        }
        let batch = builder.finish_plain();
        let read = records(&batch, 1 << 20).unwrap();
        prop_assert_eq!(read.len(), given.len());
        for (index, (record, given)) in read.into_iter().zip(given).enumerate() {
            let headers: Vec<_> = record
                .headers
                .into_iter()
                .map(|h| (h.key.to_vec(), h.value.map(|v| v.to_vec())))
                .collect();
            prop_assert_eq!(record.offset, Offset(index as i64));
            prop_assert_eq!(record.timestamp, time(given.0));
            prop_assert_eq!(record.key.map(|k| k.to_vec()), given.1);
            prop_assert_eq!(record.value.map(|v| v.to_vec()), given.2);
            prop_assert_eq!(headers, given.3);
        }
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = check(&bytes);
        let _ = records(&bytes, 1 << 16);
        prop_assert!(batches(&bytes).count() <= 5);
    }

    #[test]
    fn any_records_under_a_right_checksum_are_read_or_refused(
        body in proptest::collection::vec(any::<u8>(), 0..300),
        count in 0..i32::MAX,
    ) {
        let _ = records(&forged(&body, count), 1 << 16);
    }

    #[test]
    fn any_single_altered_byte_is_found(
        codec in any_codec(),
        at in 21usize..10_000,
        change in 1u8..,
    ) {
        let mut batch = sample(codec).to_vec();
        let at = 21 + at % (batch.len() - 21);
        batch[at] ^= change;
        prop_assert!(check(&batch).is_err());
    }
}
