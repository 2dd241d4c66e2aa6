//! Another disk in the place of this one, or in the place of one of its directories.

use std::path::Path;
use std::sync::Arc;

use super::SimDisk;
use super::cache::Lru;
use super::state::{Op, State};
use super::tree::{Found, Ino, ROOT, Tree};
use crate::sim::What;

impl SimDisk {
    /// Replaces the disk, or what is mounted at `dir`, by an empty one. No process may be running.
    /// Emits `Replaced`, and then a `Removed` for each observed file.
    pub fn replace(&self, dir: Option<&str>) {
        self.state.lock().replace(dir);
    }
}

impl State {
    fn replace(&mut self, dir: Option<&str>) {
        let at = dir.map_or(Ok(ROOT), |dir| self.tree.resolve(Path::new(dir), false));
        let Ok(at) = at else { return };
        let within = Path::new(dir.unwrap_or("/"));
        let files = self.tree.files();
        let gone =
            files.iter().filter(|(path, _)| self.tree.is_within(Path::new(&***path), within));
        let gone: Vec<(Arc<str>, Ino)> = gone.map(|(path, ino)| (path.clone(), *ino)).collect();
        let observed: Vec<Arc<str>> =
            gone.iter().filter_map(|(_, ino)| self.log_path(*ino)).collect();
        self.write_back();
        for (_, ino) in &gone {
            self.unsynced.remove(ino);
            self.wounded.remove(ino);
        }
        if dir.is_none() {
            self.tree = std::mem::replace(&mut self.tree, Tree::new()).successor();
            self.lru = Lru::default();
            self.failing.clear();
            // Handles of the former disk are void.
            self.losses += 1;
        } else {
            self.empty(at);
        }
        let path = dir.unwrap_or("/");
        self.trace(Op::Replaced, at, [gone.len() as u64, 0], path.as_bytes());
        self.see(What::Replaced { files: observed.clone().into() });
        observed.into_iter().for_each(|path| self.see(What::Removed { path }));
    }

    /// Removes everything from a directory, durably.
    fn empty(&mut self, dir: Ino) {
        let names = self.tree.names(dir, false).cloned().unwrap_or_default();
        for (name, ino) in names {
            self.empty(ino);
            self.tree.remove(&Found { dir, name, ino: Some(ino) });
        }
        if self.tree.is_dir(dir) {
            let changes = self.tree.begin_sync(dir);
            self.tree.finish_sync(&changes);
        }
    }
}
