//! `[disk]`: what every node's disk costs and holds while nothing is wrong with it.

use std::time::Duration;

use super::document::{Problems, Section};
use super::entries::bounded;
use crate::sim::disk::{DiskProfile, Memory, Writeback};

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
