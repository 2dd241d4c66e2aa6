//! Decides whether a state that was found after a power loss can result from recorded steps.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::history::{Edit, History, Id, Node, ROOT, Versions};
use super::{Found, Order};

/// Unit in which the platter writes, in bytes.
pub(super) const SECTOR: usize = 512;
/// Unit in which a file system allocates space to a file, in bytes.
pub(super) const PAGE: usize = 4096;
/// Most subsets of changes to try before giving up.
const PATIENCE: u32 = 1_000_000;

/// Why no crash can leave a state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unexplained {
    /// A path that is missing or unexpected, or whose content is impossible.
    #[error("`{path}`: {why}")]
    At {
        /// Relative to the root.
        path: String,
        /// What is impossible about it.
        why: String,
    },
    /// No subset of the name changes produces all names that were found.
    #[error("no changes of names that may survive together give what was found: {0}")]
    Names(String),
    /// Too many subsets of changes to try them all.
    #[error("gave up after {PATIENCE} subsets of changes: record fewer steps between two syncs")]
    GaveUp,
}

type Values = BTreeMap<(Id, Arc<str>), Vec<Option<Id>>>;

/// The check of one found state.
struct Inquest<'a> {
    history: &'a History,
    found: &'a Found,
    order: Order,
    /// Results of earlier questions, by node and path.
    known: RefCell<BTreeMap<(Id, String), Result<(), Unexplained>>>,
}

impl History {
    /// Whether a crash now may leave `found` on a file system that keeps `order`. A step that was
    /// under way when power failed counts as done, except for the end of a sync.
    ///
    /// # Errors
    /// When no crash can leave it: the first contradiction.
    pub fn explain(&self, found: &Found, order: Order) -> Result<(), Unexplained> {
        let inquest = Inquest { history: self, found, order, known: RefCell::default() };
        match order {
            Order::EverythingDurable => inquest.is(&self.cached()),
            Order::Weakest => inquest.dir(ROOT, "", &inquest.all_values()),
            Order::Ext4Ordered => inquest.prefixes(),
            Order::AtomicRenames => inquest.subsets(),
        }
    }

    /// The strongest order that explains `found`; `None` when no crash leaves that state.
    pub fn order_of(&self, found: &Found) -> Option<Order> {
        Order::ALL.into_iter().rev().find(|order| self.explain(found, *order).is_ok())
    }
}

impl Inquest<'_> {
    fn is(&self, expected: &Found) -> Result<(), Unexplained> {
        let paths: BTreeSet<&String> = expected.keys().chain(self.found.keys()).collect();
        for path in paths {
            match (expected.get(path), self.found.get(path)) {
                (Some(a), Some(b)) if a == b => {}
                (Some(_), Some(_)) => return Err(at(path, "its bytes differ from the last write")),
                (Some(_), None) => return Err(at(path, "it is missing")),
                _ => return Err(at(path, "no step created it")),
            }
        }
        Ok(())
    }

    /// All values that each name may have, names considered independently.
    fn all_values(&self) -> Values {
        let mut values = self.stable_values();
        for edit in self.history.changes.iter().flat_map(|change| &change.edits) {
            let key = (edit.dir, edit.name.clone());
            values.entry(key).or_insert_with(|| vec![None]).push(edit.to);
        }
        values
    }

    fn stable_values(&self) -> Values {
        let mut values = Values::new();
        for (dir, node) in self.history.nodes.iter().enumerate() {
            let Node::Dir { stable, .. } = node else { continue };
            values.extend(stable.iter().map(|(name, id)| ((dir, name.clone()), vec![Some(*id)])));
        }
        values
    }

    /// A prefix of the changes survives, at least up to the last sync of the journal.
    fn prefixes(&self) -> Result<(), Unexplained> {
        let mut values = self.stable_values();
        let mut first_problem = None;
        let changes = &self.history.changes;
        for count in 0..=changes.len() {
            if let Some(change) = count.checked_sub(1).and_then(|last| changes.get(last)) {
                set(&mut values, &change.edits);
            }
            let next = changes.get(count);
            if next.is_some_and(|change| change.since <= self.history.journalled) {
                continue;
            }
            match self.dir(ROOT, "", &values) {
                Ok(()) => return Ok(()),
                Err(problem) => first_problem = first_problem.or(Some(problem)),
            }
        }
        let problem = first_problem.map_or(String::new(), |problem| problem.to_string());
        Err(Unexplained::Names(problem))
    }

    /// Any changes survive, each as a whole, and none before an earlier change of the same name.
    fn subsets(&self) -> Result<(), Unexplained> {
        let mut search = Search {
            inquest: self,
            paths: self.paths(),
            last: self.last_touches(),
            left: PATIENCE,
            problem: None,
        };
        let values = self.stable_values();
        if search.go(0, values, &BTreeSet::new(), false) {
            return Ok(());
        }
        if search.left == 0 {
            return Err(Unexplained::GaveUp);
        }
        let problem = search.problem.map_or(String::new(), |problem| problem.to_string());
        Err(Unexplained::Names(problem))
    }

    /// For each name, the last change that touches it.
    fn last_touches(&self) -> BTreeMap<(Id, Arc<str>), usize> {
        let changes = self.history.changes.iter().enumerate();
        let edits =
            changes.flat_map(|(index, change)| change.edits.iter().map(move |e| (index, e)));
        edits.map(|(index, edit)| ((edit.dir, edit.name.clone()), index)).collect()
    }

    /// All paths at which each directory may be.
    fn paths(&self) -> BTreeMap<Id, BTreeSet<String>> {
        let values = self.all_values();
        let mut paths = BTreeMap::from([(ROOT, BTreeSet::from([String::new()]))]);
        let mut open = vec![(ROOT, String::new())];
        while let Some((dir, prefix)) = open.pop() {
            for ((_, name), ids) in values.range((dir, "".into())..(dir + 1, "".into())) {
                for id in ids.iter().flatten() {
                    let path = format!("{prefix}{name}/");
                    let is_dir = matches!(self.history.nodes[*id], Node::Dir { .. });
                    if is_dir && paths.entry(*id).or_default().insert(path.clone()) {
                        open.push((*id, path));
                    }
                }
            }
        }
        paths
    }

    /// Whether a directory matches what was found, when each name has one of these values.
    fn dir(&self, dir: Id, prefix: &str, values: &Values) -> Result<(), Unexplained> {
        let names: BTreeMap<&str, &Vec<Option<Id>>> = values
            .range((dir, "".into())..(dir + 1, "".into()))
            .map(|((_, name), ids)| (&**name, ids))
            .collect();
        let here = self.found.range(prefix.to_owned()..);
        for (path, _) in here.take_while(|(path, _)| path.starts_with(prefix)) {
            let name = path[prefix.len()..].split('/').next().unwrap_or_default();
            if !names.contains_key(name) {
                return Err(at(path, "no step created it"));
            }
        }
        for (name, ids) in names {
            let path = format!("{prefix}{name}");
            let mut problem = None;
            let fits = ids.iter().rev().any(|id| match self.name(*id, &path, values) {
                Ok(()) => true,
                Err(why) => {
                    problem.get_or_insert(why);
                    false
                }
            });
            if !fits {
                return Err(problem.unwrap_or_else(|| at(&path, "no possible value fits")));
            }
        }
        Ok(())
    }

    fn name(&self, id: Option<Id>, path: &str, values: &Values) -> Result<(), Unexplained> {
        match (id.map(|id| (id, &self.history.nodes[id])), self.found.get(path)) {
            (None, None) => Ok(()),
            (Some((id, Node::File(versions))), Some(Some(bytes))) => {
                let key = (id, path.to_owned());
                if let Some(known) = self.known.borrow().get(&key) {
                    return known.clone();
                }
                let told = content(versions, bytes, self.order).map_err(|why| at(path, why));
                self.known.borrow_mut().insert(key, told.clone());
                told
            }
            (Some((id, Node::Dir { .. })), Some(None)) => self.dir(id, &format!("{path}/"), values),
            (None, Some(_)) => Err(at(path, "found, although it was removed or never created")),
            (Some(_), None) => Err(at(path, "not found, although it must be there")),
            (Some(_), Some(_)) => Err(at(path, "a file in place of a directory, or the reverse")),
        }
    }
}

/// A search for a subset of changes that produces what was found.
struct Search<'a, 'b> {
    inquest: &'a Inquest<'b>,
    paths: BTreeMap<Id, BTreeSet<String>>,
    last: BTreeMap<(Id, Arc<str>), usize>,
    left: u32,
    problem: Option<Unexplained>,
}

impl Search<'_, '_> {
    /// Decides on the changes from `index` on. Leaving out a change of a name blocks later ones.
    fn go(
        &mut self,
        index: usize,
        values: Values,
        blocked: &BTreeSet<(Id, Arc<str>)>,
        left_out: bool,
    ) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        let Some(change) = self.inquest.history.changes.get(index) else {
            let told = self.inquest.dir(ROOT, "", &values);
            return match told {
                Ok(()) => true,
                Err(problem) => {
                    self.problem.get_or_insert(problem);
                    false
                }
            };
        };
        let names = || change.edits.iter().map(|edit| (edit.dir, edit.name.clone()));
        let may_be = !(names().any(|name| blocked.contains(&name)) || change.moves_dir && left_out);
        if may_be {
            let mut with = values.clone();
            set(&mut with, &change.edits);
            if self.fits(index, &with) && self.go(index + 1, with, blocked, left_out) {
                return true;
            }
        }
        let mut without = blocked.clone();
        without.extend(names());
        self.fits(index, &values) && self.go(index + 1, values, &without, true)
    }

    /// Whether names that no later change touches match what was found, at any of their paths.
    fn fits(&self, index: usize, values: &Values) -> bool {
        self.inquest.history.changes[index].edits.iter().all(|edit| {
            let key = (edit.dir, edit.name.clone());
            if self.last.get(&key) != Some(&index) {
                return true;
            }
            let value = values.get(&key).and_then(|values| values.first().copied()).flatten();
            let places = self.paths.get(&edit.dir).into_iter().flatten();
            let found = &self.inquest.found;
            let visible = |place: &&String| {
                place.is_empty() || found.contains_key(place.trim_end_matches('/'))
            };
            let mut places = places.filter(visible).peekable();
            places.peek().is_none()
                || places.any(|place| {
                    let path = format!("{place}{}", edit.name);
                    match value.map(|id| &self.inquest.history.nodes[id]) {
                        // The content of a directory is checked at the end.
                        Some(Node::Dir { .. }) => matches!(found.get(&path), Some(None)),
                        _ => self.inquest.name(value, &path, values).is_ok(),
                    }
                })
        })
    }
}

fn set(values: &mut Values, edits: &[Edit]) {
    for edit in edits {
        values.insert((edit.dir, edit.name.clone()), vec![edit.to]);
    }
}

fn at(path: &str, why: impl Into<String>) -> Unexplained {
    Unexplained::At { path: path.to_owned(), why: why.into() }
}

/// Whether a file may be found with these bytes.
fn content(versions: &Versions, found: &Bytes, order: Order) -> Result<(), String> {
    match order {
        Order::EverythingDurable if found == versions.cached() => Ok(()),
        Order::EverythingDurable => Err("its bytes differ from the last write".into()),
        Order::Weakest | Order::AtomicRenames => weakest(versions, found),
        Order::Ext4Ordered => ordered(versions, found),
    }
}

/// Each sector must be as it was at the last sync or at some later time, or zero where the size
/// changed; the size must lie between the smallest and the largest size since then.
fn weakest(versions: &Versions, found: &Bytes) -> Result<(), String> {
    let lens = || versions.all.iter().map(|version| version.bytes.len());
    let (low, high) = (lens().min().unwrap_or(0), lens().max().unwrap_or(0));
    if !(low..=high).contains(&found.len()) {
        return Err(format!("a size of {} is outside {low} to {high}", found.len()));
    }
    for (index, sector) in found.chunks(SECTOR).enumerate() {
        let start = index * SECTOR;
        let explained = versions.all.iter().any(|version| {
            sector.iter().zip(start..).all(|(byte, at)| match version.bytes.get(at) {
                Some(was) => was == byte || (*byte == 0 && at >= low),
                None => *byte == 0,
            })
        });
        if !explained {
            return Err(format!("the sector at byte {start} never had this content"));
        }
    }
    Ok(())
}

/// With a journal, the size is one that the file had, or ends at a page boundary. Bytes below the
/// previous size may come from any write; bytes by which the file grew are complete.
fn ordered(versions: &Versions, found: &Bytes) -> Result<(), String> {
    let mut problem = String::new();
    // Growth starts at the size of the last truncation in the journal.
    for base in 0..versions.all.len() {
        let cut = base.checked_sub(1).and_then(|before| versions.all.get(before));
        let len = |index: usize| versions.all[index].bytes.len();
        if cut.is_some_and(|before| before.bytes.len() <= len(base)) {
            continue;
        }
        let after = &versions.all[base..];
        let grown = after.windows(2).take_while(|pair| pair[1].bytes.len() >= pair[0].bytes.len());
        let grown = &after[..grown.count() + 1];
        match ordered_since(&versions.all[..base], grown, found) {
            Ok(()) => return Ok(()),
            Err(why) => problem = why,
        }
    }
    Err(problem)
}

fn ordered_since(
    before: &[super::history::Version],
    grown: &[super::history::Version],
    found: &Bytes,
) -> Result<(), String> {
    let lens = || grown.iter().map(|version| version.bytes.len());
    let (low, high) = (lens().min().unwrap_or(0), lens().max().unwrap_or(0));
    let size = found.len();
    let known = lens().any(|len| len == size) || size.is_multiple_of(PAGE);
    if !(low..=high).contains(&size) || !known {
        return Err(format!("a journal never leaves the size {size}"));
    }
    for (index, sector) in found.chunks(SECTOR).enumerate() {
        let (start, end) = (index * SECTOR, index * SECTOR + sector.len());
        let as_in = |version: &super::history::Version, upto: usize| {
            version.bytes.get(start..upto.min(end)) == Some(&sector[..upto.min(end) - start])
        };
        // The part that grew: only a content that has all of it, up to the found size.
        let written = grown.iter().any(|version| as_in(version, end));
        let overwritten = || end <= low && before.iter().any(|version| as_in(version, end));
        if !written && !overwritten() {
            return Err(format!("the sector at byte {start} never had this content"));
        }
    }
    Ok(())
}
