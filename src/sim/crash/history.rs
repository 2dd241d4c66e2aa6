//! The file system that results from steps: all contents of each file since its last sync, each
//! directory as cached and as durable, and the name changes that are not durable.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path};
use std::sync::Arc;

use bytes::Bytes;

use super::Found;
use super::step::{FileNo, Step, SyncNo};
use crate::io::Open;

/// A file or directory, by the order of creation.
pub(super) type Id = usize;
/// Counts everything that happens.
pub(super) type Serial = u64;

pub(super) const ROOT: Id = 0;

#[derive(Clone, Debug)]
pub(super) enum Node {
    File(Versions),
    Dir { cached: BTreeMap<Arc<str>, Id>, stable: BTreeMap<Arc<str>, Id> },
}

/// All contents of a file since its last sync. The first is the synced one.
#[derive(Clone, Debug)]
pub(super) struct Versions {
    pub all: Vec<Version>,
    /// Number of the first version.
    first: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Version {
    pub since: Serial,
    pub bytes: Bytes,
}

impl Versions {
    fn of(bytes: Bytes, since: Serial) -> Self {
        Self { all: vec![Version { since, bytes }], first: 0 }
    }

    /// The content in the page cache.
    pub fn cached(&self) -> &Bytes {
        &self.all[self.all.len() - 1].bytes
    }

    /// The synced content.
    pub fn synced(&self) -> &Bytes {
        &self.all[0].bytes
    }

    fn push(&mut self, since: Serial, bytes: Bytes) {
        if *self.cached() != bytes {
            self.all.push(Version { since, bytes });
        }
    }

    /// Version `number` and all later ones may be durable; earlier ones are gone.
    fn synced_as(&mut self, number: usize) {
        let before = number.saturating_sub(self.first);
        self.all.drain(..before.min(self.all.len() - 1));
        self.first = self.first.max(number);
    }
}

/// One name in one directory gets another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub dir: Id,
    pub name: Arc<str>,
    pub to: Option<Id>,
}

/// Edits that a journal keeps together: one, or two for a rename.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub since: Serial,
    pub edits: Vec<Edit>,
    /// A directory moved to another parent. It is durable only after all earlier changes, so that
    /// no subset of changes can put a directory inside itself.
    pub moves_dir: bool,
}

/// What a sync that has begun makes durable when it ends.
#[derive(Clone, Debug)]
enum Begun {
    File { id: Id, version: usize, at: Serial },
    Dir { changes: Vec<Serial>, at: Serial },
}

/// All operations on a file system so far.
#[derive(Clone, Debug)]
pub struct History {
    pub(super) nodes: Vec<Node>,
    files: BTreeMap<FileNo, Id>,
    syncs: BTreeMap<SyncNo, Begun>,
    /// In order; not yet durable.
    pub(super) changes: Vec<Change>,
    serial: Serial,
    /// Name changes up to this serial are durable on a file system whose syncs commit the journal.
    pub(super) journalled: Serial,
}

impl History {
    /// A file system as found, completely durable.
    pub fn of(found: &Found) -> Self {
        let empty = || Node::Dir { cached: BTreeMap::new(), stable: BTreeMap::new() };
        let mut history = Self {
            nodes: vec![empty()],
            files: BTreeMap::new(),
            syncs: BTreeMap::new(),
            changes: Vec::new(),
            serial: 0,
            journalled: 0,
        };
        for (path, bytes) in found {
            let node = match bytes {
                Some(bytes) => Node::File(Versions::of(bytes.clone(), 0)),
                None => empty(),
            };
            history.nodes.push(node);
            let id = history.nodes.len() - 1;
            if let Ok((dir, name, _)) = history.locate(path) {
                history.set(&Edit { dir, name: name.clone(), to: Some(id) }, false);
                history.set(&Edit { dir, name, to: Some(id) }, true);
            }
        }
        history
    }

    /// The history of all steps of a recording.
    ///
    /// # Errors
    /// When a step could not have succeeded after the previous ones.
    pub fn after<'a>(steps: impl IntoIterator<Item = &'a Step>) -> io::Result<Self> {
        let mut history = Self::of(&Found::new());
        steps.into_iter().try_for_each(|step| history.step(step))?;
        Ok(history)
    }

    /// Applies one more step.
    ///
    /// # Errors
    /// When it could not have succeeded after the previous ones.
    pub fn step(&mut self, step: &Step) -> io::Result<()> {
        self.serial += 1;
        match step {
            Step::Open { path, how, file } => self.open(path, *how, *file),
            Step::Write { file, offset, bytes } => {
                let end = *offset as usize + bytes.len();
                self.edit(*file, |content| {
                    if !bytes.is_empty() {
                        content.resize(content.len().max(end), 0);
                        content[*offset as usize..end].copy_from_slice(bytes);
                    }
                    true
                })
            }
            Step::Store { file, offset, bytes } => self.edit(*file, |content| {
                let at = *offset as usize;
                let target = content.get_mut(at..at + bytes.len());
                target.map(|target| target.copy_from_slice(bytes)).is_some()
            }),
            Step::SetLen { file, len } => self.edit(*file, |content| {
                content.resize(*len as usize, 0);
                true
            }),
            Step::BeginSync { file, sync } => {
                let id = *self.files.get(file).ok_or_else(|| unopened(*file))?;
                let Node::File(versions) = &self.nodes[id] else { return Ok(()) };
                let version = versions.first + versions.all.len() - 1;
                self.syncs.insert(*sync, Begun::File { id, version, at: self.serial });
                Ok(())
            }
            Step::BeginSyncDir { path, sync } => {
                let dir = self.walk(path)?;
                let changes = self.with_causes(|change| change.edits.iter().any(|e| e.dir == dir));
                self.syncs.insert(*sync, Begun::Dir { changes, at: self.serial });
                Ok(())
            }
            Step::EndSync { sync } => self.end_sync(*sync),
            Step::Rename { from, to } => self.rename(from, to),
            Step::Remove { path } | Step::RemoveDir { path } => {
                let (dir, name, id) = self.locate(path)?;
                id.ok_or(io::ErrorKind::NotFound)?;
                self.change(vec![Edit { dir, name, to: None }], false);
                Ok(())
            }
            Step::CreateDir { path } => self.create_dir(path),
        }
    }

    fn open(&mut self, path: &str, how: Open, file: FileNo) -> io::Result<()> {
        let (dir, name, id) = self.locate(path)?;
        let id = match (id, how) {
            (Some(_), Open::New) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(id), _) => id,
            (None, Open::Existing) => return Err(io::ErrorKind::NotFound.into()),
            (None, _) => {
                self.nodes.push(Node::File(Versions::of(Bytes::new(), self.serial)));
                let id = self.nodes.len() - 1;
                self.change(vec![Edit { dir, name, to: Some(id) }], false);
                id
            }
        };
        self.files.insert(file, id);
        Ok(())
    }

    /// Gives a file its next content; `work` returns whether the change is possible.
    fn edit(&mut self, file: FileNo, work: impl FnOnce(&mut Vec<u8>) -> bool) -> io::Result<()> {
        let id = *self.files.get(&file).ok_or_else(|| unopened(file))?;
        let Node::File(versions) = &mut self.nodes[id] else {
            return Err(io::ErrorKind::IsADirectory.into());
        };
        let mut content = versions.cached().to_vec();
        if !work(&mut content) {
            return Err(io::Error::other("a store behind the end of the file"));
        }
        versions.push(self.serial, content.into());
        Ok(())
    }

    fn create_dir(&mut self, path: &str) -> io::Result<()> {
        let mut dir = ROOT;
        for name in names(path) {
            dir = match self.entries(dir)?.get(name).copied() {
                Some(id) => id,
                None => {
                    let empty = Node::Dir { cached: BTreeMap::new(), stable: BTreeMap::new() };
                    self.nodes.push(empty);
                    let id = self.nodes.len() - 1;
                    self.change(vec![Edit { dir, name: name.into(), to: Some(id) }], false);
                    id
                }
            };
        }
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let ((from_dir, from_name, id), (to_dir, to_name, there)) =
            (self.locate(from)?, self.locate(to)?);
        let id = id.ok_or(io::ErrorKind::NotFound)?;
        if there == Some(id) {
            return Ok(());
        }
        let moves_dir = from_dir != to_dir && matches!(self.nodes[id], Node::Dir { .. });
        let edits = vec![
            Edit { dir: from_dir, name: from_name, to: None },
            Edit { dir: to_dir, name: to_name, to: Some(id) },
        ];
        self.change(edits, moves_dir);
        Ok(())
    }

    fn end_sync(&mut self, sync: SyncNo) -> io::Result<()> {
        let begun = self.syncs.remove(&sync);
        match begun.ok_or_else(|| io::Error::other(format!("no sync {} has begun", sync.0)))? {
            Begun::File { id, version, at } => {
                if let Node::File(versions) = &mut self.nodes[id] {
                    versions.synced_as(version);
                }
                self.journalled = self.journalled.max(at);
            }
            Begun::Dir { changes, at } => {
                let waiting = std::mem::take(&mut self.changes);
                for change in waiting {
                    if changes.contains(&change.since) {
                        change.edits.iter().for_each(|edit| self.set(edit, true));
                    } else {
                        self.changes.push(change);
                    }
                }
                self.journalled = self.journalled.max(at);
            }
        }
        Ok(())
    }

    fn change(&mut self, edits: Vec<Edit>, moves_dir: bool) {
        edits.iter().for_each(|edit| self.set(edit, false));
        // One step may make several changes, each with its own serial.
        self.serial += 1;
        self.changes.push(Change { since: self.serial, edits, moves_dir });
    }

    fn set(&mut self, edit: &Edit, durably: bool) {
        if let Node::Dir { cached, stable } = &mut self.nodes[edit.dir] {
            apply(if durably { stable } else { cached }, edit);
        }
    }

    fn entries(&self, dir: Id) -> io::Result<&BTreeMap<Arc<str>, Id>> {
        match &self.nodes[dir] {
            Node::Dir { cached, .. } => Ok(cached),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn walk(&self, path: &str) -> io::Result<Id> {
        names(path).try_fold(ROOT, |dir, name| {
            self.entries(dir)?.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }

    /// The directory, the name in it, and the node that the name refers to.
    fn locate(&self, path: &str) -> io::Result<(Id, Arc<str>, Option<Id>)> {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let dir = self.walk(above)?;
        Ok((dir, name.into(), self.entries(dir)?.get(name).copied()))
    }

    /// Serials of the changes that `wanted` picks and of all changes that must precede them:
    /// earlier ones of the same name, and for a directory that moved, all earlier ones.
    pub(super) fn with_causes(&self, wanted: impl Fn(&Change) -> bool) -> Vec<Serial> {
        let (mut chosen, mut touched, mut all) = (Vec::new(), Vec::new(), false);
        for change in self.changes.iter().rev() {
            let rests = change.edits.iter().any(|e| touched.contains(&(e.dir, &*e.name)));
            if all || rests || wanted(change) {
                touched.extend(change.edits.iter().map(|e| (e.dir, &*e.name)));
                all |= change.moves_dir;
                chosen.push(change.since);
            }
        }
        chosen.reverse();
        chosen
    }

    /// The files and directories that a process sees.
    pub fn cached(&self) -> Found {
        self.tree(|id| match &self.nodes[id] {
            Node::Dir { cached, .. } => Err(cached),
            Node::File(versions) => Ok(versions.cached().clone()),
        })
    }

    /// The files and directories that are guaranteed to survive a power loss.
    pub fn durable(&self) -> Found {
        self.tree(|id| match &self.nodes[id] {
            Node::Dir { stable, .. } => Err(stable),
            Node::File(versions) => Ok(versions.synced().clone()),
        })
    }

    fn tree<'a>(&'a self, node: impl Fn(Id) -> Result<Bytes, &'a BTreeMap<Arc<str>, Id>>) -> Found {
        let (mut found, mut open) = (Found::new(), vec![(ROOT, String::new())]);
        while let Some((dir, prefix)) = open.pop() {
            for (name, id) in node(dir).err().into_iter().flatten() {
                let path = format!("{prefix}{name}");
                let bytes = node(*id).ok();
                if bytes.is_none() {
                    open.push((*id, format!("{path}/")));
                }
                found.insert(path, bytes);
            }
        }
        found
    }
}

pub(super) fn apply(names: &mut BTreeMap<Arc<str>, Id>, edit: &Edit) {
    match edit.to {
        Some(id) => names.insert(edit.name.clone(), id),
        None => names.remove(&edit.name),
    };
}

fn names(path: &str) -> impl Iterator<Item = &str> {
    Path::new(path).components().filter_map(|component| match component {
        Component::Normal(name) => name.to_str(),
        _ => None,
    })
}

fn unopened(file: FileNo) -> io::Error {
    io::Error::other(format!("no file is open as {}: steps are missing", file.0))
}
