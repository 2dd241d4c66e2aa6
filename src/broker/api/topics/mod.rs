//! Creating and deleting topics.

pub(in crate::broker) mod create_topics;
pub(in crate::broker) mod delete_topics;
