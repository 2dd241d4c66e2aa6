//! A mapped file of the kernel.

use std::io;
use std::sync::Arc;

use memmap2::{MmapMut, MmapOptions};
use parking_lot::RwLock;
use rustix::fs::{FallocateFlags, fallocate};

use super::RealFile;
use super::disk::blocking;
use crate::io::Map;

/// How much of a sparse file is given blocks at a time.
const ALLOCATION: u64 = 64 * 1024;

/// A mapped file.
pub struct RealMap {
    file: RealFile,
    /// Shared with a flush, which runs on another thread; only a store needs it alone.
    map: Arc<RwLock<MmapMut>>,
    len: u64,
    /// Below this offset every page has blocks on disk. A store into a hole of a full disk would
    /// end the process with SIGBUS; asking for the blocks first turns that into an error.
    allocated: u64,
}

impl RealMap {
    pub(super) fn new(file: &RealFile, len: u64) -> io::Result<Self> {
        let size = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        if file.0.metadata()?.len() < len {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("can't map {len} bytes of a shorter file"),
            ));
        }
        // SAFETY: a map is only unsound where the file shrinks under it or another process changes
        // it. The directory is locked against other processes, and the log drops a file's map
        // before it cuts the file.
        #[allow(unsafe_code)]
        let map = unsafe { MmapOptions::new().len(size).map_mut(&*file.0)? };
        Ok(Self { file: file.clone(), map: Arc::new(RwLock::new(map)), len, allocated: 0 })
    }

    fn allocate(&mut self, end: u64) -> io::Result<()> {
        if end <= self.allocated {
            return Ok(());
        }
        let until = end.next_multiple_of(ALLOCATION).min(self.len);
        let from = self.allocated;
        match fallocate(&*self.file.0, FallocateFlags::KEEP_SIZE, from, until - from) {
            // Some file systems can't be asked; there the risk stays.
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                self.allocated = until;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Map for RealMap {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) {
        let start = usize::try_from(offset).expect("inside the map");
        buffer.copy_from_slice(&self.map.read()[start..start + buffer.len()]);
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset + bytes.len() as u64;
        assert!(end <= self.len, "a store at {offset} of {} bytes ends outside", bytes.len());
        self.allocate(end)?;
        let start = usize::try_from(offset).expect("inside the map");
        self.map.write()[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    async fn flush(&self) -> io::Result<()> {
        // msync writes the pages back; the size and the block map need the file's own sync.
        let (map, file) = (self.map.clone(), self.file.clone());
        blocking(move || {
            map.read().flush()?;
            file.0.sync_data()
        })
        .await
    }
}
