//! Entries that sections of several kinds read: bounded numbers, and Kafka's keys.

use std::time::Duration;

use super::document::{At, Problems, Section};
use crate::base::config::ConfigError;
use crate::base::nearest;

/// More hosts of a kind than a scenario may have.
pub(super) const MAX_HOSTS: u64 = 100;
/// Longest run.
pub(super) const MAX_DURATION: Duration = Duration::from_secs(24 * 3600);

/// What the laboratory sets by itself, so that a file can't.
const OWN_KEYS: [&str; 7] = [
    "node.id",
    "process.roles",
    "controller.quorum.voters",
    "listeners",
    "advertised.listeners",
    "controller.listener.names",
    "bootstrap.servers",
];

/// A whole number within bounds.
pub(super) fn bounded(
    section: &mut Section,
    key: &'static str,
    (low, high): (u64, u64),
    default: u64,
    problems: &mut Problems,
) -> u64 {
    let Some(At { line, value }) = section.value::<u64>(key, problems) else { return default };
    if !(low..=high).contains(&value) {
        problems.add(line, format!("`{key} = {value}`: expected {low} to {high}"));
        return default;
    }
    value
}

/// What is left of a section, as Kafka's keys.
pub(super) fn kafka_keys(
    section: &mut Section,
    problems: &mut Problems,
    mut set: impl FnMut(&str, &str) -> Result<(), ConfigError>,
) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for (key, At { line, value }) in section.rest(problems) {
        if OWN_KEYS.contains(&key.as_str()) {
            problems.add(line, format!("`{key}` is set by the laboratory itself"));
            continue;
        }
        match set(&key, &value) {
            Ok(()) => pairs.push((key, value)),
            Err(ConfigError::UnknownKey { key, nearest: kafka }) => {
                let own = nearest(&key, section.asked());
                let near = own.map(str::to_owned).or(kafka);
                let hint = near.map_or_else(
                    || ": neither a scenario's key nor one of Kafka's that is known here".into(),
                    |near| format!("; did you mean `{near}`?"),
                );
                problems.add(line, format!("unknown {} key `{key}`{hint}", section.title));
            }
            Err(other) => problems.add(line, other.to_string()),
        }
    }
    pairs
}
