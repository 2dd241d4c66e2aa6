//! Producer snapshots: `.snapshot` files, byte for byte Kafka's version 1.
//!
//! Version (2 bytes), CRC-32C of what follows it (4), number of producers (4), and 46 bytes each.
//! Only the last batch of a producer is kept, as in Kafka.

use std::collections::VecDeque;

use bytes::{Buf, BufMut};

use super::producers::{Producer, Producers, Remembered};
use crate::base::{Offset, ProducerEpoch, ProducerId, Timestamp};
use crate::wire::crc32c::crc32c;

const VERSION: i16 = 1;
const CRC_AT: usize = 2;
const PRODUCERS_AT: usize = 6;
const PRODUCER_LEN: usize = 46;

/// The file's bytes.
pub(crate) fn encode(producers: &Producers) -> Vec<u8> {
    let all = producers.iter();
    let mut bytes = Vec::with_capacity(PRODUCERS_AT + 4 + all.len() * PRODUCER_LEN);
    bytes.put_i16(VERSION);
    bytes.put_u32(0);
    bytes.put_i32(i32::try_from(all.len()).unwrap_or(i32::MAX));
    for (id, producer) in all.take(i32::MAX as usize) {
        let last = producer.batches.back();
        bytes.put_i64(id.0);
        bytes.put_i16(producer.epoch.0);
        bytes.put_i32(last.map_or(-1, |last| last.last_sequence));
        bytes.put_i64(last.map_or(-1, |last| last.last_offset.0));
        bytes.put_i32(last.map_or(0, |last| last.offset_delta));
        bytes.put_i64(producer.last_timestamp.0);
        bytes.put_i32(producer.coordinator_epoch);
        bytes.put_i64(producer.transaction_start.unwrap_or(Offset::NONE).0);
    }
    let crc = crc32c(&bytes[PRODUCERS_AT..]);
    bytes[CRC_AT..PRODUCERS_AT].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// Reads a file's bytes; says what is wrong with them.
pub(crate) fn decode(bytes: &[u8]) -> Result<Producers, &'static str> {
    let mut producers = Producers::default();
    for (id, producer) in entries(bytes)? {
        producers.insert(id, producer);
    }
    Ok(producers)
}

/// The producers in the order of the file.
pub(crate) fn entries(bytes: &[u8]) -> Result<Vec<(ProducerId, Producer)>, &'static str> {
    let mut head = bytes;
    if head.len() < PRODUCERS_AT + 4 {
        return Err("it is shorter than its header");
    }
    if head.get_i16() != VERSION {
        return Err("its version is unknown");
    }
    let stored = head.get_u32();
    if crc32c(head) != stored {
        return Err("its checksum is wrong");
    }
    let count = head.get_i32();
    if usize::try_from(count).ok().and_then(|count| count.checked_mul(PRODUCER_LEN))
        != Some(head.len())
    {
        return Err("it is not as long as it says");
    }
    let mut producers = Vec::new();
    for _ in 0..count {
        let id = ProducerId(head.get_i64());
        let epoch = ProducerEpoch(head.get_i16());
        let (last_sequence, last_offset) = (head.get_i32(), Offset(head.get_i64()));
        let (offset_delta, timestamp) = (head.get_i32(), Timestamp(head.get_i64()));
        let coordinator_epoch = head.get_i32();
        let transaction_start = Some(Offset(head.get_i64())).filter(|start| *start >= Offset(0));
        let last = Remembered { last_sequence, last_offset, offset_delta, timestamp };
        let batches =
            if last_offset >= Offset(0) { VecDeque::from([last]) } else { VecDeque::new() };
        let producer = Producer {
            epoch,
            batches,
            last_timestamp: timestamp,
            coordinator_epoch,
            transaction_start,
        };
        producers.push((id, producer));
    }
    Ok(producers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> Producers {
        let mut producers = Producers::default();
        let last = Remembered {
            last_sequence: 9,
            last_offset: Offset(109),
            offset_delta: 4,
            timestamp: Timestamp(1_700_000_000_000),
        };
        let producer = Producer {
            epoch: ProducerEpoch(3),
            batches: VecDeque::from([last]),
            last_timestamp: Timestamp(1_700_000_000_000),
            coordinator_epoch: -1,
            transaction_start: None,
        };
        producers.insert(ProducerId(1000), producer);
        producers
    }

    #[test]
    fn snapshot_has_kafkas_layout() {
        let bytes = encode(&one());
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(bytes.len(), 56);
        assert_eq!(&hex[..4], "0001");
        assert_eq!(
            &hex[12..],
            "0000000100000000000003e8000300000009000000000000006d000000040000018bcfe56800ffffffffffffffffffffffff"
        );
    }

    #[test]
    fn snapshot_is_read_as_it_was_written() {
        assert_eq!(decode(&encode(&one())).unwrap(), one());
        assert_eq!(decode(&encode(&Producers::default())).unwrap(), Producers::default());
    }

    #[test]
    fn any_changed_or_missing_byte_is_noticed() {
        let bytes = encode(&one());
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x40;
            assert!(decode(&changed).is_err(), "byte {at}");
            assert!(decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}
