//! An obviously correct file system: every file keeps every content that it ever had.
//!
//! What a power loss may leave follows from these histories, without pages: it is written from the
//! guarantees in the documentation of `io::disk` and `sim::disk`, not from the code.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use brokerquake::io::Open;

use super::operations::{Op, Place, Told, stored};

/// Files (with bytes) and directories by path.
pub type Found = BTreeMap<String, Option<Vec<u8>>>;

type Id = usize;

const ROOT: Id = 0;
const SECTOR: usize = 512;

#[derive(Clone)]
enum Node {
    File(History),
    Dir { cached: BTreeMap<String, Id>, stable: BTreeMap<String, Id> },
}

/// All contents of a file, and which of them was synced last.
#[derive(Clone)]
struct History {
    contents: Vec<Vec<u8>>,
    synced: usize,
}

#[derive(Clone, PartialEq)]
struct Edit {
    dir: Id,
    name: String,
    to: Option<Id>,
}

/// What a sync that has begun makes durable.
pub enum Begun {
    File { id: Id, content: usize },
    Dir { changes: Vec<usize> },
}

/// The model.
pub struct Ghost {
    nodes: Vec<Node>,
    open: Vec<Id>,
    /// Name changes in order; each `Some` is not durable yet.
    changes: Vec<Option<Vec<Edit>>>,
}

impl Default for Ghost {
    fn default() -> Self {
        let root = Node::Dir { cached: BTreeMap::new(), stable: BTreeMap::new() };
        Self { nodes: vec![root], open: Vec::new(), changes: Vec::new() }
    }
}

impl Ghost {
    /// A file system as found, completely durable; `same` tells whether two paths name one node.
    pub fn of(found: &Found, same: impl Fn(&str, &str) -> bool) -> Self {
        let mut ghost = Self::default();
        let mut known: Vec<(&str, Id)> = Vec::new();
        for (path, bytes) in found {
            let other_name = known.iter().find(|(other, _)| same(path, other));
            let id = other_name.map_or(ghost.nodes.len(), |(_, id)| *id);
            if other_name.is_none() {
                ghost.nodes.push(match bytes {
                    Some(bytes) => Node::File(History { contents: vec![bytes.clone()], synced: 0 }),
                    None => Node::Dir { cached: BTreeMap::new(), stable: BTreeMap::new() },
                });
                known.push((path, id));
            }
            let names: Vec<&str> = path.split('/').collect();
            let (name, above) = names.split_last().unwrap();
            let dir = ghost.walk(above).unwrap();
            if let Node::Dir { cached, stable } = &mut ghost.nodes[dir] {
                cached.insert((*name).into(), id);
                stable.insert((*name).into(), id);
            }
        }
        ghost
    }

    /// All handles are void.
    pub fn forget_handles(&mut self) {
        self.open.clear();
    }

    fn entries(&self, id: Id) -> Result<&BTreeMap<String, Id>, ErrorKind> {
        match &self.nodes[id] {
            Node::Dir { cached, .. } => Ok(cached),
            Node::File(_) => Err(ErrorKind::NotADirectory),
        }
    }

    fn walk(&self, names: &[&str]) -> Result<Id, ErrorKind> {
        let mut id = ROOT;
        for name in names {
            id = *self.entries(id)?.get(*name).ok_or(ErrorKind::NotFound)?;
        }
        Ok(id)
    }

    /// Directory, name, and the node of that name.
    fn locate(&self, place: Place) -> Result<(Id, String, Option<Id>), ErrorKind> {
        let names = place.names();
        let (name, above) = names.split_last().unwrap();
        let dir = self.walk(above)?;
        let id = self.entries(dir)?.get(*name).copied();
        Ok((dir, (*name).into(), id))
    }

    fn is_dir(&self, id: Id) -> bool {
        matches!(self.nodes[id], Node::Dir { .. })
    }

    fn file(&mut self, index: usize) -> Option<&mut History> {
        let id = *self.open.get(index.checked_rem(self.open.len())?)?;
        match &mut self.nodes[id] {
            Node::File(history) => Some(history),
            Node::Dir { .. } => None,
        }
    }

    fn change(&mut self, edits: Vec<Edit>) {
        for edit in &edits {
            if let Node::Dir { cached, .. } = &mut self.nodes[edit.dir] {
                apply(cached, edit);
            }
        }
        self.changes.push(Some(edits));
    }

    fn add(&mut self, dir: Id, name: String, node: Node) -> Id {
        self.nodes.push(node);
        let id = self.nodes.len() - 1;
        self.change(vec![Edit { dir, name, to: Some(id) }]);
        id
    }

    /// Applies one call.
    pub fn apply(&mut self, op: &Op) -> Told {
        match op {
            Op::Open(place, how) => self.open(*place, *how)?,
            Op::Rename(from, to) => self.rename(*from, *to)?,
            Op::Remove(place) => {
                let (dir, name, id) = self.locate(*place)?;
                if self.is_dir(id.ok_or(ErrorKind::NotFound)?) {
                    return Err(ErrorKind::IsADirectory);
                }
                self.change(vec![Edit { dir, name, to: None }]);
            }
            Op::RemoveDir(place) => {
                let (dir, name, id) = self.locate(*place)?;
                if !self.entries(id.ok_or(ErrorKind::NotFound)?)?.is_empty() {
                    return Err(ErrorKind::DirectoryNotEmpty);
                }
                self.change(vec![Edit { dir, name, to: None }]);
            }
            Op::CreateDir(place) => self.create_dir(*place)?,
            Op::Exists(place) => {
                return match self.walk(&place.names()) {
                    Err(ErrorKind::NotFound) => Ok(vec!["false".into()]),
                    found => found.map(|_| vec!["true".into()]),
                };
            }
            Op::List(place) => {
                let entries = self.entries(self.walk(&place.names())?)?;
                let shown = entries.iter().map(|(name, id)| format!("{name} {}", self.is_dir(*id)));
                return Ok(shown.collect());
            }
            Op::Sync(_) | Op::SyncDir(_) => {
                if let Op::SyncDir(place) = op {
                    self.entries(self.walk(&place.names())?)?;
                }
                let begun = self.begin(op);
                begun.inspect(|begun| self.finish(begun));
            }
            Op::Close(index) if !self.open.is_empty() => {
                self.open.remove(index % self.open.len());
            }
            _ => return Ok(self.touch(op)),
        }
        Ok(Vec::new())
    }

    /// Calls on open files.
    fn touch(&mut self, op: &Op) -> Vec<String> {
        let (Op::Write { file, .. }
        | Op::Store { file, .. }
        | Op::SetLen { file, .. }
        | Op::Read { file, .. }) = op
        else {
            return Vec::new();
        };
        let Some(history) = self.file(*file) else { return Vec::new() };
        let mut bytes = history.contents.last().unwrap().clone();
        let mut told = Vec::new();
        match op {
            Op::Read { at, len, .. } => {
                let from = bytes.len().min(*at as usize);
                let to = bytes.len().min(*at as usize + len);
                return vec![bytes.len().to_string(), format!("{:?}", &bytes[from..to])];
            }
            Op::Write { at, len, byte, .. } if *len > 0 => {
                let end = *at as usize + len;
                bytes.resize(bytes.len().max(end), 0);
                bytes[*at as usize..end].fill(*byte);
            }
            Op::Store { at, len, byte, .. } if !bytes.is_empty() => {
                let (at, end) = stored(bytes.len() as u64, *at, *len);
                bytes[at as usize..end as usize].fill(*byte);
                let shown = &bytes[at as usize..bytes.len().min(at as usize + 600)];
                told.push(format!("{shown:?}"));
            }
            Op::SetLen { len, .. } => bytes.resize(*len as usize, 0),
            _ => {}
        }
        history.contents.push(bytes);
        told
    }

    fn open(&mut self, place: Place, how: Open) -> Result<(), ErrorKind> {
        let (dir, name, id) = self.locate(place)?;
        let id = match (id, how) {
            (Some(_), Open::New) => return Err(ErrorKind::AlreadyExists),
            (Some(id), _) if self.is_dir(id) => return Err(ErrorKind::IsADirectory),
            (Some(id), _) => id,
            (None, Open::Existing) => return Err(ErrorKind::NotFound),
            (None, _) => {
                let empty = History { contents: vec![Vec::new()], synced: 0 };
                self.add(dir, name, Node::File(empty))
            }
        };
        self.open.push(id);
        Ok(())
    }

    fn create_dir(&mut self, place: Place) -> Result<(), ErrorKind> {
        let names = place.names();
        let mut dir = ROOT;
        for (depth, name) in names.iter().enumerate() {
            dir = match self.entries(dir)?.get(*name).copied() {
                Some(id) if !self.is_dir(id) && depth + 1 == names.len() => {
                    return Err(ErrorKind::AlreadyExists);
                }
                Some(id) => id,
                None => {
                    let empty = Node::Dir { cached: BTreeMap::new(), stable: BTreeMap::new() };
                    self.add(dir, (*name).into(), empty)
                }
            };
        }
        if self.is_dir(dir) { Ok(()) } else { Err(ErrorKind::NotADirectory) }
    }

    fn rename(&mut self, from: Place, to: Place) -> Result<(), ErrorKind> {
        let (from_dir, from_name, id) = self.locate(from)?;
        let (to_dir, to_name, there) = self.locate(to)?;
        let id = id.ok_or(ErrorKind::NotFound)?;
        if there == Some(id) {
            return Ok(());
        }
        if to.names().starts_with(&from.names()) {
            return Err(ErrorKind::InvalidInput);
        }
        if from.names().starts_with(&to.names()) {
            return Err(ErrorKind::DirectoryNotEmpty);
        }
        match there.map(|there| (self.is_dir(id), self.is_dir(there), self.entries(there))) {
            Some((true, false, _)) => return Err(ErrorKind::NotADirectory),
            Some((false, true, _)) => return Err(ErrorKind::IsADirectory),
            Some((true, true, Ok(names))) if !names.is_empty() => {
                return Err(ErrorKind::DirectoryNotEmpty);
            }
            _ => {}
        }
        self.change(vec![
            Edit { dir: from_dir, name: from_name, to: None },
            Edit { dir: to_dir, name: to_name, to: Some(id) },
        ]);
        Ok(())
    }

    /// What a sync that begins now guarantees; `None` if it fails.
    pub fn begin(&self, op: &Op) -> Option<Begun> {
        match op {
            Op::Sync(index) | Op::BeginSync(index) => {
                let id = *self.open.get(index.checked_rem(self.open.len())?)?;
                let Node::File(history) = &self.nodes[id] else { return None };
                Some(Begun::File { id, content: history.contents.len() - 1 })
            }
            Op::SyncDir(place) | Op::BeginSyncDir(place) => {
                let dir = self.walk(&place.names()).ok().filter(|id| self.is_dir(*id))?;
                Some(Begun::Dir { changes: self.promised(dir) })
            }
            _ => None,
        }
    }

    /// The changes that touch a directory, and all that must precede them: earlier ones of the same
    /// name, and for a directory that moved, all earlier ones.
    fn promised(&self, dir: Id) -> Vec<usize> {
        let mut chosen: Vec<usize> = Vec::new();
        loop {
            let more = self.changes.iter().enumerate().filter_map(|(index, change)| {
                let edits = change.as_ref()?;
                let touches = edits.iter().any(|edit| edit.dir == dir);
                let rests = chosen.iter().any(|later| *later > index && self.rests(*later, edits));
                (!chosen.contains(&index) && (touches || rests)).then_some(index)
            });
            let more: Vec<usize> = more.collect();
            if more.is_empty() {
                chosen.sort_unstable();
                return chosen;
            }
            chosen.extend(more);
        }
    }

    fn rests(&self, later: usize, on: &[Edit]) -> bool {
        let Some(edits) = &self.changes[later] else { return false };
        let moves_dir = edits.len() == 2
            && edits[0].dir != edits[1].dir
            && edits[1].to.is_some_and(|id| self.is_dir(id));
        let same = |a: &Edit| on.iter().any(|b| a.dir == b.dir && a.name == b.name);
        moves_dir || edits.iter().any(same)
    }

    /// A sync has ended.
    pub fn finish(&mut self, begun: &Begun) {
        match begun {
            Begun::File { id, content } => {
                if let Node::File(history) = &mut self.nodes[*id] {
                    history.synced = history.synced.max(*content);
                }
            }
            Begun::Dir { changes } => {
                for index in changes {
                    for edit in self.changes[*index].take().into_iter().flatten() {
                        if let Node::Dir { stable, .. } = &mut self.nodes[edit.dir] {
                            apply(stable, &edit);
                        }
                    }
                }
            }
        }
    }

    /// Everything that processes see.
    pub fn cached(&self) -> Found {
        self.tree(false)
    }

    /// Everything that survives a power loss for certain.
    pub fn stable(&self) -> Found {
        self.tree(true)
    }

    fn tree(&self, promised: bool) -> Found {
        let mut found = Found::new();
        let mut open = vec![(ROOT, String::new())];
        while let Some((id, prefix)) = open.pop() {
            let Node::Dir { cached, stable } = &self.nodes[id] else { continue };
            for (name, id) in if promised { stable } else { cached } {
                let path = format!("{prefix}{name}");
                let bytes = match &self.nodes[*id] {
                    Node::File(history) if promised => {
                        Some(history.contents[history.synced].clone())
                    }
                    Node::File(history) => history.contents.last().cloned(),
                    Node::Dir { .. } => None,
                };
                found.insert(path.clone(), bytes);
                open.push((*id, format!("{path}/")));
            }
        }
        found
    }

    /// Every name and byte found must have been written, and everything guaranteed must be there.
    pub fn explain(&self, found: &Found) {
        if let Err(why) = self.explain_dir(ROOT, "", found) {
            panic!("{why}");
        }
    }

    fn explain_dir(&self, dir: Id, prefix: &str, found: &Found) -> Result<(), String> {
        let Node::Dir { stable, .. } = &self.nodes[dir] else { unreachable!() };
        let edits = self.changes.iter().flatten().flatten().filter(|edit| edit.dir == dir);
        let mut may_be: BTreeMap<&str, Vec<Option<Id>>> = BTreeMap::new();
        for edit in edits {
            let before = || vec![stable.get(&edit.name).copied()];
            may_be.entry(&edit.name).or_insert_with(before).push(edit.to);
        }
        for (name, id) in stable {
            may_be.entry(name).or_insert_with(|| vec![Some(*id)]);
        }
        let here =
            found.range(prefix.to_owned()..).take_while(|(path, _)| path.starts_with(prefix));
        for (path, _) in here {
            let name = path[prefix.len()..].split('/').next().unwrap();
            if !may_be.contains_key(name) {
                return Err(format!("`{path}` was never created"));
            }
        }
        for (name, ids) in may_be {
            let path = format!("{prefix}{name}");
            let reasons = ids.iter().map(|id| self.explain_name(*id, &path, found));
            let reasons: Vec<Result<(), String>> = reasons.collect();
            if reasons.iter().all(Result::is_err) {
                return Err(format!("`{path}` is none of: {reasons:?}"));
            }
        }
        Ok(())
    }

    fn explain_name(&self, id: Option<Id>, path: &str, found: &Found) -> Result<(), String> {
        match (id.map(|id| (id, &self.nodes[id])), found.get(path)) {
            (None, None) => Ok(()),
            (Some((_, Node::File(history))), Some(Some(bytes))) => history.explain(bytes),
            (Some((id, Node::Dir { .. })), Some(None)) => {
                self.explain_dir(id, &format!("{path}/"), found)
            }
            (None, Some(_)) => Err("removed, but found".into()),
            (Some(_), None) => Err("there, but not found".into()),
            (Some(_), Some(_)) => Err("of the other kind".into()),
        }
    }
}

impl History {
    /// Each sector must be as it was at the last sync or at some later time, or zero where the size
    /// changed.
    fn explain(&self, found: &[u8]) -> Result<(), String> {
        let contents = &self.contents[self.synced..];
        let low = contents.iter().map(Vec::len).min().unwrap();
        let high = contents.iter().map(Vec::len).max().unwrap();
        if !(low..=high).contains(&found.len()) {
            return Err(format!("a size of {} is outside {low}..={high}", found.len()));
        }
        for (index, sector) in found.chunks(SECTOR).enumerate() {
            let start = index * SECTOR;
            let explained = contents.iter().any(|content| {
                sector.iter().zip(start..).all(|(byte, at)| match content.get(at) {
                    Some(was) => was == byte || (*byte == 0 && at >= low),
                    None => *byte == 0,
                })
            });
            if !explained {
                return Err(format!("the sector at {start} never had this content: {sector:?}"));
            }
        }
        Ok(())
    }
}

fn apply(names: &mut BTreeMap<String, Id>, edit: &Edit) {
    match edit.to {
        Some(id) => names.insert(edit.name.clone(), id),
        None => names.remove(&edit.name),
    };
}
