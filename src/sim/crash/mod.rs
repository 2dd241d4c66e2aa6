//! Crashes as data: what was done to a file system, step by step, and everything that a loss of
//! power may then leave of it.
//!
//! A [`Recorder`] turns what a program does to any disk into [`Step`]s; a [`Player`] does them again
//! on any other, a real one as well. A [`History`] is what steps come to. It can be asked both ways:
//! [`History::states`] shows states that a crash may leave, up to a bound, and
//! [`History::explain`] tells whether a state that was found is one of all of them.
//!
//! It is weaker than [`SimDisk`](super::disk::SimDisk), which draws one crash: here a page may also
//! reach the platter as it was between two writes. Every version of a file since its last sync is
//! kept whole, so this is for workloads of at most some megabytes.

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

/// A file system as it is found: files (with their bytes) and directories (`None`) by their paths
/// below the root, which has none itself.
pub type Found = BTreeMap<String, Option<Bytes>>;

/// What a file system keeps in order (catalogue: "order across files", "directory operations").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// Nothing: any sector of any file as it was at any time since its last sync, any size that the
    /// file had, any changes of names, renames torn apart. What POSIX promises.
    Weakest,
    /// The same, but a rename happens whole or not at all.
    AtomicRenames,
    /// A journal as ext4's with `data=ordered`: names change in the order in which they were
    /// changed, a sync of anything takes all earlier changes of names along, and a file that grew
    /// has its bytes up to its size. Bytes that are overwritten in place may come in any order.
    Ext4Ordered,
    /// What the page cache has.
    EverythingDurable,
}

impl Order {
    /// All of them, the weakest first.
    pub const ALL: [Self; 4] =
        [Self::Weakest, Self::AtomicRenames, Self::Ext4Ordered, Self::EverythingDurable];
}

/// Writes a state into an empty directory of any disk. Nothing is synced.
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

/// Looks at everything in a directory of any disk.
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
