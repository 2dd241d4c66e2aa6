//! The simulated disk and its page cache: what Kafka acknowledges from, and what a crash takes.
//!
//! The model is the weakest that POSIX allows, with Linux's page cache in front of it:
//!
//! - A write, a size and a store into a map are in the page cache, and there they survive the death
//!   of the process. A power loss keeps of them, file by file, nothing, all, a prefix, or any subset
//!   of pages with some torn between sectors; sizes and bytes survive apart from each other.
//! - `sync` makes durable what was dirty when it began, bytes and size, and only at its end. It does
//!   nothing for the file's name, not even for that of a new file: names need `sync_dir`.
//! - A created, renamed or removed name is durable after a sync of the directory that has it. Until
//!   then any subset of such changes may survive, but each of them whole (a rename leaves the old
//!   name or the new one, never both or none), and none before an earlier change of the same name.
//!   A rename across directories becomes durable with the first sync of either. A directory is as
//!   durable as its own name above it.
//! - What has no name after a power loss is gone.
//!
//! Operations add to a debt of simulated time, which `settle` pays. A process that died holds void
//! handles: its calls fail and change nothing. A power loss can be set to strike just before any
//! operation, however deep inside a task it is.
//!
//! Where the profile limits memory, pages that were used least lately leave it, sequential readers
//! are read ahead for, and who dirties too much waits (`cache`). Disks may also lie, fail late,
//! write short, and lose, swap or rot what they were given (`corrupt`).
//!
//! Not modelled: a page that reached the platter as it was between two writes (only the flusher does
//! that; [`crash`](super::crash) knows such states as well).

mod cache;
mod corrupt;
mod handle;
mod hardware;
mod pages;
mod pool;
mod profile;
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
