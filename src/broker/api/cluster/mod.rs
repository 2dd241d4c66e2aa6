//! What the cluster consists of, and what a node serves.

mod allocate_producer_ids;
mod alter_partition;
mod api_versions;
mod assign_replicas_to_dirs;
mod broker_heartbeat;
mod broker_registration;
mod describe_cluster;
mod metadata;

pub(in crate::broker) use allocate_producer_ids::AllocateProducerIds;
pub(in crate::broker) use alter_partition::AlterPartition;
pub(in crate::broker) use api_versions::ApiVersions;
pub(in crate::broker) use assign_replicas_to_dirs::AssignReplicasToDirs;
pub(in crate::broker) use broker_heartbeat::BrokerHeartbeat;
pub(in crate::broker) use broker_registration::BrokerRegistration;
pub(in crate::broker) use describe_cluster::DescribeCluster;
pub(in crate::broker) use metadata::Metadata;
