//! Bytes that a thread has read from files, by the kernel's account: a simulated program reads none.

use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Larger than the kernel's account of a thread.
const ACCOUNT: usize = 512;

thread_local! {
    /// The account of this thread; `None` where the kernel keeps none.
    static FILE: RefCell<Option<Option<File>>> = const { RefCell::new(None) };
}

/// A moment in the reads of a thread.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// Bytes read before.
    rchar: u64,
    /// Bytes that reading the account itself takes.
    own: u64,
}

impl Mark {
    /// This moment of this thread; `None` where the kernel keeps no account of it.
    pub fn now() -> Option<Self> {
        FILE.with_borrow_mut(|file| {
            let file = file.get_or_insert_with(|| File::open("/proc/thread-self/io").ok());
            let mut account = [0; ACCOUNT];
            let own = file.as_ref()?.read_at(&mut account, 0).ok()?;
            let text = std::str::from_utf8(account.get(..own)?).ok()?;
            let rchar = text.lines().find_map(|line| line.strip_prefix("rchar: "))?;
            Some(Self { rchar: rchar.trim().parse().ok()?, own: u64::try_from(own).ok()? })
        })
    }

    /// Bytes that this thread has read since.
    pub fn read_until(self, later: Self) -> u64 {
        later.rchar.saturating_sub(self.rchar + self.own)
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
}
