//! A partition on disk, byte for byte as Kafka keeps it.
//!
//! [`Log`] is one partition: segments with their sparse indexes, the history of leader epochs, the
//! state of idempotent producers. [`LogDir`] is a data directory: its owner, how it was closed,
//! and the checkpoints of all its partitions. File calls are made at once; a sync is returned as a
//! plan that owns its files, so that no lock is held over an await.

mod aborted;
mod admission;
mod again;
mod append;
mod check;
mod checkpoint;
mod cleaner;
mod config;
mod dir;
pub mod dump;
mod epochs;
mod error;
mod flush;
mod index;
mod joints;
mod lock;
mod lookup;
mod memory;
mod meta;
mod names;
mod partition;
mod producers;
mod read;
mod recovery;
mod retention;
mod scan;
mod segment;
mod snapshot;
mod torn;
mod transactions;
mod truncate;
mod validate;
mod verification;
mod vouched;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use admission::Writer;
pub use append::Appended;
pub use cleaner::{Cleaned, Cleaning, Dirtiness, Keeper, Pace};
pub use config::LogConfig;
pub use dir::{Found, LogDir};
pub use epochs::Epochs;
pub use error::{AppendError, DirError, LogError, ReadError, RecordProblem, Unreadable};
pub use flush::{FlushPlan, Flushed, RecoveryMark};
pub use lock::DirLock;
pub use meta::Identity;
pub use partition::Log;
pub use producers::{Producer, Producers, Remembered};
pub use read::{Available, Fetched, RecordPosition};
pub use recovery::{Damaged, Progress, Recovery, RecoveryReport};
pub use retention::{Due, Retired};
pub use torn::refuse_damage;
pub use transactions::{Aborted, Marker, TransactionEnd};
pub use truncate::Truncated;
pub use verification::{Guard, TransactionalWrite};
