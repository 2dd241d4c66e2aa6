//! The kernel's flusher: old dirty pages reach the platter without a sync.
//!
//! It works file by file, like Linux: a file is due when it has been dirty for `expire`, and is
//! then written whole. Whether its size follows, and whether names do, is drawn. Nothing runs
//! between operations, so the flusher catches up before the next one.

use rand::RngExt;

use super::Failing;
use super::state::{Op, State};
use super::tree::Ino;

impl State {
    /// Does what the flusher would have done until now.
    pub fn write_back(&mut self) {
        let Some(settings) = &self.profile.writeback else { return };
        let now = self.now();
        if now < self.flusher_wakes {
            return;
        }
        let (expire, write_page) = (settings.expire, self.profile.write_page);
        self.flusher_wakes = now + settings.interval;
        let due = self.unsynced.iter().filter(|(_, since)| **since + expire <= now);
        let due: Vec<Ino> = due.map(|(ino, _)| *ino).collect();
        if self.flusher.random_bool(0.5) {
            let names = self.tree.waiting();
            self.tree.finish_sync(&names);
        }
        for ino in due {
            let with_size = self.flusher.random_bool(0.5);
            let fails = self.fails(Failing::WriteBack, ino);
            let Some(file) = self.tree.file_mut(ino) else { continue };
            let pages = if fails {
                file.fail_write_back()
            } else if with_size {
                let snapshot = file.begin_sync();
                let pages = snapshot.pages();
                file.finish_sync(snapshot);
                pages
            } else {
                file.write_back()
            };
            self.device_busy_until = self.device_busy_until.max(now)
                + write_page * u32::try_from(pages).unwrap_or(u32::MAX);
            self.stats.written_back += pages;
            self.trace(Op::WroteBack, ino, [pages, u64::from(with_size)], &[]);
            self.synced(ino);
        }
    }
}
