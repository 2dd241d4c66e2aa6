//! Files of whichever world it is.

use std::future::Future;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use crate::io::real::{RealDisk, RealFile, RealMap};
use crate::io::{Disk, Entry, File, Lock, Map, Open};
use crate::sim::disk::{SimDisk, SimFile, SimMap};

/// The file system of one host.
#[derive(Clone)]
pub struct AnyDisk(Holds);

#[derive(Clone)]
enum Holds {
    Sim(SimDisk),
    Real(RealDisk),
}

/// An open file.
#[derive(Clone)]
pub struct AnyFile(Opened);

#[derive(Clone)]
enum Opened {
    Sim(SimFile),
    Real(RealFile),
}

/// A mapped file.
pub struct AnyMap(Mapped);

enum Mapped {
    Sim(SimMap),
    Real(RealMap),
}

/// One of two futures. Each began when it was made: a sync is about what was dirty then.
enum Either<S, R> {
    Sim(S),
    Real(R),
}

impl<S: Future<Output = io::Result<()>>, R: Future<Output = io::Result<()>>> Either<S, R> {
    async fn wait(self) -> io::Result<()> {
        match self {
            Self::Sim(future) => future.await,
            Self::Real(future) => future.await,
        }
    }
}

/// The same call of whichever disk it is.
macro_rules! disk {
    ($this:expr, $disk:ident => $does:expr) => {
        match &$this.0 {
            Holds::Sim($disk) => $does,
            Holds::Real($disk) => $does,
        }
    };
}

impl AnyDisk {
    pub(super) fn of_simulation(disk: &SimDisk) -> Self {
        Self(Holds::Sim(disk.clone()))
    }

    pub(super) fn of_reality(disk: &RealDisk) -> Self {
        Self(Holds::Real(*disk))
    }
}

impl Disk for AnyDisk {
    type File = AnyFile;
    type Map = AnyMap;

    fn open(&self, path: &Path, how: Open) -> io::Result<AnyFile> {
        Ok(AnyFile(match &self.0 {
            Holds::Sim(disk) => Opened::Sim(disk.open(path, how)?),
            Holds::Real(disk) => Opened::Real(disk.open(path, how)?),
        }))
    }

    fn lock(&self, path: &Path) -> io::Result<Lock<AnyFile>> {
        fn any<F>(lock: Lock<F>, opened: impl FnOnce(F) -> Opened) -> Lock<AnyFile> {
            match lock {
                Lock::Held(file) => Lock::Held(AnyFile(opened(file))),
                Lock::Taken(by) => Lock::Taken(by),
            }
        }
        Ok(match &self.0 {
            Holds::Sim(disk) => any(disk.lock(path)?, Opened::Sim),
            Holds::Real(disk) => any(disk.lock(path)?, Opened::Real),
        })
    }

    fn map(&self, file: &AnyFile, len: u64) -> io::Result<AnyMap> {
        Ok(AnyMap(match (&self.0, &file.0) {
            (Holds::Sim(disk), Opened::Sim(file)) => Mapped::Sim(disk.map(file, len)?),
            (Holds::Real(disk), Opened::Real(file)) => Mapped::Real(disk.map(file, len)?),
            _ => return Err(io::Error::other("the file is of another world's disk")),
        }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        disk!(self, disk => disk.list(dir))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        disk!(self, disk => disk.exists(path))
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        disk!(self, disk => disk.create_dir_all(dir))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        disk!(self, disk => disk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        disk!(self, disk => disk.remove(path))
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        disk!(self, disk => disk.remove_dir(dir))
    }

    fn sync_dir(&self, dir: &Path) -> impl Future<Output = io::Result<()>> + Send + 'static {
        match &self.0 {
            Holds::Sim(disk) => Either::Sim(disk.sync_dir(dir)),
            Holds::Real(disk) => Either::Real(disk.sync_dir(dir)),
        }
        .wait()
    }

    async fn settle(&self) {
        disk!(self, disk => disk.settle().await);
    }
}

/// The same call of whichever file it is.
macro_rules! file {
    ($this:expr, $file:ident => $does:expr) => {
        match &$this.0 {
            Opened::Sim($file) => $does,
            Opened::Real($file) => $does,
        }
    };
}

impl File for AnyFile {
    fn len(&self) -> io::Result<u64> {
        file!(self, file => file.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        file!(self, file => file.read_at(buffer, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        file!(self, file => file.write_at(bytes, offset))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        file!(self, file => file.set_len(len))
    }

    fn sync(&self) -> impl Future<Output = io::Result<()>> + Send + 'static {
        match &self.0 {
            Opened::Sim(file) => Either::Sim(file.sync()),
            Opened::Real(file) => Either::Real(file.sync()),
        }
        .wait()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        file!(self, file => file.descriptor())
    }
}

impl Map for AnyMap {
    fn len(&self) -> u64 {
        match &self.0 {
            Mapped::Sim(map) => map.len(),
            Mapped::Real(map) => map.len(),
        }
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) {
        match &self.0 {
            Mapped::Sim(map) => map.read(offset, buffer),
            Mapped::Real(map) => map.read(offset, buffer),
        }
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match &mut self.0 {
            Mapped::Sim(map) => map.write(offset, bytes),
            Mapped::Real(map) => map.write(offset, bytes),
        }
    }

    async fn flush(&self) -> io::Result<()> {
        match &self.0 {
            Mapped::Sim(map) => map.flush().await,
            Mapped::Real(map) => map.flush().await,
        }
    }
}
