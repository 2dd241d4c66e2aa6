//! Creating and deleting topics.

mod create_topics;
mod delete_topics;

pub(in crate::broker) use create_topics::CreateTopics;
pub(in crate::broker) use delete_topics::DeleteTopics;
