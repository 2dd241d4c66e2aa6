//! The picture: one run as one self-contained page.
//!
//! Time runs across; every controller, broker and client has a lane; leadership is coloured by
//! epoch; log ends, high watermark and in-sync replicas are curves; messages are arrows once one is
//! near enough; and the fate of the record that a failure is about is told beside, step by step. Of a
//! group, each member has a lane with what it owned, and the phases of rebalances are below. Transactions
//! are spans on the lanes of their producers and in a row for each partition that they touch.
//!
//! A [`Recorder`] watches the run and changes nothing of it: the trace hash is the same. What it
//! kept is thinned out (`thin`), told (`fate`), and put into a page (`page`). The same seed gives
//! the same bytes.

mod columns;
mod coordinator;
mod data;
mod fate;
mod group_fate;
mod groups;
mod ledger;
mod marks;
mod members;
mod messages;
mod page;
mod phases;
mod presence;
mod recorder;

mod subject;
#[cfg(test)]
mod tests;
mod thin;
mod transactions;
mod txn_fate;
mod txn_spans;
mod words;

use std::path::{Path, PathBuf};

pub use recorder::Recorder;

use self::data::Data;
use crate::run::caught::caught;
use crate::run::outcome::Outcome;
use crate::run::{self, EngineKind, Observers};
use crate::scenario::Scenario;

/// A run, and how it looks.
pub struct Picture {
    /// The outcome of the run.
    pub outcome: Outcome,
    data: Data,
    recorder: Recorder,
}

impl Picture {
    /// Runs a seed of a scenario again, and draws it. A panic is drawn up to where it came.
    pub fn draw(scenario: &Scenario, seed: u64, engine: EngineKind) -> Self {
        Self::draw_before(scenario, seed, engine, Observers::default())
    }

    /// The same, while others look on.
    pub fn draw_before(
        scenario: &Scenario,
        seed: u64,
        engine: EngineKind,
        observers: Observers<'_>,
    ) -> Self {
        let mut recorder = Recorder::default();
        let Observers { events, history, .. } = observers;
        let events = events.map(|events| -> &mut dyn FnMut(&str) { events });
        let observers = Observers { events, recorder: Some(&mut recorder), history };
        let outcome = caught(seed, || run::watched(scenario, seed, engine, observers));
        let data = Data::new(scenario, engine, &recorder, &outcome);
        Self { outcome, data, recorder }
    }

    /// The page: HTML that needs nothing else.
    pub fn html(&self) -> String {
        page::html(&self.data)
    }

    /// The story alone, a line for each step.
    pub fn story(&self) -> Vec<String> {
        let line = |(at, title, text): (u64, &str, &str)| {
            format!("{:>10.3} s  {title}: {text}", at as f64 / 1e6)
        };
        self.data.steps().map(line).collect()
    }

    /// The run for a terminal: time runs down, a column for each host, the story between. Nothing
    /// where `width` characters do not hold the columns; without one they are as wide as they like.
    pub fn columns(&self, width: Option<usize>) -> Option<Vec<String>> {
        columns::lines(&self.recorder, &self.data, width)
    }

    /// Writes the page to a file, whose directory is made if it is not there.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        std::fs::write(path, self.html())
    }
}

/// The default file of a run's picture.
pub fn file_name(reports: &Path, scenario: &str, seed: u64) -> PathBuf {
    reports.join(format!("{scenario}-seed-{seed}.html"))
}
