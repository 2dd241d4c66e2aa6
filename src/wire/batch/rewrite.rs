//! Rewrites a batch with fewer records, for the log cleaner. The remaining records keep their
//! offsets; the batch keeps its first and last offset, its producer and its sequence number.

use super::header::{self, AT_CRC, BatchHeader, HEADER_LEN, LENGTH_PREFIX};
use super::records::Record;
use super::{BatchError, varint};
use crate::base::Timestamp;
use crate::base::config::{Compression, TimestampType};
use crate::wire::compression;

/// The batch of `header` with these of its records, in order. With a `horizon`, that is when its
/// tombstones and markers may go (KIP-534); without, the batch has the horizon that it had.
///
/// # Errors
/// When the codec fails, or the batch gets larger than 2 GiB.
pub fn rewritten(
    header: &BatchHeader,
    records: &[Record],
    horizon: Option<Timestamp>,
) -> Result<Vec<u8>, BatchError> {
    if records.is_empty() {
        return Ok(emptied(header));
    }
    let base_timestamp = horizon.unwrap_or(header.base_timestamp);
    let mut plain = Vec::new();
    for record in records {
        write_record(&mut plain, header, base_timestamp, record);
    }
    let mut bytes = vec![0; HEADER_LEN];
    match header.compression() {
        Compression::None => bytes.append(&mut plain),
        codec => compression::compress(codec, &plain, &mut bytes)?,
    }
    let latest = records.iter().map(|record| record.timestamp).max();
    let written = BatchHeader {
        attributes: match horizon {
            Some(_) => header.attributes | header::DELETE_HORIZON,
            None => header.attributes,
        },
        base_timestamp,
        max_timestamp: match header.timestamp_type() {
            TimestampType::CreateTime => latest.unwrap_or(header.max_timestamp),
            TimestampType::LogAppendTime => header.max_timestamp,
        },
        count: i32::try_from(records.len()).map_err(|_| BatchError::Corrupt("too many records"))?,
        ..*header
    };
    finish(bytes, written)
}

/// The batch of `header` without any record: it says which offsets were there, and which of its
/// producer's sequence numbers was the last.
pub fn emptied(header: &BatchHeader) -> Vec<u8> {
    let written = BatchHeader {
        attributes: header.attributes & !(header::CODEC | header::DELETE_HORIZON),
        base_timestamp: Timestamp::NONE,
        count: 0,
        ..*header
    };
    // A header alone is never too large.
    finish(vec![0; HEADER_LEN], written).unwrap_or_default()
}

fn finish(mut bytes: Vec<u8>, mut written: BatchHeader) -> Result<Vec<u8>, BatchError> {
    written.batch_length = i32::try_from(bytes.len() - LENGTH_PREFIX)
        .map_err(|_| BatchError::Corrupt("it is larger than 2 GiB"))?;
    if let Some(place) = bytes.first_chunk_mut() {
        written.write(place);
    }
    let crc = header::crc_of(&bytes);
    bytes[AT_CRC..AT_CRC + 4].copy_from_slice(&crc.to_be_bytes());
    Ok(bytes)
}

fn write_record(out: &mut Vec<u8>, header: &BatchHeader, base: Timestamp, record: &Record) {
    let mut body = vec![0];
    varint::write(&mut body, record.timestamp.0.wrapping_sub(base.0));
    varint::write(&mut body, record.offset.0 - header.base_offset.0);
    write_nullable(&mut body, record.key.as_deref());
    write_nullable(&mut body, record.value.as_deref());
    varint::write(&mut body, record.headers.len() as i64);
    for header in &record.headers {
        write_nullable(&mut body, Some(&header.key));
        write_nullable(&mut body, header.value.as_deref());
    }
    varint::write(out, body.len() as i64);
    out.append(&mut body);
}

fn write_nullable(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => varint::write(out, -1),
        Some(field) => {
            varint::write(out, field.len() as i64);
            out.extend_from_slice(field);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
    use crate::wire::batch::{BatchBuilder, assign, check, records};

    fn batch(codec: Compression) -> Vec<u8> {
        let mut builder = BatchBuilder::new(codec, Timestamp(1000));
        for (index, key) in [b"a", b"b", b"c"].iter().enumerate() {
            let at = Timestamp(1000 + index as i64);
            builder.append(at, Some(*key), Some(b"value"), &[(b"h", Some(b"x"))]);
        }
        let mut bytes = builder.finish(ProducerId(7), ProducerEpoch(2), 30).to_vec();
        assign(&mut bytes, Offset(100), LeaderEpoch(4));
        bytes
    }

    #[test]
    fn retained_records_keep_offsets_times_producer_and_codec() {
        for codec in Compression::ALL {
            let before = batch(codec);
            let header = check(&before).unwrap();
            let all = records(&before, 1 << 20).unwrap();
            let left = [all[0].clone(), all[2].clone()];
            for horizon in [None, Some(Timestamp(9_000_000))] {
                let after = rewritten(&header, &left, horizon).unwrap();
                let found = check(&after).unwrap();
                assert_eq!(records(&after, 1 << 20).unwrap(), left, "{codec}");
                assert_eq!(found.has_delete_horizon(), horizon.is_some());
                assert_eq!(found.base_timestamp, horizon.unwrap_or(Timestamp(1000)));
                let same = BatchHeader {
                    batch_length: found.batch_length,
                    crc: found.crc,
                    attributes: found.attributes,
                    base_timestamp: found.base_timestamp,
                    count: 2,
                    ..header
                };
                assert_eq!(found, same);
                assert_eq!(found.compression(), codec);
            }
        }
    }

    #[test]
    fn without_records_the_producers_last_number_is_still_there() {
        let header = check(&batch(Compression::Lz4)).unwrap();
        let bytes = emptied(&header);
        let found = check(&bytes).unwrap();
        assert_eq!((bytes.len(), found.count), (HEADER_LEN, 0));
        assert_eq!((found.base_offset, found.last_offset()), (Offset(100), Offset(102)));
        assert_eq!((found.last_sequence(), found.max_timestamp), (32, Timestamp(1002)));
        assert_eq!(records(&bytes, 0).unwrap(), []);
        assert_eq!(Bytes::from(rewritten(&header, &[], None).unwrap()), bytes);
    }
}
