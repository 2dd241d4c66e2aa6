//! Disks in a scenario: what every node's disk is like (`[disk]`), and the words for what can be
//! wrong with one.

use std::time::Duration;

use super::document::{Problems, Section};
use super::parse::bounded;
use super::strike::number;
use super::{Action, Range, Roles};
use crate::sim::disk::{Corruption, DiskProfile, Failing, Memory, Place, Writeback};
use crate::sim::{Kept, Survival};

/// What a power loss leaves, but for an explicit choice.
pub(super) const SURVIVALS: [(&str, Survival); 6] = [
    ("nothing", Survival::Nothing),
    ("drawn", Survival::Drawn),
    ("weakest", Survival::Weakest),
    ("ext4-ordered", Survival::Ext4Ordered),
    ("everything", Survival::Everything),
    ("everything-durable", Survival::Everything),
];

/// Keys of a `disk-error`: each is how many operations of a kind fail.
pub(super) const ERRORS: [(&str, Failing); 6] = [
    ("syncs", Failing::Sync),
    ("full-syncs", Failing::SyncFull),
    ("late-syncs", Failing::WriteBack),
    ("writes", Failing::Write),
    ("renames", Failing::Rename),
    ("reads", Failing::Read),
];

/// Words of a `disk-corruption`'s `what`.
pub(super) const CORRUPTIONS: [(&str, Corruption); 5] = [
    ("bit-rot", Corruption::BitRot),
    ("latent-error", Corruption::LatentError),
    ("misdirected-write", Corruption::MisdirectedWrite),
    ("lost-write", Corruption::LostWrite),
    ("stale-read", Corruption::StaleRead),
];

/// Words of a `disk-corruption`'s `place`.
pub(super) const PLACES: [(&str, Place); 3] =
    [("disk", Place::Disk), ("log", Place::Log), ("cold", Place::Cold)];

/// Changes of names, in a list of what survives.
const NAMES: &str = "names";

/// Reads what survives a power loss: a word, or a list of what is kept.
pub(super) fn survival(section: &mut Section, problems: &mut Problems) -> Survival {
    let words: Vec<_> =
        SURVIVALS.iter().enumerate().map(|(index, (word, _))| (*word, index)).collect();
    let line = section.line;
    let word = section.word("survival", &words, problems);
    if !section.has("keep") {
        let chosen = word.and_then(|word| SURVIVALS.get(word.value));
        return chosen.map_or(Survival::Drawn, |(_, survival)| survival.clone());
    }
    if word.is_some() {
        problems.add(line, "a power loss has a `survival`, or a list of what to `keep`, not both");
    }
    let mut kept = Vec::new();
    for item in section.list("keep", problems) {
        match read_kept(&item.value) {
            Some(part) => kept.push(part),
            None => problems.add(
                item.line,
                format!(
                    "`{}`: expected `names`, the end of a path such as `.log`, or that and which \
                     of its unsynced pages, such as `.log 0..3`",
                    item.value
                ),
            ),
        }
    }
    Survival::Chosen(kept)
}

fn read_kept(text: &str) -> Option<Kept> {
    if text == NAMES {
        return Some(Kept::Names);
    }
    let Some((ending, pages)) = text.split_once(' ') else {
        return (!text.is_empty()).then(|| Kept::File { ending: text.to_owned(), pages: None });
    };
    let (first, end) = pages.trim().split_once("..")?;
    let pages = (first.parse().ok()?, end.parse().ok()?);
    (pages.0 <= pages.1 && !ending.is_empty())
        .then(|| Kept::File { ending: ending.to_owned(), pages: Some(pages) })
}

/// The key and the value of what survives, as [`survival`] reads it.
pub(super) fn show_survival(survival: &Survival) -> (&'static str, String) {
    let quote = |text: &str| toml::Value::String(text.to_owned()).to_string();
    if let Survival::Chosen(kept) = survival {
        let items = kept.iter().map(|kept| match kept {
            Kept::Names => quote(NAMES),
            Kept::File { ending, pages: None } => quote(ending),
            Kept::File { ending, pages: Some((first, end)) } => {
                quote(&format!("{ending} {first}..{end}"))
            }
        });
        return ("keep", format!("[{}]", items.collect::<Vec<_>>().join(", ")));
    }
    let word = SURVIVALS.iter().find(|(_, known)| known == survival);
    ("survival", quote(word.map_or("drawn", |(word, _)| *word)))
}

/// Reads a `disk-error`: how many operations fail, of one kind.
pub(super) fn error(
    section: &mut Section,
    target: Roles,
    dir: Option<String>,
    problems: &mut Problems,
) -> Action {
    let mut found = None;
    let line = section.line;
    for (key, what) in ERRORS {
        if section.has(key) {
            let count = number(section, key, (1, 1_000_000), (1, 1), problems);
            if found.replace((what, count)).is_some() {
                problems.add(line, "operations of one kind fail at a time: two rules, please");
            }
        }
    }
    let (what, count) = found.unwrap_or((Failing::Sync, Range::just(1)));
    Action::DiskError { target, what, count, dir }
}

/// Reads a `disk-corruption`.
pub(super) fn corruption(section: &mut Section, target: Roles, problems: &mut Problems) -> Action {
    let what = section.word("what", &CORRUPTIONS, problems);
    let what = what.map_or(Corruption::BitRot, |what| what.value);
    let line = section.line;
    let place = section.word("place", &PLACES, problems);
    let place = place.map_or(Place::Disk, |place| place.value);
    let lies_there = matches!(what, Corruption::BitRot | Corruption::LatentError);
    if place == Place::Cold && !lies_there {
        problems.add(
            line,
            "nobody writes to a segment that is `cold`: `bit-rot` or `latent-error` can strike there, \
             or have another `place`",
        );
    }
    Action::Corruption {
        what,
        place,
        pages: number(section, "pages", (1, 10_000), (1, 3), problems),
        intact: bounded(section, "intact", (0, 100), 1, problems),
        target,
    }
}

/// Reads `[disk]`, and how it is written again.
pub(super) fn profile(
    section: Option<Section>,
    problems: &mut Problems,
) -> (DiskProfile, Vec<(&'static str, u64)>) {
    let mut profile = DiskProfile::default();
    let mut written = Vec::new();
    let Some(mut section) = section else { return (profile, written) };
    let mut take =
        |section: &mut Section, key: &'static str, (low, high), problems: &mut Problems| {
            let there = section.has(key);
            let value = bounded(section, key, (low, high), low, problems);
            if there {
                written.push((key, value));
            }
            there.then_some(value)
        };
    let memory = Memory::default();
    let pages = take(&mut section, "memory.pages", (16, 1 << 24), problems);
    let background = take(&mut section, "vm.dirty_background_ratio", (0, 100), problems);
    let dirty = take(&mut section, "vm.dirty_ratio", (0, 100), problems);
    let ahead = take(&mut section, "read_ahead_kb", (0, 1 << 20), problems);
    if pages.or(background).or(dirty).or(ahead).is_some() {
        profile.memory = Some(Memory {
            pages: pages.unwrap_or(memory.pages),
            background_ratio: background.unwrap_or(memory.background_ratio),
            dirty_ratio: dirty.unwrap_or(memory.dirty_ratio),
            read_ahead: ahead.map_or(memory.read_ahead, |kib| kib / 4),
        });
    }
    let centiseconds = |value: u64| Duration::from_millis(value.saturating_mul(10));
    let interval = take(&mut section, "vm.dirty_writeback_centisecs", (1, 360_000), problems);
    let expire = take(&mut section, "vm.dirty_expire_centisecs", (1, 360_000), problems);
    if interval.or(expire).is_some() {
        let usual = Writeback::default();
        profile.writeback = Some(Writeback {
            interval: interval.map_or(usual.interval, centiseconds),
            expire: expire.map_or(usual.expire, centiseconds),
        });
    }
    if let Some(micros) = take(&mut section, "page.write.us", (0, 1_000_000), problems) {
        profile.write_page = Duration::from_micros(micros);
    }
    if let Some(micros) = take(&mut section, "page.read.us", (0, 1_000_000), problems) {
        profile.read_miss = Duration::from_micros(micros);
    }
    if let Some(one_in) = take(&mut section, "stall.one.in", (0, u64::from(u32::MAX)), problems) {
        profile.stall_one_in = u32::try_from(one_in).unwrap_or(u32::MAX);
        profile.read_stall_one_in = profile.stall_one_in;
    }
    section.finish(problems);
    (profile, written)
}
