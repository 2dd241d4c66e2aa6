//! The kernel's files.

use std::fs::{self, OpenOptions};
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, fcntl_lock, flock};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, fcntl_getlk};

use super::RealMap;
use super::blocking::blocking;
use crate::io::{Disk, Entry, File, Lock, Open};

/// The file system of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

/// An open file.
#[derive(Clone, Debug)]
pub struct RealFile(pub(super) Arc<fs::File>);

impl RealFile {
    /// Opens a file that is only looked at: it may belong to another user, or to a running broker.
    /// Writes are refused (`EBADF`).
    pub fn open_to_read(path: &Path) -> io::Result<Self> {
        fs::File::open(path).map(|file| Self(Arc::new(file)))
    }
}

impl Disk for RealDisk {
    type File = RealFile;
    type Map = RealMap;

    fn open(&self, path: &Path, how: Open) -> io::Result<RealFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        match how {
            Open::Existing => {}
            Open::OrCreate => {
                options.create(true).truncate(false);
            }
            Open::New => {
                options.create_new(true);
            }
        }
        Ok(RealFile(Arc::new(options.open(path)?)))
    }

    fn lock(&self, path: &Path) -> io::Result<Lock<RealFile>> {
        let file = self.open(path, Open::OrCreate)?;
        // Java locks with fcntl, which `flock` does not exclude.
        let operation = FlockOperation::NonBlockingLockExclusive;
        for locked in [flock(&file.0, operation), fcntl_lock(&file.0, operation)] {
            match locked {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK | Errno::ACCESS) => return Ok(Lock::Taken(holder(&file))),
                Err(error) => return Err(error.into()),
            }
        }
        file.set_len(0)?;
        file.write_at(format!("{}\n", std::process::id()).as_bytes(), 0)?;
        Ok(Lock::Held(file))
    }

    fn map(&self, file: &RealFile, len: u64) -> io::Result<RealMap> {
        RealMap::new(&file.0, len)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // A name that is not UTF-8 is not ours.
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(Entry { name, is_dir: entry.file_type()?.is_dir() });
            }
        }
        entries.sort();
        Ok(entries)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        fs::exists(path)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let dir: PathBuf = dir.to_owned();
        blocking(move || fs::File::open(dir)?.sync_all())
    }

    async fn settle(&self) {}
}

impl File for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.0.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let file = self.0.clone();
        // fdatasync makes the bytes and the size they need durable; times may stay behind.
        blocking(move || file.sync_data())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
}

/// The process that has locked a file: as the kernel knows it, or as the file says.
fn holder(file: &RealFile) -> Option<u32> {
    let asked = fcntl_getlk(&file.0, &Flock::from(FlockType::WriteLock));
    let known = asked.ok().flatten().and_then(|lock| lock.pid);
    known.map(|pid| pid.as_raw_nonzero().get().unsigned_abs()).or_else(|| {
        let mut text = [0; 16];
        let len = file.read_at(&mut text, 0).ok()?;
        str::from_utf8(text.get(..len)?).ok()?.trim_end().parse().ok()
    })
}
