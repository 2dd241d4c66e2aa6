//! Requirements on every disk while nothing crashes. Each test has its own directory.

use std::io::ErrorKind;
use std::path::Path;

use brokerquake::io::{Disk, Entry, File, Map, Open, World};

pub async fn what_was_written_is_read<W: World>(world: &W, dir: &Path) {
    let disk = world.disk();
    let file = disk.open(&dir.join("a"), Open::New).unwrap();
    file.write_at(b"hello", 0).unwrap();
    file.write_at(b"world", 5).unwrap();
    file.write_at(b"W", 5).unwrap();
    assert_eq!(file.len().unwrap(), 10);
    let mut buffer = [0; 16];
    assert_eq!(file.read_at(&mut buffer, 3).unwrap(), 7);
    assert_eq!(&buffer[..7], b"loWorld");
    assert_eq!(file.read_at(&mut buffer, 10).unwrap(), 0);
    assert_eq!(file.read_at(&mut buffer, 99).unwrap(), 0);
    disk.settle().await;
}

pub async fn a_file_opens_as_asked<W: World>(world: &W, dir: &Path) {
    let disk = world.disk();
    let path = dir.join("a");
    let missing = disk.open(&path, Open::Existing).err().unwrap();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let file = disk.open(&path, Open::OrCreate).unwrap();
    file.write_at(b"kept", 0).unwrap();
    assert_eq!(disk.open(&path, Open::OrCreate).unwrap().len().unwrap(), 4);
    let there = disk.open(&path, Open::New).err().unwrap();
    assert_eq!(there.kind(), ErrorKind::AlreadyExists);
    // Two handles refer to one file.
    let mut read = [0; 4];
    disk.open(&path, Open::Existing).unwrap().read_exact_at(&mut read, 0).unwrap();
    assert_eq!(&read, b"kept");
}

pub async fn a_hole_reads_as_zeros<W: World>(world: &W, dir: &Path) {
    let file = world.disk().open(&dir.join("a"), Open::New).unwrap();
    file.write_at(b"end", 100_000).unwrap();
    let mut read = [9; 8];
    file.read_exact_at(&mut read, 50_000).unwrap();
    assert_eq!(read, [0; 8]);
    file.set_len(10_000_000).unwrap();
    file.read_exact_at(&mut read, 9_999_992).unwrap();
    assert_eq!(read, [0; 8]);
}

pub async fn a_map_and_its_file_are_the_same_bytes<W: World>(world: &W, dir: &Path) {
    let disk = world.disk();
    let file = disk.open(&dir.join("a.index"), Open::New).unwrap();
    file.set_len(10_000).unwrap();
    file.write_at(b"by write", 4090).unwrap();
    let mut map = disk.map(&file, 10_000).unwrap();
    assert_eq!(map.len(), 10_000);
    let mut read = [0; 8];
    map.read(4090, &mut read);
    assert_eq!(&read, b"by write");
    map.write(4094, b"STORE").unwrap();
    file.read_exact_at(&mut read, 4090).unwrap();
    assert_eq!(&read, b"by wSTOR");
    map.flush().await.unwrap();
    let longer = disk.map(&file, 10_001).err().unwrap();
    assert_eq!(longer.kind(), ErrorKind::UnexpectedEof);
}

pub async fn a_rename_replaces<W: World>(world: &W, dir: &Path) {
    let disk = world.disk();
    let (old, new) = (dir.join("checkpoint.tmp"), dir.join("checkpoint"));
    disk.open(&new, Open::New).unwrap().write_at(b"stale", 0).unwrap();
    let file = disk.open(&old, Open::New).unwrap();
    file.write_at(b"fresh!", 0).unwrap();
    disk.rename(&old, &new).unwrap();
    assert!(!disk.exists(&old).unwrap());
    let mut read = [0; 6];
    disk.open(&new, Open::Existing).unwrap().read_exact_at(&mut read, 0).unwrap();
    assert_eq!(&read, b"fresh!");
    // The handle stays valid after the rename.
    file.write_at(b"F", 0).unwrap();
    disk.open(&new, Open::Existing).unwrap().read_exact_at(&mut read, 0).unwrap();
    assert_eq!(&read, b"Fresh!");

    let (topic, deleted) = (dir.join("orders-0"), dir.join("orders-0.x-delete"));
    disk.create_dir_all(&topic).unwrap();
    disk.open(&topic.join("0.log"), Open::New).unwrap();
    disk.rename(&topic, &deleted).unwrap();
    assert!(disk.exists(&deleted.join("0.log")).unwrap());
    let missing = disk.rename(&topic, &new).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

pub async fn a_removed_file_lives_on_in_its_handles<W: World>(world: &W, dir: &Path) {
    let disk = world.disk();
    let path = dir.join("a");
    let file = disk.open(&path, Open::New).unwrap();
    file.write_at(b"still here", 0).unwrap();
    disk.remove(&path).unwrap();
    assert!(!disk.exists(&path).unwrap());
    let mut read = [0; 10];
    file.read_exact_at(&mut read, 0).unwrap();
    assert_eq!(&read, b"still here");
    // The name is free for another file.
    assert_eq!(disk.open(&path, Open::New).unwrap().len().unwrap(), 0);
    file.read_exact_at(&mut read, 0).unwrap();
    assert_eq!(&read, b"still here");
}

pub async fn a_list_is_sorted_and_knows_directories<W: World>(world: &W, dir: &Path) {
    let disk = world.disk();
    disk.open(&dir.join("b"), Open::New).unwrap();
    disk.open(&dir.join("a"), Open::New).unwrap();
    disk.create_dir_all(&dir.join("c/d")).unwrap();
    let entry = |name: &str, is_dir| Entry { name: name.into(), is_dir };
    let all = [entry("a", false), entry("b", false), entry("c", true)];
    assert_eq!(disk.list(dir).unwrap(), all);
    assert_eq!(disk.list(&dir.join("c")).unwrap(), [entry("d", true)]);
    assert!(disk.exists(&dir.join("c/d")).unwrap());
}

pub async fn a_cut_file_ends_there<W: World>(world: &W, dir: &Path) {
    let file = world.disk().open(&dir.join("a.log"), Open::New).unwrap();
    file.write_at(&[1; 9000], 0).unwrap();
    file.set_len(4500).unwrap();
    assert_eq!(file.len().unwrap(), 4500);
    // Truncated bytes do not come back when the file grows again.
    file.set_len(9000).unwrap();
    let mut read = [7; 2];
    file.read_exact_at(&mut read, 4499).unwrap();
    assert_eq!(read, [1, 0]);
    file.write_at(&[2], 8999).unwrap();
    file.read_exact_at(&mut read, 8998).unwrap();
    assert_eq!(read, [0, 2]);
}

pub async fn a_sync_succeeds_for_files_directories_and_maps<W: World>(world: &W, dir: &Path) {
    let disk = world.disk();
    let file = disk.open(&dir.join("a"), Open::New).unwrap();
    file.set_len(8192).unwrap();
    let mut map = disk.map(&file, 8192).unwrap();
    map.write(0, b"x").unwrap();
    file.sync().await.unwrap();
    map.flush().await.unwrap();
    disk.sync_dir(dir).await.unwrap();
    let missing = disk.sync_dir(&dir.join("missing")).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

pub async fn errors_have_the_kinds_that_code_relies_on<W: World>(world: &W, dir: &Path) {
    let disk = world.disk();
    let kind = |result: std::io::Result<()>| result.unwrap_err().kind();
    assert_eq!(kind(disk.remove(&dir.join("missing"))), ErrorKind::NotFound);
    assert_eq!(kind(disk.list(&dir.join("missing")).map(drop)), ErrorKind::NotFound);
    disk.create_dir_all(&dir.join("full/of")).unwrap();
    assert_eq!(kind(disk.remove_dir(&dir.join("full"))), ErrorKind::DirectoryNotEmpty);
    disk.remove_dir(&dir.join("full/of")).unwrap();
    disk.remove_dir(&dir.join("full")).unwrap();
    let orphan = disk.open(&dir.join("no/such/dir"), Open::OrCreate).map(drop);
    assert_eq!(kind(orphan), ErrorKind::NotFound);
    let file = disk.open(&dir.join("a"), Open::New).unwrap();
    let short = file.read_exact_at(&mut [0], 0).unwrap_err();
    assert_eq!(short.kind(), ErrorKind::UnexpectedEof);
}
