//! Shows the recovery of a starting node's logs as a progress bar.

use std::io::{self, Write};

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressStyle};
use parking_lot::Mutex;

use crate::broker::{RecoveryObserver, RecoveryProgress};

/// Draws a bar per data directory while its logs open. Draws nothing if standard error is not a
/// terminal: then the node logs its progress from time to time.
pub struct Recovering {
    screen: MultiProgress,
    bar: Mutex<Option<ProgressBar>>,
}

impl Recovering {
    /// Draws on this screen.
    pub fn new(screen: MultiProgress) -> Self {
        Self { screen, bar: Mutex::new(None) }
    }

    fn begin(&self, progress: &RecoveryProgress) -> ProgressBar {
        let bar = self.screen.add(ProgressBar::new(progress.logs as u64));
        // The template is constant and valid; if not, the default style does.
        if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} logs  {msg}")
        {
            bar.set_style(style);
        }
        bar.set_prefix(progress.dir.display().to_string());
        bar
    }
}

impl RecoveryObserver for Recovering {
    fn progressed(&self, progress: &RecoveryProgress) {
        let mut shown = self.bar.lock();
        if progress.remaining_logs == 0 {
            if let Some(bar) = shown.take() {
                bar.finish_and_clear();
            }
            return;
        }
        let bar = shown.get_or_insert_with(|| self.begin(progress));
        bar.set_message(message(progress));
        bar.set_position((progress.logs - progress.remaining_logs) as u64);
    }
}

/// The bar's message: bytes examined, and segments left.
fn message(progress: &RecoveryProgress) -> String {
    let done = HumanBytes(progress.recovered_bytes);
    match progress.remaining_segments {
        0 => format!("{done} examined"),
        1 => {
            format!("{done} examined, 1 segment left with {}", HumanBytes(progress.remaining_bytes))
        }
        left => {
            let bytes = HumanBytes(progress.remaining_bytes);
            format!("{done} examined, {left} segments left with {bytes}")
        }
    }
}

/// Standard error, written above the progress bars.
pub struct Above(pub MultiProgress);

impl Write for Above {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressDrawTarget;

    use super::*;

    fn hidden() -> Recovering {
        Recovering::new(MultiProgress::with_draw_target(ProgressDrawTarget::hidden()))
    }

    #[test]
    fn recovery_bar_shows_progress_and_disappears() {
        let recovering = hidden();
        let at = |remaining_logs, remaining_segments, recovered_bytes| RecoveryProgress {
            dir: "/data".into(),
            logs: 12,
            remaining_logs,
            remaining_segments,
            remaining_bytes: remaining_segments as u64 * (1 << 30),
            recovered_bytes,
        };
        recovering.progressed(&at(12, 3, 0));
        recovering.progressed(&at(9, 2, 5 << 20));
        let bar = recovering.bar.lock().clone().unwrap();
        assert_eq!((bar.prefix(), bar.position(), bar.length()), ("/data".into(), 3, Some(12)));
        assert_eq!(bar.message(), "5.00 MiB examined, 2 segments left with 2.00 GiB");
        recovering.progressed(&at(8, 1, 5 << 20));
        assert_eq!(bar.message(), "5.00 MiB examined, 1 segment left with 1.00 GiB");
        recovering.progressed(&at(0, 0, 7 << 30));
        assert!(bar.is_finished() && recovering.bar.lock().is_none());
    }

    #[test]
    fn a_directory_without_logs_is_not_worth_a_bar() {
        let recovering = hidden();
        recovering.progressed(&RecoveryProgress::default());
        assert!(recovering.bar.lock().is_none());
    }
}
