//! Failures of the swarm in groups: one invariant, and witnesses that differ only in numbers.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::failure::{Failure, as_verdict};
use crate::lab::report::as_called;

/// Failures that are probably one.
#[derive(Clone, Debug)]
pub(super) struct Group<'a> {
    /// In the order of their numbers; never empty.
    failures: Vec<&'a Failure>,
}

/// The failures in groups, in the order of the first of each.
pub(super) fn groups(failures: &[Failure]) -> Vec<Group<'_>> {
    let mut found: BTreeMap<(&str, String), Vec<&Failure>> = BTreeMap::new();
    for failure in failures {
        found.entry((&failure.invariant, shape(&failure.what))).or_default().push(failure);
    }
    let mut groups: Vec<_> = found.into_values().map(|failures| Group { failures }).collect();
    groups.sort_by_key(|group| group.failures.first().map(|first| first.number));
    groups
}

/// A witness without its numbers, which differ from run to run.
fn shape(what: &str) -> String {
    let mut shape = String::new();
    for c in what.chars() {
        let number = c.is_ascii_digit();
        if !(number && shape.ends_with('0')) {
            shape.push(if number { '0' } else { c });
        }
    }
    shape
}

impl Group<'_> {
    /// What broke in how many runs, the first witness, and the file and command of each.
    pub fn tell(&self, text: &mut String) {
        let Some(first) = self.failures.first() else { return };
        let (runs, verdict) = (self.failures.len(), as_verdict(first.verdict));
        // Writing to a String can't fail.
        let _ = writeln!(text, "{verdict} {} in {runs} runs: {}", first.invariant, first.what);
        for Failure { number, file, replay, .. } in &self.failures {
            let replay = as_called(replay);
            let _ = writeln!(text, "  swarm-{number}  {file}\n    replay: {replay}");
        }
    }
}
