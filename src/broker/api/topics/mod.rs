//! Creating, extending and deleting topics, and electing their leaders.

mod create_partitions;
mod create_topics;
mod delete_topics;
mod elect_leaders;

pub(in crate::broker) use create_partitions::CreatePartitions;
pub(in crate::broker) use create_topics::CreateTopics;
pub(in crate::broker) use delete_topics::DeleteTopics;
pub(in crate::broker) use elect_leaders::ElectLeaders;
