//! The laws of the house, held by tests: which room may use which, which names are banned, and how
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

/// Worlds, and what tells programs that they can't use these words.
const WORLDS: &[&str] = &[
    "src/io/real/",
    "src/sim/",
    "src/cli/",
    "src/harness/misuse.rs",
    "src/harness/tests/misuse.rs",
];

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
            "src/harness/misuse.rs",
            "src/lab/",
            "src/picture/mod.rs",
            "src/scenario/files.rs",
        ],
        why: "only a world touches files",
    },
    Ban {
        word: "std::thread",
        allowed: &["src/cli/", "src/harness/", "src/io/real/account.rs", "src/lab/", "src/sim/"],
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
fn a_module_uses_only_modules_above_it() {
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

/// Files of a module that import each other on purpose, and why.
const CYCLES: &[(&str, &[&str], &str)] = &[
    (
        "log",
        &["flush", "lookup", "partition", "retention", "segment", "vouched"],
        "`Log` and `Segment` are one type each, with their methods spread over files by task",
    ),
    (
        "harness",
        &["cluster", "consumer", "host", "producer"],
        "a `Host` makes its clients, and they need their host",
    ),
    (
        "sim/disk",
        &["cache", "corrupt", "hardware", "pages", "pool", "state", "tree"],
        "one disk's state, with its methods spread over files by task",
    ),
    ("sim/leap", &["stream", "world"], "a world opens streams, and a stream needs its world"),
    ("sim/turmoil", &["gate", "net", "world"], "the same, for turmoil's world"),
];

/// The files and directories directly below a module's directory, by module name.
fn children(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join(dir)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name != "mod" && !name.contains("test") {
            names.push(name);
        }
    }
    names.sort();
    names.dedup();
    names
}

/// What a module's `mod.rs` re-exports: an item's name, and the child that has it.
fn reexports(dir: &Path) -> Vec<(String, String)> {
    let Ok(text) = fs::read_to_string(root().join(dir).join("mod.rs")) else { return Vec::new() };
    let mut found = Vec::new();
    for statement in text.split(';') {
        let Some((_, path)) = statement.rsplit_once("use ") else { continue };
        if !statement.contains("pub") {
            continue;
        }
        let Some((child, items)) = path.trim().split_once("::") else { continue };
        for item in items.split(|c: char| !c.is_alphanumeric() && c != '_') {
            found.push((item.to_owned(), child.to_owned()));
        }
    }
    found
}

/// The names that follow `prefix` in code: one, or each of a `{…}` list.
fn names_after(text: &str, prefix: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in text.match_indices(prefix) {
        if text[..at].ends_with([':', '_']) || text[..at].ends_with(char::is_alphanumeric) {
            continue;
        }
        let rest = &text[at + prefix.len()..];
        let list = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let list = list.map_or(rest, |(list, _)| list);
        let items: Vec<&str> = match rest.starts_with('{') {
            true => list.split(',').collect(),
            false => vec![list],
        };
        for item in items {
            let item = item.trim();
            let end = item.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(item.len());
            names.push(item[..end].to_owned());
        }
    }
    names
}

/// The siblings that the children of a module import: `(child, sibling)`, tests left out.
fn imports(dir: &Path) -> Vec<(String, String)> {
    let (children, reexports) = (children(dir), reexports(dir));
    let absolute = dir.strip_prefix("src").unwrap().to_str().unwrap().replace('/', "::");
    let mut found = Vec::new();
    for file in rust_files(dir.to_str().unwrap()) {
        let inner = file.strip_prefix(dir).unwrap();
        let first = inner.components().next().unwrap().as_os_str().to_str().unwrap();
        let child = first.trim_end_matches(".rs").to_owned();
        if !children.contains(&child) || file.to_str().unwrap().contains("test") {
            continue;
        }
        let depth = inner.components().count() - usize::from(inner.ends_with("mod.rs"));
        let lines = code(&file).into_iter().map(|(_, line)| line);
        let text: Vec<_> = lines.take_while(|line| !line.contains("#[cfg(test)]")).collect();
        let text = text.join("\n");
        let mut names = names_after(&text, &"super::".repeat(depth));
        names.extend(names_after(&text, &format!("crate::{absolute}::")));
        for name in names {
            let reexported = reexports.iter().find(|(item, _)| *item == name);
            let used = reexported.map_or(name, |(_, child)| child.clone());
            if used != child && children.contains(&used) {
                found.push((child.clone(), used));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Removes, again and again, what imports nothing that is left: what remains is on a cycle or above.
fn cyclic(mut imports: Vec<(String, String)>) -> Vec<(String, String)> {
    loop {
        let before = imports.len();
        let from: Vec<String> = imports.iter().map(|(from, _)| from.clone()).collect();
        imports.retain(|(_, to)| from.contains(to));
        let to: Vec<String> = imports.iter().map(|(_, to)| to.clone()).collect();
        imports.retain(|(from, _)| to.contains(from));
        if imports.len() == before {
            return imports;
        }
    }
}

/// The directories of all modules, and of modules inside them.
fn module_dirs() -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> =
        rust_files("src").iter().map(|file| file.parent().unwrap().to_owned()).collect();
    dirs.sort();
    dirs.dedup();
    dirs.retain(|dir| dir != Path::new("src"));
    dirs
}

#[test]
fn files_of_a_module_form_layers() {
    let mut broken = Vec::new();
    for dir in module_dirs() {
        let inside = dir.strip_prefix("src").unwrap().to_str().unwrap();
        let mut imports = imports(&dir);
        for (module, cycle, _) in CYCLES.iter().filter(|(module, ..)| *module == inside) {
            for name in *cycle {
                assert!(children(&dir).contains(&(*name).to_owned()), "{module}/{name} is gone");
            }
            let known = |name: &String| cycle.contains(&name.as_str());
            imports.retain(|(from, to)| !known(from) || !known(to));
        }
        for (from, to) in cyclic(imports) {
            broken.push(format!("{inside}: `{from}` uses `{to}`"));
        }
    }
    assert!(broken.is_empty(), "files that import each other:\n{}", broken.join("\n"));
}

#[test]
fn a_cycle_of_imports_is_found() {
    let pair = |(from, to): (&str, &str)| (from.to_owned(), to.to_owned());
    let layers = [("c", "b"), ("b", "a"), ("c", "a")].map(pair);
    assert!(cyclic(layers.to_vec()).is_empty());
    let cycle = [("d", "c"), ("c", "b"), ("b", "c"), ("b", "a")].map(pair);
    assert_eq!(cyclic(cycle.to_vec()), [("c", "b"), ("b", "c")].map(pair));
    let text = "use super::{Error, log::Log};\nlet x = super::dir::open();\nsuper::super::other()";
    assert_eq!(names_after(text, "super::"), ["Error", "log", "dir", "super"]);
}

#[test]
fn banned_words_appear_only_where_allowed() {
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
fn no_file_is_too_long() {
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
fn every_module_has_a_header() {
    let silent: Vec<String> = rust_files("src")
        .into_iter()
        .chain(rust_files("sims"))
        .filter(|file| !fs::read_to_string(root().join(file)).unwrap().starts_with("//!"))
        .map(|file| file.display().to_string())
        .collect();
    assert!(silent.is_empty(), "no first line of documentation:\n{}", silent.join("\n"));
}

#[test]
fn named_modules_are_found_in_code() {
    let used: Vec<_> =
        named_rooms("use crate::lab::Runner; let x = crate::base::Offset(1);").collect();
    assert_eq!(used, ["lab", "base"]);
}
