//! Ends a simulation whose tasks work on and on while time stands still.
//!
//! Every poll of a task counts, and every wait that is over at once: a loop around such a wait never
//! leaves its poll. When an instant has had too many of these steps, the engine freezes: no task is
//! polled again, and waits no longer end. A loop that awaits nothing of its world stays out of
//! reach, because it never returns to the engine's thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::HostId;
use super::process::Process;
use crate::base::Instant;

/// Steps at one instant after which a simulation is taken to be in an endless loop.
const STUCK: u64 = 500_000;
/// The last steps, which are counted by task to name those that spin.
const SAMPLE: u64 = 10_000;
/// Most tasks that are named.
const NAMED: usize = 3;

/// Counts the steps of one instant. A clone is another handle.
#[derive(Clone, Debug, Default)]
pub(super) struct Watchdog(Arc<Mutex<Steps>>);

#[derive(Debug, Default)]
struct Steps {
    at: Instant,
    count: u64,
    /// The task that is polled now, with the names of its host and its own.
    current: Option<(Key, Arc<str>, &'static str)>,
    /// Steps of each task in the sample, and its name.
    sample: BTreeMap<Key, (u64, String)>,
    spin: Option<String>,
}

/// Host and number of a task.
type Key = (HostId, u64);

impl Watchdog {
    /// A task is about to be polled; false if the simulation is frozen.
    pub fn polls(&self, now: Instant, process: &Process, task: u64, name: &'static str) -> bool {
        let mut steps = self.0.lock();
        steps.current = Some(((process.host, task), process.name.clone(), name));
        steps.step(now)
    }

    /// A wait of the current task is over at once; false if it must not end, because the
    /// simulation is frozen.
    pub fn goes_on(&self, now: Instant) -> bool {
        self.0.lock().step(now)
    }

    /// Why the simulation is frozen, if it is.
    pub fn spin(&self) -> Option<String> {
        self.0.lock().spin.clone()
    }

    /// Whether the simulation is frozen.
    pub fn is_frozen(&self) -> bool {
        self.0.lock().spin.is_some()
    }
}

impl Steps {
    fn step(&mut self, now: Instant) -> bool {
        if self.spin.is_some() {
            return false;
        }
        if now != self.at {
            (self.at, self.count) = (now, 0);
            self.sample.clear();
        }
        self.count += 1;
        if self.count + SAMPLE >= STUCK
            && let Some((key, host, name)) = &self.current
        {
            let named = || (0, format!("{host}'s task `{name}`"));
            self.sample.entry(*key).or_insert_with(named).0 += 1;
        }
        if self.count >= STUCK {
            self.spin = Some(self.describe());
        }
        self.spin.is_none()
    }

    fn describe(&self) -> String {
        let mut tasks: Vec<_> = self.sample.values().collect();
        tasks.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        let sampled = tasks.iter().map(|(count, _)| count).sum::<u64>().max(1);
        let named = tasks.iter().take(NAMED);
        let named: Vec<_> = named
            .map(|(count, name)| format!("{name} ({} %)", (count * 100).div_ceil(sampled)))
            .collect();
        let others = tasks.len().saturating_sub(NAMED);
        let others = if others > 0 { format!(" and {others} more") } else { String::new() };
        format!(
            "time stood still at {:.6} s, where {STUCK} steps were taken; spinning: {}{others}",
            self.at.as_secs_f64(),
            named.join(", ")
        )
    }
}
