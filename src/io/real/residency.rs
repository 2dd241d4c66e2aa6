//! Which bytes of a file the kernel holds in memory: cachestat(2), which Linux has since 6.5.

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The same on every architecture that has joint numbers. Source: the kernel's `syscall.tbl`.
const CACHESTAT: libc::c_long = 451;

/// `struct cachestat_range`.
#[repr(C)]
struct Asked {
    offset: u64,
    len: u64,
}

/// `struct cachestat`, in pages.
#[repr(C)]
#[derive(Default)]
struct Told {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// Whether all of a range of a file is in the page cache.
///
/// # Errors
/// An older kernel does not know the call (`ENOSYS`), and some file systems have no page cache.
pub(super) fn is_resident(file: BorrowedFd<'_>, range: Range<u64>) -> io::Result<bool> {
    if range.is_empty() {
        return Ok(true);
    }
    let page = rustix::param::page_size() as u64;
    let asked = Asked { offset: range.start, len: range.end - range.start };
    let mut told = Told::default();
    let pages = range.end.div_ceil(page) - range.start / page;
    // SAFETY: both structures are the kernel's, live until the call returns, and are not kept by it.
    #[allow(unsafe_code)]
    let answer = unsafe {
        libc::syscall(CACHESTAT, file.as_raw_fd(), &raw const asked, &raw mut told, 0u32)
    };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(told.cached >= pages)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::fs::Advice;

    use super::*;

    #[test]
    fn what_the_kernel_dropped_is_told_from_what_it_holds() {
        let file = tempfile::tempfile().unwrap();
        let bytes = vec![7; 64 << 10];
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
        file.sync_all().unwrap();
        let resident = |range| match is_resident(file.as_fd(), range) {
            // An older kernel: nothing to be told apart.
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => None,
            answer => Some(answer.unwrap()),
        };
        let Some(written) = resident(0..64 << 10) else { return };
        assert!(written, "just written");
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        // A file system that lives in memory has nothing to drop it to.
        if resident(0..64 << 10) == Some(true) {
            return;
        }
        let mut byte = [0];
        rustix::fs::fadvise(&file, 0, None, Advice::Random).unwrap();
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut byte, 40 << 10).unwrap();
        assert_eq!(resident(40 << 10..41 << 10), Some(true));
        assert_eq!(resident(0..64 << 10), Some(false));
    }
}
