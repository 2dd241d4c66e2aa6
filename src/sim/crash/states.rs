//! States that a crash may leave, one after the other, up to a bound.
//!
//! Survival is chosen in parts: each name change (or each half of a rename), and for each file with
//! unsynced bytes one of its possible contents: as of any write since its last sync, with single
//! pages missing or alone, torn between sectors, under each size. If there are few combinations,
//! all are taken; otherwise those in which one or two parts differ from nothing, from everything,
//! and from the state at some moment.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::explain::{PAGE, SECTOR};
use super::history::{Change, Edit, History, Id, Node, ROOT, Serial, Version, Versions, apply};
use super::{Found, Order};

/// How many states to generate.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// Most contents per file.
    pub contents: usize,
    /// Most subsets of name changes.
    pub names: usize,
    /// Most combinations of file contents under one set of names.
    pub combinations: usize,
}

impl Default for Bound {
    fn default() -> Self {
        Self { contents: 24, names: 24, combinations: 64 }
    }
}

/// A possible content of a file, and the latest time from which it was possible.
struct Content {
    bytes: Bytes,
    /// When it was written, if a process could see it at some moment.
    seen: Option<Serial>,
}

impl History {
    /// Shows states that a crash now may leave. The same state may be shown more than once.
    pub fn states(&self, order: Order, bound: Bound, mut show: impl FnMut(Found)) {
        if order == Order::EverythingDurable {
            return show(self.cached());
        }
        let contents: BTreeMap<Id, Vec<Content>> = self
            .nodes
            .iter()
            .enumerate()
            .filter_map(|(id, node)| match node {
                Node::File(versions) => Some((id, contents(versions, order, bound.contents))),
                Node::Dir { .. } => None,
            })
            .collect();
        let mut trees = BTreeSet::new();
        for names in self.subsets(order, bound.names) {
            let tree = self.tree_with(&names);
            if trees.insert(tree.clone()) {
                combine(&tree, &contents, bound.combinations, &mut show);
            }
        }
    }

    /// Sets of edits that may survive together: by serial number of the change, and place in it.
    fn subsets(&self, order: Order, most: usize) -> Vec<Vec<&Edit>> {
        let journalled = self.changes.partition_point(|change| change.since <= self.journalled);
        let torn = order == Order::Weakest;
        let units: Vec<Vec<&Edit>> = self.changes.iter().flat_map(|c| units(c, torn)).collect();
        let count = units.len();
        if order == Order::Ext4Ordered {
            return spread(journalled..count + 1, most)
                .map(|upto| units[..upto].concat())
                .collect();
        }
        let closed = |chosen: &dyn Fn(usize) -> bool| close(&units, chosen);
        if count < 63 && 1usize.checked_shl(count as u32).is_some_and(|all| all <= most) {
            return (0u64..1 << count).map(|bits| closed(&|unit| bits >> unit & 1 == 1)).collect();
        }
        let mut sets = vec![closed(&|_| false), closed(&|_| true)];
        for unit in spread(0..count, most / 3) {
            sets.push(closed(&|other| other <= unit));
            sets.push(closed(&|other| other != unit));
            sets.push(closed(&|other| other == unit));
        }
        sets
    }

    /// The files found by path when these edits survive; directories have no file.
    fn tree_with(&self, edits: &[&Edit]) -> Vec<(String, Option<Id>)> {
        let mut dirs: BTreeMap<Id, BTreeMap<Arc<str>, Id>> = BTreeMap::new();
        for edit in edits {
            let names = dirs.entry(edit.dir).or_insert_with(|| self.stable(edit.dir));
            apply(names, edit);
        }
        let (mut tree, mut open) = (Vec::new(), vec![(ROOT, String::new())]);
        let mut seen = BTreeSet::new();
        while let Some((dir, prefix)) = open.pop() {
            if !seen.insert(dir) {
                continue;
            }
            let names = dirs.get(&dir).cloned().unwrap_or_else(|| self.stable(dir));
            for (name, id) in names {
                let path = format!("{prefix}{name}");
                let is_file = matches!(self.nodes[id], Node::File(_));
                if !is_file {
                    open.push((id, format!("{path}/")));
                }
                tree.push((path, is_file.then_some(id)));
            }
        }
        tree
    }

    fn stable(&self, dir: Id) -> BTreeMap<Arc<str>, Id> {
        match &self.nodes[dir] {
            Node::Dir { stable, .. } => stable.clone(),
            Node::File(_) => BTreeMap::new(),
        }
    }
}

/// The edits of a change, grouped by what survives together.
fn units(change: &Change, torn: bool) -> Vec<Vec<&Edit>> {
    let edits = change.edits.iter();
    if torn && !change.moves_dir {
        return edits.map(|edit| vec![edit]).collect();
    }
    vec![edits.collect()]
}

/// The chosen units, without those that follow a missing unit of the same name.
fn close<'a>(units: &[Vec<&'a Edit>], chosen: &dyn Fn(usize) -> bool) -> Vec<&'a Edit> {
    let mut blocked = BTreeSet::new();
    let mut kept = Vec::new();
    for (index, unit) in units.iter().enumerate() {
        let names = || unit.iter().map(|edit| (edit.dir, &*edit.name));
        if chosen(index) && !names().any(|name| blocked.contains(&name)) {
            kept.extend(unit);
        } else {
            blocked.extend(names());
        }
    }
    kept
}

/// At most `most` numbers of a range, evenly spread, both ends included.
fn spread(range: Range<usize>, most: usize) -> impl Iterator<Item = usize> {
    let (count, most) = (range.len(), most.max(2));
    let taken = count.min(most);
    (0..taken).map(move |index| match count <= most {
        true => range.start + index,
        false => range.start + index * (count - 1) / (taken - 1),
    })
}

/// Combines the possible contents of files under one set of names.
fn combine(
    tree: &[(String, Option<Id>)],
    contents: &BTreeMap<Id, Vec<Content>>,
    most: usize,
    show: &mut impl FnMut(Found),
) {
    let mut base = Found::new();
    // One file under two names has one content.
    let mut open: Vec<(Id, &Vec<Content>)> = Vec::new();
    for (path, id) in tree {
        let of = id.and_then(|id| contents.get(&id).map(|contents| (id, contents)));
        base.insert(path.clone(), of.map(|(_, contents)| contents[0].bytes.clone()));
        if let Some((id, contents)) = of.filter(|(_, contents)| contents.len() > 1)
            && !open.iter().any(|(other, _)| *other == id)
        {
            open.push((id, contents));
        }
    }
    let mut emit = |choice: &[usize]| {
        let mut found = base.clone();
        for (path, id) in tree {
            let file = open.iter().position(|(other, _)| Some(*other) == *id);
            if let Some(file) = file {
                let bytes = open[file].1[choice[file]].bytes.clone();
                found.insert(path.clone(), Some(bytes));
            }
        }
        show(found);
    };
    let all = open.iter().try_fold(1usize, |all, (_, contents)| all.checked_mul(contents.len()));
    if all.is_some_and(|all| all <= most) {
        return each(&open, &mut emit);
    }
    let old = vec![0; open.len()];
    let latest: Vec<usize> = open.iter().map(|(_, contents)| latest(contents, None)).collect();
    // The state at some moment: everything written until then.
    let moments: BTreeSet<Serial> =
        open.iter().flat_map(|(_, contents)| contents.iter().filter_map(|c| c.seen)).collect();
    let moments: Vec<Serial> = moments.into_iter().collect();
    for index in spread(0..moments.len(), most / 8) {
        let then = open.iter().map(|(_, contents)| latest_until(contents, moments[index]));
        emit(&then.collect::<Vec<_>>());
    }
    let single: usize = open.iter().map(|(_, contents)| contents.len()).sum();
    let share = (most / 3).max(1);
    for base in [&old, &latest] {
        emit(base);
        let mut position = 0;
        for (file, (_, contents)) in open.iter().enumerate() {
            for content in 0..contents.len() {
                position += 1;
                // If there are too many, take an even share of them.
                if single > share && position * share / single == (position - 1) * share / single {
                    continue;
                }
                let mut choice = base.clone();
                choice[file] = content;
                emit(&choice);
            }
        }
    }
}

/// Every combination.
fn each(open: &[(Id, &Vec<Content>)], emit: &mut impl FnMut(&[usize])) {
    let mut choice = vec![0; open.len()];
    loop {
        emit(&choice);
        let mut file = 0;
        loop {
            let Some((_, contents)) = open.get(file) else { return };
            choice[file] += 1;
            if choice[file] < contents.len() {
                break;
            }
            choice[file] = 0;
            file += 1;
        }
    }
}

/// The content that was visible last, or last at `until` if that is given.
fn latest(contents: &[Content], until: Option<Serial>) -> usize {
    let seen = contents.iter().enumerate().filter_map(|(index, c)| Some((c.seen?, index)));
    let seen = seen.filter(|(at, _)| until.is_none_or(|until| *at <= until));
    seen.max().map_or(0, |(_, index)| index)
}

fn latest_until(contents: &[Content], until: Serial) -> usize {
    latest(contents, Some(until))
}

/// All possible contents of a file; the synced one comes first.
fn contents(versions: &Versions, order: Order, most: usize) -> Vec<Content> {
    let mut gathered = Gathered { contents: Vec::new(), known: BTreeSet::new(), most };
    let all = &versions.all;
    for index in spread(0..all.len(), most / 2) {
        gathered.add(all[index].bytes.clone(), Some(all[index].since));
    }
    if all.len() > 1 {
        match order {
            Order::Ext4Ordered => grown(all, &mut gathered),
            _ => torn(all, &mut gathered),
        }
    }
    gathered.contents
}

struct Gathered {
    contents: Vec<Content>,
    known: BTreeSet<Bytes>,
    most: usize,
}

impl Gathered {
    fn add(&mut self, bytes: Bytes, seen: Option<Serial>) {
        if self.contents.len() < self.most && self.known.insert(bytes.clone()) {
            self.contents.push(Content { bytes, seen });
        }
    }
}

/// A journal lets a file grow page by page, and takes overwritten pages in any order.
fn grown(all: &[Version], gathered: &mut Gathered) {
    for pair in all.windows(2) {
        let (old, new) = (&pair[0].bytes, &pair[1].bytes);
        let pages = (old.len().next_multiple_of(PAGE)..new.len()).step_by(PAGE);
        pages.for_each(|size| gathered.add(new.slice(..size), None));
        if new.len() >= old.len() {
            for page in changed(old, &new[..old.len()], PAGE) {
                gathered.add(mixed(old, new, old.len(), |at| page.contains(&at)), None);
            }
        }
    }
}

/// Any sectors of the last content on those of an earlier one, under any size.
fn torn(all: &[Version], gathered: &mut Gathered) {
    let newest = &all[all.len() - 1].bytes;
    let sizes: BTreeSet<usize> = all.iter().map(|version| version.bytes.len()).collect();
    let synced = &all[0].bytes;
    // Sizes independent of bytes: old bytes under a new size, and new bytes under an old size.
    for size in sizes {
        gathered.add(mixed(synced, newest, size, |_| false), None);
        gathered.add(mixed(synced, newest, size, |_| true), None);
    }
    // Also the last but one: the content before the last truncation.
    for old in [synced, &all[all.len() - 2].bytes] {
        let size = newest.len();
        for page in changed(old, newest, PAGE) {
            gathered.add(mixed(old, newest, size, |at| page.contains(&at)), None);
            gathered.add(mixed(old, newest, size, |at| !page.contains(&at)), None);
        }
        for sector in changed(old, newest, SECTOR) {
            gathered.add(mixed(old, newest, size, |at| at < sector.end), None);
            gathered.add(mixed(old, newest, size, |at| at >= sector.end), None);
            gathered.add(mixed(old, newest, size, |at| sector.contains(&at)), None);
            gathered.add(mixed(old, newest, size, |at| !sector.contains(&at)), None);
            // Up to the end of the file only.
            let end = sector.end.min(size);
            if end >= synced.len() {
                gathered.add(mixed(old, newest, end, |_| true), None);
            }
        }
    }
}

/// The ranges in which two contents differ, in units of `piece` bytes.
fn changed(old: &[u8], new: &[u8], piece: usize) -> Vec<Range<usize>> {
    let end = old.len().max(new.len());
    let at = |bytes: &[u8], range: &Range<usize>| {
        let mut padded = bytes.get(range.start.min(bytes.len())..range.end.min(bytes.len()));
        let mut copy = padded.take().unwrap_or_default().to_vec();
        copy.resize(range.len(), 0);
        copy
    };
    let pieces = (0..end.div_ceil(piece)).map(|index| index * piece..(index + 1) * piece);
    pieces.filter(|range| at(old, range) != at(new, range)).collect()
}

/// Sectors of the new content where `new_at` returns true for their first byte, of the old one
/// elsewhere, zeros beyond either.
fn mixed(old: &Bytes, new: &Bytes, size: usize, new_at: impl Fn(usize) -> bool) -> Bytes {
    let mut bytes = vec![0; size];
    for (index, sector) in bytes.chunks_mut(SECTOR).enumerate() {
        let start = index * SECTOR;
        let source = if new_at(start) { new } else { old };
        let have = source.len().saturating_sub(start).min(sector.len());
        sector[..have].copy_from_slice(&source[start.min(source.len())..][..have]);
    }
    bytes.into()
}
