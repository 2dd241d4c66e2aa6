//! The laws of the house, held by tests: which room may use which, what nobody may name, and how
//! long a file may grow.
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Lines at which a file has to be split. The aim is 500; the rest is room to finish a thought.
const LONGEST_FILE: usize = 600;

/// Lines at which a function has to be split. The aim is 70.
const LONGEST_FUNCTION: usize = 100;

/// A word that is banned, where it is allowed all the same, and why it is banned.
struct Ban {
    word: &'static str,
    allowed: &'static [&'static str],
    why: &'static str,
}

const WORLDS: &[&str] = &["src/io/real/", "src/sim/", "src/cli/"];

const BANS: &[Ban] = &[
    Ban { word: "tokio::net", allowed: WORLDS, why: "only a world touches sockets" },
    Ban { word: "tokio::fs", allowed: WORLDS, why: "only a world touches files" },
    Ban { word: "tokio::time", allowed: WORLDS, why: "only a world has a clock" },
    Ban { word: "tokio::spawn", allowed: WORLDS, why: "tasks are spawned on a world" },
    Ban { word: "tokio::task::spawn", allowed: WORLDS, why: "tasks are spawned on a world" },
    Ban { word: "tokio::sync::watch", allowed: WORLDS, why: "it draws randomness of its own" },
    Ban { word: "std::net::Tcp", allowed: WORLDS, why: "only a world touches sockets" },
    Ban {
        word: "std::fs",
        allowed: &[
            "src/io/real/",
            "src/cli/",
            "src/lab/",
            "src/picture/mod.rs",
            "src/scenario/files.rs",
        ],
        why: "only a world touches files",
    },
    Ban {
        word: "std::thread",
        allowed: &["src/cli/", "src/harness/", "src/lab/", "src/sim/"],
        why: "a task belongs to a world",
    },
    Ban {
        word: "Instant::now",
        allowed: &["src/io/real/", "src/cli/", "src/lab/"],
        why: "only a world has a clock",
    },
    Ban {
        word: "SystemTime",
        allowed: &["src/io/real/", "src/cli/", "src/sim/turmoil/"],
        why: "only a world has a date",
    },
    Ban { word: "thread_rng", allowed: &[], why: "every draw comes from a named stream" },
    Ban { word: "rand::rng(", allowed: &[], why: "every draw comes from a named stream" },
    Ban { word: "HashMap", allowed: &[], why: "its order differs between runs: use BTreeMap" },
    Ban { word: "HashSet", allowed: &[], why: "its order differs between runs: use BTreeSet" },
    Ban { word: "#[ignore", allowed: &[], why: "a test runs or is deleted" },
    Ban { word: "unsafe {", allowed: &["src/io/real/"], why: "only mapping a file needs it" },
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `dir`, relative to the root, sorted.
fn rust_files(dir: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(dir)];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// The code of a file, line by line, without comments.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(root().join(path)).unwrap();
    let lines = text.lines().enumerate().map(|(index, line)| {
        let code = line.split("//").next().unwrap_or_default();
        (index + 1, code.to_owned())
    });
    lines.collect()
}

/// The rooms in the order of `src/lib.rs`.
fn rooms() -> Vec<String> {
    let declared = code(Path::new("src/lib.rs"));
    let rooms = declared.iter().filter_map(|(_, line)| line.strip_prefix("pub mod "));
    rooms.map(|room| room.trim_end_matches(';').to_owned()).collect()
}

/// Rooms that a line of code names as `crate::room`.
fn named_rooms(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").map(|(at, prefix)| {
        let rest = &line[at + prefix.len()..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    })
}

#[test]
fn a_room_uses_only_rooms_above_it() {
    let rooms = rooms();
    assert!(rooms.len() >= 10, "the map in src/lib.rs was not understood: {rooms:?}");
    let mut broken = Vec::new();
    for file in rust_files("src") {
        let mut parts = file.components().skip(1);
        let room = parts.next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        let Some(level) = rooms.iter().position(|other| other == room) else { continue };
        for (line, text) in code(&file) {
            for used in named_rooms(&text) {
                if rooms.iter().position(|other| other == used).is_some_and(|used| used > level) {
                    broken.push(format!(
                        "{}:{line}: `{room}` uses `{used}` below it",
                        file.display()
                    ));
                }
            }
        }
    }
    assert!(broken.is_empty(), "the law of layers is broken:\n{}", broken.join("\n"));
}

#[test]
fn nobody_names_what_is_banned() {
    let mut broken = Vec::new();
    for file in rust_files("src") {
        let path = file.to_str().unwrap();
        let mut tests = path.contains("/tests") || path.ends_with("testing.rs");
        for (line, text) in code(&file) {
            tests |= text.contains("#[cfg(test)]");
            for ban in BANS {
                let allowed = ban.allowed.iter().any(|prefix| path.starts_with(prefix));
                // Tests of the real world look at it from outside.
                let allowed = allowed || (tests && ban.word == "std::fs");
                if text.contains(ban.word) && !allowed {
                    broken.push(format!("{path}:{line}: `{}`: {}", ban.word, ban.why));
                }
            }
        }
    }
    assert!(broken.is_empty(), "banned words:\n{}", broken.join("\n"));
}

#[test]
fn every_select_is_biased() {
    let mut broken = Vec::new();
    for file in rust_files("src") {
        let lines = code(&file);
        for (index, (line, text)) in lines.iter().enumerate() {
            let next = lines.get(index + 1).map_or("", |(_, text)| text.trim());
            if text.contains("select! {") && next != "biased;" {
                broken
                    .push(format!("{}:{line}: the order of a `select!` is drawn", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "not `biased;`:\n{}", broken.join("\n"));
}

#[test]
fn no_file_has_become_the_attic() {
    let long: Vec<String> = ["src", "sims", "benches"]
        .into_iter()
        .filter(|dir| root().join(dir).exists())
        .flat_map(rust_files)
        .filter_map(|file| {
            let lines = fs::read_to_string(root().join(&file)).unwrap().lines().count();
            (lines > LONGEST_FILE).then(|| format!("{}: {lines} lines", file.display()))
        })
        .collect();
    assert!(long.is_empty(), "split by state or by RPC:\n{}", long.join("\n"));
}

/// Functions of a formatted file: the line at which each begins, its name and its length in lines.
fn functions(text: &str) -> Vec<(usize, String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let words = code.split([' ', '(', '<']);
        let mut words = words.skip_while(|word| {
            word.starts_with("pub")
                || ["crate)", "super)", "in", "const", "async", "unsafe"].contains(word)
        });
        if words.next() != Some("fn") {
            continue;
        }
        let name = words.next().unwrap_or_default().to_owned();
        // rustfmt puts the brace that ends a function below the `f` of a line that began it.
        let indent = &line[..line.len() - code.len()];
        let closing = format!("{indent}}}");
        let length = lines[index..].iter().position(|line| *line == closing);
        let sibling = lines[index + 1..].iter().position(|line| {
            line.strip_prefix(indent).is_some_and(|rest| rest.starts_with(char::is_alphabetic))
        });
        // A signature without a body ends before the next item.
        if let Some(length) = length
            && sibling.is_none_or(|sibling| length < sibling + 1)
        {
            found.push((index + 1, name, length + 1));
        }
    }
    found
}

#[test]
fn no_function_is_too_long() {
    let mut long = Vec::new();
    for file in ["src", "sims", "benches"].into_iter().flat_map(rust_files) {
        let text = fs::read_to_string(root().join(&file)).unwrap();
        for (line, name, length) in functions(&text) {
            if length > LONGEST_FUNCTION {
                long.push(format!("{}:{line}: `{name}` has {length} lines", file.display()));
            }
        }
    }
    assert!(long.is_empty(), "split into functions with a name each:\n{}", long.join("\n"));
}

#[test]
fn functions_are_measured_from_signature_to_brace() {
    let text = "trait T {\n    fn declared(\n        &self,\n    );\n    pub(crate) async fn long(\n        \
                &self,\n    ) {\n        if x {\n        }\n    }\n}\nfn short() {}\n";
    assert_eq!(functions(text), [(5, "long".to_owned(), 6)]);
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent: Vec<String> = rust_files("src")
        .into_iter()
        .chain(rust_files("sims"))
        .filter(|file| !fs::read_to_string(root().join(file)).unwrap().starts_with("//!"))
        .map(|file| file.display().to_string())
        .collect();
    assert!(silent.is_empty(), "no first line of documentation:\n{}", silent.join("\n"));
}

#[test]
fn the_law_notices_a_room_that_looks_down() {
    let used: Vec<_> =
        named_rooms("use crate::lab::Runner; let x = crate::base::Offset(1);").collect();
    assert_eq!(used, ["lab", "base"]);
}
