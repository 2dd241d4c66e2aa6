//! What the cluster consists of, and what a node serves.

/// "Not asked for", in a bit field of authorized operations.
const NO_OPERATIONS: i32 = i32::MIN;

/// Without authorization, every client may do all that there is with a topic: READ, WRITE, CREATE,
/// DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS. Source: Kafka's `AclOperation`.
const TOPIC_OPERATIONS: i32 =
    1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;

/// The same with the cluster: CREATE, ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS,
/// IDEMPOTENT_WRITE.
const CLUSTER_OPERATIONS: i32 = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;

mod allocate_producer_ids;
mod alter_partition;
mod api_versions;
mod assign_replicas_to_dirs;
mod broker_heartbeat;
mod broker_registration;
mod describe_cluster;
mod describe_topic_partitions;
mod metadata;
mod update_features;

pub(in crate::broker) use allocate_producer_ids::AllocateProducerIds;
pub(in crate::broker) use alter_partition::AlterPartition;
pub(in crate::broker) use api_versions::ApiVersions;
pub(in crate::broker) use assign_replicas_to_dirs::AssignReplicasToDirs;
pub(in crate::broker) use broker_heartbeat::BrokerHeartbeat;
pub(in crate::broker) use broker_registration::BrokerRegistration;
pub(in crate::broker) use describe_cluster::DescribeCluster;
pub(in crate::broker) use describe_topic_partitions::DescribeTopicPartitions;
pub(in crate::broker) use metadata::Metadata;
pub(in crate::broker) use update_features::UpdateFeatures;
