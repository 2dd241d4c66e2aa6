//! A mapped file of the kernel.

use std::fs;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use memmap2::{Advice, MmapMut, MmapOptions};
use parking_lot::RwLock;
use rustix::io::Errno;

use super::blocking::blocking;
use crate::io::Map;

/// The smallest page there is: how much of a sparse file is given blocks at a time.
const PAGE: u64 = 4096;

/// A mapped file. It holds no descriptor: a broker has two maps for each partition, and is allowed
/// far more maps than open files.
pub struct RealMap {
    /// Shared with a flush, which runs on another thread; only a store needs it alone.
    map: Arc<RwLock<MmapMut>>,
    len: u64,
    /// Pages that have blocks on disk, as far as is known. A store into a hole of a full disk would
    /// end the process with SIGBUS; asking for the pages first turns that into an error.
    backed: Range<u64>,
}

impl RealMap {
    pub(super) fn new(file: &fs::File, len: u64) -> io::Result<Self> {
        let size = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        if file.metadata()?.len() < len {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("can't map {len} bytes of a shorter file"),
            ));
        }
        // SAFETY: a map is only unsound where the file shrinks under it or another process changes
        // it. The directory is locked against other processes, and the log drops a file's map
        // before it cuts the file.
        #[allow(unsafe_code)]
        let map = unsafe { MmapOptions::new().len(size).map_mut(file)? };
        Ok(Self { map: Arc::new(RwLock::new(map)), len, backed: 0..0 })
    }

    /// Makes sure of the pages of a store. Source: `MADV_POPULATE_WRITE` in madvise(2).
    fn back(&mut self, store: Range<u64>) -> io::Result<()> {
        let known = self.backed.contains(&store.start) || self.backed.end == store.start;
        if known && store.end <= self.backed.end {
            return Ok(());
        }
        let from = if known { self.backed.end } else { store.start / PAGE * PAGE };
        let until = store.end.next_multiple_of(PAGE).min(self.len);
        let len = (until - from) as usize;
        let asked = self.map.read().advise_range(Advice::PopulateWrite, from as usize, len);
        match asked.as_ref().map_err(Errno::from_io_error) {
            // Kernels before 5.14 can't be asked; there the risk stays.
            Ok(()) | Err(Some(Errno::INVAL)) => {}
            // What would have been a SIGBUS.
            Err(Some(Errno::FAULT)) => return Err(io::ErrorKind::StorageFull.into()),
            Err(_) => return asked,
        }
        self.backed = if known { self.backed.start } else { from }..until;
        Ok(())
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
        self.back(offset..end)?;
        let start = usize::try_from(offset).expect("inside the map");
        self.map.write()[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    async fn flush(&self) -> io::Result<()> {
        // On Linux an msync of a whole map is a sync of its file, size and blocks included: both
        // are `vfs_fsync_range`.
        let map = self.map.clone();
        blocking(move || map.read().flush()).await
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::io::real::RealDisk;
    use crate::io::{Disk, File, Open};

    /// Descriptors of this process on files below a directory.
    #[allow(clippy::disallowed_methods, reason = "what the kernel says is what is tested")]
    fn open_below(dir: &std::path::Path) -> usize {
        let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
        let files = descriptors.filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok());
        files.filter(|file| file.starts_with(dir)).count()
    }

    #[test]
    fn map_outlives_its_file_and_holds_no_descriptor() {
        let dir = tempfile::tempdir().unwrap();
        let file = RealDisk.open(&dir.path().join("index"), Open::New).unwrap();
        file.set_len(8192).unwrap();
        let mut map = RealDisk.map(&file, 8192).unwrap();
        assert_eq!(open_below(dir.path()), 1);
        drop(file);
        assert_eq!(open_below(dir.path()), 0);
        map.write(5000, b"still there").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(map.flush()).unwrap();
        let file = RealDisk.open(&dir.path().join("index"), Open::Existing).unwrap();
        let mut read = [0; 11];
        file.read_exact_at(&mut read, 5000).unwrap();
        assert_eq!(&read, b"still there");
    }

    /// A file system of 64 KiB, gone when the value is dropped. Only root may have one.
    struct Small(tempfile::TempDir);

    impl Small {
        fn new() -> Option<Self> {
            let dir = tempfile::tempdir().unwrap();
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(dir.path());
            let mounted = mount.output().is_ok_and(|output| output.status.success());
            mounted.then_some(Self(dir))
        }
    }

    impl Drop for Small {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
        }
    }

    #[test]
    fn store_into_a_hole_of_a_full_disk_is_an_error() {
        let Some(small) = Small::new() else {
            return eprintln!("no disk is filled: only root may mount one");
        };
        let file = RealDisk.open(&small.0.path().join("index"), Open::New).unwrap();
        file.set_len(1 << 20).unwrap();
        let mut map = RealDisk.map(&file, 1 << 20).unwrap();
        let stored = (0..256).take_while(|page| map.write(page * 4096, b"entry").is_ok()).count();
        assert!((1..=16).contains(&stored), "{stored} pages of a disk of 16");
        let refused = map.write(stored as u64 * 4096, b"entry").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
        map.write(0, b"what has its page is not refused").unwrap();
    }
}
