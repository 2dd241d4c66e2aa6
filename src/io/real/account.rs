//! Bytes that a thread has read from files and written to them, by the kernel's account: a simulated
//! program does neither.

use std::cell::RefCell;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

/// Larger than the kernel's account of a thread.
const ACCOUNT: usize = 512;

thread_local! {
    /// The account of this thread; `None` where the kernel keeps none.
    static FILE: RefCell<Option<Option<File>>> = const { RefCell::new(None) };
}

/// Whether what is printed goes to a file: then prints can't be told from other writes.
static PRINTS_TO_FILE: OnceLock<bool> = OnceLock::new();

fn prints_to_file() -> bool {
    let is_file = |fd: BorrowedFd<'_>| {
        let file = fd.try_clone_to_owned().map(File::from);
        file.and_then(|file| file.metadata()).is_ok_and(|file| file.is_file())
    };
    *PRINTS_TO_FILE
        .get_or_init(|| is_file(std::io::stdout().as_fd()) || is_file(std::io::stderr().as_fd()))
}

/// A moment in the reads and writes of a thread.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// Bytes read before.
    rchar: u64,
    /// Bytes that reading the account itself takes.
    own: u64,
    /// Bytes written before, and those of them for a disk: pipes and terminals have none.
    wchar: u64,
    write_bytes: u64,
}

impl Mark {
    /// This moment of this thread; `None` where the kernel keeps no account of it.
    pub fn now() -> Option<Self> {
        FILE.with_borrow_mut(|file| {
            let file = file.get_or_insert_with(|| File::open("/proc/thread-self/io").ok());
            let mut account = [0; ACCOUNT];
            let own = file.as_ref()?.read_at(&mut account, 0).ok()?;
            let text = std::str::from_utf8(account.get(..own)?).ok()?;
            let count = |name| {
                let line = text.lines().find_map(|line| line.strip_prefix(name))?;
                line.trim_start_matches(':').trim().parse().ok()
            };
            Some(Self {
                rchar: count("rchar")?,
                own: u64::try_from(own).ok()?,
                wchar: count("wchar")?,
                write_bytes: count("write_bytes")?,
            })
        })
    }

    /// Bytes that this thread has read since.
    pub fn read_until(self, later: Self) -> u64 {
        later.rchar.saturating_sub(self.rchar + self.own)
    }

    /// Bytes that this thread has written since, if some of them went to files on a disk; 0 also where
    /// that is not known.
    pub fn written_until(self, later: Self) -> u64 {
        if later.write_bytes <= self.write_bytes || prints_to_file() {
            return 0;
        }
        later.wchar.saturating_sub(self.wchar)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_this_thread_alone_are_counted() {
        let Some(before) = Mark::now() else { return };
        let nothing = Mark::now().unwrap();
        assert_eq!(before.read_until(nothing), 0);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, [7; 100]).unwrap();
        let other = path.clone();
        std::thread::spawn(move || std::fs::read(other).unwrap()).join().unwrap();
        let before = Mark::now().unwrap();
        let buffer = &mut [0; 60];
        File::open(&path).unwrap().read_exact_at(buffer, 0).unwrap();
        assert_eq!(before.read_until(Mark::now().unwrap()), 60);
    }
    #[test]
    fn bytes_written_to_a_disk_are_counted_and_those_to_a_pipe_are_not() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let Some(before) = Mark::now() else { return };
        std::fs::write(dir.path().join("file"), [7; 100]).unwrap();
        let written = before.written_until(Mark::now().unwrap());
        assert_eq!(written, if prints_to_file() { 0 } else { 100 });
        let (_reader, mut writer) = std::io::pipe().unwrap();
        let before = Mark::now().unwrap();
        std::io::Write::write_all(&mut writer, b"hello").unwrap();
        assert_eq!(before.written_until(Mark::now().unwrap()), 0);
    }
}
