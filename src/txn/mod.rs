//! The transaction coordinator: who owns a transactional id, and which outcome its transaction has.
//! Pure: no await, no clock, no I/O.
//!
//! | file | contents |
//! |---|---|
//! | `status` | the states of a transaction, and which follow each other |
//! | `version` | the two protocols, and how a level of `transaction.version` chooses |
//! | `transaction` | a transactional id with its producer and its transaction, and every transition |
//! | `record` | the records of `__transaction_state`, in Kafka's format |
//! | `state` | what is replicated |
//! | `soft` | what is not: deadlines, markers under way, the last epoch of each producer |
//! | `outgoing` | what the coordinator asks of the shell |
//! | `machine` | all of it as one machine on one partition of the log |
//! | `init`, `partitions`, `end`, `describe` | the requests |
//! | `complete`, `expire` | what follows without a request: completion, timeouts, expiry |
//! | `check` | which transitions are legal |
//! | `settings` | what it needs to know beyond its log |
//!
//! Source: Kafka's `TransactionCoordinator`, `TransactionMetadata` and `TransactionStateManager`;
//! KIP-98, KIP-360, KIP-890. Left to the shell (`broker/txn`): sending markers, producer ids, waiting
//! for commits, answering.

mod check;
mod complete;
mod describe;
mod end;
mod expire;
mod ids;
mod init;
mod machine;
mod outgoing;
mod partitions;
pub mod record;
mod settings;
mod soft;
mod state;
mod status;
mod transaction;
mod version;

pub use describe::{Filters, InvalidPattern, described, unknown_id};
pub use end::{EndRequest, Ended};
pub use ids::TransactionalId;
pub use init::{InitRequest, Initialised};
pub use machine::{Asked, Decision, Effect, TxnCoordinator};
pub use outgoing::{Markers, Outgoing};
pub use partitions::{AddRequest, Verified};
pub use record::Record;
pub use settings::TxnSettings;
pub use soft::SoftEffect;
pub use state::{Change, Found, Transactions};
pub use status::{Outcome, TransactionState};
pub use transaction::Transaction;
pub use version::{TRANSACTION_VERSION, TransactionVersion};

/// Which partition of `__transaction_state` has a transactional id: chosen as that of a group.
/// Source: Kafka's `TransactionStateManager.partitionFor`.
pub use crate::group::partition_of;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
