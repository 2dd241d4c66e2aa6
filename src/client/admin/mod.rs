//! The administrator: one request after another, each retried until it is answered or given up.
//!
//! | module | role |
//! |---|---|
//! | `attempts` | when an operation is retried, and what its answers mean for it: pure |
//! | `handle`, `throttle` | the [`Admin`]: asks any broker, until one gives a final answer |
//! | `leaders` | asks the leaders of partitions, each about its own |
//! | `cluster`, `topics` | requests and responses of operations that any broker takes |
//! | `elections` | leaders elected on request |
//! | `configs` | settings of topics, brokers and groups |
//! | `pages` | topics with their ELR, page by page |
//! | `groups` | groups, from their coordinators |
//! | `transactions` | transactions and their producers, from coordinators and leaders |
//! | `offsets`, `deletion` | operations that only leaders take |
//! | `description` | what operations return |

mod attempts;
mod cluster;
mod configs;
mod deletion;
mod description;
mod elections;
mod groups;
mod handle;
mod leaders;
mod offsets;
mod pages;
mod throttle;
mod topics;
mod transactions;

pub use description::{
    BrokerDescription, ClusterDescription, ConfigChange, ConfigEntry, ConfigResource, ConfigSource,
    ConfigSynonym, ListedOffset, OffsetSpec, PartitionDescription, TopicDescription,
};
pub use elections::{ElectionType, Elections};
pub use groups::{GroupDescription, GroupListing, GroupOffset, MemberDescription, MemberToRemove};
pub use handle::Admin;
pub use transactions::{
    AbortSpec, HangingTransaction, ProducerDescription, TransactionDescription, TransactionFilter,
    TransactionListing,
};
