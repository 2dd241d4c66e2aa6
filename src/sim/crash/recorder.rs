//! A disk that records the calls made on it.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::step::{FileNo, Step, SyncNo};
use crate::io::{Disk, Entry, File, Lock, Map, Open};

#[derive(Debug, Default)]
struct Tape {
    steps: Vec<Step>,
    files: u32,
    syncs: u32,
}

/// Wraps another disk and records the calls that succeed below the root. A clone records into the
/// same list.
#[derive(Clone)]
pub struct Recorder<D: Disk> {
    disk: D,
    root: PathBuf,
    tape: Arc<Mutex<Tape>>,
}

impl<D: Disk> Recorder<D> {
    /// Records calls below `root`.
    pub fn new(disk: D, root: impl Into<PathBuf>) -> Self {
        Self { disk, root: root.into(), tape: Arc::default() }
    }

    /// Number of recorded steps.
    pub fn len(&self) -> usize {
        self.tape.lock().steps.len()
    }

    /// Whether no step was recorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All recorded steps.
    pub fn steps(&self) -> Vec<Step> {
        self.tape.lock().steps.clone()
    }

    /// The path relative to the root; `None` outside the root.
    fn below(&self, path: &Path) -> Option<String> {
        Some(path.strip_prefix(&self.root).ok()?.to_str()?.to_owned())
    }

    fn note(&self, step: Step) {
        self.tape.lock().steps.push(step);
    }

    fn begin(&self, step: impl FnOnce(SyncNo) -> Step) -> SyncNo {
        let mut tape = self.tape.lock();
        let sync = SyncNo(tape.syncs);
        tape.syncs += 1;
        tape.steps.push(step(sync));
        sync
    }
}

impl<D: Disk> Disk for Recorder<D> {
    type File = RecordedFile<D>;
    type Map = RecordedMap<D>;

    fn open(&self, path: &Path, how: Open) -> io::Result<RecordedFile<D>> {
        let inner = self.disk.open(path, how)?;
        let number = self.below(path).map(|path| {
            let mut tape = self.tape.lock();
            let file = FileNo(tape.files);
            tape.files += 1;
            tape.steps.push(Step::Open { path, how, file });
            file
        });
        Ok(RecordedFile { inner, number, recorder: self.clone() })
    }

    /// A lock is not part of what a crash leaves: nothing is noted.
    fn lock(&self, path: &Path) -> io::Result<Lock<RecordedFile<D>>> {
        Ok(match self.disk.lock(path)? {
            Lock::Held(inner) => {
                Lock::Held(RecordedFile { inner, number: None, recorder: self.clone() })
            }
            Lock::Taken(by) => Lock::Taken(by),
        })
    }

    fn map(&self, file: &RecordedFile<D>, len: u64) -> io::Result<RecordedMap<D>> {
        Ok(RecordedMap { inner: self.disk.map(&file.inner, len)?, file: file.clone() })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)?;
        if let Some(path) = self.below(dir) {
            self.note(Step::CreateDir { path });
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)?;
        if let (Some(from), Some(to)) = (self.below(from), self.below(to)) {
            self.note(Step::Rename { from, to });
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)?;
        if let Some(path) = self.below(path) {
            self.note(Step::Remove { path });
        }
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.remove_dir(dir)?;
        if let Some(path) = self.below(dir) {
            self.note(Step::RemoveDir { path });
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let (recorder, dir) = (self.clone(), dir.to_owned());
        async move {
            let path = recorder.below(&dir);
            let sync = path.map(|path| recorder.begin(|sync| Step::BeginSyncDir { path, sync }));
            recorder.disk.sync_dir(&dir).await?;
            sync.inspect(|sync| recorder.note(Step::EndSync { sync: *sync }));
            Ok(())
        }
    }

    async fn settle(&self) {
        self.disk.settle().await;
    }
}

/// An open file of a [`Recorder`].
#[derive(Clone)]
pub struct RecordedFile<D: Disk> {
    inner: D::File,
    /// `None` outside the root.
    number: Option<FileNo>,
    recorder: Recorder<D>,
}

impl<D: Disk> RecordedFile<D> {
    fn note(&self, step: impl FnOnce(FileNo) -> Step) {
        if let Some(file) = self.number {
            self.recorder.note(step(file));
        }
    }
}

impl<D: Disk> File for RecordedFile<D> {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.inner.write_at(bytes, offset)?;
        self.note(|file| Step::Write { file, offset, bytes: Bytes::copy_from_slice(bytes) });
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)?;
        self.note(|file| Step::SetLen { file, len });
        Ok(())
    }

    fn sync(&self) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let file = self.clone();
        async move {
            let number = file.number;
            let recorder = &file.recorder;
            let sync = number.map(|file| recorder.begin(|sync| Step::BeginSync { file, sync }));
            file.inner.sync().await?;
            sync.inspect(|sync| recorder.note(Step::EndSync { sync: *sync }));
            Ok(())
        }
    }
}

/// A mapped file of a [`Recorder`].
pub struct RecordedMap<D: Disk> {
    inner: D::Map,
    file: RecordedFile<D>,
}

impl<D: Disk> Map for RecordedMap<D> {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) {
        self.inner.read(offset, buffer);
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.inner.write(offset, bytes)?;
        self.file.note(|file| Step::Store { file, offset, bytes: Bytes::copy_from_slice(bytes) });
        Ok(())
    }

    async fn flush(&self) -> io::Result<()> {
        self.file.sync().await
    }
}
