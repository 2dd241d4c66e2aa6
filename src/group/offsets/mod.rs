//! Committed offsets: how far each group has read each partition.
//!
//! | file | contents |
//! |---|---|
//! | `subscriber` | what offsets ask of the group they belong to |
//! | `store` | a map by group, topic and partition |
//! | `pending` | offsets of transactions that have not ended |
//! | `state` | the replicated state, and how records change it |
//! | `commit`, `transactional`, `fetch`, `delete`, `expire` | the decisions |
//!
//! Source: Kafka's `OffsetMetadataManager`; KIP-211 (expiry), KIP-447 (stable offsets), KIP-496
//! (deletion), KIP-848, KIP-1251 (commits in an older epoch). Left to the shell: authorization,
//! unknown topics and partitions, resolving topic ids and names.

mod commit;
mod delete;
mod expire;
mod fetch;
mod pending;
mod state;
mod store;
mod subscriber;
mod transactional;
#[cfg(test)]
mod tests;

pub use commit::commit;
pub use state::{Committed, Offsets};
pub use subscriber::{Committer, Scope, Subscriber};
pub use transactional::{check_transactional, commit_transactional, refuse_transactional};
