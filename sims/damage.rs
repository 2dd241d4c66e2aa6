//! Bad input: every byte of every file of a small data directory is flipped, every file is
//! truncated at every length, removed, duplicated, and replaced by every other. The log opens and
//! reports its loss, or is refused with the file's name; it never panics, and never serves anything
//! that was not written.
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Once;

use super::fuzzed::fuzz::memory::MemoryDisk;
use super::fuzzed::fuzz::specimen::{self, End, Outcome, Specimen, names};

const ENDS: [End; 3] = [End::Clean, End::Synced, End::Unsynced];

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// The results of a kind of damage.
#[derive(Default)]
struct Tally {
    whole: usize,
    told: usize,
    refused: usize,
    wrong: Vec<String>,
}

impl Tally {
    /// Opens damaged files. A refusal must name one of the files in `of`.
    fn judge(&mut self, specimen: &Specimen, files: &Files, case: &str, of: &[&Path]) {
        let disk = MemoryDisk::with(files);
        CAUGHT.set(true);
        let judged = catch_unwind(AssertUnwindSafe(|| specimen.judge(&disk)));
        CAUGHT.set(false);
        match judged {
            Ok(Outcome::Whole) => self.whole += 1,
            Ok(Outcome::Told(_)) => self.told += 1,
            Ok(Outcome::Refused(words)) => {
                self.refused += 1;
                // A file of batches is large: the position must be named, too.
                let placed = of.iter().all(|path| path.extension().is_none_or(|e| e != "log"))
                    || words.contains("at byte ");
                if !placed || !of.iter().any(|path| names(&words, path)) {
                    self.wrong.push(format!(
                        "{case}: refused without the file's name and the place: {words}"
                    ));
                }
            }
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
                self.wrong.push(format!("{case}: {}", text.unwrap_or_default()));
            }
        }
    }

    fn assert_right(&self, least: usize) {
        let Self { whole, told, refused, wrong } = self;
        let cases = whole + told + refused + wrong.len();
        println!("{cases} cases: {whole} whole, {told} told a loss, {refused} refused");
        let shown = wrong.iter().step_by((wrong.len() / 40).max(1)).take(60);
        let shown: Vec<&str> = shown.map(String::as_str).collect();
        assert!(wrong.is_empty(), "{} cases are wrong:\n{}", wrong.len(), shown.join("\n"));
        assert!(cases >= least, "only {cases} cases");
        assert!(*told > 0 && *refused > 0 && *whole > 0, "no kind of end is missing");
    }
}

fn short(path: &Path) -> String {
    path.strip_prefix(specimen::ROOT).unwrap_or(path).display().to_string()
}

thread_local! {
    /// A panic here is caught and reported with its case.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

fn quietly(test: impl FnOnce()) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !CAUGHT.get() {
                loud(info);
            }
        }));
    });
    test();
}

#[test]
fn undamaged_log_dir_opens_whole_after_every_stop() {
    let specimen = Specimen::new();
    let indexes =
        specimen.files.keys().filter(|path| path.extension().is_some_and(|e| e == "txnindex"));
    assert!(indexes.count() >= 2, "{:?}", specimen.files.keys());
    assert!(specimen.files.len() >= 20, "{:?}", specimen.files.keys());
    for end in ENDS {
        let specimen = specimen.after(end);
        assert_eq!(specimen.judge(&MemoryDisk::with(&specimen.files)), Outcome::Whole, "{end:?}");
    }
}

/// Receives a damaged directory: its files, a description of the damage, and the paths that a
/// refusal may name.
type Try<'a> = dyn FnMut(Files, String, &[&Path]) + 'a;

/// Damages every file of the directory after every kind of end, in every way that `damage` offers.
fn damaged(least: usize, damage: impl Fn(&Files, &Path, &mut Try<'_>)) {
    quietly(|| {
        let specimen = Specimen::new();
        let mut tally = Tally::default();
        for end in ENDS {
            let specimen = specimen.after(end);
            for path in specimen.files.keys() {
                damage(&specimen.files, path, &mut |files, what, of| {
                    let case = format!("{end:?} {} {what}", short(path));
                    tally.judge(&specimen, &files, &case, of);
                });
            }
        }
        tally.assert_right(least);
    });
}

#[test]
fn every_flipped_byte_is_detected_or_harmless() {
    damaged(10_000, |files, path, attempt| {
        for at in 0..files[path].len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut files = files.clone();
                files.get_mut(path).unwrap()[at] ^= flip;
                attempt(files, format!("byte {at} ^ {flip:#x}"), &[path]);
            }
        }
    });
}

#[test]
fn truncated_file_loses_nothing_silently() {
    damaged(3000, |files, path, attempt| {
        for len in 0..files[path].len() {
            let mut files = files.clone();
            files.get_mut(path).unwrap().truncate(len);
            attempt(files, format!("cut to {len}"), &[path]);
        }
    });
}

#[test]
fn missing_duplicated_or_foreign_file_is_detected() {
    damaged(1000, |files, path, attempt| {
        let dir = path.parent().unwrap();
        let with = |path: &Path, bytes: Option<&Vec<u8>>| {
            let mut files = files.clone();
            match bytes {
                Some(bytes) => files.insert(path.to_owned(), bytes.clone()),
                None => files.remove(path),
            };
            files
        };
        attempt(with(path, None), "lost".to_owned(), &[dir]);
        for copy in doubles(path).into_iter().filter(|copy| !files.contains_key(copy)) {
            let case = format!("doubled as {}", short(&copy));
            attempt(with(&copy, files.get(path)), case, &[dir]);
        }
        for (other, foreign) in files.iter().filter(|(other, _)| *other != path) {
            attempt(with(path, Some(foreign)), format!("is {}", short(other)), &[path, dir]);
        }
    });
}

/// Names under which a copy of a file may be found.
fn doubles(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let mut copies = vec![path.with_file_name(format!("{name}.bak"))];
    if let Some((digits, extension)) = name.split_once('.').filter(|(d, _)| d.len() == 20) {
        let base: u64 = digits.parse().unwrap();
        for other in [base + 1, base + 7, 1_000_000] {
            copies.push(path.with_file_name(format!("{other:020}.{extension}")));
        }
    }
    copies
}
