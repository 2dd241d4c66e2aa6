//! Apache Kafka's own transactional producer and `read_committed` consumer on `serve`: the producer
//! speaks version 2 of transactions (KIP-890), as `transaction.version` allows. Run if Kafka's jars are
//! present (`.ci/slow` fetches them).
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use brokerquake::base::ProducerEpoch;
use brokerquake::base::config::{AdminConfig, Config};
use brokerquake::client::{Admin, TransactionDescription};
use brokerquake::io::real::RealWorld;

use super::answers::answers::kafka::Kafka;
use super::clients::clients::server::Server;
use super::peers::peers::foreign::java;

const SETTINGS: &str = "group.initial.rebalance.delay.ms=0\n";
/// How long a command may take: a Java machine starts, or a broker.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a program said before `ok`, or the exception that it said.
type Told = Result<Vec<String>, String>;

/// A program with a transactional producer. It ends when it is dropped.
struct Program {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Program {
    /// Starts one, and waits until its producer has its id.
    fn start(jars: &str, server: &Server, id: &str) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("sims/peers/Transactions.java");
        let mut command = java(jars);
        command.arg(source).arg(server.bootstrap()).arg(id);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("java runs");
        let output = BufReader::new(child.stdout.take().unwrap());
        let (said, lines) = mpsc::channel();
        // The thread ends with the program.
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| said.send(line))
        });
        let mut program = Self { child, lines };
        program.obeys("init");
        program
    }

    fn ask(&mut self, command: &str) -> Told {
        let input = self.child.stdin.as_mut().unwrap();
        writeln!(input, "{command}").unwrap();
        let mut said = Vec::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("{command}: {error} after {said:?}"));
            match line.split_once(' ') {
                None if line == "ok" => return Ok(said),
                Some(("error", exception)) => return Err(exception.to_owned()),
                _ => said.push(line),
            }
        }
    }

    #[track_caller]
    fn obeys(&mut self, command: &str) -> Vec<String> {
        self.ask(command).unwrap_or_else(|exception| panic!("{command}: {exception}"))
    }

    /// A transaction with these records, up to its end.
    fn begin(&mut self, topic: &str, partition: i32, values: &[&str]) {
        self.obeys("begin");
        for value in values {
            self.obeys(&format!("send {topic} {partition} {value}"));
        }
    }

    /// Every record that a reader may see, by partition.
    fn read(
        &mut self,
        isolation: &str,
        topic: &str,
        partitions: i32,
    ) -> BTreeMap<i32, Vec<String>> {
        let mut found: BTreeMap<i32, Vec<String>> = BTreeMap::new();
        for line in self.obeys(&format!("read {isolation} {topic} {partitions}")) {
            let words: Vec<&str> = line.split(' ').collect();
            let ["read", partition, value] = words[..] else { panic!("{line}") };
            found.entry(partition.parse().unwrap()).or_default().push(value.to_owned());
        }
        found
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn named(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

fn described(server: &Server, id: &str) -> TransactionDescription {
    let mut config = AdminConfig::default();
    config.set("bootstrap.servers", &server.bootstrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let admin = Admin::new(RealWorld::new(), config).unwrap();
        admin.describe_transaction(id).await.unwrap()
    })
}

#[test]
fn java_commits_and_aborts_and_its_epoch_grows_with_each_transaction() {
    let Some(jars) = Kafka::jars() else { return };
    let server = Server::start_with(SETTINGS);
    server.create_topic("payments", 2, 1, &[]);
    let mut program = Program::start(&jars, &server, "till");
    let before = described(&server, "till");
    for (partition, values, end) in [
        (0, ["a", "b"], "commit"),
        (1, ["c", "d"], "abort"),
        (0, ["e", "f"], "abort"),
        (1, ["g", "h"], "commit"),
    ] {
        program.begin("payments", partition, &values);
        program.obeys("flush");
        program.obeys(end);
    }
    let committed = program.read("read_committed", "payments", 2);
    assert_eq!(committed, [(0, named(&["a", "b"])), (1, named(&["g", "h"]))].into());
    let all = program.read("read_uncommitted", "payments", 2);
    let (first, second) = (named(&["a", "b", "e", "f"]), named(&["c", "d", "g", "h"]));
    assert_eq!(all, [(0, first), (1, second)].into());
    // What is open is not read, nor what is committed behind it.
    let mut other = Program::start(&jars, &server, "other");
    program.begin("payments", 0, &["open"]);
    program.obeys("flush");
    other.begin("payments", 0, &["behind"]);
    other.obeys("commit");
    assert_eq!(program.read("read_committed", "payments", 2), committed);
    program.obeys("commit");
    let first = named(&["a", "b", "open", "behind"]);
    let committed = program.read("read_committed", "payments", 2);
    assert_eq!(committed, [(0, first), (1, named(&["g", "h"]))].into());
    let after = described(&server, "till");
    assert_eq!(after.producer, before.producer);
    let grown = ProducerEpoch(before.epoch.0 + 5);
    assert_eq!(after.epoch, grown, "version 2: each of five transactions has an epoch of its own");
}

#[test]
fn java_producer_is_fenced_by_the_next_one_with_its_id() {
    let Some(jars) = Kafka::jars() else { return };
    let server = Server::start_with(SETTINGS);
    server.create_topic("payments", 1, 1, &[]);
    let mut zombie = Program::start(&jars, &server, "till");
    zombie.begin("payments", 0, &["lost"]);
    zombie.obeys("flush");
    let mut next = Program::start(&jars, &server, "till");
    let fenced = zombie.ask("commit").unwrap_err();
    assert!(fenced.starts_with("ProducerFencedException"), "{fenced}");
    assert!(zombie.ask("begin").is_err(), "a fenced producer can't go on");
    next.begin("payments", 0, &["kept"]);
    next.obeys("commit");
    let committed = next.read("read_committed", "payments", 1);
    assert_eq!(committed, [(0, named(&["kept"]))].into());
}

/// SIGKILL and a restart: before a transaction writes, after its records are stored, and between two
/// transactions.
#[test]
fn java_transactions_survive_a_broker_that_is_killed() {
    let Some(jars) = Kafka::jars() else { return };
    let mut server = Server::start_with(SETTINGS);
    server.create_topic("payments", 1, 1, &[]);
    let mut program = Program::start(&jars, &server, "till");
    let mut expected = Vec::new();
    let restart = |server: &mut Server| {
        server.kill();
        server.restart();
    };
    for turn in 0..6 {
        let value = format!("turn-{turn}");
        program.obeys("begin");
        if turn == 1 {
            restart(&mut server);
        }
        program.obeys(&format!("send payments 0 {value}"));
        if turn == 3 {
            program.obeys("flush");
            restart(&mut server);
        }
        // Kafka's documentation: any other exception than a fatal one is followed by an abort.
        match program.ask("commit") {
            Ok(_) => expected.push(value),
            Err(exception) => {
                println!("turn {turn}: {exception}");
                program.obeys("abort");
            }
        }
        if turn == 4 {
            restart(&mut server);
        }
    }
    assert!(expected.len() >= 5, "{expected:?}");
    let committed = program.read("read_committed", "payments", 1);
    assert_eq!(committed, [(0, expected)].into());
}

#[test]
fn java_consumes_transforms_and_produces_with_a_group_of_either_protocol() {
    let Some(jars) = Kafka::jars() else { return };
    let server = Server::start_with(SETTINGS);
    for topic in ["input", "output-classic", "output-consumer"] {
        server.create_topic(topic, 2, 1, &[]);
    }
    let mut source = Program::start(&jars, &server, "source");
    let inputs: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    for (partition, end) in [(0, "commit"), (1, "abort"), (1, "commit")] {
        source.begin("input", partition, &inputs.iter().map(String::as_str).collect::<Vec<_>>());
        source.obeys("flush");
        source.obeys(end);
    }
    let mut transformer = Program::start(&jars, &server, "transform");
    for protocol in ["classic", "consumer"] {
        let output = format!("output-{protocol}");
        transformer.obeys(&format!("transform input {output} {protocol} 40"));
        let expected: Vec<String> = inputs.iter().map(|input| format!("{input}!")).collect();
        let committed = source.read("read_committed", &output, 2);
        assert_eq!(committed, [(0, expected.clone()), (1, expected)].into(), "{protocol}");
        let all = source.read("read_uncommitted", &output, 2);
        let written: usize = all.values().map(Vec::len).sum();
        assert!(written > 40, "{written} records: no aborted transaction wrote any");
    }
}
