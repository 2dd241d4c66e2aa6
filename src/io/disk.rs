//! Files as one host sees them.
//!
//! Calls are synchronous, as the page cache is. What they cost in simulated time is a debt that the
//! caller pays by awaiting [`Disk::settle`]. Only a sync is awaited: it is the one call that waits
//! for the device. Nothing is durable before a sync: neither bytes nor sizes ([`File::sync`]),
//! nor the names of files that were created, renamed or removed ([`Disk::sync_dir`]).

use std::future::Future;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

/// How to open a file. Every mode reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// It must exist (`NotFound`).
    Existing,
    /// It is created, empty, if it does not exist.
    OrCreate,
    /// It must not exist (`AlreadyExists`).
    New,
}

/// What came of asking for a lock.
#[derive(Clone, Debug)]
pub enum Lock<F> {
    /// It lasts until the last handle of this file is dropped, or the process ends.
    Held(F),
    /// Another process holds it: its id, where that is known.
    Taken(Option<u32>),
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Without its directory.
    pub name: String,
    /// Whether it is a directory itself.
    pub is_dir: bool,
}

/// The file system of one host. Paths are as in POSIX; relative ones are relative to nothing in a
/// simulation, so code uses what its configuration gave it.
pub trait Disk: Clone + Send + Sync + 'static {
    /// An open file.
    type File: File;
    /// A mapped file.
    type Map: Map;

    /// Opens a file for reading and writing.
    fn open(&self, path: &Path, how: Open) -> io::Result<Self::File>;

    /// Creates a file if it is missing, locks it against other processes (`flock`) and stores the id
    /// of this process in it. Does not wait for a lock that is taken.
    fn lock(&self, path: &Path) -> io::Result<Lock<Self::File>>;

    /// Maps the first `len` bytes of an open file, which must be at least that long.
    fn map(&self, file: &Self::File, len: u64) -> io::Result<Self::Map>;

    /// The names in a directory, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;

    /// Whether there is a file or directory of this name.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Creates a directory and those above it that are missing.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Renames a file or directory, replacing a file (or an empty directory) of the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Handles and maps that are open keep their content.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> impl Future<Output = io::Result<()>> + Send + 'static;

    /// Waits for as long as the calls since the last settling took. At once in the real world,
    /// where they took their time already.
    fn settle(&self) -> impl Future<Output = ()> + Send;
}

/// An open file. A clone is another handle on the same open file.
pub trait File: Clone + Send + Sync + 'static {
    /// Its size in bytes, as the page cache has it.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads at `offset`; fewer bytes than asked only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Reads exactly `buffer.len()` bytes, or fails with `UnexpectedEof`.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if self.read_at(buffer, offset)? == buffer.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    /// Writes all of `bytes` at `offset` into the page cache. After an error, any part of them may
    /// have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file, or extends it by zeros that take no space.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes bytes and size durable. After an error it is unknown what is durable, and a second
    /// try proves nothing ("fsyncgate", ATC'20).
    fn sync(&self) -> impl Future<Output = io::Result<()>> + Send + 'static;

    /// The descriptor, where a kernel holds the file: what `sendfile` needs.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// A mapped file. Stores are explicit, never through a reference, so that a simulated page cache
/// sees which page became dirty.
pub trait Map: Send + Sync + 'static {
    /// Bytes mapped.
    fn len(&self) -> u64;

    /// Whether nothing is mapped.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies bytes out.
    ///
    /// # Panics
    /// When the range is not inside the map.
    fn read(&self, offset: u64, buffer: &mut [u8]);

    /// Stores bytes. They are durable only after `flush`, and survive a process crash before.
    /// Fails with `StorageFull` when a hole of a sparse file can't be filled.
    ///
    /// # Panics
    /// When the range is not inside the map.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes all stores durable (`msync`).
    fn flush(&self) -> impl Future<Output = io::Result<()>> + Send;
}

/// A range of a file: what a fetch answers with.
#[derive(Clone, Debug)]
pub struct Slice<F> {
    pub file: F,
    /// First byte.
    pub offset: u64,
    /// Bytes; the file is at least that long.
    pub len: u64,
}
