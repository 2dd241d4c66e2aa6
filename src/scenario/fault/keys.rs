//! Values that faults of several kinds read.

use super::super::document::{At, Problems, Section, unknown};
use super::super::known::Known;
use super::stage::{Hit, Stage};
use crate::scenario::{Range, Role, Roles, role};

/// A whole number or a range of such, within bounds.
pub(super) fn number(
    section: &mut Section,
    key: &'static str,
    (low, high): (u64, u64),
    default: (u64, u64),
    problems: &mut Problems,
) -> Range<u64> {
    let default = Range { low: default.0, high: default.1 };
    let Some(At { line, value }) = section.range::<u64>(key, problems) else { return default };
    if value.low < low || value.high > high {
        problems.add(line, format!("`{key} = {value}`: expected {low} to {high}"));
        return default;
    }
    value
}

/// The `dir` of a fault: one of the cluster's log directories.
pub(super) fn log_dir(
    section: &mut Section,
    known: &Known<'_>,
    problems: &mut Problems,
) -> Option<String> {
    let dirs = known.cluster.log_dirs();
    let words = dirs.join("`, `");
    let Some(At { line, value }) = section.scalar("dir", problems) else {
        problems.add(section.line, format!("`dir` is missing: one of `{words}`"));
        return None;
    };
    if dirs.contains(&value) {
        return Some(value);
    }
    problems.add(line, format!("`dir = {value}`: expected one of `log.dirs`: `{words}`"));
    None
}

/// The `target` of a fault that strikes brokers and controllers.
pub(super) fn nodes(
    section: &mut Section,
    known: &Known<'_>,
    problems: &mut Problems,
) -> Option<Roles> {
    roles(section, "target", known, true, problems)
}

/// The `target` of a fault that strikes any host.
pub(super) fn hosts(
    section: &mut Section,
    known: &Known<'_>,
    problems: &mut Problems,
) -> Option<Roles> {
    roles(section, "target", known, false, problems)
}

/// One role or several.
pub(super) fn roles(
    section: &mut Section,
    key: &'static str,
    known: &Known<'_>,
    nodes_only: bool,
    problems: &mut Problems,
) -> Option<Roles> {
    if !section.has(key) {
        let message = format!("`{key}` is missing: whom does it strike? Such as `\"leader\"`");
        problems.add(section.line, message);
    }
    let mut roles = Vec::new();
    for At { line, value } in section.list(key, problems) {
        let words = Role::WORDS.iter().map(|(word, _)| *word);
        let words = words.chain(known.programs.iter().copied());
        if known.programs.contains(&value.as_str()) {
            roles.push(Role::Program(value));
            continue;
        }
        if let Some(program) = value.strip_prefix(role::ALL_OF) {
            let programs = known.programs.iter().copied();
            match programs.clone().find(|name| *name == program) {
                Some(_) => roles.push(Role::AllOf(program.to_owned())),
                None => problems.add(line, unknown("program", program, programs)),
            }
            continue;
        }
        match Role::read(&value) {
            Some(Role::LeaderOf(partition)) if !known.has(&partition) => {
                problems.add(line, format!("`{key} = {value}`: there is no {partition}"));
            }
            None => problems.add(line, unknown("target", &value, words)),
            Some(Role::Host(kind, number)) if u64::from(number) > known.hosts(kind) => {
                let what = match kind {
                    'b' => "brokers",
                    'c' => "controllers",
                    'p' => "producers",
                    _ => "consumers",
                };
                let message = format!("no host `{value}`: there are {} {what}", known.hosts(kind));
                problems.add(line, message);
            }
            Some(role) if nodes_only && !role.is_node() => {
                problems.add(line, format!("`{key} = {value}`: expected brokers or controllers"));
            }
            Some(role) => roles.push(role),
        }
    }
    (!roles.is_empty()).then_some(Roles(roles))
}

/// Fits a fault of a directory to nodes with these: one that they don't have becomes their first, and
/// with several a process continues without the one that failed, until it is restarted.
pub(super) fn move_to(dirs: &[String], dir: Option<&mut String>, restart: &mut bool) {
    if let (Some(dir), Some(first)) = (dir, dirs.first())
        && !dirs.contains(dir)
    {
        dir.clone_from(first);
    }
    *restart |= dirs.len() > 1;
}

/// Starts the processes of hosts whose disks work again, as an operator does: those that ended, and
/// with `restart` all.
pub(super) fn start_again(stage: &mut dyn Stage, hit: &Hit, restart: bool) {
    for host in &hit.hosts {
        if restart && stage.is_running(*host) {
            stage.kill(*host);
        }
        stage.revive(*host);
    }
}

/// A count as engines take it.
pub(super) fn count(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
