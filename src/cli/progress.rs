//! Commands that sweep cells and write reports: a progress bar, and files in new directories.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use indicatif::ProgressBar;

use crate::lab::Report;
use crate::lab::sweep::Watch;
use crate::run::outcome::RunVerdict;
use crate::scenario::Scenario;

/// Counts runs in a bar on a terminal, and shows nothing elsewhere.
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub fn new(runs: u64) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { bar: if terminal { ProgressBar::new(runs) } else { ProgressBar::hidden() } }
    }

    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

impl Watch for Progress {
    fn ran(&mut self, _: &Scenario, _: RunVerdict) {
        self.bar.inc(1);
    }

    fn done(&mut self, _: &Report, _: Duration) {}
}

/// Writes a file, in a directory that need not exist yet.
pub(super) fn put(path: &Path, text: &str) -> Result<(), String> {
    let wrong = |error| format!("{}: {error}", path.display());
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        std::fs::create_dir_all(dir).map_err(wrong)?;
    }
    std::fs::write(path, text).map_err(wrong)
}
