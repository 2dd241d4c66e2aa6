//! Handles of a process: the disk of its boot, open files, maps.

use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Failing;
use super::SimDisk;
use super::state::{Op, Power, State, input_output_error, void};
use super::tree::{Body, Dir, Found, Ino, ROOT, components};
use crate::io::{Disk, Entry, File, Lock, Map, Open};
use crate::sim::What;

impl SimDisk {
    /// Passes the gate: a dead process gets an error; a scheduled power loss strikes first.
    fn operate<T>(&self, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock();
        self.alive(&state)?;
        match state.armed.take() {
            Some((at, survival)) if state.stats.operations >= at => {
                state.struck = true;
                state.lose_power(&survival);
                drop(state);
                (self.struck)();
                return Err(void());
            }
            later => state.armed = later,
        }
        state.write_back();
        state.stats.operations += 1;
        let result = work(&mut state);
        if let Err(error) = &result {
            let kind = format!("{:?}", error.kind());
            state.trace(Op::Failed, ROOT, [state.stats.operations, 0], kind.as_bytes());
        }
        result
    }

    /// Like `operate`, for an open file; fails in a dead directory.
    fn operate_on<T>(
        &self,
        ino: Ino,
        work: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        self.operate(|state| {
            let dead = state.profile.dead.is_some() && {
                let path = state.tree.node(ino).and_then(|node| node.path.clone());
                path.is_some_and(|path| state.is_dead(Path::new(&*path)))
            };
            if dead { Err(input_output_error()) } else { work(state) }
        })
    }

    /// Like `operate`, for a path.
    fn operate_at<T>(
        &self,
        path: &Path,
        work: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        self.operate(|state| {
            state.owe(state.profile.name_call);
            if state.is_dead(path) { Err(input_output_error()) } else { work(state) }
        })
    }

    /// Reads state without counting as an operation.
    fn look<T>(&self, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock();
        self.alive(&state)?;
        work(&mut state)
    }

    fn alive(&self, state: &State) -> io::Result<()> {
        if state.power == Power::On && state.boot == self.boot { Ok(()) } else { Err(void()) }
    }

    fn handle(&self, state: &mut State, ino: Ino) -> SimFile {
        state.tree.opened(ino);
        let (disk, losses) = (self.clone(), state.losses);
        SimFile { open: Arc::new(OpenFile { disk, ino, losses, locks: AtomicBool::new(false) }) }
    }

    /// A sync that fails at once is a step too, so that the watchdog sees one that is tried in a loop.
    async fn step_if_failed<T>(&self, begun: io::Result<T>) -> io::Result<T> {
        if begun.is_err() {
            (self.sleep)(Duration::ZERO).await;
        }
        begun
    }

    /// Waits for the platter between the two halves of a sync.
    async fn sync_file(self, ino: Ino) -> io::Result<()> {
        let begun = self.operate_on(ino, |state| {
            let file = state.tree.file_mut(ino).ok_or(io::ErrorKind::IsADirectory)?;
            let snapshot = file.begin_sync();
            state.trace(Op::Sync, ino, [snapshot.pages(), 0], &[]);
            let time = state.sync_time(snapshot.pages());
            Ok((snapshot, state.tree.serial(), time))
        });
        let (snapshot, names, time) = self.step_if_failed(begun).await?;
        (self.sleep)(time).await;
        self.look(|state| {
            let failure = state.sync_fails(ino);
            let fails = u64::from(failure.is_some());
            state.trace(Op::Synced, ino, [snapshot.pages(), fails], &[]);
            let lies = state.profile.lies;
            let file = state.tree.file_mut(ino).ok_or(io::ErrorKind::IsADirectory)?;
            if let Some(error) = failure {
                file.fail_sync(snapshot);
                return Err(error);
            }
            if lies {
                file.forget_sync(snapshot);
                if let Some(path) = state.log_path(ino) {
                    state.see(What::Lied { path });
                }
            } else {
                file.finish_sync(snapshot);
                state.synced(ino);
                state.tree.journalled(names);
            }
            state.stats.syncs += 1;
            Ok(())
        })
    }
}

/// The bytes of a path, for the trace.
fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

impl Disk for SimDisk {
    type File = SimFile;
    type Map = SimMap;

    fn open(&self, path: &Path, how: Open) -> io::Result<SimFile> {
        self.operate_at(path, |state| {
            let found = state.tree.locate(path).map_err(|error| match error.kind() {
                io::ErrorKind::ResourceBusy => io::ErrorKind::IsADirectory.into(),
                _ => error,
            })?;
            let ino = match (found.ino, how) {
                (Some(_), Open::New) => return Err(io::ErrorKind::AlreadyExists.into()),
                (Some(ino), _) if state.tree.is_dir(ino) => {
                    return Err(io::ErrorKind::IsADirectory.into());
                }
                (Some(ino), _) => {
                    state.trace(Op::Open, ino, [0, 0], bytes(path));
                    ino
                }
                (None, Open::Existing) => return Err(io::ErrorKind::NotFound.into()),
                (None, Open::OrCreate | Open::New) => {
                    let ino = state.tree.create(&found, Body::File(Box::default()));
                    state.trace(Op::Create, ino, [0, 0], bytes(path));
                    if let Some(path) = state.log_path(ino) {
                        state.see(What::Cut { path, len: 0 });
                    }
                    ino
                }
            };
            Ok(self.handle(state, ino))
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Lock<SimFile>> {
        let file = self.open(path, Open::OrCreate)?;
        if !self.look(|state| Ok(state.locks.insert(file.open.ino)))? {
            // A host runs one process at a time: the holder is this one.
            return Ok(Lock::Taken(u32::try_from(self.boot).ok()));
        }
        file.open.locks.store(true, Ordering::Relaxed);
        file.set_len(0)?;
        file.write_at(format!("{}\n", self.boot).as_bytes(), 0)?;
        Ok(Lock::Held(file))
    }

    fn map(&self, file: &SimFile, len: u64) -> io::Result<SimMap> {
        self.operate(|state| {
            state.owe(state.profile.name_call);
            let ino = file.open.ino;
            state.trace(Op::Map, ino, [len, 0], &[]);
            if state.tree.file(ino).is_none_or(|file| file.len() < len) {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("can't map {len} bytes of a shorter file"),
                ));
            }
            Ok(SimMap { file: file.clone(), len })
        })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.operate_at(dir, |state| {
            let ino = state.tree.resolve(dir, false)?;
            let names = state.tree.names(ino, false).ok_or(io::ErrorKind::NotADirectory)?;
            let entries = names.iter().map(|(name, ino)| Entry {
                name: name.to_string(),
                is_dir: state.tree.is_dir(*ino),
            });
            let entries: Vec<Entry> = entries.collect();
            state.trace(Op::List, ino, [entries.len() as u64, 0], bytes(dir));
            Ok(entries)
        })
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.operate_at(path, |state| {
            let exists = match state.tree.resolve(path, false) {
                Ok(_) => true,
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                Err(error) => return Err(error),
            };
            state.trace(Op::Exists, ROOT, [u64::from(exists), 0], bytes(path));
            Ok(exists)
        })
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.operate_at(dir, |state| {
            let names: Vec<String> = components(dir)?.into_iter().map(String::from).collect();
            let mut above = ROOT;
            for (depth, name) in names.iter().enumerate() {
                let entries = state.tree.names(above, false).ok_or(io::ErrorKind::NotADirectory)?;
                above = match entries.get(name.as_str()).copied() {
                    Some(ino) if state.tree.is_dir(ino) => ino,
                    Some(_) if depth + 1 == names.len() => {
                        return Err(io::ErrorKind::AlreadyExists.into());
                    }
                    Some(_) => return Err(io::ErrorKind::NotADirectory.into()),
                    None => {
                        let found = Found { dir: above, name: name.as_str().into(), ino: None };
                        state.tree.create(&found, Body::Dir(Dir::default()))
                    }
                };
            }
            state.trace(Op::CreateDir, above, [0, 0], bytes(dir));
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate_at(from, |state| {
            if state.is_dead(to) {
                return Err(input_output_error());
            }
            if state.fails_at(Failing::Rename, from) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            state.rename(from, to)
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.operate_at(path, |state| {
            let found = state.tree.locate(path)?;
            let ino = found.ino.ok_or(io::ErrorKind::NotFound)?;
            if state.tree.is_dir(ino) {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            let observed = state.log_path(ino);
            state.tree.remove(&found);
            state.trace(Op::Remove, ino, [0, 0], bytes(path));
            if let Some(path) = observed {
                state.see(What::Removed { path });
            }
            Ok(())
        })
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.operate_at(dir, |state| {
            let found = state.tree.locate(dir)?;
            let ino = found.ino.ok_or(io::ErrorKind::NotFound)?;
            let names = state.tree.names(ino, false).ok_or(io::ErrorKind::NotADirectory)?;
            if !names.is_empty() {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            state.tree.remove(&found);
            state.trace(Op::RemoveDir, ino, [0, 0], bytes(dir));
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &Path) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let (disk, dir) = (self.clone(), dir.to_owned());
        async move {
            let begun = disk.operate(|state| {
                let ino = state.tree.resolve(&dir, false)?;
                // Syncing a file by its path is a sync of that file, not of a directory.
                if !state.tree.is_dir(ino) {
                    return Err(io::ErrorKind::NotADirectory.into());
                }
                let changes = state.tree.begin_sync(ino);
                state.trace(Op::SyncDir, ino, [changes.len() as u64, 0], bytes(&dir));
                if state.is_dead(&dir) {
                    return Err(input_output_error());
                }
                let time = state.sync_time(u64::from(!changes.is_empty()));
                Ok((changes, state.tree.serial(), time))
            });
            let (changes, names, time) = disk.step_if_failed(begun).await?;
            (disk.sleep)(time).await;
            disk.look(|state| {
                if !state.profile.lies {
                    state.tree.finish_sync(&changes);
                    state.tree.journalled(names);
                }
                state.stats.syncs += 1;
                state.trace(Op::DirSynced, ROOT, [changes.len() as u64, 0], bytes(&dir));
                Ok(())
            })
        }
    }

    async fn settle(&self) {
        let debt = self.look(|state| Ok(state.take_debt()));
        if let Some(debt) = debt.ok().filter(|debt| !debt.is_zero()) {
            (self.sleep)(debt).await;
        }
    }
}

/// Shared by all clones of a handle: dropping the last one closes the file.
struct OpenFile {
    disk: SimDisk,
    ino: Ino,
    /// Number of power losses before it was opened: a later one has closed it already.
    losses: u32,
    /// It holds the lock of this file.
    locks: AtomicBool,
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let mut state = self.disk.state.lock();
        // A lock of an earlier boot went away with its process.
        if self.locks.load(Ordering::Relaxed) && state.boot == self.disk.boot {
            state.locks.remove(&self.ino);
        }
        if state.losses == self.losses {
            state.tree.closed(self.ino);
        }
    }
}

/// An open file of a simulated disk.
#[derive(Clone)]
pub struct SimFile {
    open: Arc<OpenFile>,
}

impl std::fmt::Debug for SimFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SimFile").field(&self.open.ino).finish()
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.open.disk.look(|state| {
            let file = state.tree.file(self.open.ino).ok_or_else(void)?;
            Ok(file.len())
        })
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let ino = self.open.ino;
        self.open.disk.operate_on(ino, |state| {
            state.owe_call();
            let count = state.read(ino, offset, buffer)?;
            state.trace(Op::Read, ino, [offset, count as u64], &[]);
            Ok(count)
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.open.disk.operate_on(self.open.ino, |state| {
            state.owe_call();
            state.write(self.open.ino, offset, bytes, Op::Write)
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.open.disk.operate_on(self.open.ino, |state| state.set_len(self.open.ino, len))
    }

    fn sync(&self) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let file = self.clone();
        async move { file.open.disk.clone().sync_file(file.open.ino).await }
    }
}

/// A mapped file of a simulated disk.
#[derive(Debug)]
pub struct SimMap {
    file: SimFile,
    len: u64,
}

impl Map for SimMap {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) {
        inside(self.len, offset, buffer.len());
        buffer.fill(0);
        // A dead process reads zeros; it does not live to act on them.
        let _ = self
            .file
            .open
            .disk
            .look(|state| state.read(self.file.open.ino, offset, buffer).map(|_| ()));
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        inside(self.len, offset, bytes.len());
        let ino = self.file.open.ino;
        self.file.open.disk.operate_on(ino, |state| {
            let len = state.tree.file(ino).map_or(0, |file| file.len());
            assert!(
                offset + bytes.len() as u64 <= len,
                "a store at {offset} into a map of a file that was truncated to {len} bytes: SIGBUS"
            );
            state.write(ino, offset, bytes, Op::Store)
        })
    }

    async fn flush(&self) -> io::Result<()> {
        self.file.sync().await
    }
}

fn inside(len: u64, offset: u64, count: usize) {
    let end = offset.checked_add(count as u64);
    assert!(
        end.is_some_and(|end| end <= len),
        "{count} bytes at {offset} are not inside a map of {len} bytes"
    );
}
