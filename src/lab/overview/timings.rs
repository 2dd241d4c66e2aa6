//! Wall times of the last runs. They differ between runs, so they are kept apart from the reports,
//! which are compared byte for byte.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The file's name, among the reports.
pub const TIMINGS: &str = "timings.json";
/// Distinguishes the file from the other reports.
const KIND: &str = "timings";

/// The time that the runs of a scenario took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// Over all its runs, on their cores.
    pub wall_ms: u64,
    /// In simulated time, over all its runs.
    pub simulated_ms: u64,
}

impl Timing {
    /// Both times.
    pub fn new(wall: Duration, simulated_ms: u64) -> Self {
        Self { wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX), simulated_ms }
    }
}

/// `reports/timings.json`: the last timing of each scenario that was ever run there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    kind: String,
    schema: u32,
    /// By the scenario's name.
    pub scenarios: BTreeMap<String, Timing>,
}

impl Default for Timings {
    fn default() -> Self {
        Self { kind: KIND.into(), schema: 1, scenarios: BTreeMap::new() }
    }
}

impl Timings {
    /// Parses the file's text; none if it is something else.
    pub fn parse(text: &str) -> Result<Self, String> {
        let timings: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if timings.kind != KIND || timings.schema != 1 {
            return Err(format!("expected kind `{KIND}`, schema 1"));
        }
        Ok(timings)
    }

    /// Adds the newest timings to those in a directory. An unreadable file is replaced: the next run
    /// measures again.
    pub fn update(dir: &Path, newest: &BTreeMap<String, Timing>) -> std::io::Result<()> {
        let path = dir.join(TIMINGS);
        let known = std::fs::read_to_string(&path).ok().and_then(|text| Self::parse(&text).ok());
        let mut timings = known.unwrap_or_default();
        timings.scenarios.extend(newest.iter().map(|(name, timing)| (name.clone(), *timing)));
        let mut text = serde_json::to_string_pretty(&timings).unwrap_or_default();
        text.push('\n');
        std::fs::write(path, text)
    }
}
