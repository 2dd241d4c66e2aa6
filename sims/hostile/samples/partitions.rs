//! Requests about transactions that go to partitions and groups: of a producer that none of them knows.

use bytes::Bytes;

use super::super::wire::api::key;
use super::super::wire::messages::*;
use super::Sample;

/// A request about transactions; `None` for another key.
pub(super) fn request(key: i16, sample: Sample<'_>) -> Option<Bytes> {
    match key {
        key::WRITE_TXN_MARKERS => sample.write_txn_markers(),
        key::TXN_OFFSET_COMMIT => sample.txn_offset_commit(),
        key::DESCRIBE_PRODUCERS => sample.describe_producers(),
        _ => None,
    }
}

impl Sample<'_> {
    fn write_txn_markers(mut self) -> Option<Bytes> {
        let mut request = WriteTxnMarkersRequest::default();
        request.markers = self.many(2, |sample| {
            let mut marker = write_txn_markers_request::WritableTxnMarker::default();
            marker.producer_id = sample.long(4_000_000);
            marker.producer_epoch = sample.short(0);
            marker.transaction_result = sample.flag(true);
            marker.coordinator_epoch = sample.int(1);
            if sample.version >= 2 {
                marker.transaction_version = sample.short(2) as i8;
            }
            marker.topics = sample.many(1, |sample| {
                let mut topic = write_txn_markers_request::WritableTxnMarkerTopic::default();
                topic.name = sample.topic();
                topic.partition_indexes = sample.many(2, |sample| sample.int(0));
                topic
            });
            marker
        });
        self.frame(&request)
    }

    fn txn_offset_commit(mut self) -> Option<Bytes> {
        let mut request = TxnOffsetCommitRequest::default();
        request.transactional_id = self.text("payments");
        request.group_id = self.text("workers");
        request.producer_id = self.long(4_000_000);
        request.producer_epoch = self.short(0);
        if self.version >= 3 {
            request.generation_id_or_member_epoch = self.int(-1);
            request.member_id = self.text("");
            request.group_instance_id = self.flag(false).then(|| self.text("instance"));
        }
        request.topics = self.many(1, |sample| {
            let mut topic = txn_offset_commit_request::TxnOffsetCommitRequestTopic::default();
            if sample.version >= 6 {
                topic.topic_id = sample.target.topic_id;
            } else {
                topic.name = sample.topic();
            }
            topic.partitions = sample.many(2, |sample| {
                let mut partition =
                    txn_offset_commit_request::TxnOffsetCommitRequestPartition::default();
                partition.partition_index = sample.int(0);
                partition.committed_offset = sample.long(0);
                if sample.version >= 2 {
                    partition.committed_leader_epoch = sample.int(-1);
                }
                partition.committed_metadata = Some(sample.text(""));
                partition
            });
            topic
        });
        self.frame(&request)
    }

    fn describe_producers(mut self) -> Option<Bytes> {
        let mut request = DescribeProducersRequest::default();
        request.topics = self.many(1, |sample| {
            let mut topic = describe_producers_request::TopicRequest::default();
            topic.name = sample.topic();
            topic.partition_indexes = sample.many(2, |sample| sample.int(0));
            topic
        });
        self.frame(&request)
    }
}
