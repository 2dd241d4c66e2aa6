//! `serve` processes under test. Each ends when its value is dropped.
#![allow(dead_code, reason = "each suite uses its part")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

/// How long a node may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// A free loopback port. Another process may take it first; that is rare, and noticed at once.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// One process, and its arguments for a restart.
struct Process {
    arguments: Vec<String>,
    child: Arc<Mutex<Option<Child>>>,
}

impl Process {
    fn new(arguments: Vec<String>) -> Self {
        let process = Self { arguments, child: Arc::default() };
        process.start();
        process
    }

    fn start(&self) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_brokerquake"))
            .args(&self.arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next().expect("a line when the node is ready").unwrap();
        assert!(line.contains("ready"), "{line}");
        *self.child.lock().unwrap() = Some(child);
    }

    /// Starts without waiting: the nodes of a cluster need each other to become ready.
    fn start_in_background(arguments: Vec<String>) -> (Self, JoinHandle<()>) {
        let process = Self { arguments, child: Arc::default() };
        let starting = Self { arguments: process.arguments.clone(), child: process.child.clone() };
        (process, std::thread::spawn(move || starting.start_only()))
    }

    /// What a node says that does not start, on either stream.
    fn refusal(&self) -> String {
        let binary = env!("CARGO_BIN_EXE_brokerquake");
        let mut child = Command::new(binary);
        let child = child.args(&self.arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                child.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.code().is_some_and(|code| code > 0), "it started: {ended:?}");
        String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned()
    }

    fn start_only(mut self) {
        self.start();
        // The child belongs to the other handle.
        self.child = Arc::default();
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let child = self.child.lock().unwrap();
        let pid = rustix::process::Pid::from_child(child.as_ref().expect("a running process"));
        rustix::process::kill_process(pid, signal).unwrap();
    }

    fn pid(&self) -> u32 {
        self.child.lock().unwrap().as_ref().expect("a running process").id()
    }

    fn kill(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
        let mut child = self.child.lock().unwrap().take().unwrap();
        assert!(child.wait().unwrap().success(), "a clean end is not a failure");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn create_topic(
    bootstrap: &str,
    name: &str,
    partitions: i32,
    copies: i32,
    configs: &[(&str, &str)],
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(copies));
    for (key, value) in configs {
        topic = topic.set(key, value);
    }
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let results = runtime.block_on(admin.create_topics(&[topic], &options)).unwrap();
    results.into_iter().for_each(|result| drop(result.unwrap()));
}

/// Deletes all records below an offset of a topic's first partition; returns its new start.
pub fn delete_records(bootstrap: &str, topic: &str, below: i64) -> Result<i64, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
    let mut wanted = TopicPartitionList::new();
    wanted.add_partition_offset(topic, 0, Offset::Offset(below)).unwrap();
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let results = runtime.block_on(admin.delete_records(&wanted, &options)).unwrap();
    let found = results.find_partition(topic, 0).expect("an answer for the partition");
    found.error().map_err(|error| error.to_string())?;
    match found.offset() {
        Offset::Offset(start) => Ok(start),
        other => Err(format!("{other:?}")),
    }
}

/// One broker that is its own controller.
pub struct Server {
    process: Process,
    port: u16,
    controller: u16,
    data: PathBuf,
    _dir: Option<tempfile::TempDir>,
}

impl Server {
    /// The process now running.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        Self::start_at(data, Some(dir), "")
    }

    /// With further lines of `server.properties`.
    pub fn start_with(settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        Self::start_at(data, Some(dir), settings)
    }

    /// In a directory that the caller creates and removes.
    pub fn start_in(dir: &Path) -> Self {
        Self::start_at(dir.join("data"), None, "")
    }

    fn start_at(data: PathBuf, dir: Option<tempfile::TempDir>, settings: &str) -> Self {
        let (port, controller) = (free_port(), free_port());
        let listeners = format!(
            "listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n{settings}"
        );
        let file = data.with_extension("properties");
        std::fs::write(&file, listeners).unwrap();
        let (file, path) = (file.display().to_string(), data.display().to_string());
        let arguments = ["serve", "--config", &file, "--data", &path].map(str::to_owned);
        Self { process: Process::new(arguments.into()), port, controller, data, _dir: dir }
    }

    /// The address of this node's controller for brokers.
    pub fn controller_address(&self) -> String {
        format!("127.0.0.1:{}", self.controller)
    }

    /// Memory of the process.
    pub fn resident_kib(&self) -> u64 {
        let id = self.process.child.lock().unwrap().as_ref().map(Child::id).expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn data(&self) -> PathBuf {
        self.data.clone()
    }

    pub fn create_topic(&self, name: &str, partitions: i32, copies: i32, configs: &[(&str, &str)]) {
        create_topic(&self.bootstrap(), name, partitions, copies, configs);
    }

    /// SIGKILL after a while, from another thread.
    pub fn kill_after(&self, delay: Duration) -> JoinHandle<()> {
        let child = self.process.child.clone();
        std::thread::spawn(move || {
            std::thread::sleep(delay);
            let mut child = child.lock().unwrap().take().unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
        })
    }

    pub fn terminate(&mut self) {
        self.process.terminate();
    }

    /// SIGSTOP: it does nothing, and its connections stay open.
    pub fn freeze(&self) {
        self.process.signal(rustix::process::Signal::STOP);
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }

    pub fn restart(&mut self) {
        self.process.start();
    }

    /// Why it does not start again.
    pub fn refusal(&self) -> String {
        self.process.refusal()
    }
}

/// Several brokers and a controller.
pub struct Cluster {
    nodes: Vec<Process>,
    ports: Vec<u16>,
    dir: tempfile::TempDir,
}

impl Cluster {
    pub fn start(count: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ports: Vec<u16> = (0..count).map(|_| free_port()).collect();
        let controller = free_port();
        let mut nodes = Vec::new();
        let mut starting = Vec::new();
        // The controller has its own node, so that any broker may die.
        for id in 0..=count {
            let file = properties(dir.path(), id, controller, &ports);
            let arguments = vec!["serve".to_owned(), "--config".into(), file.display().to_string()];
            let (node, ready) = Process::start_in_background(arguments);
            nodes.push(node);
            starting.push(ready);
        }
        starting.into_iter().for_each(|ready| ready.join().unwrap());
        Self { nodes, ports, dir }
    }

    pub fn bootstrap(&self) -> String {
        let all: Vec<String> = self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        all.join(",")
    }

    pub fn create_topic(&self, name: &str, partitions: i32, copies: i32, configs: &[(&str, &str)]) {
        create_topic(&self.bootstrap(), name, partitions, copies, configs);
    }

    fn partition<T>(&self, topic: &str, partition: i32, read: impl Fn(i32, &[i32]) -> T) -> T {
        let consumer: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", self.bootstrap()).create().unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(metadata) = consumer.fetch_metadata(Some(topic), Duration::from_secs(5)) {
                let mut found = metadata.topics().iter().flat_map(|topic| topic.partitions());
                let found = found.find(|p| p.id() == partition && p.leader() > 0);
                if let Some(found) = found {
                    return read(found.leader(), found.isr());
                }
            }
            assert!(Instant::now() < deadline, "{topic}-{partition} has no leader");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn leader(&self, topic: &str, partition: i32) -> i32 {
        self.partition(topic, partition, |leader, _| leader)
    }

    /// The broker that coordinates a group: the leader of its partition of the offsets topic.
    pub fn coordinator(&self, group: &str) -> i32 {
        let partition = brokerquake::group::partition_of(group, 50);
        self.leader("__consumer_offsets", partition)
    }

    pub fn in_sync(&self, topic: &str, partition: i32) -> Vec<i32> {
        self.partition(topic, partition, |_, isr| isr.to_vec())
    }

    pub fn kill(&mut self, id: i32) {
        self.nodes[usize::try_from(id).unwrap()].kill();
    }

    /// A broker dies and finds an empty directory in place of its own.
    pub fn replace_disk(&mut self, id: i32) {
        self.kill(id);
        let data = self.dir.path().join(format!("data-{id}"));
        std::fs::remove_dir_all(&data).unwrap();
        std::fs::create_dir(&data).unwrap();
        self.revive(id);
    }

    pub fn revive(&mut self, id: i32) {
        self.nodes[usize::try_from(id).unwrap()].start();
    }
}

/// Node 0 is the controller, the others are brokers.
fn properties(dir: &Path, id: usize, controller: u16, ports: &[u16]) -> PathBuf {
    let data = dir.join(format!("data-{id}"));
    let role = if id == 0 { "controller" } else { "broker" };
    let listener = match id {
        0 => format!("CONTROLLER://127.0.0.1:{controller}"),
        _ => format!("PLAINTEXT://127.0.0.1:{}", ports[id - 1]),
    };
    let text = format!(
        "node.id={id}\nprocess.roles={role}\nlisteners={listener}\nlog.dirs={}\n\
         controller.quorum.voters=0@127.0.0.1:{controller}\n\
         broker.session.timeout.ms=3000\nbroker.heartbeat.interval.ms=500\n\
         replica.lag.time.max.ms=5000\n",
        data.display()
    );
    let file = dir.join(format!("node-{id}.properties"));
    std::fs::write(&file, text).unwrap();
    file
}
