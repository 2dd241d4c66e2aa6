//! A request of every kind and version that is served, with an element in each of its arrays.
//!
//! Also included by the library's own tests, where `wire` has another path.

#[path = "samples/alterations.rs"]
mod alterations;
#[path = "samples/groups.rs"]
mod groups;
#[path = "samples/partitions.rs"]
mod partitions;
#[path = "samples/txn.rs"]
mod txn;

use super::wire::batch::BatchBuilder;
use super::wire::messages::*;
use super::wire::{api::key, frame};
use bytes::Bytes;

/// Chooses the values of a request's fields: valid ones, unless it is said otherwise.
pub trait Values {
    /// A number; `sane` is a valid one.
    fn number(&mut self, sane: i64) -> i64 {
        sane
    }

    /// A string; `sane` is a valid one.
    fn text(&mut self, sane: &str) -> String {
        sane.into()
    }

    /// The length of an array; `sane` is a valid one.
    fn count(&mut self, sane: usize) -> usize {
        sane
    }

    /// The records of a Produce request for one partition; `sane` is valid.
    fn records(&mut self, sane: Bytes) -> Option<Bytes> {
        Some(sane)
    }
}

/// Valid values.
pub struct Sane;

impl Values for Sane {}

/// The topic that requests refer to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name; it should exist, so that requests are not rejected early.
    pub topic: String,
    /// Its id.
    pub topic_id: Uuid,
}

impl Default for Target {
    fn default() -> Self {
        Self { topic: "orders".into(), topic_id: Uuid::from_bytes([7; 16]) }
    }
}

/// A request without its length; `None` when the values can't be encoded in this version.
pub fn request(key: i16, version: i16, target: &Target, values: &mut dyn Values) -> Option<Bytes> {
    let sample = Sample { version, target, values };
    match key {
        key::PRODUCE => sample.produce(),
        key::FETCH => sample.fetch(),
        key::LIST_OFFSETS => sample.list_offsets(),
        key::METADATA => sample.metadata(),
        key::API_VERSIONS => sample.api_versions(),
        key::CREATE_TOPICS => sample.create_topics(),
        key::DELETE_TOPICS => sample.delete_topics(),
        key::DELETE_RECORDS => sample.delete_records(),
        key::INIT_PRODUCER_ID => sample.init_producer_id(),
        key::OFFSET_FOR_LEADER_EPOCH => sample.offset_for_leader_epoch(),
        key::DESCRIBE_CONFIGS => sample.describe_configs(),
        key::ALTER_PARTITION => sample.alter_partition(),
        key::DESCRIBE_CLUSTER => sample.describe_cluster(),
        key::BROKER_REGISTRATION => sample.broker_registration(),
        key::BROKER_HEARTBEAT => sample.broker_heartbeat(),
        key::ALLOCATE_PRODUCER_IDS => sample.allocate_producer_ids(),
        key::DESCRIBE_LOG_DIRS => sample.describe_log_dirs(),
        key::ASSIGN_REPLICAS_TO_DIRS => sample.assign_replicas_to_dirs(),
        key::CREATE_PARTITIONS
        | key::ELECT_LEADERS
        | key::ALTER_CONFIGS
        | key::INCREMENTAL_ALTER_CONFIGS
        | key::DESCRIBE_TOPIC_PARTITIONS => alterations::request(key, sample),
        key::WRITE_TXN_MARKERS | key::TXN_OFFSET_COMMIT | key::DESCRIBE_PRODUCERS => {
            partitions::request(key, sample)
        }
        key::ADD_PARTITIONS_TO_TXN
        | key::ADD_OFFSETS_TO_TXN
        | key::END_TXN
        | key::DESCRIBE_TRANSACTIONS
        | key::LIST_TRANSACTIONS
        | key::UPDATE_FEATURES => txn::request(key, sample),
        _ => groups::request(key, sample),
    }
}

struct Sample<'a> {
    version: i16,
    target: &'a Target,
    values: &'a mut dyn Values,
}

impl Sample<'_> {
    fn frame<R: KafkaRequest>(self, request: &R) -> Option<Bytes> {
        let frame = frame::encode_request(7, "sample", self.version, request).ok()?;
        Some(frame.freeze().slice(frame::LENGTH_LEN..))
    }

    fn int(&mut self, sane: i32) -> i32 {
        self.values.number(sane.into()) as i32
    }

    fn long(&mut self, sane: i64) -> i64 {
        self.values.number(sane)
    }

    fn short(&mut self, sane: i16) -> i16 {
        self.values.number(sane.into()) as i16
    }

    fn text(&mut self, sane: &str) -> StrBytes {
        self.values.text(sane).into()
    }

    fn flag(&mut self, sane: bool) -> bool {
        self.values.number(sane.into()) & 1 == 1
    }

    fn topic(&mut self) -> StrBytes {
        let topic = self.target.topic.clone();
        self.text(&topic)
    }

    /// As many elements as the values want, each created separately.
    fn many<T>(&mut self, sane: usize, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = self.values.count(sane);
        (0..count).map(|_| one(self)).collect()
    }

    fn produce(mut self) -> Option<Bytes> {
        let mut request = ProduceRequest::default();
        request.acks = self.short(1);
        request.timeout_ms = self.int(1_000);
        request.topic_data = self.many(1, |sample| {
            let mut topic = produce_request::TopicProduceData::default();
            if sample.version >= 13 {
                topic.topic_id = sample.target.topic_id;
            } else {
                topic.name = sample.topic();
            }
            topic.partition_data = sample.many(2, |sample| {
                let mut partition = produce_request::PartitionProduceData::default();
                partition.index = sample.int(0);
                partition.records = sample.values.records(batch());
                partition
            });
            topic
        });
        self.frame(&request)
    }

    fn fetch(mut self) -> Option<Bytes> {
        let mut request = FetchRequest::default();
        if self.version < 15 {
            request.replica_id = self.int(-1);
        } else {
            request.replica_state.replica_id = self.int(-1);
            request.replica_state.replica_epoch = self.long(-1);
        }
        // Short, because the sender waits for answers.
        request.max_wait_ms = self.int(1).min(50);
        request.min_bytes = self.int(1);
        request.max_bytes = self.int(1 << 20);
        request.isolation_level = self.int(0) as i8;
        if self.version >= 7 {
            request.session_id = self.int(0);
            request.session_epoch = self.int(0);
        }
        request.topics = self.many(1, Self::fetch_topic);
        if self.version >= 7 {
            request.forgotten_topics_data = self.many(1, |sample| {
                let mut topic = fetch_request::ForgottenTopic::default();
                if sample.version >= 13 {
                    topic.topic_id = sample.target.topic_id;
                } else {
                    topic.topic = sample.topic();
                }
                topic.partitions = sample.many(2, |sample| sample.int(1));
                topic
            });
        }
        if self.version >= 11 {
            request.rack_id = self.text("");
        }
        self.frame(&request)
    }

    fn fetch_topic(&mut self) -> fetch_request::FetchTopic {
        let mut topic = fetch_request::FetchTopic::default();
        if self.version >= 13 {
            topic.topic_id = self.target.topic_id;
        } else {
            topic.topic = self.topic();
        }
        topic.partitions = self.many(2, |sample| {
            let mut partition = fetch_request::FetchPartition::default();
            partition.partition = sample.int(0);
            partition.fetch_offset = sample.long(0);
            partition.partition_max_bytes = sample.int(1 << 20);
            if sample.version >= 5 {
                partition.log_start_offset = sample.long(-1);
            }
            if sample.version >= 9 {
                partition.current_leader_epoch = sample.int(-1);
            }
            if sample.version >= 12 {
                partition.last_fetched_epoch = sample.int(-1);
            }
            partition
        });
        topic
    }

    fn list_offsets(mut self) -> Option<Bytes> {
        let mut request = ListOffsetsRequest::default();
        request.replica_id = self.int(-1);
        if self.version >= 2 {
            request.isolation_level = self.int(0) as i8;
        }
        request.topics = self.many(1, |sample| {
            let mut topic = list_offsets_request::ListOffsetsTopic::default();
            topic.name = sample.topic();
            topic.partitions = sample.many(2, |sample| {
                let mut partition = list_offsets_request::ListOffsetsPartition::default();
                partition.partition_index = sample.int(0);
                partition.timestamp = sample.long(-1);
                if sample.version >= 4 {
                    partition.current_leader_epoch = sample.int(-1);
                }
                partition
            });
            topic
        });
        self.frame(&request)
    }

    fn metadata(mut self) -> Option<Bytes> {
        let mut request = MetadataRequest::default();
        request.topics = Some(self.many(1, |sample| {
            let mut topic = metadata_request::MetadataRequestTopic::default();
            topic.name = Some(sample.topic());
            topic
        }));
        self.frame(&request)
    }

    fn api_versions(mut self) -> Option<Bytes> {
        let mut request = ApiVersionsRequest::default();
        if self.version >= 3 {
            request.client_software_name = self.text("sample");
            request.client_software_version = self.text("1.0");
        }
        self.frame(&request)
    }

    fn create_topics(mut self) -> Option<Bytes> {
        let mut request = CreateTopicsRequest::default();
        request.timeout_ms = self.int(1_000);
        request.validate_only = self.flag(true);
        request.topics = self.many(1, |sample| {
            let mut topic = create_topics_request::CreatableTopic::default();
            topic.name = sample.text("made-by-a-stranger");
            topic.num_partitions = sample.int(-1);
            topic.replication_factor = sample.short(-1);
            topic.assignments = sample.many(1, |sample| {
                let mut replicas = create_topics_request::CreatableReplicaAssignment::default();
                replicas.partition_index = sample.int(0);
                replicas.broker_ids = sample.many(2, |sample| sample.int(1));
                replicas
            });
            topic.configs = sample.many(1, |sample| {
                let mut config = create_topics_request::CreatableTopicConfig::default();
                config.name = sample.text("retention.ms");
                config.value = Some(sample.text("1000"));
                config
            });
            topic
        });
        self.frame(&request)
    }

    /// Names another topic than the target, which is still needed.
    fn delete_topics(mut self) -> Option<Bytes> {
        let mut request = DeleteTopicsRequest::default();
        request.timeout_ms = self.int(1_000);
        if self.version < 6 {
            request.topic_names = self.many(2, |sample| sample.text("nobody-has-this"));
        } else {
            request.topics = self.many(2, |sample| {
                let mut topic = delete_topics_request::DeleteTopicState::default();
                topic.name = Some(sample.text("nobody-has-this"));
                topic
            });
        }
        self.frame(&request)
    }

    fn delete_records(mut self) -> Option<Bytes> {
        let mut request = DeleteRecordsRequest::default();
        request.timeout_ms = self.int(1_000).min(50);
        request.topics = self.many(1, |sample| {
            let mut topic = delete_records_request::DeleteRecordsTopic::default();
            topic.name = sample.topic();
            topic.partitions = sample.many(2, |sample| {
                let mut partition = delete_records_request::DeleteRecordsPartition::default();
                partition.partition_index = sample.int(0);
                partition.offset = sample.long(0);
                partition
            });
            topic
        });
        self.frame(&request)
    }

    fn init_producer_id(mut self) -> Option<Bytes> {
        let mut request = InitProducerIdRequest::default();
        request.transaction_timeout_ms = self.int(60_000);
        if self.version >= 3 {
            request.producer_id = self.long(-1);
            request.producer_epoch = self.short(-1);
        }
        self.frame(&request)
    }

    fn offset_for_leader_epoch(mut self) -> Option<Bytes> {
        let mut request = OffsetForLeaderEpochRequest::default();
        if self.version >= 3 {
            request.replica_id = self.int(-1);
        }
        request.topics = self.many(1, |sample| {
            let mut topic = offset_for_leader_epoch_request::OffsetForLeaderTopic::default();
            topic.topic = sample.topic();
            topic.partitions = sample.many(2, |sample| {
                let mut partition =
                    offset_for_leader_epoch_request::OffsetForLeaderPartition::default();
                partition.partition = sample.int(0);
                partition.current_leader_epoch = sample.int(-1);
                partition.leader_epoch = sample.int(0);
                partition
            });
            topic
        });
        self.frame(&request)
    }

    fn describe_configs(mut self) -> Option<Bytes> {
        let mut request = DescribeConfigsRequest::default();
        request.include_synonyms = self.flag(true);
        request.resources = self.many(1, |sample| {
            let mut resource = describe_configs_request::DescribeConfigsResource::default();
            resource.resource_type = sample.int(2) as i8;
            resource.resource_name = sample.topic();
            resource.configuration_keys =
                Some(sample.many(2, |sample| sample.text("segment.bytes")));
            resource
        });
        self.frame(&request)
    }

    fn alter_partition(mut self) -> Option<Bytes> {
        let mut request = AlterPartitionRequest::default();
        request.broker_id = self.int(1);
        request.broker_epoch = self.long(-1);
        request.topics = self.many(1, |sample| {
            let mut topic = alter_partition_request::TopicData::default();
            topic.topic_id = sample.target.topic_id;
            topic.partitions = sample.many(2, |sample| {
                let mut partition = alter_partition_request::PartitionData::default();
                partition.partition_index = sample.int(0);
                partition.leader_epoch = sample.int(0);
                partition.partition_epoch = sample.int(0);
                if sample.version < 3 {
                    partition.new_isr = sample.many(2, |sample| sample.int(1));
                } else {
                    partition.new_isr_with_epochs = sample.many(2, |sample| {
                        let mut broker = alter_partition_request::BrokerState::default();
                        broker.broker_id = sample.int(1);
                        broker.broker_epoch = sample.long(-1);
                        broker
                    });
                }
                partition
            });
            topic
        });
        self.frame(&request)
    }

    fn describe_cluster(self) -> Option<Bytes> {
        self.frame(&DescribeClusterRequest::default())
    }

    fn broker_registration(mut self) -> Option<Bytes> {
        let mut request = BrokerRegistrationRequest::default();
        request.broker_id = self.int(999);
        request.cluster_id = self.text("another-cluster");
        request.listeners = self.many(1, |sample| {
            let mut listener = broker_registration_request::Listener::default();
            listener.name = sample.text("PLAINTEXT");
            listener.host = sample.text("nowhere");
            listener.port = sample.int(9092) as u16;
            listener
        });
        request.features = self.many(1, |sample| {
            let mut feature = broker_registration_request::Feature::default();
            feature.name = sample.text("metadata.version");
            feature.min_supported_version = sample.short(1);
            feature.max_supported_version = sample.short(20);
            feature
        });
        if self.version >= 3 {
            request.previous_broker_epoch = self.long(-1);
        }
        self.frame(&request)
    }

    fn broker_heartbeat(mut self) -> Option<Bytes> {
        let mut request = BrokerHeartbeatRequest::default();
        request.broker_id = self.int(999);
        request.broker_epoch = self.long(-1);
        request.current_metadata_offset = self.long(0);
        request.want_fence = self.flag(false);
        request.want_shut_down = self.flag(false);
        self.frame(&request)
    }

    fn allocate_producer_ids(mut self) -> Option<Bytes> {
        let mut request = AllocateProducerIdsRequest::default();
        request.broker_id = self.int(999);
        request.broker_epoch = self.long(-1);
        self.frame(&request)
    }

    fn describe_log_dirs(mut self) -> Option<Bytes> {
        let mut request = DescribeLogDirsRequest::default();
        let topics = self.many(1, |sample| {
            let mut topic = describe_log_dirs_request::DescribableLogDirTopic::default();
            topic.topic = sample.topic();
            topic.partitions = sample.many(2, |sample| sample.int(0));
            topic
        });
        request.topics = Some(topics);
        self.frame(&request)
    }

    fn assign_replicas_to_dirs(mut self) -> Option<Bytes> {
        let mut request = AssignReplicasToDirsRequest::default();
        request.broker_id = self.int(999);
        request.broker_epoch = self.long(-1);
        request.directories = self.many(1, |sample| {
            let mut directory = assign_replicas_to_dirs_request::DirectoryData::default();
            directory.topics = sample.many(1, |sample| {
                let mut topic = assign_replicas_to_dirs_request::TopicData::default();
                topic.topic_id = sample.target.topic_id;
                topic.partitions = sample.many(2, |sample| {
                    let mut partition = assign_replicas_to_dirs_request::PartitionData::default();
                    partition.partition_index = sample.int(0);
                    partition
                });
                topic
            });
            directory
        });
        self.frame(&request)
    }
}

/// A batch of two records that any log accepts.
fn batch() -> Bytes {
    let mut batch = BatchBuilder::new(
        super::base::config::Compression::None,
        super::base::Timestamp(1_700_000_000_000),
    );
    batch.append(super::base::Timestamp(1_700_000_000_000), Some(b"k"), Some(b"one"), &[]);
    batch.append(super::base::Timestamp(1_700_000_000_001), None, Some(b"two"), &[]);
    batch.finish_plain()
}
