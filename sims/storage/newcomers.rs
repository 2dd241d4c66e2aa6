//! Directories that a new user may pass: each is accepted, or refused with an error that names the
//! file and the remedy, and nothing in it is lost.

use std::fs;
use std::path::{Path, PathBuf};

use brokerquake::base::Offset;
use brokerquake::wire::batch;

use super::super::{one_life, partitions, serve, used};

fn refused(dir: &Path) -> String {
    one_life(serve(&[dir], &[])).err().unwrap()
}

/// Every file below a directory, with its bytes.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push((entry.path(), fs::read(entry.path()).unwrap())),
        }
    }
    found.sort();
    found
}

#[test]
fn directory_with_foreign_files_is_refused_untouched() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("project-2")).unwrap();
    for name in ["project-2/main.rs", "notes.tmp", ".profile"] {
        fs::write(home.path().join(name), name).unwrap();
    }
    let before = files(home.path());
    let told = refused(home.path());
    let path = home.path().display().to_string();
    assert!(told.starts_with(&path) && told.contains("there is no meta.properties"), "{told}");
    assert!(told.ends_with("name an empty directory, or put its meta.properties back"), "{told}");
    assert_eq!(files(home.path()), before);
    // A fresh file system is empty except for its own files.
    let fresh = tempfile::tempdir().unwrap();
    fs::create_dir(fresh.path().join("lost+found")).unwrap();
    one_life(serve(&[fresh.path()], &[])).unwrap();
}

#[test]
fn corrupt_small_file_is_reported_with_line_and_remedy() {
    let place = used();
    for (file, garbled, words) in [
        ("meta.properties", None, "put its meta.properties back"),
        ("meta.properties", Some("version=1\nnode.id=1\n"), "`directory.id` is missing; put the"),
        (
            "meta.properties",
            Some("version=1\nnode.id=one\n"),
            ":2: `one` is not a node.id; put the",
        ),
        (
            "recovery-point-offset-checkpoint",
            Some("0\n1\nt-0 5\n"),
            ":3: `t-0 5` is not an entry; rem",
        ),
        ("replication-offset-checkpoint", Some("7\n"), ":1: expected version `0`, found `7`; rem"),
        (
            "log-start-offset-checkpoint",
            Some("0\nx\n"),
            ":2: expected the number of entries; remove",
        ),
        ("cleaner-offset-checkpoint", Some("0\n2\n"), ":2: 2 entries announced, 0 found; remove"),
    ] {
        let path = place.path().join(file);
        let before = fs::read(&path).ok();
        match garbled {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let told = refused(place.path());
        // A missing file has no lines.
        let named = if garbled.is_some() { &path } else { place.path() };
        assert!(told.contains(&named.display().to_string()) && told.contains(words), "{told}");
        match before {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
    }
    one_life(serve(&[place.path()], &[])).unwrap();
    // The suggested remedy works.
    fs::write(place.path().join("recovery-point-offset-checkpoint"), "rubbish").unwrap();
    assert!(refused(place.path()).ends_with("examined from its beginning"));
    fs::remove_file(place.path().join("recovery-point-offset-checkpoint")).unwrap();
    one_life(serve(&[place.path()], &[])).unwrap();
}

#[test]
fn file_in_place_of_a_log_dir_is_reported() {
    let place = used();
    let file = place.path().join("meta.properties");
    let told = refused(&file);
    assert!(told.starts_with(&file.display().to_string()), "{told}");
    assert!(told.ends_with("; name a directory"), "{told}");
    let text = fs::read_to_string(&file).unwrap().replace("node.id=1", "node.id=7");
    fs::write(&file, text).unwrap();
    let told = refused(place.path());
    assert!(told.ends_with("this is node 1; set `node.id=7`, or name another directory"), "{told}");
}

#[test]
fn log_without_a_topic_is_kept_aside() {
    let place = used();
    let stray = place.path().join("mine-0");
    fs::create_dir(&stray).unwrap();
    for (file, _) in files(&place.path().join("t-0")) {
        fs::copy(&file, stray.join(file.file_name().unwrap())).unwrap();
    }
    let log = fs::read(stray.join("00000000000000000000.log")).unwrap();
    let aside = one_life(async {
        serve(&[place.path()], &[("log.segment.delete.delay.ms", "0")]).await.unwrap();
        let names = || fs::read_dir(place.path()).unwrap().map(|e| e.unwrap().path());
        loop {
            let is_aside = |path: &PathBuf| path.display().to_string().ends_with("-stray");
            if let Some(path) = names().find(is_aside) {
                break path;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    });
    assert!(!stray.exists());
    // The next start does not touch it either.
    one_life(serve(&[place.path()], &[])).unwrap();
    assert_eq!(fs::read(aside.join("00000000000000000000.log")).unwrap(), log);
    assert_eq!(partitions(place.path()).len(), 4);
}

/// Apache Kafka's metadata log has records that are not supported here (controller registrations,
/// ACLs, SCRAM, quotas): its directory is refused, and Kafka can still use it.
#[test]
fn kafkas_metadata_log_is_refused_with_the_unknown_record() {
    let place = tempfile::tempdir().unwrap();
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("sims/fixtures/kafka/data");
    for (path, bytes) in files(&recorded) {
        let to = place.path().join(path.strip_prefix(&recorded).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, bytes).unwrap();
    }
    let logs = |dir: &Path| {
        let mut files = files(dir);
        files.retain(|(path, _)| path.extension().is_some_and(|end| end == "log"));
        files
    };
    let before = logs(place.path());
    let told = refused(place.path());
    assert!(
        told.starts_with("metadata log at offset 1: BeginTransactionRecord: ")
            && told.contains("; Apache Kafka or a newer brokerquake wrote this")
            && told.ends_with("name an empty directory here and create the topics again there"),
        "{told}"
    );
    assert_eq!(logs(place.path()), before);
    // A log whose beginning is in a snapshot can't be used either.
    let log = place.path().join("__cluster_metadata-0/00000000000000000000.log");
    let bytes = fs::read(&log).unwrap();
    let later = batch::batches(&bytes).map(Result::unwrap);
    let later = later.filter(|(header, _)| header.base_offset >= Offset(56));
    let later: Vec<u8> = later.flat_map(|(_, bytes)| bytes.to_vec()).collect();
    fs::write(log.with_file_name("00000000000000000056.log"), later).unwrap();
    fs::remove_file(log).unwrap();
    let told = refused(place.path());
    assert!(told.contains("what was before is in a snapshot"), "{told}");
}
