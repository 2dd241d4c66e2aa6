//! The sample output in README.md is what the commands print, trace hashes included.
//!
//! Each `console` block is run with the binary that these tests are built with, and the report of
//! the faulty bookkeeper with its simulation. Wall times differ from run to run and are not
//! compared. After an intended change of the output,
//! `SNAPSHOTS=overwrite cargo test --test scenarios readme` rewrites the blocks.

use std::path::{Path, PathBuf};
use std::process::Command;

use snapbox::{Assert, Data};

use super::bookkeeper::app::TwoFiles;
use super::bookkeeper::payments;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// The prefix of a sample command.
const CALL: &str = "$ cargo run --release -- ";
const BEGINS: &str = "```console";
const ENDS: &str = "```";
/// The first words of the faulty bookkeeper's report.
const BROKE: &str = "BROKE books-balance ";
/// The test that prints it.
const BOOKKEEPER: &str = "bookkeeper::bookkeeper_that_saves_offsets_first_loses_payments";

#[test]
fn readme_shows_what_the_commands_print() {
    let path = Path::new(ROOT).join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let here = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(Path::new(ROOT).join("scenarios"), here.path().join("scenarios"))
        .unwrap();
    let fresh = refreshed(&readme, |arguments| print(here.path(), arguments));
    let fresh = with_report(&fresh, broken_books);
    Assert::new().action_env("SNAPSHOTS").eq(fresh, Data::read_from(&path, None).raw());
}

#[test]
fn readme_shows_the_example_that_is_tested() {
    let path = Path::new(ROOT).join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let example = Path::new(ROOT).join("sims/examples/billing.rs");
    let example = std::fs::read_to_string(example).unwrap();
    let (_, code) = example.split_once("\n\n").expect("a header, then the code");
    let (before, rest) = readme.split_once("```rust\n").expect("the example begins");
    let (_, after) = rest.split_once("```").expect("the example ends");
    let fresh = format!("{before}```rust\n{code}```{after}");
    Assert::new().action_env("SNAPSHOTS").eq(fresh, Data::read_from(&path, None).raw());
}

/// The output of a command in `directory`.
fn print(directory: &Path, arguments: &str) -> String {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_brokerquake"));
    let output = Command::new(binary)
        .args(arguments.split_whitespace())
        .current_dir(directory)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.stdout.is_empty(), "`{arguments}` prints nothing: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The report of the faulty bookkeeper, as its test prints it.
fn broken_books() -> String {
    let test = std::thread::Builder::new().name(BOOKKEEPER.into());
    let failed = test.spawn(|| payments(TwoFiles).assert_holds()).unwrap().join().unwrap_err();
    failed.downcast_ref::<String>().unwrap().trim().to_owned()
}

/// The text with the block that begins with [`BROKE`] replaced by what `report` gives.
fn with_report(text: &str, report: impl FnOnce() -> String) -> String {
    let Some((before, rest)) = text.split_once(BROKE) else { return text.to_owned() };
    let (_, after) = rest.split_once("\n```").expect("the block ends");
    format!("{before}{}\n```{after}", report())
}

/// The text with the output of each command in its `console` blocks replaced by what `run` gives.
/// A line that differs in wall times only stays as it is.
fn refreshed(text: &str, mut run: impl FnMut(&str) -> String) -> String {
    let mut fresh = String::new();
    let mut lines = text.lines().peekable();
    let mut in_sample = false;
    while let Some(line) = lines.next() {
        fresh.extend([line, "\n"]);
        in_sample = line == BEGINS || (in_sample && line != ENDS);
        let Some(arguments) = line.strip_prefix(CALL).filter(|_| in_sample) else {
            assert!(!in_sample || line == BEGINS, "not a sample command: {line:?}");
            continue;
        };
        let mut shown = Vec::new();
        while let Some(line) = lines.next_if(|line| *line != ENDS && !line.starts_with("$ ")) {
            shown.push(line);
        }
        let printed = run(arguments);
        for (index, line) in printed.lines().enumerate() {
            let same =
                shown.get(index).filter(|old| without_wall_time(old) == without_wall_time(line));
            fresh.extend([same.copied().unwrap_or(line), "\n"]);
        }
    }
    fresh
}

/// A verdict's line without the wall time after the simulated time.
fn without_wall_time(line: &str) -> (&str, &str) {
    let Some((before, after)) = line.split_once(" simulated ") else { return (line, "") };
    (before, after.split_once(" s").map_or("", |(_, rest)| rest))
}

#[test]
fn sample_keeps_its_wall_times_and_gets_new_output() {
    let text =
        "a\n```console\n$ cargo run --release -- run\nheld x 77 s simulated 0.6 s\nold\n```\nb\n";
    let same = refreshed(text, |_| "held x 77 s simulated 12.3 s\nold\n".into());
    assert_eq!(same, text);
    let new = refreshed(text, |arguments| {
        assert_eq!(arguments, "run");
        "held x 78 s simulated 12.3 s\nnew\nmore\n".into()
    });
    let report = with_report("x\n```\nBROKE books-balance a\nb\n```\ny", || "BROKE new".into());
    assert_eq!(report, "x\n```\nBROKE new\n```\ny");
    assert_eq!(
        new,
        "a\n```console\n$ cargo run --release -- run\nheld x 78 s simulated 12.3 s\nnew\nmore\n```\nb\n"
    );
}
