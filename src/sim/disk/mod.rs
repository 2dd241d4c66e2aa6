//! The simulated disk and its page cache: what Kafka acknowledges from, and what a crash loses.
//!
//! The model is the weakest that POSIX allows, behind Linux's page cache:
//!
//! - A write, a size change and a store into a map go to the page cache, where they survive the
//!   death of the process. After a power loss, each file keeps none of them, all, a prefix, or any
//!   subset of pages, some of them torn between sectors; sizes and bytes survive independently.
//! - `sync` makes the bytes and size that were dirty when it began durable, and only when it ends.
//!   It does nothing for the file's name, even of a new file: names need `sync_dir`.
//! - A created, renamed or removed name is durable after a sync of its directory. Until then any
//!   subset of such changes may survive, but each as a whole (a rename leaves the old name or the
//!   new one, never both or none), and none before an earlier change of the same name. On the
//!   weakest file system a rename may be torn: both names of the one file are there, or none. A
//!   rename across directories becomes durable with the first sync of either. A directory is as
//!   durable as its own name in its parent.
//! - A file without a name after a power loss is gone.
//!
//! Operations add to a debt of simulated time, which `settle` pays. The handles of a dead process
//! are void: its calls fail and change nothing. A power loss can be scheduled just before any
//! operation, even deep inside a task.
//!
//! Where the profile limits memory, the least recently used pages are evicted, sequential readers
//! get read-ahead, and writers that dirty too many pages are throttled (`cache`). Disks may also
//! lie, fail late, write short, and lose, misdirect or corrupt data (`corrupt`).
//!
//! Not modelled: a page that reached the platter as it was between two writes (only the flusher
//! does that; [`crash`](super::crash) covers such states as well).

mod cache;
mod corrupt;
mod handle;
mod hardware;
mod pages;
mod pool;
mod profile;
mod replace;
mod state;
mod survive;
#[cfg(test)]
mod tests;
mod tree;
mod writeback;

pub use corrupt::{Corruption, Place};
pub use handle::{SimFile, SimMap};
pub use hardware::{Clock, DiskStats, Failing, SimDisk, Sleep, Struck};
pub use pool::PagePool;
pub use profile::{DiskProfile, Memory, Writeback};
