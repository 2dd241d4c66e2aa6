//! A small language of calls on a file system, and how to make them on any.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::io::{Disk, File, Map, Open};

/// An open file, by the order of opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileNo(pub u32);

/// A sync that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SyncNo(pub u32);

/// One call that succeeded. Paths are below a root, which is the empty path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A file was opened, and perhaps created.
    Open {
        /// Which.
        path: String,
        /// How.
        how: Open,
        /// What it is called from then on, whatever becomes of its name.
        file: FileNo,
    },
    /// Bytes were written.
    Write {
        /// Where to.
        file: FileNo,
        /// First byte.
        offset: u64,
        /// What.
        bytes: Bytes,
    },
    /// Bytes were stored into a map of the whole file.
    Store {
        /// Where to.
        file: FileNo,
        /// First byte.
        offset: u64,
        /// What.
        bytes: Bytes,
    },
    /// The file was cut, or extended by zeros.
    SetLen {
        /// Which.
        file: FileNo,
        /// Its size from then on.
        len: u64,
    },
    /// A sync of a file began: what was dirty then will be durable when it ends.
    BeginSync {
        /// Of which.
        file: FileNo,
        /// Its number.
        sync: SyncNo,
    },
    /// A sync of a directory began.
    BeginSyncDir {
        /// Of which.
        path: String,
        /// Its number.
        sync: SyncNo,
    },
    /// A sync ended well.
    EndSync {
        /// Which.
        sync: SyncNo,
    },
    /// A name was given to another file or directory.
    Rename {
        /// The old one.
        from: String,
        /// The new one.
        to: String,
    },
    /// The name of a file was removed.
    Remove {
        /// Which.
        path: String,
    },
    /// A directory and those above it were created where they were missing.
    CreateDir {
        /// Which.
        path: String,
    },
    /// An empty directory was removed.
    RemoveDir {
        /// Which.
        path: String,
    },
}

impl Step {
    /// Whether it changes nothing that a crash could show: a sync that only begins.
    pub fn only_begins(&self) -> bool {
        matches!(self, Self::BeginSync { .. } | Self::BeginSyncDir { .. })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { path, how, file } => write!(f, "open {path} ({how:?}) as {}", file.0),
            Self::Write { file, offset, bytes } => {
                write!(f, "write {} bytes at {offset} of {}", bytes.len(), file.0)
            }
            Self::Store { file, offset, bytes } => {
                write!(f, "store {} bytes at {offset} of {}", bytes.len(), file.0)
            }
            Self::SetLen { file, len } => write!(f, "set the size of {} to {len}", file.0),
            Self::BeginSync { file, sync } => write!(f, "begin sync {} of {}", sync.0, file.0),
            Self::BeginSyncDir { path, sync } => write!(f, "begin sync {} of /{path}", sync.0),
            Self::EndSync { sync } => write!(f, "end sync {}", sync.0),
            Self::Rename { from, to } => write!(f, "rename {from} to {to}"),
            Self::Remove { path } => write!(f, "remove {path}"),
            Self::CreateDir { path } => write!(f, "create directory {path}"),
            Self::RemoveDir { path } => write!(f, "remove directory {path}"),
        }
    }
}

enum Syncing {
    File(FileNo),
    Dir(String),
}

/// Makes recorded calls on a disk, in a directory of it.
pub struct Player<D: Disk> {
    disk: D,
    root: PathBuf,
    files: BTreeMap<FileNo, D::File>,
    syncs: BTreeMap<SyncNo, Syncing>,
}

impl<D: Disk> Player<D> {
    /// In `root`, which exists.
    pub fn new(disk: D, root: impl Into<PathBuf>) -> Self {
        Self { disk, root: root.into(), files: BTreeMap::new(), syncs: BTreeMap::new() }
    }

    fn path(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.root.clone() } else { self.root.join(Path::new(path)) }
    }

    fn file(&self, file: FileNo) -> io::Result<&D::File> {
        self.files.get(&file).ok_or_else(|| {
            io::Error::other(format!("no file is open as {}: steps are missing", file.0))
        })
    }

    /// Makes one call. A sync is made where the recorded one ended, so that it covers at least what
    /// that one did.
    pub async fn perform(&mut self, step: &Step) -> io::Result<()> {
        match step {
            Step::Open { path, how, file } => {
                let open = self.disk.open(&self.path(path), *how)?;
                self.files.insert(*file, open);
                Ok(())
            }
            Step::Write { file, offset, bytes } => self.file(*file)?.write_at(bytes, *offset),
            Step::Store { file, offset, bytes } => {
                let file = self.file(*file)?;
                self.disk.map(file, file.len()?)?.write(*offset, bytes)
            }
            Step::SetLen { file, len } => self.file(*file)?.set_len(*len),
            Step::BeginSync { file, sync } => {
                self.syncs.insert(*sync, Syncing::File(*file));
                Ok(())
            }
            Step::BeginSyncDir { path, sync } => {
                self.syncs.insert(*sync, Syncing::Dir(path.clone()));
                Ok(())
            }
            Step::EndSync { sync } => match self.syncs.remove(sync) {
                Some(Syncing::File(file)) => self.file(file)?.sync().await,
                Some(Syncing::Dir(path)) => self.disk.sync_dir(&self.path(&path)).await,
                None => Err(io::Error::other(format!("no sync {} has begun", sync.0))),
            },
            Step::Rename { from, to } => self.disk.rename(&self.path(from), &self.path(to)),
            Step::Remove { path } => self.disk.remove(&self.path(path)),
            Step::CreateDir { path } => self.disk.create_dir_all(&self.path(path)),
            Step::RemoveDir { path } => self.disk.remove_dir(&self.path(path)),
        }
    }
}
