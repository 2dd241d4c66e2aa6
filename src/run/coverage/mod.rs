//! The situations that a run reached, and how they came about.
//!
//! A situation is something that engineers who know Kafka have a name for, and that a test should
//! have reached before its silence means anything: a truncation, an election from the ELR, a torn
//! tail. A feature is finer: a situation under a fault, or one after another at one place. Both are
//! read from the view of the run, so they follow from the run alone and do not change it.

mod lookout;
mod situation;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

pub(super) use lookout::Lookout;
pub use situation::Situation;

/// One kind of behaviour: role changes × faults × recovery paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// A situation within some seconds after a fault of this kind struck; with none, `calm`.
    Under(Situation, &'static str),
    /// The second came next after the first at one place: of a partition, or on a node.
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

/// All that one run reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// By name.
    pub situations: BTreeSet<Situation>,
    /// And how they came about.
    pub features: BTreeSet<Feature>,
}

/// How many runs reached each situation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sightings {
    /// Runs, and the first of them by its number.
    seen: BTreeMap<Situation, (u64, u64)>,
    runs: u64,
}

/// One line of the table of rare events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RareEvent {
    /// The situation's name.
    pub name: &'static str,
    /// Where it comes from, or what it means.
    pub about: &'static str,
    /// How many runs reached it.
    pub runs: u64,
    /// The first that did.
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

    /// Every situation there is, also those that no run reached, in the order of their list.
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

/// The table as Markdown. Situations that never happened come first: the runs say nothing about them.
pub fn markdown(events: &[RareEvent], runs: u64) -> String {
    // Runs of several scenarios have no seeds in common.
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
    // Stable: of equals, the order of the list.
    events.sort_by_key(|event| event.runs);
    events
}
