//! Recorded file system calls, and how to repeat them on any disk.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::io::{Disk, File, Map, Open};

/// An open file, numbered in the order of opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileNo(pub u32);

/// A sync that has begun, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SyncNo(pub u32);

/// One call that succeeded. Paths are below a root, which is the empty path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A file was opened, and perhaps created.
    Open {
        path: String,
        how: Open,
        /// Its number from then on, even if its name changes.
        file: FileNo,
    },
    /// Bytes were written.
    Write { file: FileNo, offset: u64, bytes: Bytes },
    /// Bytes were stored into a map of the whole file.
    Store { file: FileNo, offset: u64, bytes: Bytes },
    /// The file was truncated, or extended by zeros.
    SetLen { file: FileNo, len: u64 },
    /// A sync of a file began: data that is dirty now is durable when it ends.
    BeginSync { file: FileNo, sync: SyncNo },
    /// A sync of a directory began.
    BeginSyncDir { path: String, sync: SyncNo },
    /// A sync succeeded.
    EndSync { sync: SyncNo },
    /// A name was given to another file or directory.
    Rename { from: String, to: String },
    /// The name of a file was removed.
    Remove { path: String },
    /// A directory and those above it were created where they were missing.
    CreateDir { path: String },
    /// An empty directory was removed.
    RemoveDir { path: String },
}

impl Step {
    /// Whether the step cannot change what a crash leaves: the beginning of a sync.
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

/// Repeats recorded calls in a directory of a disk.
pub struct Player<D: Disk> {
    disk: D,
    root: PathBuf,
    files: BTreeMap<FileNo, D::File>,
    syncs: BTreeMap<SyncNo, Syncing>,
}

impl<D: Disk> Player<D> {
    /// A player in `root`, which must exist.
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

    /// Makes one call. A sync runs where the recorded one ended, so that it covers at least as
    /// much.
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
