//! A request in buffers, held against the codec's own.

use super::*;
use crate::wire::frame;
use crate::wire::messages::Uuid;
use crate::wire::messages::produce_request::PartitionProduceData;

fn request(version: i16, batches: &[Option<Bytes>]) -> ProduceRequest {
    let mut request = ProduceRequest::default();
    request.acks = -1;
    request.timeout_ms = 30_000;
    request.transactional_id = Some(StrBytes::from("t"));
    for batches in batches.chunks(130) {
        let mut topic = TopicProduceData::default();
        if version >= 13 {
            topic.topic_id = Uuid::from_bytes([8; 16]);
        } else {
            topic.name = StrBytes::from("orders");
        }
        for (index, records) in batches.iter().enumerate() {
            let mut partition = PartitionProduceData::default();
            partition.index = index as i32;
            partition.records = records.clone();
            topic.partition_data.push(partition);
        }
        request.topic_data.push(topic);
    }
    request
}

#[test]
fn request_in_buffers_is_the_request_that_the_codec_writes() {
    let batches: Vec<_> =
        (0..300).map(|n| (n % 7 > 0).then(|| Bytes::from(vec![n as u8; n]))).collect();
    for version in 3..=13 {
        for count in [0, 1, 127, 128, 300] {
            let whole = request(version, &batches[..count]);
            let expected = frame::encode_request(9, "client", version, &whole).unwrap();
            let buffers = encode_request(9, "client", version, whole).unwrap();
            assert!(expected == buffers.concat(), "version {version}, {count} partitions");
        }
    }
}

#[test]
fn batches_are_not_copied() {
    let batch = Bytes::from(vec![1; 100_000]);
    let buffers = encode_request(9, "c", 9, request(9, &[Some(batch.clone())])).unwrap();
    assert!(buffers.iter().any(|buffer| buffer.as_ptr() == batch.as_ptr()));
}
