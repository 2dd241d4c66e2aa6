//! Bad input against a running broker: it reports the error, keeps running, and loses nothing.
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

mod hostile {
    pub mod attacks;
    mod crowd;
    pub mod samples;
    mod stand_in;
    pub mod storm;
    mod strangers;

    use brokerquake::{base, wire};
}

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output};
use std::time::Duration;

use super::clients::clients::server::{self, Server};
use super::clients::clients::traffic::{Load, Sent, consume_all, produce};
use brokerquake::wire::frame;
use brokerquake::wire::messages::{ApiVersionsRequest, ApiVersionsResponse};

/// Runs `serve` with the expectation that it exits with an error message.
fn serve(arguments: &[&str]) -> Output {
    let mut serve = Command::new(env!("CARGO_BIN_EXE_brokerquake"));
    serve.arg("serve").args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(!output.status.success(), "it started: {output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.bootstrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// Whether the broker still answers.
fn answers(server: &Server) -> bool {
    let mut stream = connect(server);
    let request = frame::encode_request(7, "test", 0, &ApiVersionsRequest::default()).unwrap();
    stream.write_all(&request).unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut body).unwrap();
    let (id, answer) = frame::decode_response::<ApiVersionsResponse>(body, 0).unwrap();
    id == 7 && answer.error_code == 0
}

/// Whether the broker has closed the connection.
fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0; 64]), Ok(0) | Err(_))
}

#[test]
fn port_in_use_is_reported() {
    let server = Server::start();
    let other = tempfile::tempdir().unwrap();
    let data = other.path().display().to_string();
    let said = said(&serve(&["--data", &data, "--listen", &server.bootstrap()]));
    assert!(said.contains(&server.bootstrap()), "{said}");
    assert!(said.contains("use"), "{said}");
}

#[test]
fn second_process_on_a_data_directory_is_refused_with_the_id_of_the_first() {
    let mut server = Server::start();
    server.create_topic("t", 1, 1, &[]);
    let load = Load { topic: "t", codec: "none", acks: "all", first: 0, count: 50, partitions: 1 };
    let sent = produce(&server.bootstrap(), &load, |_| 100);
    let data = server.data().display().to_string();
    let second = || said(&serve(&["--data", &data, "--listen", "127.0.0.1:0"]));
    let told = second();
    let process = format!("{data}: process {} is using this directory", server.pid());
    assert!(told.contains(&process), "{told}");
    // One of several directories is enough.
    let other = tempfile::tempdir().unwrap();
    let config = other.path().join("server.properties");
    std::fs::write(&config, format!("log.dirs={},{data}\n", other.path().join("a").display()))
        .unwrap();
    let (config, listen) = (config.display().to_string(), "127.0.0.1:0");
    let told = said(&serve(&["--config", &config, "--listen", listen]));
    assert!(told.contains(&process), "{told}");
    assert!(!other.path().join("a/meta.properties").exists(), "it began to use another one");
    // Nothing was touched, and a lock does not outlive a process that was killed.
    server.kill();
    server.restart();
    let acknowledged = sent.iter().filter(|sent| sent.is_acknowledged()).count();
    assert!(acknowledged > 0 && consume_all(&server.bootstrap(), "t", 1).len() >= acknowledged);
}

#[test]
fn data_directory_of_another_node_is_refused_untouched() {
    let mut server = Server::start();
    server.terminate();
    let file = server.data().join("meta.properties");
    let before = std::fs::read_to_string(&file).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("server.properties");
    std::fs::write(&config, "node.id=7\n").unwrap();
    let (config, data) = (config.display().to_string(), server.data().display().to_string());
    let said = said(&serve(&["--config", &config, "--data", &data, "--listen", "127.0.0.1:0"]));
    assert!(said.contains("meta.properties") && said.contains("node"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
}

#[test]
fn a_directory_of_another_cluster_is_refused() {
    let mut server = Server::start();
    server.terminate();
    let file = server.data().join("meta.properties");
    let text = std::fs::read_to_string(&file).unwrap();
    let other: String = text
        .lines()
        .map(|line| match line.starts_with("cluster.id=") {
            true => "cluster.id=AAAAAAAAAAAAAAAAAAAAAA\n".to_owned(),
            false => format!("{line}\n"),
        })
        .collect();
    std::fs::write(&file, other).unwrap();
    // The directory's metadata log still belongs to the old cluster; a broker of the old cluster
    // that is given this directory is rejected by its controller.
    let controller = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("server.properties");
    let voters = format!("1@{}", controller.controller_address());
    let text = format!(
        "node.id=1\nprocess.roles=broker\ncontroller.quorum.voters={voters}\n\
         initial.broker.registration.timeout.ms=3000\n"
    );
    std::fs::write(&config, text).unwrap();
    let (config, data) = (config.display().to_string(), server.data().display().to_string());
    let said = said(&serve(&["--config", &config, "--data", &data, "--listen", "127.0.0.1:0"]));
    assert!(said.contains("INCONSISTENT_CLUSTER_ID"), "{said}");
}

#[test]
fn wrong_settings_are_reported_with_line_and_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("server.properties");
    std::fs::write(&config, "node.id=1\n\nlog.segment.byte=5\n").unwrap();
    let said = said(&serve(&["--config", &config.display().to_string()]));
    assert!(said.contains("line 3") && said.contains("log.segment.bytes"), "{said}");
}

#[test]
fn oversized_frame_closes_its_connection_without_allocating() {
    let server = Server::start();
    for length in [104_857_601u32, i32::MAX as u32, u32::MAX] {
        let mut stream = connect(&server);
        stream.write_all(&length.to_be_bytes()).unwrap();
        assert!(is_closed(&mut stream), "a frame of {length} bytes");
    }
    // A large frame that never arrives takes no memory in advance.
    let before = server.resident_kib();
    let mut waiting: Vec<_> = (0..50).map(|_| connect(&server)).collect();
    for stream in &mut waiting {
        stream.write_all(&104_857_600u32.to_be_bytes()).unwrap();
    }
    std::thread::sleep(Duration::from_millis(300));
    let taken = server.resident_kib().saturating_sub(before);
    assert!(taken < 64 * 1024, "{taken} KiB for 50 frames that never came");
    assert!(answers(&server));
}

#[test]
fn unsupported_request_closes_only_its_own_connection() {
    let server = Server::start();
    let mut bystander = connect(&server);
    // Key 12345; Produce version 99; Produce version 2, which is advertised and not served.
    for (key, version) in [(12_345i16, 0i16), (0, 99), (0, 2)] {
        let mut stream = connect(&server);
        let mut request = Vec::new();
        request.extend_from_slice(&key.to_be_bytes());
        request.extend_from_slice(&version.to_be_bytes());
        request.extend_from_slice(&[0, 0, 0, 1, 0xff, 0xff, 0, 0]);
        stream.write_all(&(request.len() as u32).to_be_bytes()).unwrap();
        stream.write_all(&request).unwrap();
        assert!(is_closed(&mut stream), "key {key} version {version}");
    }
    let request = frame::encode_request(1, "bystander", 0, &ApiVersionsRequest::default()).unwrap();
    bystander.write_all(&request).unwrap();
    bystander.read_exact(&mut [0; 8]).unwrap();
}

#[test]
fn unknown_api_versions_version_is_answered_in_version_0() {
    let server = Server::start();
    let mut stream = connect(&server);
    // Key 18, version 77, correlation id 5, no client id.
    stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 77, 0, 0, 0, 5, 0xff, 0xff]).unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    let mut body = vec![0; u32::from_be_bytes(answer) as usize];
    stream.read_exact(&mut body).unwrap();
    assert_eq!(body[..6], [0, 0, 0, 5, 0, 35]);
}

#[test]
fn an_address_at_its_connection_limit_is_refused_and_served_again_later() {
    let server = Server::start_with("max.connections.per.ip=6\n");
    let mut open: Vec<_> = (0..6).map(|_| connect(&server)).collect();
    let request = frame::encode_request(1, "crowd", 0, &ApiVersionsRequest::default()).unwrap();
    for stream in &mut open {
        stream.write_all(&request).unwrap();
        stream.read_exact(&mut [0; 8]).unwrap();
    }
    assert!(is_closed(&mut connect(&server)), "a seventh connection");
    open.pop();
    std::thread::sleep(Duration::from_millis(300));
    assert!(answers(&server));
}

/// A file system of a few megabytes, where the test may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(mebibytes: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(dir.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn full_disk_refuses_writes_and_loses_nothing() {
    let Some(disk) = SmallDisk::mount(24) else {
        println!("skipped: this user may not mount a small file system");
        return;
    };
    let mut server = Server::start_in(disk.0.path());
    server.create_topic("full", 1, 1, &[]);
    // The first consumer asks for it, and then there is no room for its partitions.
    server.create_topic("__consumer_offsets", 1, 1, &[("cleanup.policy", "compact")]);
    let load =
        Load { topic: "full", codec: "none", acks: "all", first: 0, count: 40_000, partitions: 1 };
    let sent = produce(&server.bootstrap(), &load, |_| 1_000);
    let kept = sent.iter().filter(|sent| sent.is_acknowledged()).count();
    assert!(kept > 1_000 && kept < sent.len(), "{kept} of {} were kept", sent.len());
    assert!(answers(&server), "the process is alive");
    let check = |server: &Server| {
        let read = consume_all(&server.bootstrap(), "full", 1);
        let lost = sent.iter().filter(|s| Sent::is_acknowledged(s) && !read.contains_key(&s.key));
        assert_eq!(lost.count(), 0, "acknowledged records are gone");
    };
    check(&server);
    server.kill();
    server.restart();
    check(&server);
}
