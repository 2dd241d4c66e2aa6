//! The directory tree twice: as the running system sees it, and on the platter.
//!
//! A change is an atomic group of edits to names: one edit for a creation or removal, two for a
//! rename. Changes wait, in order, until a directory that they touch is synced. A change never
//! becomes durable before an earlier one that touches the same name.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};
use std::sync::Arc;

use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use super::pages::Pages;
use crate::sim::{Kept, Survival};

/// Number of a file or directory; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ino(pub u64);

/// The root directory.
pub(super) const ROOT: Ino = Ino(0);

/// Linux's NAME_MAX.
const NAME_MAX: usize = 255;

type Name = Arc<str>;

/// A file or directory.
#[derive(Debug)]
pub(super) struct Node {
    /// Names of it in either tree, and pending edits that name or change it.
    refs: u32,
    /// Open handles and maps.
    pub handles: u32,
    /// Absolute path; `None` after it was removed.
    pub path: Option<Arc<str>>,
    /// Whether its pages count as used space: it has a name or an open handle.
    counted: bool,
    pub body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    File(Box<Pages>),
    Dir(Dir),
}

/// The names in a directory.
#[derive(Debug, Default)]
pub(super) struct Dir {
    cached: BTreeMap<Name, Ino>,
    stable: BTreeMap<Name, Ino>,
}

#[derive(Clone, Debug)]
struct Edit {
    dir: Ino,
    name: Name,
    to: Option<Ino>,
}

#[derive(Debug)]
struct Change {
    edits: Vec<Edit>,
    /// A directory moved to another parent. It is durable only after all earlier changes, so that
    /// no subset of changes can put a directory inside itself.
    moves_dir: bool,
}

/// A resolved path: the directory, the name in it, and the node there, if any.
pub(super) struct Found {
    pub dir: Ino,
    pub name: Name,
    pub ino: Option<Ino>,
}

/// All files and directories of one disk.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: BTreeMap<Ino, Node>,
    next: u64,
    /// Changes that are not durable, by serial number.
    waiting: BTreeMap<u64, Change>,
    serial: u64,
    /// Changes up to here are durable on a file system whose syncs commit the journal.
    journalled: u64,
    /// Allocated pages, including removed files with open handles.
    pub allocated: u64,
}

impl Tree {
    pub fn new() -> Self {
        let root = Node {
            refs: 1,
            handles: 0,
            path: Some("/".into()),
            counted: true,
            body: Body::Dir(Dir::default()),
        };
        Self {
            nodes: BTreeMap::from([(ROOT, root)]),
            next: 1,
            waiting: BTreeMap::new(),
            serial: 0,
            journalled: 0,
            allocated: 0,
        }
    }

    /// An empty tree that gives no number of this one again.
    pub fn successor(self) -> Self {
        Self { next: self.next, serial: self.serial, journalled: self.serial, ..Self::new() }
    }

    pub fn node(&self, ino: Ino) -> Option<&Node> {
        self.nodes.get(&ino)
    }

    pub fn file(&self, ino: Ino) -> Option<&Pages> {
        match &self.nodes.get(&ino)?.body {
            Body::File(pages) => Some(pages),
            Body::Dir(_) => None,
        }
    }

    pub fn file_mut(&mut self, ino: Ino) -> Option<&mut Pages> {
        match &mut self.nodes.get_mut(&ino)?.body {
            Body::File(pages) => Some(pages),
            Body::Dir(_) => None,
        }
    }

    fn dir(&self, ino: Ino) -> Option<&Dir> {
        match &self.nodes.get(&ino)?.body {
            Body::Dir(dir) => Some(dir),
            Body::File(_) => None,
        }
    }

    pub fn is_dir(&self, ino: Ino) -> bool {
        self.dir(ino).is_some()
    }

    /// The names in a directory; with `stable`, on the platter.
    pub fn names(&self, ino: Ino, stable: bool) -> Option<&BTreeMap<Name, Ino>> {
        self.dir(ino).map(|dir| if stable { &dir.stable } else { &dir.cached })
    }

    /// The node at a path.
    pub fn resolve(&self, path: &Path, stable: bool) -> io::Result<Ino> {
        let mut ino = ROOT;
        for name in components(path)? {
            let names = self.names(ino, stable).ok_or(io::ErrorKind::NotADirectory)?;
            ino = *names.get(name).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(ino)
    }

    /// Resolves a path; its directory must exist, the last name need not.
    pub fn locate(&self, path: &Path) -> io::Result<Found> {
        let mut names = components(path)?;
        let name: Name = names.pop().ok_or(io::ErrorKind::ResourceBusy)?.into();
        let mut dir = ROOT;
        for above in names {
            let entries = self.names(dir, false).ok_or(io::ErrorKind::NotADirectory)?;
            dir = *entries.get(above).ok_or(io::ErrorKind::NotFound)?;
        }
        let entries = self.names(dir, false).ok_or(io::ErrorKind::NotADirectory)?;
        let ino = entries.get(&name).copied();
        Ok(Found { dir, name, ino })
    }

    fn path_of(&self, dir: Ino, name: &str) -> Arc<str> {
        let above = self.nodes.get(&dir).and_then(|node| node.path.as_deref()).unwrap_or("");
        format!("{}/{name}", above.trim_end_matches('/')).into()
    }

    /// Creates an empty file or directory under an unused name.
    pub fn create(&mut self, at: &Found, body: Body) -> Ino {
        let ino = Ino(self.next);
        self.next += 1;
        let path = Some(self.path_of(at.dir, &at.name));
        self.nodes.insert(ino, Node { refs: 0, handles: 0, path, counted: true, body });
        let edit = Edit { dir: at.dir, name: at.name.clone(), to: Some(ino) };
        self.change(vec![edit], false);
        ino
    }

    /// Removes a name; the caller has checked its node.
    pub fn remove(&mut self, at: &Found) {
        at.ino.inspect(|ino| self.unnamed(*ino));
        self.change(vec![Edit { dir: at.dir, name: at.name.clone(), to: None }], false);
    }

    /// Renames a file or directory, replacing the target.
    pub fn rename(&mut self, from: &Found, to: &Found) {
        let Some(ino) = from.ino else { return };
        to.ino.inspect(|replaced| self.unnamed(*replaced));
        let moves_dir = self.is_dir(ino) && from.dir != to.dir;
        let edits = vec![
            Edit { dir: from.dir, name: from.name.clone(), to: None },
            Edit { dir: to.dir, name: to.name.clone(), to: Some(ino) },
        ];
        self.change(edits, moves_dir);
        let path = self.path_of(to.dir, &to.name);
        self.set_path(ino, path);
    }

    /// A node lost its name and can't be opened any more.
    fn unnamed(&mut self, ino: Ino) {
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.path = None;
        }
        self.free_space_if_unused(ino);
    }

    /// Frees the space of a file without names and handles, even if the platter still has it.
    fn free_space_if_unused(&mut self, ino: Ino) {
        let Some(node) = self.nodes.get_mut(&ino) else { return };
        if node.counted && node.path.is_none() && node.handles == 0 {
            node.counted = false;
            if let Body::File(pages) = &node.body {
                self.allocated -= pages.allocated();
            }
        }
    }

    /// Whether a path is `above` or below it.
    pub fn is_within(&self, path: &Path, above: &Path) -> bool {
        match (components(path), components(above)) {
            (Ok(path), Ok(above)) => path.starts_with(&above),
            _ => false,
        }
    }

    fn set_path(&mut self, ino: Ino, path: Arc<str>) {
        let children: Vec<(Name, Ino)> = self
            .names(ino, false)
            .map(|names| names.iter().map(|(name, ino)| (name.clone(), *ino)).collect())
            .unwrap_or_default();
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.path = Some(path);
        }
        for (name, child) in children {
            let path = self.path_of(ino, &name);
            self.set_path(child, path);
        }
    }

    fn change(&mut self, edits: Vec<Edit>, moves_dir: bool) {
        for edit in &edits {
            self.hold(edit.dir);
            edit.to.inspect(|ino| self.hold(*ino));
        }
        for edit in &edits {
            self.set(edit, false);
        }
        self.serial += 1;
        self.waiting.insert(self.serial, Change { edits, moves_dir });
    }

    fn set(&mut self, edit: &Edit, stable: bool) {
        edit.to.inspect(|ino| self.hold(*ino));
        let Some(Node { body: Body::Dir(dir), .. }) = self.nodes.get_mut(&edit.dir) else { return };
        let names = if stable { &mut dir.stable } else { &mut dir.cached };
        let before = match edit.to {
            Some(ino) => names.insert(edit.name.clone(), ino),
            None => names.remove(&edit.name),
        };
        before.inspect(|ino| self.release(*ino));
    }

    fn hold(&mut self, ino: Ino) {
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.refs += 1;
        }
    }

    fn release(&mut self, ino: Ino) {
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.refs -= 1;
            self.forget_if_unused(ino);
        }
    }

    /// A handle was opened.
    pub fn opened(&mut self, ino: Ino) {
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.handles += 1;
        }
    }

    /// A handle was closed.
    pub fn closed(&mut self, ino: Ino) {
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.handles = node.handles.saturating_sub(1);
            self.free_space_if_unused(ino);
            self.forget_if_unused(ino);
        }
    }

    fn forget_if_unused(&mut self, ino: Ino) {
        let unused = self.nodes.get(&ino).is_some_and(|node| node.refs == 0 && node.handles == 0);
        let Some(node) = unused.then(|| self.nodes.remove(&ino)).flatten() else { return };
        match node.body {
            Body::File(pages) if node.counted => self.allocated -= pages.allocated(),
            Body::File(_) => {}
            Body::Dir(dir) => {
                for child in dir.cached.into_values().chain(dir.stable.into_values()) {
                    self.release(child);
                }
            }
        }
    }

    /// The changes that a sync of `dir` that begins now makes durable: those that touch it, and the
    /// earlier ones that they depend on.
    pub fn begin_sync(&self, dir: Ino) -> BTreeSet<u64> {
        self.with_causes(|_, change| change.edits.iter().any(|edit| edit.dir == dir))
    }

    /// Makes changes durable, in order.
    pub fn finish_sync(&mut self, serials: &BTreeSet<u64>) {
        for serial in serials {
            let Some(change) = self.waiting.remove(serial) else { continue };
            for edit in &change.edits {
                self.set(edit, true);
            }
            self.drop_holds(&change);
        }
    }

    fn drop_holds(&mut self, change: &Change) {
        for edit in &change.edits {
            edit.to.inspect(|ino| self.release(*ino));
            self.release(edit.dir);
        }
    }

    /// The changes that `wanted` picks, with all earlier ones that must be durable first.
    fn with_causes(&self, mut wanted: impl FnMut(u64, &Change) -> bool) -> BTreeSet<u64> {
        let mut chosen = BTreeSet::new();
        let mut names: BTreeSet<(Ino, &str)> = BTreeSet::new();
        let mut all = false;
        for (serial, change) in self.waiting.iter().rev() {
            let touched = || change.edits.iter().any(|e| names.contains(&(e.dir, &*e.name)));
            if wanted(*serial, change) || all || touched() {
                names.extend(change.edits.iter().map(|edit| (edit.dir, &*edit.name)));
                all |= change.moves_dir;
                chosen.insert(*serial);
            }
        }
        chosen
    }

    /// Applies a power loss.
    pub fn survive(&mut self, survival: &Survival, random: &mut ChaCha12Rng) {
        if *survival == Survival::Weakest {
            self.tear_renames();
        }
        let kept = match survival {
            Survival::Nothing => BTreeSet::new(),
            Survival::Everything => self.waiting(),
            Survival::Chosen(kept) if kept.contains(&Kept::Names) => self.waiting(),
            Survival::Chosen(_) => BTreeSet::new(),
            Survival::Ext4Ordered => {
                let sure = self.waiting.range(..=self.journalled).count() as u64;
                let count = random.random_range(sure..=self.waiting.len() as u64) as usize;
                self.waiting.keys().copied().take(count).collect()
            }
            Survival::Drawn | Survival::Weakest => self.draw(random),
        };
        self.finish_sync(&kept);
        self.found_stable();
    }

    fn draw(&self, random: &mut ChaCha12Rng) -> BTreeSet<u64> {
        match random.random_range(0..8u32) {
            0 => BTreeSet::new(),
            1 => self.waiting(),
            2..=4 => {
                let count = random.random_range(0..=self.waiting.len() as u64) as usize;
                self.waiting.keys().copied().take(count).collect()
            }
            _ => {
                let chance = [0.1, 0.5, 0.9][random.random_range(0..3u64) as usize];
                self.with_causes(|_, _| random.random_bool(chance))
            }
        }
    }

    /// Splits renames, so that each half may survive alone, except for directories that move.
    fn tear_renames(&mut self) {
        for Change { edits, moves_dir } in std::mem::take(&mut self.waiting).into_values() {
            let parts =
                if moves_dir { vec![edits] } else { edits.into_iter().map(|e| vec![e]).collect() };
            for edits in parts {
                self.serial += 1;
                self.waiting.insert(self.serial, Change { edits, moves_dir });
            }
        }
    }

    /// Number of name changes so far.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// A sync that began at this serial has ended: the journal has the changes up to it.
    pub fn journalled(&mut self, serial: u64) {
        self.journalled = self.journalled.max(serial);
    }

    /// Resets the tree to the state on the platter.
    fn found_stable(&mut self) {
        for change in std::mem::take(&mut self.waiting).into_values() {
            self.drop_holds(&change);
        }
        let dirs: Vec<Ino> = self
            .nodes
            .iter()
            .filter(|(_, node)| matches!(node.body, Body::Dir(_)))
            .map(|(ino, _)| *ino)
            .collect();
        for ino in dirs {
            let Some(Node { body: Body::Dir(dir), .. }) = self.nodes.get_mut(&ino) else {
                continue;
            };
            let stable = dir.stable.clone();
            let cached = std::mem::replace(&mut dir.cached, stable.clone());
            stable.into_values().for_each(|child| self.hold(child));
            cached.into_values().for_each(|child| self.release(child));
        }
        // No process has an open handle any more.
        let open: Vec<Ino> =
            self.nodes.iter().filter(|(_, node)| node.handles > 0).map(|(ino, _)| *ino).collect();
        for ino in open {
            if let Some(node) = self.nodes.get_mut(&ino) {
                node.handles = 0;
            }
            self.forget_if_unused(ino);
        }
        self.set_path(ROOT, "/".into());
        self.allocated = 0;
        for node in self.nodes.values_mut() {
            node.counted = true;
            if let Body::File(pages) = &node.body {
                self.allocated += pages.allocated();
            }
        }
    }

    /// Changes that are not yet durable.
    pub fn waiting(&self) -> BTreeSet<u64> {
        self.waiting.keys().copied().collect()
    }

    /// The next syncs report no background write that failed before.
    pub fn forget_due_errors(&mut self) {
        for node in self.nodes.values_mut() {
            if let Body::File(pages) = &mut node.body {
                pages.forget_due_error();
            }
        }
    }

    /// Files with a name, ordered by path.
    pub fn files(&self) -> BTreeMap<Arc<str>, Ino> {
        let files = self.nodes.iter().filter(|(_, node)| matches!(node.body, Body::File(_)));
        files.filter_map(|(ino, node)| Some((node.path.clone()?, *ino))).collect()
    }
}

/// The components of a path, starting at the root.
pub(super) fn components(path: &Path) -> io::Result<Vec<&str>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) if name.len() > NAME_MAX => {
                return Err(io::ErrorKind::InvalidFilename.into());
            }
            Component::Normal(name) => {
                names.push(name.to_str().ok_or(io::ErrorKind::InvalidInput)?);
            }
            Component::ParentDir => {
                names.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(names)
}
