//! Starting and watching the brokers that are compared.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A broker that can be started.
pub struct Peer {
    pub name: &'static str,
    /// Kafka's jars, or nothing for this broker.
    libs: Option<PathBuf>,
}

impl Peer {
    pub fn ours() -> Self {
        Self { name: "brokerquake", libs: None }
    }

    /// Fetches Kafka, once.
    pub fn kafka() -> Result<Self, String> {
        let libs = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/libs");
        if !libs.join("kafka_2.13-4.3.1.jar").exists() {
            println!("fetching Apache Kafka 4.3.1 by Maven");
            let pom = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/pom.xml");
            let status = Command::new("mvn")
                .args(["-q", "-f", pom, "dependency:copy-dependencies"])
                .arg(format!("-DoutputDirectory={}", libs.display()))
                .status()
                .map_err(|error| format!("can't run mvn: {error}"))?;
            if !status.success() {
                return Err(format!("mvn ended with {status}"));
            }
        }
        Ok(Self { name: "Apache Kafka", libs: Some(libs) })
    }

    fn java(libs: &Path, class: &str) -> Command {
        let mut java = Command::new("java");
        java.args(["-Xmx1G", "-Xms1G", "-XX:+UseG1GC", "-cp"]);
        java.arg(format!("{}/*", libs.display())).arg(class);
        java.stdout(Stdio::null()).stderr(Stdio::null());
        java
    }

    fn spawn(&self, dir: &Path, port: u16) -> (Child, Instant) {
        let Some(libs) = &self.libs else {
            let mut serve = Command::new(env!("CARGO_BIN_EXE_brokerquake"));
            serve.arg("serve").arg("--data").arg(dir.join("data"));
            serve.arg("--listen").arg(format!("127.0.0.1:{port}")).stdout(Stdio::null());
            serve.stderr(Stdio::null());
            let start = Instant::now();
            return (serve.spawn().expect("our broker starts"), start);
        };
        let controller = free_port();
        let file = dir.join("server.properties");
        let text = format!(
            "process.roles=broker,controller\nnode.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             controller.listener.names=CONTROLLER\nlog.dirs={}\n\
             offsets.topic.replication.factor=1\ntransaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\nshare.coordinator.state.topic.replication.factor=1\n\
             share.coordinator.state.topic.min.isr=1\n",
            dir.join("data").display()
        );
        fs::write(&file, text).expect("a properties file");
        let format = Self::java(libs, "kafka.tools.StorageTool")
            .args(["format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c"])
            .arg(&file)
            .status();
        assert!(format.expect("java runs").success(), "Kafka's formatter");
        let mut kafka = Self::java(libs, "kafka.Kafka");
        let start = Instant::now();
        (kafka.arg(&file).spawn().expect("java runs"), start)
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

/// A running broker; it ends with this value.
pub struct Running {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
    /// From start until a client's connection is taken.
    pub ready_ms: f64,
}

impl Running {
    pub fn start(peer: &Peer) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let port = free_port();
        let (child, start) = peer.spawn(dir.path(), port);
        // From here on it ends with this value, also when it is never ready.
        let mut running = Self { child, port, dir, ready_ms: f64::NAN };
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(60), "{} does not start", peer.name);
            std::thread::sleep(Duration::from_millis(1));
        }
        crate::client::wait_until_ready(&running.bootstrap());
        running.ready_ms = start.elapsed().as_secs_f64() * 1000.0;
        running
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The time that the process has had on cores.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.unwrap_or_default();
        // The name may have spaces; the fields behind its parenthesis don't.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: f64 = ticks.filter_map(|field| field.parse::<f64>().ok()).sum();
        // `USER_HZ`, which is the same on every Linux.
        ticks / 100.0
    }

    /// Resident memory that is the process's own: mapped files are the page cache's.
    pub fn resident_mib(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
        kib.unwrap_or(f64::NAN) / 1024.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(self.dir.path());
    }
}
