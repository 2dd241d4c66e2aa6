//! The log of a node of Apache Kafka 4.3.1: its records are written as they were read, and replayed
//! to the offsets that it had. `sims/fixtures/kafka/README.md` says how it was recorded.

use super::*;
use crate::wire::batch;

const LOG: &[u8] = include_bytes!(
    "../../../../sims/fixtures/kafka/data/__consumer_offsets-0/00000000000000000000.log"
);

#[test]
fn recorded_log_of_kafka_is_replayed_to_its_offsets() {
    let mut offsets = Offsets::default();
    let mut foreign = Vec::new();
    let mut known = 0;
    for found in batch::batches(LOG) {
        let (header, bytes) = found.unwrap();
        for record in batch::records(bytes, usize::MAX).unwrap() {
            if header.is_control() {
                // The key of a marker: its version, and 1 if the transaction was committed.
                let is_committed = record.key.unwrap()[..] == [0, 0, 0, 1];
                offsets.end_transaction(header.producer_id, is_committed);
                continue;
            }
            let bytes = KeyValue { key: record.key, value: record.value };
            let read = Record::decode(bytes.clone()).unwrap();
            assert_eq!(read.encode(), bytes, "{read:?}");
            match read {
                Record::Offset { key, value } if header.is_transactional() => {
                    let producer = header.producer_id;
                    offsets.replay_in_transaction(record.offset, producer, &key, value.as_ref());
                    assert!(offsets.pending.contains(
                        key.group.as_str(),
                        &key.topic,
                        key.partition
                    ));
                }
                Record::Offset { key, value } => {
                    offsets.replay(record.offset, &key, value.as_ref());
                }
                Record::Foreign(bytes) => foreign.push(bytes.key.unwrap()[1]),
                _ => known += 1,
            }
            offsets.check();
        }
    }
    assert_eq!(known, 12, "records of a classic and of a consumer group");
    assert_eq!(foreign.len(), 15, "records of a share group");
    assert!(foreign.iter().all(|kind| (10..=15).contains(kind)), "{foreign:?}");
    let all = offsets.committed.iter().map(|(key, committed)| {
        let (group, id) = (key.group.to_string(), committed.value.topic_id.to_string());
        (group, committed.value.offset.0, id, committed.at.0)
    });
    // The offset of `shop-classic` was deleted; `shop-eos` committed in a transaction.
    let expected = [
        ("shop-consumer", 20, "vVeroCAaSFOsIUiJGdfpiQ", 11),
        ("shop-eos", 7, "AAAAAAAAAAAAAAAAAAAAAA", 16),
    ];
    let expected = expected.map(|(group, offset, id, at)| (group.into(), offset, id.into(), at));
    assert_eq!(all.collect::<Vec<_>>(), expected);
}
