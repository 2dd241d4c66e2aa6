//! A node of Apache Kafka on the loopback. It ends with its value.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Settings that both nodes have.
pub const SETTINGS: &str = "node.id=1\nprocess.roles=broker,controller\n\
                            controller.listener.names=CONTROLLER\n\
                            log.retention.ms=604800000\nlog.segment.bytes=1073741824\n\
                            log.roll.hours=168\nnum.io.threads=4\nauto.create.topics.enable=false\n";

pub struct Kafka {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap().port()
}

impl Kafka {
    /// `BROKERQUAKE_KAFKA` says where Kafka's jars are; without it, says why nothing is asked.
    pub fn jars() -> Option<String> {
        let libs = std::env::var("BROKERQUAKE_KAFKA").ok();
        if libs.is_none() {
            println!("skipped: BROKERQUAKE_KAFKA names no directory of Kafka's jars (.ci/slow)");
        }
        libs
    }

    /// Starts a node with further settings.
    pub fn start(libs: &str, settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (port, controller) = (free_port(), free_port());
        let file = dir.path().join("server.properties");
        let text = format!(
            "controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             log.dirs={}\n{SETTINGS}{settings}",
            dir.path().join("data").display()
        );
        fs::write(&file, text).unwrap();
        let format = java(libs, "kafka.tools.StorageTool")
            .args(["format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c"])
            .arg(&file)
            .status();
        assert!(format.expect("java runs").success(), "Kafka's formatter");
        let child = java(libs, "kafka.Kafka").arg(&file).spawn().expect("java runs");
        let mut kafka = Self { child, port, _dir: dir };
        kafka.wait(&file);
        kafka
    }

    fn wait(&mut self, file: &Path) {
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.child.try_wait().unwrap();
            assert_eq!(ended, None, "Kafka ended by itself: {}", file.display());
            assert!(start.elapsed() < Duration::from_secs(120), "Kafka does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn java(libs: &str, class: &str) -> Command {
    let mut java = Command::new("java");
    java.args(["-Xmx512M", "-XX:+UseSerialGC", "-cp"]).arg(format!("{libs}/*")).arg(class);
    java.stdout(Stdio::null()).stderr(Stdio::null());
    java
}
