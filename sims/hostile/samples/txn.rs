//! Requests of transactions, of a producer that no coordinator knows; and changes of features, validated
//! only.

use bytes::Bytes;

use super::super::wire::api::key;
use super::super::wire::messages::*;
use super::Sample;

/// A transaction's request; `None` for another key.
pub(super) fn request(key: i16, sample: Sample<'_>) -> Option<Bytes> {
    match key {
        key::ADD_PARTITIONS_TO_TXN => sample.add_partitions_to_txn(),
        key::ADD_OFFSETS_TO_TXN => sample.add_offsets_to_txn(),
        key::END_TXN => sample.end_txn(),
        key::DESCRIBE_TRANSACTIONS => sample.describe_transactions(),
        key::LIST_TRANSACTIONS => sample.list_transactions(),
        key::UPDATE_FEATURES => sample.update_features(),
        _ => None,
    }
}

impl Sample<'_> {
    fn transactional_id(&mut self) -> StrBytes {
        self.text("transfers")
    }

    fn touched(&mut self) -> add_partitions_to_txn_request::AddPartitionsToTxnTopic {
        let mut topic = add_partitions_to_txn_request::AddPartitionsToTxnTopic::default();
        topic.name = self.topic();
        topic.partitions = self.many(1, |sample| sample.int(0));
        topic
    }

    fn add_partitions_to_txn(mut self) -> Option<Bytes> {
        let mut request = AddPartitionsToTxnRequest::default();
        if self.version < 4 {
            request.v3_and_below_transactional_id = self.transactional_id();
            request.v3_and_below_producer_id = self.long(7);
            request.v3_and_below_producer_epoch = self.short(0);
            request.v3_and_below_topics = self.many(1, Self::touched);
        } else {
            request.transactions = self.many(1, |sample| {
                let mut one =
                    add_partitions_to_txn_request::AddPartitionsToTxnTransaction::default();
                one.transactional_id = sample.transactional_id();
                one.producer_id = sample.long(7);
                one.producer_epoch = sample.short(0);
                one.verify_only = sample.flag(true);
                one.topics = sample.many(1, Self::touched);
                one
            });
        }
        self.frame(&request)
    }

    fn add_offsets_to_txn(mut self) -> Option<Bytes> {
        let mut request = AddOffsetsToTxnRequest::default();
        request.transactional_id = self.transactional_id();
        request.producer_id = self.long(7);
        request.producer_epoch = self.short(0);
        request.group_id = self.text("workers");
        self.frame(&request)
    }

    fn end_txn(mut self) -> Option<Bytes> {
        let mut request = EndTxnRequest::default();
        request.transactional_id = self.transactional_id();
        request.producer_id = self.long(7);
        request.producer_epoch = self.short(0);
        request.committed = self.flag(true);
        self.frame(&request)
    }

    fn describe_transactions(mut self) -> Option<Bytes> {
        let mut request = DescribeTransactionsRequest::default();
        request.transactional_ids = self.many(2, Self::transactional_id);
        self.frame(&request)
    }

    fn list_transactions(mut self) -> Option<Bytes> {
        let mut request = ListTransactionsRequest::default();
        request.state_filters = self.many(1, |sample| sample.text("Ongoing"));
        request.producer_id_filters = self.many(1, |sample| sample.long(7));
        if self.version >= 1 {
            request.duration_filter = self.long(-1);
        }
        if self.version >= 2 {
            request.transactional_id_pattern = Some(self.text("transfers.*"));
        }
        self.frame(&request)
    }

    fn update_features(mut self) -> Option<Bytes> {
        let mut request = UpdateFeaturesRequest::default();
        request.timeout_ms = self.int(1_000);
        if self.version >= 1 {
            request.validate_only = true;
        }
        // Version 0 can't be validated only: it names no level that differs.
        let level = if self.version == 0 { 2 } else { 1 };
        request.feature_updates = self.many(1, |sample| {
            let mut update = update_features_request::FeatureUpdateKey::default();
            update.feature = sample.text("transaction.version");
            update.max_version_level = sample.short(level);
            if sample.version >= 1 {
                update.upgrade_type = sample.int(2) as i8;
            }
            update
        });
        self.frame(&request)
    }
}
