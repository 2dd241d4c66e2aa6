//! What the tables have in common: each cell is a scenario, and all run with the same seeds.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::PathBuf;

use serde::Serialize;

use super::sweep::Sweep;
use crate::run::EngineKind;
use crate::scenario::Scenario;

/// How to run cells.
#[derive(Clone, Debug)]
pub struct Runs {
    /// Seeds of each cell; the end is exclusive.
    pub seeds: Range<u64>,
    /// Number of threads.
    pub jobs: NonZeroUsize,
    /// The engine to run on.
    pub engine: EngineKind,
    /// The directory of the reports, where the scenarios of cells go.
    pub reports: PathBuf,
}

impl Runs {
    /// The sweep of these scenarios.
    pub(super) fn sweep(&self, scenarios: Vec<Scenario>) -> Sweep {
        let Self { seeds, jobs, engine, reports: _ } = self;
        Sweep { scenarios, seeds: seeds.clone(), jobs: *jobs, engine: *engine }
    }
}

/// The seeds of a table, in its file; `to` is exclusive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Seeds {
    pub from: u64,
    pub to: u64,
}

impl From<&Range<u64>> for Seeds {
    fn from(seeds: &Range<u64>) -> Self {
        Self { from: seeds.start, to: seeds.end }
    }
}
