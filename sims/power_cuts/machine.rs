//! A disk whose power can be cut, on a machine that stays on.
//!
//! The file system under test is in an image on a second file system, the platter, which is in an
//! image of its own; loop devices connect them. A cut shuts the platter down by the ioctl
//! `FS_IOC_SHUTDOWN` with "no log flush": from then on nothing reaches it, and everything that the
//! file system under test had not flushed through its device is gone, including the device's own
//! cache. This works for file systems without that ioctl, such as btrfs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Smallest image that each `mkfs` accepts (XFS asks for 300 MB).
const DISK_MIB: u32 = 400;
const PLATTER: &str = "520M";

/// A file system of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    Ext4,
    Xfs,
    Btrfs,
}

impl FileSystem {
    pub const ALL: [Self; 3] = [Self::Ext4, Self::Xfs, Self::Btrfs];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// Commits metadata every second if there is an option for that, so that short runs show it;
    /// XFS is configured by [`Writeback`].
    fn mount_options(self) -> &'static str {
        match self {
            Self::Ext4 | Self::Btrfs => "loop,commit=1",
            Self::Xfs => "loop",
        }
    }
}

/// Runs a command to its end; the error is its output.
fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} {}: {}", arguments.join(" "), said.trim()))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary directory has a plain name")
}

/// One file system on its platter. Both are unmounted when it is dropped.
pub struct Machine {
    kind: FileSystem,
    dir: tempfile::TempDir,
}

impl Machine {
    /// A machine with an empty disk; the error says why there can't be one here.
    pub fn new(kind: FileSystem) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root may mount".into());
        }
        run("xfs_io", &["-V"])?;
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let machine = Self { kind, dir };
        for mount in [machine.platter(), machine.disk()] {
            std::fs::create_dir(mount).map_err(|error| error.to_string())?;
        }
        let (outer, inner) = (machine.outer(), machine.inner());
        run("truncate", &["-s", PLATTER, text(&outer)])?;
        run("mkfs.ext4", &["-q", "-F", text(&outer)])?;
        run("mount", &["-o", "loop", text(&outer), text(&machine.platter())])?;
        // Allocates its blocks, so that the platter's own metadata need not change later.
        let blocks = format!("of={}", text(&inner));
        run(
            "dd",
            &["if=/dev/zero", &blocks, "bs=1M", &format!("count={DISK_MIB}"), "status=none"],
        )?;
        run(&format!("mkfs.{}", kind.name()), &["-q", text(&inner)])?;
        run("mount", &["-o", kind.mount_options(), text(&inner), text(&machine.disk())])?;
        run("sync", &["-f", text(&machine.platter())])?;
        Ok(machine)
    }

    fn outer(&self) -> PathBuf {
        self.dir.path().join("platter.img")
    }

    fn platter(&self) -> PathBuf {
        self.dir.path().join("platter")
    }

    fn inner(&self) -> PathBuf {
        self.platter().join("disk.img")
    }

    /// Where the file system under test is mounted.
    pub fn disk(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    /// Syncs everything written so far to the platter.
    pub fn sync(&self) {
        run("sync", &["-f", text(&self.disk())]).unwrap();
    }

    /// From now on nothing reaches the platter. Processes still see the page cache.
    pub fn cut_power(&self) {
        run("xfs_io", &["-x", "-c", "shutdown", text(&self.platter())]).unwrap();
    }

    /// Restarts from the state of the platter. Processes with open files must have ended.
    pub fn restore_power(&self) {
        self.unmount();
        run("mount", &["-o", "loop", text(&self.outer()), text(&self.platter())]).unwrap();
        let options = self.kind.mount_options();
        run("mount", &["-o", options, text(&self.inner()), text(&self.disk())]).unwrap();
    }

    /// A killed process holds its files for a moment longer.
    fn unmount(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        for mount in [self.disk(), self.platter()] {
            while let Err(error) = run("umount", &[text(&mount)]) {
                if error.contains("not mounted") {
                    break;
                }
                assert!(Instant::now() < deadline || std::thread::panicking(), "{error}");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.unmount();
    }
}

/// How soon the kernel writes old pages back. Restored on drop.
pub struct Writeback {
    before: Vec<(&'static str, String)>,
}

impl Writeback {
    /// Writes back pages older than 200 ms every 100 ms, so that a cut meets mixed states; Linux's
    /// defaults are 30 s and 5 s.
    pub fn hasty() -> Self {
        let set = |(key, value): (&'static str, &str)| {
            let path = format!("/proc/sys/{key}");
            let before = std::fs::read_to_string(&path).ok()?;
            std::fs::write(&path, value).ok()?;
            Some((key, before))
        };
        let hasty = [
            ("vm/dirty_writeback_centisecs", "10"),
            ("vm/dirty_expire_centisecs", "20"),
            // The minimum for XFS.
            ("fs/xfs/xfssyncd_centisecs", "100"),
        ];
        Self { before: hasty.into_iter().filter_map(set).collect() }
    }
}

impl Drop for Writeback {
    fn drop(&mut self) {
        for (key, value) in &self.before {
            let _ = std::fs::write(format!("/proc/sys/{key}"), value);
        }
    }
}
