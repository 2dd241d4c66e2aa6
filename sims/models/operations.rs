//! File system calls as data, and how to make them on any disk.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use brokerquake::io::{Disk, File, Map, Open};
use brokerquake::sim::Survival;
use proptest::prelude::*;

/// One of few paths, so that operations interact.
#[derive(Clone, Copy, Debug)]
pub struct Place(pub &'static str);

const PLACES: [&str; 10] = ["a", "b", "c", "d", "d/a", "d/b", "d/e", "d/e/a", "e", "e/a"];

impl Place {
    /// The path below `root`.
    pub fn under(self, root: &Path) -> PathBuf {
        if self.0.is_empty() { root.to_owned() } else { root.join(self.0) }
    }

    /// Its names.
    pub fn names(self) -> Vec<&'static str> {
        self.0.split('/').filter(|name| !name.is_empty()).collect()
    }
}

/// One call, or one crash. Files are named by an index into the open ones.
#[derive(Clone, Debug)]
pub enum Op {
    Open(Place, Open),
    Close(usize),
    Write { file: usize, at: u64, len: usize, byte: u8 },
    Store { file: usize, at: u64, len: usize, byte: u8 },
    SetLen { file: usize, len: u64 },
    Read { file: usize, at: u64, len: usize },
    Sync(usize),
    Rename(Place, Place),
    Remove(Place),
    RemoveDir(Place),
    CreateDir(Place),
    List(Place),
    Exists(Place),
    SyncDir(Place),
    BeginSync(usize),
    BeginSyncDir(Place),
    FinishSync(usize),
    Kill,
    PowerLoss(Survival),
}

/// The result of a call.
pub type Told = Result<Vec<String>, ErrorKind>;

/// Makes one call.
pub async fn drive<D: Disk>(disk: &D, root: &Path, files: &mut Vec<D::File>, op: &Op) -> Told {
    let nothing = |()| Vec::new();
    let told = match op {
        Op::Open(place, how) => disk.open(&place.under(root), *how).map(|file| {
            files.push(file);
            Vec::new()
        }),
        Op::Rename(from, to) => disk.rename(&from.under(root), &to.under(root)).map(nothing),
        Op::Remove(place) => disk.remove(&place.under(root)).map(nothing),
        Op::RemoveDir(place) => disk.remove_dir(&place.under(root)).map(nothing),
        Op::CreateDir(place) => disk.create_dir_all(&place.under(root)).map(nothing),
        Op::SyncDir(place) => disk.sync_dir(&place.under(root)).await.map(nothing),
        Op::Exists(place) => disk.exists(&place.under(root)).map(|exists| vec![exists.to_string()]),
        Op::List(place) => disk.list(&place.under(root)).map(|entries| {
            entries.into_iter().map(|entry| format!("{} {}", entry.name, entry.is_dir)).collect()
        }),
        _ if files.is_empty() => Ok(Vec::new()),
        Op::Close(index) => {
            files.remove(index % files.len());
            Ok(Vec::new())
        }
        Op::Write { file, at, len, byte } => {
            files[file % files.len()].write_at(&vec![*byte; *len], *at).map(nothing)
        }
        Op::Store { file, at, len, byte } => {
            let file = &files[file % files.len()];
            store(disk, file, *at, *len, *byte)
        }
        Op::SetLen { file, len } => files[file % files.len()].set_len(*len).map(nothing),
        Op::Read { file, at, len } => {
            let file = &files[file % files.len()];
            let mut bytes = vec![0; *len];
            file.read_at(&mut bytes, *at).and_then(|count| {
                bytes.truncate(count);
                Ok(vec![file.len()?.to_string(), format!("{bytes:?}")])
            })
        }
        Op::Sync(index) => files[index % files.len()].sync().await.map(nothing),
        _ => unreachable!("{op:?} is not a call"),
    };
    told.map_err(|error| error.kind())
}

/// Stores into a map of the whole file, and reads back the surrounding bytes.
fn store<D: Disk>(
    disk: &D,
    file: &D::File,
    at: u64,
    len: usize,
    byte: u8,
) -> std::io::Result<Vec<String>> {
    let size = file.len()?;
    if size == 0 {
        return Ok(Vec::new());
    }
    let (at, end) = stored(size, at, len);
    let mut map = disk.map(file, size)?;
    map.write(at, &vec![byte; (end - at) as usize])?;
    let mut bytes = vec![0; (size - at).min(600) as usize];
    map.read(at, &mut bytes);
    Ok(vec![format!("{bytes:?}")])
}

/// The range of a store in a file of this size.
pub fn stored(size: u64, at: u64, len: usize) -> (u64, u64) {
    let at = at % size;
    (at, size.min(at + len as u64))
}

fn place() -> impl Strategy<Value = Place> {
    prop::sample::select(&PLACES[..]).prop_map(Place)
}

fn dir() -> impl Strategy<Value = Place> {
    prop::sample::select(&["", "", "d", "d/e", "e", "a"][..]).prop_map(Place)
}

fn at() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 0u64..1500, 2 => 0u64..20_000, 1 => Just(4096), 1 => Just(8192)]
}

/// Calls of a process.
pub fn calls() -> impl Strategy<Value = Op> {
    let len =
        || prop_oneof![4 => 1usize..700, 2 => 1usize..9000, 1 => Just(4096usize), 1 => Just(0)];
    let how =
        prop::sample::select(&[Open::OrCreate, Open::OrCreate, Open::New, Open::Existing][..]);
    let writes = (any::<usize>(), at(), len(), 1u8..);
    prop_oneof![
        4 => (place(), how).prop_map(|(place, how)| Op::Open(place, how)),
        1 => any::<usize>().prop_map(Op::Close),
        6 => writes.prop_map(|(file, at, len, byte)| Op::Write { file, at, len, byte }),
        2 => (any::<usize>(), at(), len(), 1u8..)
            .prop_map(|(file, at, len, byte)| Op::Store { file, at, len, byte }),
        2 => (any::<usize>(), at()).prop_map(|(file, len)| Op::SetLen { file, len }),
        2 => (any::<usize>(), at(), len()).prop_map(|(file, at, len)| Op::Read { file, at, len }),
        2 => any::<usize>().prop_map(Op::Sync),
        3 => (place(), place()).prop_map(|(from, to)| Op::Rename(from, to)),
        1 => place().prop_map(Op::Remove),
        1 => place().prop_map(Op::RemoveDir),
        2 => dir().prop_map(Op::CreateDir),
        1 => dir().prop_map(Op::List),
        1 => place().prop_map(Op::Exists),
        // On a file, it is an error only in the simulation, which is stricter than Linux.
        2 => prop::sample::select(&["", "", "d", "e"][..]).prop_map(|dir| Op::SyncDir(Place(dir))),
    ]
}

/// Calls on one file, so that its syncs, truncations and crashes interact.
pub fn calls_on_one_file() -> impl Strategy<Value = Op> {
    let (file, at) = (0, || prop_oneof![1 => 0u64..600, 2 => 0u64..20_000, 1 => Just(4096)]);
    prop_oneof![
        3 => Just(Op::Open(Place("a"), Open::OrCreate)),
        4 => (at(), 1usize..9000, 1u8..)
            .prop_map(move |(at, len, byte)| Op::Write { file, at, len, byte }),
        1 => (at(), 1usize..600, 1u8..)
            .prop_map(move |(at, len, byte)| Op::Store { file, at, len, byte }),
        4 => at().prop_map(move |len| Op::SetLen { file, len }),
        3 => Just(Op::BeginSync(file)),
        3 => any::<usize>().prop_map(Op::FinishSync),
        1 => Just(Op::SyncDir(Place(""))),
    ]
}

/// Syncs that overlap with other calls.
pub fn syncs() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => any::<usize>().prop_map(Op::BeginSync),
        1 => dir().prop_map(Op::BeginSyncDir),
        3 => any::<usize>().prop_map(Op::FinishSync),
    ]
}
