//! What the cluster consists of, and what a node serves.

pub(in crate::broker) mod api_versions;
pub(in crate::broker) mod describe_cluster;
pub(in crate::broker) mod metadata;
