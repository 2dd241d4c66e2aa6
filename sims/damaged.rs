//! Files that were damaged, cut or lost while a node was down: what it refuses, what it serves all
//! the same, and what it restores. A process over real files, read with librdkafka.
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use super::clients::clients::server::Server;
use super::clients::clients::traffic::{Load, consume_all, produce};

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Every file below a directory, with its bytes.
fn files(dir: &Path) -> Files {
    let mut found = Files::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => drop(found.insert(entry.path(), fs::read(entry.path()).unwrap())),
        }
    }
    found
}

/// Puts everything back as it was.
fn restore(dir: &Path, to: &Files) {
    for path in files(dir).keys().filter(|path| !to.contains_key(*path)) {
        fs::remove_file(path).unwrap();
    }
    for (path, bytes) in to {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// Topics `one` and `two` with records, as a node left them.
fn used(clean: bool) -> (Server, Files) {
    let mut server = Server::start();
    for topic in ["one", "two"] {
        server.create_topic(topic, 1, 1, &[]);
        write(&server, topic, 0, 30);
    }
    match clean {
        true => server.terminate(),
        false => server.kill(),
    }
    let files = files(&server.data());
    (server, files)
}

fn write(server: &Server, topic: &str, first: u64, count: u64) {
    let load = Load { topic, codec: "none", acks: "all", first, count, partitions: 1 };
    let sent = produce(&server.bootstrap(), &load, |_| 100);
    assert!(sent.iter().all(|sent| sent.is_acknowledged()));
}

fn read(server: &Server, topic: &str) -> usize {
    consume_all(&server.bootstrap(), topic, 1).len()
}

fn metadata_log(server: &Server) -> PathBuf {
    server.data().join("__cluster_metadata-0/00000000000000000000.log")
}

/// The node refuses, twice, names the file and a way out, and changes nothing.
fn assert_refused(server: &Server, of: &Path, words: &str) {
    let before = files(&server.data());
    for _ in 0..2 {
        let told = server.refusal();
        assert!(told.contains(&of.display().to_string()) && told.contains(words), "{told}");
        assert!(told.contains("put the file back"), "{told}");
    }
    let after = files(&server.data());
    assert!(after.keys().eq(before.keys()), "{:?}", after.keys());
    // Each process writes its id to the lock file.
    for (path, bytes) in before.into_iter().filter(|(path, _)| !path.ends_with(".lock")) {
        assert!(after[&path] == bytes, "{} was changed", path.display());
    }
}

#[test]
fn damaged_metadata_log_is_refused_and_left_alone_after_any_stop() {
    for clean in [true, false] {
        let (mut server, whole) = used(clean);
        let log = metadata_log(&server);
        for at in [12, 30, 200, whole[&log].len() / 2] {
            let mut bytes = whole[&log].clone();
            bytes[at] ^= 1;
            fs::write(&log, bytes).unwrap();
            assert_refused(&server, &log, "at byte ");
        }
        restore(&server.data(), &whole);
        server.restart();
        assert_eq!((read(&server, "one"), read(&server, "two")), (30, 30));
    }
}

#[test]
fn cut_or_missing_metadata_log_is_refused_after_a_clean_stop() {
    let (mut server, whole) = used(true);
    let log = metadata_log(&server);
    let bytes = &whole[&log];
    for len in [0, 1, 100, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&log, &bytes[..len]).unwrap();
        assert_refused(&server, &log, "offset ");
    }
    fs::remove_file(&log).unwrap();
    assert_refused(&server, log.parent().unwrap(), "the log ends at offset 0");
    // Indexes and the like are rebuilt.
    restore(&server.data(), &whole);
    for (path, bytes) in whole.iter().filter(|(path, _)| path.parent() == log.parent()) {
        if *path != log {
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }
    }
    server.restart();
    assert_eq!((read(&server, "one"), read(&server, "two")), (30, 30));
}

#[test]
fn torn_tail_of_the_metadata_log_is_cut_after_a_kill() {
    let (mut server, whole) = used(false);
    let log = metadata_log(&server);
    let torn = [&whole[&log][..], &whole[&log][..50]].concat();
    fs::write(&log, torn).unwrap();
    server.restart();
    assert_eq!((read(&server, "one"), read(&server, "two")), (30, 30));
}

#[test]
fn small_file_of_a_partition_costs_at_most_that_partition() {
    let (mut server, whole) = used(true);
    let dir = server.data().join("one-0");
    let of_one: Vec<&PathBuf> = whole.keys().filter(|path| path.parent() == Some(&dir)).collect();
    let small = of_one.into_iter().filter(|path| path.extension().is_none_or(|end| end != "log"));
    let small: Vec<&PathBuf> = small.collect();
    let ends = [".index", ".timeindex", ".snapshot", "-checkpoint", "partition.metadata"];
    for end in ends {
        let has = |path: &&PathBuf| path.display().to_string().ends_with(end);
        assert!(small.iter().any(has), "no {end} in {small:?}");
    }
    for path in small {
        for content in [None, Some(&b""[..]), Some(b"\xff\x00garbage\n")] {
            restore(&server.data(), &whole);
            match content {
                None => fs::remove_file(path).unwrap(),
                Some(bytes) => fs::write(path, bytes).unwrap(),
            }
            server.restart();
            assert_eq!(read(&server, "two"), 30, "{}", path.display());
            match content {
                Some(bytes) if path.ends_with("partition.metadata") => {
                    assert!(!is_served(&server, "one"), "it is unknown whose log that is");
                    assert_eq!(fs::read(path).unwrap(), bytes);
                }
                _ => {
                    assert_eq!(read(&server, "one"), 30, "{} {content:?}", path.display());
                    write(&server, "one", 30, 1);
                }
            }
            if path.ends_with("partition.metadata") && content.is_none() {
                assert_eq!(fs::read(path).unwrap(), whole[path], "it is restored");
            }
            server.terminate();
        }
    }
    // The remedy is right.
    restore(&server.data(), &whole);
    let path = dir.join("partition.metadata");
    fs::write(&path, "").unwrap();
    server.restart();
    assert!(!is_served(&server, "one"));
    server.terminate();
    fs::remove_file(&path).unwrap();
    server.restart();
    // It leads again once the controller has heard that the replica is back.
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_served(&server, "one") {
        assert!(Instant::now() < deadline, "it stays offline");
    }
    assert_eq!(read(&server, "one"), 30);
}

fn is_served(server: &Server, topic: &str) -> bool {
    let consumer = consumer(server);
    consumer.fetch_watermarks(topic, 0, Duration::from_secs(3)).is_ok()
}

fn consumer(server: &Server) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", server.bootstrap())
        .set("group.id", "nobody")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .create()
        .unwrap()
}

#[test]
fn files_of_the_whole_directory_are_restored_or_named() {
    let (mut server, whole) = used(true);
    // As in Kafka, its existence counts.
    for content in [&b""[..], b"garbage", b"{\"version\":0}"] {
        restore(&server.data(), &whole);
        fs::write(server.data().join(".kafka_cleanshutdown"), content).unwrap();
        server.restart();
        assert_eq!(read(&server, "one"), 30);
        server.terminate();
    }
    for name in [
        "recovery-point-offset-checkpoint",
        "replication-offset-checkpoint",
        "log-start-offset-checkpoint",
        "cleaner-offset-checkpoint",
        "meta.properties",
    ] {
        restore(&server.data(), &whole);
        let path = server.data().join(name);
        for content in [&b""[..], b"\xff\x00garbage\n"] {
            fs::write(&path, content).unwrap();
            // As in Kafka, an empty checkpoint has no entries.
            if content.is_empty() && name != "meta.properties" {
                server.restart();
                assert_eq!((read(&server, "one"), read(&server, "two")), (30, 30), "{name}");
                server.terminate();
                continue;
            }
            let told = server.refusal();
            let remedy = ["; remove the file to have ", "; put the file back as it was"];
            let named = told.contains(&format!("{}:", path.display()));
            assert!(named && remedy.iter().any(|words| told.contains(words)), "{told}");
        }
        if name != "meta.properties" {
            restore(&server.data(), &whole);
            let _ = fs::remove_file(&path);
            server.restart();
            assert_eq!((read(&server, "one"), read(&server, "two")), (30, 30), "{name}");
            server.terminate();
        }
    }
}

/// One partition of 54 records in three segments of 18, closed: their base offsets.
fn three_segments() -> Server {
    let mut server = Server::start_with("log.segment.bytes=1048576\n");
    server.create_topic("t", 1, 1, &[]);
    for key in 0..54 {
        let load =
            Load { topic: "t", codec: "none", acks: "1", first: key, count: 1, partitions: 1 };
        assert!(produce(&server.bootstrap(), &load, |_| 57_000)[0].is_acknowledged());
    }
    server.terminate();
    server
}

fn segments(server: &Server) -> Vec<i64> {
    let names = fs::read_dir(server.data().join("t-0")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let bases = names.filter_map(|name| name.strip_suffix(".log")?.parse().ok());
    let mut bases: Vec<i64> = bases.collect();
    bases.sort_unstable();
    bases
}

fn remove_segment(server: &Server, base: i64) {
    let dir = server.data().join("t-0");
    for entry in fs::read_dir(&dir).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with(&format!("{base:020}.")) && !name.ends_with("snapshot") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

/// Offsets that a consumer gets from an offset on, until that of the last record.
fn read_from(server: &Server, from: i64, last: i64) -> Vec<i64> {
    let consumer = consumer(server);
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset("t", 0, Offset::Offset(from)).unwrap();
    consumer.assign(&assignment).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut offsets = Vec::new();
    while offsets.last() != Some(&last) {
        assert!(Instant::now() < deadline, "{offsets:?}");
        let Some(message) = consumer.poll(Duration::from_millis(200)) else { continue };
        offsets.push(message.unwrap().offset());
    }
    offsets
}

#[test]
fn records_around_a_missing_segment_are_read() {
    let mut server = three_segments();
    assert_eq!(segments(&server), [0, 18, 36]);
    remove_segment(&server, 18);
    server.restart();
    let kept: Vec<i64> = (0..18).chain(36..54).collect();
    assert_eq!(read_from(&server, 0, 53), kept);
    for from in [17, 18, 27, 35, 36] {
        let expected: Vec<i64> = kept.iter().copied().filter(|at| *at >= from).collect();
        assert_eq!(read_from(&server, from, 53), expected);
    }
    write(&server, "t", 54, 1);
    assert_eq!(read_from(&server, 35, 54).len(), 19);
}

#[test]
fn first_or_last_segment_missing_leaves_the_others() {
    let mut server = three_segments();
    let whole = files(&server.data());
    remove_segment(&server, 0);
    server.restart();
    let limits = consumer(&server).fetch_watermarks("t", 0, Duration::from_secs(10)).unwrap();
    assert_eq!(limits, (18, 54));
    assert_eq!(read_from(&server, 18, 53).len(), 36);
    server.terminate();
    restore(&server.data(), &whole);
    remove_segment(&server, 36);
    server.restart();
    let limits = consumer(&server).fetch_watermarks("t", 0, Duration::from_secs(10)).unwrap();
    assert_eq!(limits, (0, 36));
    assert_eq!(read_from(&server, 0, 35).len(), 36);
}

#[test]
fn relative_data_directory_is_created_where_the_process_runs() {
    let place = tempfile::tempdir().unwrap();
    for data in ["bqdata", "bqdata", "./a/b/c/", "x/../y"] {
        if data.contains("..") {
            fs::create_dir(place.path().join("x")).unwrap();
        }
        assert_ready(place.path(), data);
        assert!(place.path().join(data).join("meta.properties").exists(), "{data}");
    }
}

/// `serve` becomes ready on this data directory, as it is named in that directory.
fn assert_ready(place: &Path, data: &str) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_brokerquake"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data", data])
        .current_dir(place)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let line = BufReader::new(child.stdout.take().unwrap()).lines().next();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.is_some_and(|line| line.unwrap().contains("ready")), "{data}");
}

/// Exit code and words of a command.
fn ended(arguments: &[&str]) -> (Option<i32>, String) {
    let ended = Command::new(env!("CARGO_BIN_EXE_brokerquake")).args(arguments).output().unwrap();
    let words = [ended.stdout, ended.stderr].concat();
    (ended.status.code(), String::from_utf8_lossy(&words).into_owned())
}

#[test]
fn wrong_path_is_a_usage_error_that_names_it() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().display().to_string();
    let path = |name: &str| format!("{dir}/{name}");
    let (file, none, empty) = (path("file"), path("none"), path("empty"));
    fs::write(&file, "garbage\n").unwrap();
    fs::write(&empty, "").unwrap();
    let inside = path("file/data");
    for arguments in [
        &["dump-log", "--files", &dir][..],
        &["run", &file],
        &["run", &none],
        &["run", &empty],
        &["run", &dir],
        &["replay", &dir, "--seed", "0"],
        &["replay", &none, "--seed", "0"],
        &["replay", &empty, "--seed", "0"],
        &["shrink", &dir, "--seed", "0"],
        &["shrink", &file, "--seed", "0"],
        &["check", &dir],
        &["check", &none],
        &["check", &empty],
        &["matrix", "--config", &dir],
        &["matrix", "--config", &none],
        &["rebalances", "--reports", &file],
        &["report", "--reports", &file],
        &["report", "--reports", &none],
        &["serve", "--config", &dir],
        &["serve", "--config", &none],
    ] {
        let (code, words) = ended(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {words}");
        let named = arguments.iter().any(|word| word.starts_with(&dir) && words.contains(word));
        assert!(named, "{arguments:?}: {words}");
    }
    for data in [&file, &inside] {
        let (code, words) = ended(&["serve", "--listen", "127.0.0.1:0", "--data", data]);
        assert!(code == Some(1) && words.contains(&file), "{data}: {words}");
    }
}

#[test]
fn cells_of_rebalances_are_chosen_by_names_that_exist() {
    for (arguments, told) in [
        (["rebalances", "--storm", "wavs"], "a similar value exists: 'waves'"),
        (["rebalances", "--strategy", "waves,eager"], "[possible values: eager, cooperative,"),
        (["rebalances", "--storm", ""], "[possible values: waves, rolling-restart,"),
        (["rebalances", "--seeds", "3..3"], "that is no seed at all"),
        (["rebalances", "--seeds", "many"], "expected a number such as `100`"),
    ] {
        let (code, words) = ended(&arguments);
        assert!(code == Some(2) && words.contains(told), "{arguments:?}: {words}");
    }
}
