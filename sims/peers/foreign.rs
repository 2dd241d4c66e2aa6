//! Members of a group that are programs in other languages. Each says on its output what it owns and
//! reads, and leaves when its input ends.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Who speaks to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Apache Kafka's own consumer.
    Java,
    /// kafka-python.
    Python,
    /// kafkajs.
    JavaScript,
    /// franz-go.
    Go,
}

/// Where the clients are.
pub struct Clients {
    /// Kafka's jars.
    pub jars: String,
    /// A directory with `py` (a virtual environment with kafka-python), `js/node_modules` and `go/member`.
    dir: PathBuf,
}

impl Clients {
    /// `BROKERQUAKE_KAFKA` and `BROKERQUAKE_CLIENTS` say where the clients are; without them, says why
    /// nothing is run.
    pub fn find() -> Option<Self> {
        let find = |name| std::env::var(name).ok();
        match (find("BROKERQUAKE_KAFKA"), find("BROKERQUAKE_CLIENTS")) {
            (Some(jars), Some(dir)) => Some(Self { jars, dir: dir.into() }),
            _ => {
                println!(
                    "skipped: BROKERQUAKE_KAFKA and BROKERQUAKE_CLIENTS name no directories of \
                     clients (.ci/slow)"
                );
                None
            }
        }
    }

    fn command(&self, language: Language) -> Command {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("sims/peers");
        let mut command;
        match language {
            Language::Java => {
                command = java(&self.jars);
                command.arg(sources.join("Member.java"));
            }
            Language::Python => {
                command = Command::new(self.dir.join("py/bin/python"));
                command.arg(sources.join("member.py"));
            }
            Language::JavaScript => {
                command = Command::new("node");
                command.arg(sources.join("member.js"));
                command.env("NODE_PATH", self.dir.join("js/node_modules"));
            }
            Language::Go => command = Command::new(self.dir.join("go/member")),
        }
        command
    }

    /// Joins a group, commits what it has read, and begins at the start without a commit.
    pub fn join(&self, language: Language, place: [&str; 3], settings: &[(&str, &str)]) -> Foreign {
        let mut command = self.command(language);
        command.args(place).args(settings.iter().map(|(key, value)| format!("{key}={value}")));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{language:?}: {error}"));
        let said = Arc::new(Mutex::new(Said::default()));
        let (mine, lines) = (said.clone(), BufReader::new(child.stdout.take().unwrap()).lines());
        let listener = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                mine.lock().unwrap().take(&line);
            }
        });
        Foreign { child, said, listener: Some(listener) }
    }
}

/// A Java machine with these jars.
pub fn java(jars: &str) -> Command {
    let mut java = Command::new("java");
    let small = ["-Xmx256M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"];
    java.args(small).arg(format!("{jars}/*"));
    java
}

/// What a program has said.
#[derive(Clone, Default)]
pub struct Said {
    pub owned: Vec<i32>,
    pub read: BTreeMap<u64, usize>,
    others: Vec<String>,
}

impl Said {
    fn take(&mut self, line: &str) {
        let mut words = line.split(' ');
        match (words.next(), words.next_back()) {
            (Some("owns"), owned) => {
                let owned = owned.unwrap_or_default().split(',');
                self.owned = owned.filter_map(|index| index.parse().ok()).collect();
            }
            (Some("read"), Some(key)) => *self.read.entry(key.parse().unwrap()).or_default() += 1,
            _ => self.others.push(line.to_owned()),
        }
    }
}

/// A running program. It ends when it is dropped.
pub struct Foreign {
    child: Child,
    pub said: Arc<Mutex<Said>>,
    listener: Option<JoinHandle<()>>,
}

impl Foreign {
    /// Leaves the group, and ends.
    pub fn end(&mut self) {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.child.try_wait().unwrap().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        if let Some(listener) = self.listener.take() {
            listener.join().unwrap();
        }
        self.said.lock().unwrap().owned.clear();
        let others = self.said.lock().unwrap().others.clone();
        assert!(others.iter().any(|line| line == "closed"), "it did not leave: {others:?}");
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
