//! Crashes as data: the recorded steps of a file system, and every state that a power loss may
//! leave of them.
//!
//! A [`Recorder`] turns calls on any disk into [`Step`]s; a [`Player`] repeats them on any other
//! disk, including a real one. A [`History`] is the result of steps. It works in both directions:
//! [`History::states`] lists states that a crash may leave, up to a bound, and [`History::explain`]
//! decides whether a found state is possible at all.
//!
//! It is weaker than [`SimDisk`](super::disk::SimDisk), which draws one crash: here a page may also
//! reach the platter as it was between two writes. Every version of a file since its last sync is
//! kept whole, so this suits workloads of a few megabytes at most.

mod explain;
mod history;
mod recorder;
mod states;
mod step;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use bytes::Bytes;

pub use explain::Unexplained;
pub use history::History;
pub use recorder::Recorder;
pub use states::Bound;
pub use step::{FileNo, Player, Step, SyncNo};

use crate::io::{Disk, File, Open};

/// The files (with their bytes) and directories (`None`) of a file system, by their paths relative
/// to the root; the root itself is not listed.
pub type Found = BTreeMap<String, Option<Bytes>>;

/// Which order a file system preserves (catalogue: "order across files", "directory operations").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// None: any sector of any file as at any time since its last sync, any size that the file had,
    /// any subset of name changes, torn renames. This is what POSIX promises.
    Weakest,
    /// The same, but a rename happens whole or not at all.
    AtomicRenames,
    /// A journal like ext4's with `data=ordered`: names change in order, a sync of any file commits
    /// all earlier name changes, and a file that grew has its bytes up to its size. Overwritten
    /// bytes may become durable in any order.
    Ext4Ordered,
    /// Everything in the page cache is durable.
    EverythingDurable,
}

impl Order {
    /// All orders, the weakest first.
    pub const ALL: [Self; 4] =
        [Self::Weakest, Self::AtomicRenames, Self::Ext4Ordered, Self::EverythingDurable];
}

/// Writes a state into an empty directory of any disk, without syncing it.
pub fn lay_out<D: Disk>(disk: &D, root: &Path, found: &Found) -> io::Result<()> {
    disk.create_dir_all(root)?;
    for (path, bytes) in found {
        let path = root.join(path);
        match bytes {
            None => disk.create_dir_all(&path)?,
            Some(bytes) => {
                let file = disk.open(&path, Open::New)?;
                file.write_at(bytes, 0)?;
            }
        }
    }
    Ok(())
}

/// Reads all files and directories below a directory of any disk.
pub fn look_at<D: Disk>(disk: &D, root: &Path) -> io::Result<Found> {
    let mut found = Found::new();
    let mut open = vec![String::new()];
    while let Some(prefix) = open.pop() {
        for entry in disk.list(&root.join(&prefix))? {
            let path = format!("{prefix}{}", entry.name);
            if entry.is_dir {
                open.push(format!("{path}/"));
                found.insert(path, None);
            } else {
                let file = disk.open(&root.join(&path), Open::Existing)?;
                let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
                file.read_exact_at(&mut bytes, 0)?;
                found.insert(path, Some(bytes.into()));
            }
        }
    }
    Ok(found)
}
