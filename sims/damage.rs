//! Bad input: every byte of every file of a small data directory is flipped, every file is cut at
//! every length, lost, doubled, and exchanged for every other. The log opens with a loss that it
//! tells, or refuses with the file's name; it never panics, and never serves what was not written.
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

#[path = "fuzz/memory.rs"]
#[allow(dead_code, reason = "each suite uses its part")]
mod memory;
#[path = "fuzz/specimen.rs"]
mod specimen;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Once;

use memory::MemoryDisk;
use specimen::{End, Outcome, Specimen, names};

const ENDS: [End; 3] = [End::Clean, End::Synced, End::Unsynced];

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// What a kind of damage did, case by case.
#[derive(Default)]
struct Tally {
    whole: usize,
    told: usize,
    refused: usize,
    wrong: Vec<String>,
}

impl Tally {
    /// Opens damaged files. A refusal must name one of the files `of` which it is about.
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
                // A file of batches is large: the place is told, too.
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
    /// A panic here is caught, and told by its case.
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
fn a_directory_that_nobody_damaged_is_whole_after_every_end() {
    let specimen = Specimen::new();
    assert!(specimen.files.len() >= 20, "{:?}", specimen.files.keys());
    for end in ENDS {
        let specimen = specimen.after(end);
        assert_eq!(specimen.judge(&MemoryDisk::with(&specimen.files)), Outcome::Whole, "{end:?}");
    }
}

#[test]
fn a_flipped_byte_is_noticed_or_harmless_wherever_it_is() {
    quietly(|| {
        let specimen = Specimen::new();
        let mut tally = Tally::default();
        for end in ENDS {
            let specimen = specimen.after(end);
            for (path, bytes) in &specimen.files {
                for at in 0..bytes.len() {
                    for flip in [0x01, 0x80, 0xff] {
                        let mut files = specimen.files.clone();
                        files.get_mut(path).unwrap()[at] ^= flip;
                        let case = format!("{end:?} {} byte {at} ^ {flip:#x}", short(path));
                        tally.judge(&specimen, &files, &case, &[path]);
                    }
                }
            }
        }
        tally.assert_right(10_000);
    });
}

#[test]
fn a_file_that_was_cut_short_loses_nothing_in_silence() {
    quietly(|| {
        let specimen = Specimen::new();
        let mut tally = Tally::default();
        for end in ENDS {
            let specimen = specimen.after(end);
            for (path, bytes) in &specimen.files {
                for len in 0..bytes.len() {
                    let mut files = specimen.files.clone();
                    files.get_mut(path).unwrap().truncate(len);
                    let case = format!("{end:?} {} cut to {len}", short(path));
                    tally.judge(&specimen, &files, &case, &[path]);
                }
            }
        }
        tally.assert_right(3000);
    });
}

#[test]
fn a_file_that_is_lost_doubled_or_anothers_is_found_out() {
    quietly(|| {
        let specimen = Specimen::new();
        let mut tally = Tally::default();
        for end in ENDS {
            let specimen = specimen.after(end);
            for (path, bytes) in &specimen.files {
                let mut files = specimen.files.clone();
                files.remove(path);
                let dir = path.parent().unwrap();
                let case = format!("{end:?} {} lost", short(path));
                tally.judge(&specimen, &files, &case, &[dir]);
                for copy in doubles(path) {
                    let mut files = specimen.files.clone();
                    let replaced = files.insert(copy.clone(), bytes.clone());
                    assert_eq!(replaced, None, "{}", copy.display());
                    let case = format!("{end:?} {} doubled as {}", short(path), short(&copy));
                    tally.judge(&specimen, &files, &case, &[dir]);
                }
                for (other, foreign) in specimen.files.iter().filter(|(o, _)| *o != path) {
                    let mut files = specimen.files.clone();
                    files.insert(path.clone(), foreign.clone());
                    let case = format!("{end:?} {} is {}", short(path), short(other));
                    tally.judge(&specimen, &files, &case, &[path, dir]);
                }
            }
        }
        tally.assert_right(1000);
    });
}

/// Names under which a file may be found once more.
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
