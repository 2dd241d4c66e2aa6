//! The `.lock` of a data directory: one process at a time uses it.
//!
//! Source: Kafka's `LogManager.lockLogDirs`.

use std::path::Path;

use super::{DirError, LogError};
use crate::io::{Disk, Lock};

const LOCK: &str = ".lock";

/// A locked data directory, until this is dropped or the process ends.
#[derive(Debug)]
pub struct DirLock<D: Disk> {
    _file: D::File,
}

impl<D: Disk> DirLock<D> {
    /// Locks a directory, which is created if it is missing.
    pub async fn take(disk: &D, dir: &Path) -> Result<Self, DirError> {
        create(disk, dir).await?;
        let path = dir.join(LOCK);
        match disk.lock(&path).map_err(LogError::io("lock", &path))? {
            Lock::Held(file) => Ok(Self { _file: file }),
            Lock::Taken(process) => Err(DirError::Locked { path: dir.to_owned(), process }),
        }
    }
}

/// Creates a directory and those above it that are missing, and makes their names durable.
pub(super) async fn create<D: Disk>(disk: &D, path: &Path) -> Result<(), LogError> {
    let mut missing = Vec::new();
    for above in path.ancestors().filter(|above| above.file_name().is_some()) {
        if disk.exists(above).map_err(LogError::io("look for", above))? {
            break;
        }
        missing.push(above);
    }
    if missing.is_empty() {
        return Ok(());
    }
    disk.create_dir_all(path).map_err(LogError::io("create", path))?;
    for created in missing.into_iter().rev() {
        // What is above the first name of a relative path has no name in it.
        let parent = created.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        disk.sync_dir(parent).await.map_err(LogError::io("sync", parent))?;
    }
    Ok(())
}
