//! The system calls of a running broker, traced by strace.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Calls that move a file's bytes.
const CALLS: &str = "trace=sendfile,read,pread64,readv,preadv,preadv2,mmap";

/// A strace that is attached to a process.
pub struct Tracer {
    strace: Child,
    dir: tempfile::TempDir,
}

/// Bytes of segments (`.log`), by the way that they were moved.
#[derive(Debug, Default)]
pub struct Moved {
    /// From the page cache to a socket.
    pub sent: u64,
    /// Into memory of the process.
    pub copied: u64,
    /// Segments were mapped.
    pub mapped: bool,
}

impl Tracer {
    /// Attaches to all threads of a process; the error says why it can't.
    pub fn attach(pid: u32) -> Result<Self, String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut strace = Command::new("strace")
            // A file per thread, so that no line is split by another thread's.
            .args(["-ff", "-y", "-e", CALLS, "-o"])
            .arg(dir.path().join("calls"))
            .args(["-p", &pid.to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("no strace: {error}"))?;
        let mut told = String::new();
        let stderr = strace.stderr.take().ok_or("no standard error")?;
        let mut stderr = BufReader::new(stderr);
        stderr.read_line(&mut told).map_err(|error| error.to_string())?;
        // It says so of each thread that begins later, and would die of a closed pipe.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        let tracer = Self { strace, dir };
        if told.contains("attached") { Ok(tracer) } else { Err(told) }
    }

    /// Detaches from the process, and counts.
    pub fn detach(mut self) -> Moved {
        let pid = rustix::process::Pid::from_child(&self.strace);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        self.strace.wait().unwrap();
        let mut moved = Moved::default();
        for thread in std::fs::read_dir(self.dir.path()).unwrap() {
            let calls = std::fs::read_to_string(thread.unwrap().path()).unwrap();
            calls.lines().filter(|call| call.contains(".log>")).for_each(|call| moved.add(call));
        }
        moved
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

impl Moved {
    /// Adds a line like `pread64(9</data/t-0/00000000000000000000.log>, ..., 61, 0) = 61`.
    fn add(&mut self, call: &str) {
        let result = call.rsplit_once(" = ").and_then(|(_, result)| result.parse::<u64>().ok());
        // A full socket returns an error.
        let bytes = result.unwrap_or(0);
        match call.split('(').next() {
            Some("sendfile") => self.sent += bytes,
            Some("mmap") => self.mapped = true,
            _ => self.copied += bytes,
        }
    }
}
