//! A disk in memory without cache, costs and crashes: thousands of damaged directories per second.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use brokerquake::io::{Disk, Entry, File, Lock, Map, Open};

type Content = Arc<Mutex<Vec<u8>>>;

#[derive(Default)]
struct Tree {
    files: BTreeMap<PathBuf, Content>,
    dirs: BTreeSet<PathBuf>,
}

/// A file system in memory. A clone is another handle on it.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Tree>>);

/// An open file, or a mapped one.
#[derive(Clone)]
pub struct MemoryFile {
    content: Content,
    mapped: usize,
}

impl MemoryDisk {
    /// A disk with these files and their directories.
    pub fn with(files: &BTreeMap<PathBuf, Vec<u8>>) -> Self {
        let disk = Self::default();
        for (path, bytes) in files {
            disk.put(path, bytes.clone());
        }
        disk
    }

    /// Writes a whole file.
    pub fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut tree = self.0.lock().unwrap();
        tree.dirs.extend(path.ancestors().skip(1).map(Path::to_owned));
        tree.files.insert(path.to_owned(), Arc::new(Mutex::new(bytes)));
    }

    /// Every file with its content.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let tree = self.0.lock().unwrap();
        let files = tree.files.iter();
        files.map(|(path, content)| (path.clone(), content.lock().unwrap().clone())).collect()
    }

    /// Opens a file for reading; never creates it.
    pub fn look(&self, path: &Path) -> io::Result<MemoryFile> {
        self.open(path, Open::Existing)
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for MemoryDisk {
    type File = MemoryFile;
    type Map = MemoryFile;

    fn open(&self, path: &Path, how: Open) -> io::Result<MemoryFile> {
        let mut tree = self.0.lock().unwrap();
        let there = tree.files.get(path).cloned();
        let content = match (there, how) {
            (Some(_), Open::New) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(content), _) => content,
            (None, Open::Existing) => return Err(missing()),
            (None, _) => {
                let parent = path.parent().ok_or_else(missing)?;
                if !tree.dirs.contains(parent) {
                    return Err(missing());
                }
                tree.files.entry(path.to_owned()).or_default().clone()
            }
        };
        Ok(MemoryFile { content, mapped: 0 })
    }

    /// There is no other process.
    fn lock(&self, path: &Path) -> io::Result<Lock<MemoryFile>> {
        self.open(path, Open::OrCreate).map(Lock::Held)
    }

    fn map(&self, file: &MemoryFile, len: u64) -> io::Result<MemoryFile> {
        if File::len(file)? < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(MemoryFile { content: file.content.clone(), mapped: len as usize })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let tree = self.0.lock().unwrap();
        if !tree.dirs.contains(dir) {
            return Err(missing());
        }
        let entry = |path: &PathBuf, is_dir| {
            let name = path.file_name()?.to_str()?.to_owned();
            (path.parent() == Some(dir)).then_some(Entry { name, is_dir })
        };
        let files = tree.files.keys().filter_map(|path| entry(path, false));
        let mut found: Vec<_> =
            files.chain(tree.dirs.iter().filter_map(|path| entry(path, true))).collect();
        found.sort();
        Ok(found)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let tree = self.0.lock().unwrap();
        Ok(tree.files.contains_key(path) || tree.dirs.contains(path))
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.0.lock().unwrap().dirs.extend(dir.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut tree = self.0.lock().unwrap();
        let content = tree.files.remove(from).ok_or_else(missing)?;
        tree.files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.lock().unwrap().files.remove(path).map(drop).ok_or_else(missing)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let removed = self.0.lock().unwrap().dirs.remove(dir);
        removed.then_some(()).ok_or_else(missing)
    }

    fn sync_dir(&self, _dir: &Path) -> impl Future<Output = io::Result<()>> + Send + 'static {
        std::future::ready(Ok(()))
    }

    async fn settle(&self) {}
}

impl File for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.content.lock().unwrap().len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.content.lock().unwrap();
        let from = content.len().min(usize::try_from(offset).unwrap_or(usize::MAX));
        let read = buffer.len().min(content.len() - from);
        buffer[..read].copy_from_slice(&content[from..from + read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut content = self.content.lock().unwrap();
        let from = offset as usize;
        let end = content.len().max(from + bytes.len());
        content.resize(end, 0);
        content[from..from + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.content.lock().unwrap().resize(len as usize, 0);
        Ok(())
    }

    fn sync(&self) -> impl Future<Output = io::Result<()>> + Send + 'static {
        std::future::ready(Ok(()))
    }
}

impl Map for MemoryFile {
    fn len(&self) -> u64 {
        self.mapped as u64
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) {
        let from = usize::try_from(offset).expect("inside the map");
        let content = self.content.lock().unwrap();
        // A read beyond a file that shrank under its map would be a SIGBUS.
        buffer.copy_from_slice(&content[..self.mapped][from..from + buffer.len()]);
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let from = usize::try_from(offset).expect("inside the map");
        let mut content = self.content.lock().unwrap();
        content[..self.mapped][from..from + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    async fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}
