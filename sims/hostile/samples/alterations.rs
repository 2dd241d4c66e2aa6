//! Requests that change topics and settings, validated only or of no effect, so that the target stays as
//! it is; and the one that describes topics page by page.

use bytes::Bytes;

use super::super::wire::api::key;
use super::super::wire::messages::*;
use super::Sample;

/// A request that changes something; `None` for another key.
pub(super) fn request(key: i16, sample: Sample<'_>) -> Option<Bytes> {
    match key {
        key::CREATE_PARTITIONS => sample.create_partitions(),
        key::ELECT_LEADERS => sample.elect_leaders(),
        key::ALTER_CONFIGS => sample.alter_configs(),
        key::INCREMENTAL_ALTER_CONFIGS => sample.incremental_alter_configs(),
        key::DESCRIBE_TOPIC_PARTITIONS => sample.describe_topic_partitions(),
        _ => None,
    }
}

impl Sample<'_> {
    fn create_partitions(mut self) -> Option<Bytes> {
        let mut request = CreatePartitionsRequest::default();
        request.timeout_ms = self.int(1_000);
        request.validate_only = self.flag(true);
        request.topics = self.many(1, |sample| {
            let mut topic = create_partitions_request::CreatePartitionsTopic::default();
            topic.name = sample.topic();
            topic.count = sample.int(9);
            topic.assignments = Some(sample.many(1, |sample| {
                let mut assignment =
                    create_partitions_request::CreatePartitionsAssignment::default();
                assignment.broker_ids = sample.many(2, |sample| sample.int(1));
                assignment
            }));
            topic
        });
        self.frame(&request)
    }

    fn elect_leaders(mut self) -> Option<Bytes> {
        let mut request = ElectLeadersRequest::default();
        request.timeout_ms = self.int(1_000);
        request.topic_partitions = Some(self.many(1, |sample| {
            let mut topic = elect_leaders_request::TopicPartitions::default();
            topic.topic = sample.topic();
            topic.partitions = sample.many(2, |sample| sample.int(0));
            topic
        }));
        self.frame(&request)
    }

    fn describe_topic_partitions(mut self) -> Option<Bytes> {
        let mut request = DescribeTopicPartitionsRequest::default();
        request.response_partition_limit = self.int(2);
        request.topics = self.many(2, |sample| {
            let mut topic = describe_topic_partitions_request::TopicRequest::default();
            topic.name = sample.topic();
            topic
        });
        if self.flag(true) {
            let mut cursor = describe_topic_partitions_request::Cursor::default();
            cursor.topic_name = self.topic();
            cursor.partition_index = self.int(0);
            request.cursor = Some(cursor);
        }
        self.frame(&request)
    }

    fn alter_configs(mut self) -> Option<Bytes> {
        let mut request = AlterConfigsRequest::default();
        request.validate_only = self.flag(true);
        request.resources = self.many(1, |sample| {
            let mut resource = alter_configs_request::AlterConfigsResource::default();
            resource.resource_type = sample.int(2) as i8;
            resource.resource_name = sample.topic();
            resource.configs = sample.many(2, |sample| {
                let mut config = alter_configs_request::AlterableConfig::default();
                config.name = sample.text("retention.ms");
                config.value = Some(sample.text("1000"));
                config
            });
            resource
        });
        self.frame(&request)
    }

    fn incremental_alter_configs(mut self) -> Option<Bytes> {
        let mut request = IncrementalAlterConfigsRequest::default();
        request.validate_only = self.flag(true);
        request.resources = self.many(1, |sample| {
            let mut resource = incremental_alter_configs_request::AlterConfigsResource::default();
            resource.resource_type = sample.int(2) as i8;
            resource.resource_name = sample.topic();
            resource.configs = sample.many(2, |sample| {
                let mut config = incremental_alter_configs_request::AlterableConfig::default();
                config.name = sample.text("cleanup.policy");
                config.config_operation = sample.int(2) as i8;
                config.value = Some(sample.text("compact"));
                config
            });
            resource
        });
        self.frame(&request)
    }
}
