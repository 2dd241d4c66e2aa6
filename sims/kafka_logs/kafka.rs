//! The recorded files, and the two tools that show them.

use std::path::{Path, PathBuf};
use std::process::Command;

pub fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sims/fixtures/kafka")
}

/// A dump to request from either tool.
pub struct Dump {
    pub name: String,
    options: Vec<String>,
    files: Vec<String>,
}

/// The output of a tool.
pub struct Shown {
    pub text: String,
    pub problems: String,
    pub ended_well: bool,
}

impl Shown {
    fn of(mut command: Command) -> Self {
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let problems = text(output.stderr);
        let problems: Vec<&str> = problems.lines().filter(|l| !l.starts_with("SLF4J")).collect();
        Self {
            text: text(output.stdout),
            problems: problems.join("\n"),
            ended_well: output.status.success(),
        }
    }
}

impl Dump {
    pub fn of(name: &str, options: &[&str], files: &[impl ToString]) -> Self {
        let options = options.iter().map(ToString::to_string).collect();
        Self {
            name: name.to_owned(),
            options,
            files: files.iter().map(ToString::to_string).collect(),
        }
    }

    fn ask(&self, mut command: Command, data: &Path) -> Shown {
        command.current_dir(data).args(&self.options).arg("--files").arg(self.files.join(","));
        Shown::of(command)
    }

    /// The output of our tool for a data directory.
    pub fn ours(&self, data: &Path) -> Shown {
        let mut command = Command::new(env!("CARGO_BIN_EXE_brokerquake"));
        command.arg("dump-log");
        self.ask(command, data)
    }
}

/// The dumps that `dumps.sh` made with Kafka's tool.
pub fn listed_dumps() -> Vec<Dump> {
    let (dir, data) = (fixture().join("dumps"), fixture().join("data"));
    let list = std::fs::read_to_string(dir.join("list")).unwrap();
    let dump = |line: &str| {
        let mut words = line.split(' ');
        let name = words.next().unwrap();
        let (files, options): (Vec<&str>, Vec<&str>) =
            words.filter(|word| *word != "-").partition(|word| word.contains('.'));
        let files: Vec<String> =
            files.iter().flat_map(|pattern| matching(&data, pattern)).collect();
        Dump::of(name, &options, &files)
    };
    list.lines().map(dump).collect()
}

/// Files of a data directory by a pattern with `*` wildcards, sorted.
pub fn matching(data: &Path, pattern: &str) -> Vec<String> {
    let files = files(data);
    files.into_iter().filter(|file| matches(file, pattern)).collect()
}

fn matches(text: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => text == pattern,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            let within = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            let stop = text.find('/').unwrap_or(text.len());
            within.take_while(|at| *at <= stop).any(|at| matches(&text[at..], rest))
        }),
    }
}

/// All files of a data directory as relative paths, in shell order.
fn files(data: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![data.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path.strip_prefix(data).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// Every file that both tools support, in every way of dumping it.
pub fn every_dump(data: &Path) -> Vec<Dump> {
    let of = |patterns: &[&str]| -> Vec<String> {
        patterns.iter().flat_map(|pattern| matching(data, pattern)).collect()
    };
    let indexes = of(&["*/*.index", "*/*.timeindex"]);
    let all = [of(&["*/*.log", "*/*.snapshot", "*/*.txnindex", "*/*.checkpoint"]), indexes.clone()]
        .concat();
    let mut dumps = vec![
        Dump::of("shallow", &[], &all),
        Dump::of("deep", &["--deep-iteration"], &all),
        Dump::of("contents", &["--print-data-log"], &of(&["*/*.log"])),
        Dump::of("verified", &["--verify-index-only"], &indexes),
        Dump::of("checked", &["--index-sanity-check"], &indexes),
    ];
    let metadata = of(&["__cluster_metadata-0/*.log", "__cluster_metadata-0/*.checkpoint"]);
    dumps.push(Dump::of("metadata", &["--cluster-metadata-decoder"], &metadata));
    dumps
}

/// Apache Kafka's own tool.
pub struct Tool {
    libs: String,
}

impl Tool {
    /// The tool from the jars in `BROKERQUAKE_KAFKA`; prints why the test is skipped without them.
    pub fn at_hand() -> Option<Self> {
        let libs = std::env::var("BROKERQUAKE_KAFKA").ok();
        if libs.is_none() {
            println!("skipped: BROKERQUAKE_KAFKA names no directory of Kafka's jars (.ci/slow)");
        }
        libs.map(|libs| Self { libs })
    }

    /// Checks that both tools print the same, and returns it.
    pub fn compare(&self, dump: &Dump, data: &Path) -> Shown {
        let mut java = Command::new("java");
        java.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]);
        java.arg(format!("{}/*", self.libs)).arg("org.apache.kafka.tools.DumpLogSegments");
        let (theirs, ours) = (dump.ask(java, data), dump.ours(data));
        assert!(theirs.ended_well && ours.ended_well, "{}: {}", dump.name, theirs.problems);
        assert_same(&dump.name, &theirs.text, &ours.text);
        // Kafka reports findings in hash order, and names files by absolute path.
        let sorted = |shown: &Shown| {
            let whole = data.display().to_string() + "/";
            let text = shown.problems.replace(&whole, "");
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&ours), sorted(&theirs), "{}", dump.name);
        println!("the same: {}, {} lines", dump.name, ours.text.lines().count());
        ours
    }
}

/// Fails at the first line that differs.
pub fn assert_same(name: &str, theirs: &str, ours: &str) {
    for (number, (theirs, ours)) in theirs.lines().zip(ours.lines()).enumerate() {
        assert_eq!(ours, theirs, "{name}, line {}", number + 1);
    }
    assert_eq!(ours.lines().count(), theirs.lines().count(), "{name}: lines");
}
