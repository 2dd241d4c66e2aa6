//! Creating, extending and deleting topics.

mod create_partitions;
mod create_topics;
mod delete_topics;

pub(in crate::broker) use create_partitions::CreatePartitions;
pub(in crate::broker) use create_topics::CreateTopics;
pub(in crate::broker) use delete_topics::DeleteTopics;
