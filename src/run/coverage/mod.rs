//! The situations that a run reached, and their circumstances.
//!
//! A situation is something that engineers who know Kafka have a name for, such as a truncation, an
//! election from the ELR, or a torn tail. A test that does not reach it says nothing about it. A
//! feature is finer: a situation under a fault, or one after another at the same place. Both are
//! computed from the view of the run and do not affect it.

mod observer;
mod situation;
mod transactions;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

pub(super) use observer::CoverageObserver;
pub use situation::Situation;

/// A kind of behaviour: role changes × faults × recovery paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// A situation within some seconds after a fault of this kind; `calm` without a fault.
    Under(Situation, &'static str),
    /// The second situation followed the first at one place: a partition or a node.
    Then(Situation, Situation),
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Under(situation, fault) => write!(f, "{situation} under {fault}"),
            Self::Then(first, second) => write!(f, "{first}, then {second}"),
        }
    }
}

/// Everything that one run reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Situations, by name.
    pub situations: BTreeSet<Situation>,
    /// Features.
    pub features: BTreeSet<Feature>,
}

/// How many runs reached each situation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sightings {
    /// Number of runs, and the first of them.
    seen: BTreeMap<Situation, (u64, u64)>,
    runs: u64,
}

/// One line of the table of rare events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RareEvent {
    /// The situation's name.
    pub name: &'static str,
    /// Its source, or its meaning.
    pub about: &'static str,
    /// How many runs reached it.
    pub runs: u64,
    /// The first run that reached it.
    pub first_seed: Option<u64>,
}

impl Sightings {
    /// Adds what a run reached.
    pub fn add(&mut self, run: u64, reached: &Reached) {
        self.runs += 1;
        for situation in &reached.situations {
            let (runs, first) = self.seen.entry(*situation).or_insert((0, run));
            *runs += 1;
            *first = run.min(*first);
        }
    }

    /// All situations, including those that no run reached, in list order.
    pub fn table(&self) -> Vec<RareEvent> {
        let line = |situation: &Situation| {
            let seen = self.seen.get(situation);
            RareEvent {
                name: situation.name(),
                about: situation.about(),
                runs: seen.map_or(0, |(runs, _)| *runs),
                first_seed: seen.map(|(_, first)| *first),
            }
        };
        Situation::ALL.iter().map(line).collect()
    }
}

/// The table as Markdown. Situations that never happened come first: the runs prove nothing about
/// them.
pub fn markdown(events: &[RareEvent], runs: u64) -> String {
    // Runs of several scenarios have no common seeds.
    let seeds = events.iter().any(|event| event.first_seed.is_some());
    let (head, rule) = if seeds { (" first seed |", "--:|") } else { ("", "") };
    let mut text = format!("| situation | runs |{head}\n|---|--:|{rule}\n");
    for event in rarest_first(events) {
        let runs = match event.runs {
            0 => "**never**".to_owned(),
            runs => runs.to_string(),
        };
        let first = event.first_seed.map_or_else(|| "–".into(), |seed| seed.to_string());
        let first = if seeds { format!(" {first} |") } else { String::new() };
        text.push_str(&format!("| {} ({}) | {runs} |{first}\n", event.name, event.about));
    }
    let never = events.iter().filter(|event| event.runs == 0).count();
    text.push_str(&format!(
        "\n{} of {} situations in {runs} runs.\n",
        events.len() - never,
        events.len()
    ));
    text
}

/// The table for a terminal.
pub fn terminal(events: &[RareEvent]) -> String {
    let mut text = String::new();
    for event in rarest_first(events) {
        let runs = if event.runs == 0 { "never".into() } else { event.runs.to_string() };
        let first = event.first_seed.map_or_else(String::new, |seed| format!("  first {seed}"));
        text.push_str(format!("{runs:>7}  {:<48}{first}", event.name).trim_end());
        text.push('\n');
    }
    text
}

fn rarest_first(events: &[RareEvent]) -> Vec<&RareEvent> {
    let mut events: Vec<&RareEvent> = events.iter().collect();
    // Stable: equal counts keep the list order.
    events.sort_by_key(|event| event.runs);
    events
}
