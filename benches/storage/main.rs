//! What the log costs, each figure beside what the machine does without it in the same run.
//!
//! `cargo bench --bench storage [append|lookup|open|recovery|commit]`. Data goes below
//! `BROKERQUAKE_BENCH_DIR` (default: the system's directory for temporary files), and needs 3 GiB
//! there; `open` uses /dev/shm where there is one, for it measures no disk.

#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

mod commit;
mod logs;

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A directory that goes with its handle.
fn place() -> tempfile::TempDir {
    match std::env::var_os("BROKERQUAKE_BENCH_DIR").map(PathBuf::from) {
        Some(dir) => tempfile::tempdir_in(dir).expect("BROKERQUAKE_BENCH_DIR can be written to"),
        None => tempfile::tempdir().expect("there is a directory for temporary files"),
    }
}

/// How long something took.
fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let value = work();
    (start.elapsed(), value)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// One line of the result: a figure, the bound that it is to keep, and whether it does.
fn told(name: &str, figure: String, bound: &str, kept: bool) {
    println!("{} {name:<34} {figure:<58} {bound}", if kept { "met " } else { "MISS" });
}

fn main() {
    let words: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| word == name);
    if wanted("append") {
        logs::append();
    }
    if wanted("lookup") {
        logs::lookup();
    }
    if wanted("open") {
        logs::open();
    }
    if wanted("recovery") {
        logs::recovery();
    }
    if wanted("commit") {
        commit::group_commit();
    }
}
