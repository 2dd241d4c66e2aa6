//! From a failing run to the smallest one that fails in the same way: a scenario file with its
//! schedule spelled out.
//!
//! Faults go by delta debugging; then clients, rates, partitions, brokers, time and drawn values
//! become smaller one by one, until nothing more can. Every step is judged by a run, and is kept
//! only if that run breaks the same invariant with the same kind of witness and gets the same
//! verdict. The search asks in a fixed order and counts runs, not seconds: its result is
//! a function of scenario, seed, engine and budget.

mod search;
mod steps;
#[cfg(test)]
mod tests;

use std::fmt;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use self::search::Search;
use crate::base::Seed;
use crate::run::EngineKind;
use crate::run::caught::run_caught;
use crate::run::outcome::{Broken, Outcome, PANICS, RunVerdict};
use crate::scenario::Plan;
use crate::scenario::{Notation, Range, Scenario};

/// Where shrunk scenarios are kept, relative to the current directory.
pub const REGRESSIONS: &str = "scenarios/regressions";
/// Where those of mutants go: with the fix they show nothing.
pub const MUTANTS: &str = "reports/mutants";
/// Runs that a search may take by default.
pub const BUDGET: NonZeroUsize = NonZeroUsize::new(1000).unwrap();

/// Widest line of a head comment.
const WIDTH: usize = 98;
/// Longest name that a scenario may have.
const MAX_NAME: usize = 80;

/// Why there is nothing to shrink.
#[derive(Debug, thiserror::Error)]
pub enum ShrinkError {
    /// The run held.
    #[error(
        "{file}: seed {seed} breaks nothing under {engine}; `run` finds seeds that do, \
         and names them"
    )]
    Held {
        /// The scenario's file.
        file: String,
        /// The run's seed.
        seed: u64,
        /// Where it ran.
        engine: &'static str,
    },
    /// It broke something else than what was asked for.
    #[error("{file}: seed {seed} does not break `{asked}`; it breaks {broken}")]
    Other {
        /// The scenario's file.
        file: String,
        /// The run's seed.
        seed: u64,
        /// The invariant that was asked for.
        asked: String,
        /// Those that broke.
        broken: String,
    },
    /// It broke once and not again.
    #[error(
        "{file}: seed {seed} is nondeterministic (trace {first}, then {second}): fix that first"
    )]
    Nondeterministic {
        /// The scenario's file.
        file: String,
        /// The run's seed.
        seed: u64,
        /// The first run's trace hash.
        first: String,
        /// The second's.
        second: String,
    },
    /// The result can't be kept.
    #[error("{path}: {error}; name another place with `--out FILE`")]
    Unwritable {
        /// Where it was to be.
        path: String,
        /// Why it can't be there.
        error: std::io::Error,
    },
}

/// How much there is of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Faults of its schedule.
    pub faults: usize,
    /// Producers and consumers.
    pub clients: u64,
    /// Records that producers sent.
    pub records: u64,
    /// Partitions of all topics.
    pub partitions: i32,
    /// Brokers.
    pub brokers: u16,
    /// How long loads and faults last.
    pub duration: Duration,
}

impl Size {
    fn of(scenario: &Scenario, outcome: &Outcome) -> Self {
        Self {
            faults: scenario.schedule.as_ref().map_or(0, Vec::len),
            clients: scenario.loads.iter().map(|load| load.clients.high).sum(),
            records: outcome.counts.sent,
            partitions: scenario.topics.iter().map(|topic| topic.partitions).sum(),
            brokers: scenario.cluster.brokers,
            duration: scenario.duration,
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let many = |count: u64, one: &str| {
            if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
        };
        write!(
            f,
            "{}, {}, {}, {}, {}, {}",
            many(self.faults as u64, "fault"),
            many(self.clients, "client"),
            many(self.records, "record"),
            many(u64::try_from(self.partitions).unwrap_or(0), "partition"),
            many(self.brokers.into(), "broker"),
            self.duration.show()
        )
    }
}

/// The smallest scenario that was found.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// With its schedule, its seed, and a head comment that says what it shows.
    pub scenario: Scenario,
    /// What it breaks: the invariant and the witness.
    pub broken: Broken,
    /// Its trace hash.
    pub trace: String,
    /// What the search began with.
    pub before: Size,
    /// What is left.
    pub after: Size,
    /// Runs that it took.
    pub runs: usize,
    /// Whether nothing more can go; else the budget ended first.
    pub minimal: bool,
    engine: EngineKind,
    /// What the head comment says but for the command that replays the file.
    head: String,
}

impl Shrunk {
    /// The scenario's file.
    pub fn to_toml(&self) -> String {
        steps::text(&self.scenario)
    }

    /// The same in another file.
    #[must_use]
    pub fn named(mut self, file: &str) -> Self {
        file.clone_into(&mut self.scenario.file);
        let engine = self.engine.flag();
        let (feature, mutant) = match self.scenario.flaws().name() {
            None => ("", String::new()),
            Some(name) => (" --features mutants", format!(" --mutant {name}")),
        };
        let replay =
            format!("replay: cargo run --release{feature} -- replay {file}{mutant}{engine}");
        self.scenario.story = format!("{}\n{replay}", self.head);
        self
    }

    /// Writes the file, with the directory that it is in.
    pub fn write(&self) -> Result<(), ShrinkError> {
        let path = Path::new(&self.scenario.file);
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        let made = dir.map_or(Ok(()), std::fs::create_dir_all);
        made.and_then(|()| std::fs::write(path, self.to_toml()))
            .map_err(|error| ShrinkError::Unwritable { path: self.scenario.file.clone(), error })
    }
}

/// How a search goes.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Runs so far.
    pub runs: usize,
    /// Runs that it may take.
    pub budget: usize,
    /// The smallest so far.
    pub size: Size,
}

/// Shrinks the gravest violation of a run.
pub fn shrink(
    scenario: &Scenario,
    seed: u64,
    engine: EngineKind,
    budget: NonZeroUsize,
) -> Result<Shrunk, ShrinkError> {
    shrink_watched(scenario, seed, engine, budget, None, &mut |_| ())
}

/// Shrinks the violation of one invariant, or the gravest; tells `watch` after every run.
pub fn shrink_watched(
    scenario: &Scenario,
    seed: u64,
    engine: EngineKind,
    budget: NonZeroUsize,
    invariant: Option<&str>,
    watch: &mut dyn FnMut(Progress),
) -> Result<Shrunk, ShrinkError> {
    let mut whole = spelled_out(scenario, seed);
    let first = run_caught(scenario, seed, engine);
    let target = Target::of(scenario, &first, engine, invariant)?;
    let flaw = scenario.flaws().name();
    whole.name = name(flaw.unwrap_or(&scenario.name), &target.invariant, seed);
    let dir = if flaw.is_some() { MUTANTS } else { REGRESSIONS };
    whole.file = format!("{dir}/{}.toml", whole.name);
    let before = Size::of(&whole, &first);
    // Said in its own words the run must go the same way: the schedule is all that was drawn.
    let mut best = run_caught(&whole, seed, engine);
    if best.trace != first.trace {
        return Err(ShrinkError::Nondeterministic {
            file: scenario.file.clone(),
            seed,
            first: first.trace.to_string(),
            second: best.trace.to_string(),
        });
    }
    let (mut runs, mut size) = (0, before);
    let mut shows = |candidate: &Scenario| {
        let outcome = run_caught(candidate, seed, engine);
        let shows = target.is_shown_by(&outcome, candidate);
        if shows {
            size = Size::of(candidate, &outcome);
            best = outcome;
        }
        runs += 1;
        watch(Progress { runs, budget: budget.get(), size });
        shows.then(|| target.seen(&best))
    };
    let mut search = Search::new(whole, budget.get(), &mut shows);
    let minimal = search.run();
    let smallest = search.best;
    let broken = target.find(&best).cloned().unwrap_or(target.broken);
    let head = head(&broken, scenario, seed, (before, size));
    let file = smallest.file.clone();
    let shrunk = Shrunk {
        scenario: smallest,
        broken,
        trace: best.trace.to_string(),
        before,
        after: size,
        runs,
        minimal,
        engine,
        head,
    };
    Ok(shrunk.named(&file))
}

/// The scenario with what a seed gives in the place of what is drawn.
fn spelled_out(scenario: &Scenario, seed: u64) -> Scenario {
    let plan = Plan::draw(scenario, Seed(seed));
    let mut whole = scenario.clone();
    for (load, clients) in whole.loads.iter_mut().zip(&plan.clients) {
        load.clients = Range::just(*clients);
    }
    whole.rules.clear();
    whole.schedule = Some(plan.faults);
    whole.seed = Some(seed);
    whole
}

/// What a smaller run must still show.
struct Target {
    invariant: String,
    /// The kind of witness.
    shape: String,
    verdict: RunVerdict,
    broken: Broken,
}

impl Target {
    fn of(
        scenario: &Scenario,
        outcome: &Outcome,
        engine: EngineKind,
        asked: Option<&str>,
    ) -> Result<Self, ShrinkError> {
        let (file, seed) = (scenario.file.clone(), outcome.seed);
        let broken = match asked {
            None => outcome.gravest(&scenario.expect),
            Some(asked) => outcome.broken.iter().find(|broken| broken.invariant == asked),
        };
        let Some(broken) = broken else {
            let names: Vec<_> =
                outcome.broken.iter().map(|broken| format!("`{}`", broken.invariant)).collect();
            return Err(match asked {
                Some(asked) if !names.is_empty() => ShrinkError::Other {
                    file,
                    seed,
                    asked: asked.to_owned(),
                    broken: names.join(", "),
                },
                _ => ShrinkError::Held { file, seed, engine: engine.name() },
            });
        };
        Ok(Self {
            invariant: broken.invariant.clone(),
            shape: shape(broken),
            verdict: outcome.verdict(&scenario.expect),
            broken: broken.clone(),
        })
    }

    fn find<'a>(&self, outcome: &'a Outcome) -> Option<&'a Broken> {
        outcome
            .broken
            .iter()
            .find(|broken| broken.invariant == self.invariant && shape(broken) == self.shape)
    }

    /// By when it is seen: what a run reads in the end may be seen nowhere before, and rests on all
    /// of it.
    fn seen(&self, outcome: &Outcome) -> Duration {
        let after = |broken: &Broken| Duration::from_millis(broken.at_ms.saturating_add(1));
        self.find(outcome).map_or(outcome.simulated, after)
    }

    /// Not merely some failure: this one, and nothing graver beside it.
    fn is_shown_by(&self, outcome: &Outcome, scenario: &Scenario) -> bool {
        self.find(outcome).is_some() && outcome.verdict(&scenario.expect) == self.verdict
    }
}

/// A witness without its particulars: who, where, when and how many differ from run to run, what
/// happened does not.
fn shape(broken: &Broken) -> String {
    let what = broken.what.split(": ").next().unwrap_or_default();
    if broken.invariant == PANICS {
        // The place in the code is the kind of a panic.
        return what.to_owned();
    }
    let mut words: Vec<&str> = Vec::new();
    let mut aside = false;
    for word in what.split_whitespace() {
        // What stands in brackets is said where there is reason to.
        aside |= word.starts_with('(');
        let particular = word.bytes().any(|byte| byte.is_ascii_digit());
        let listed = particular && words.last() == Some(&"#");
        match (aside, particular) {
            (false, true) if !listed => words.push("#"),
            (false, false) => words.push(word),
            _ => {}
        }
        aside &= !word.contains(')');
    }
    words.join(" ").replace("# and #", "#")
}

/// `<scenario>-<invariant>-<seed>`; a name too long loses the end of the scenario's.
fn name(scenario: &str, invariant: &str, seed: u64) -> String {
    let ending = format!("-{invariant}-{seed}");
    let room = MAX_NAME.saturating_sub(ending.len());
    let scenario: String = scenario.chars().take(room).collect();
    format!("{}{ending}", scenario.trim_end_matches('-'))
}

/// What the file shows, and where it is from.
fn head(broken: &Broken, source: &Scenario, seed: u64, (before, after): (Size, Size)) -> String {
    let flaw = source.flaws().name().map_or_else(String::new, |name| format!(", with `{name}`"));
    let lines = [
        format!("Breaks {}: {}.", broken.invariant, broken.what.trim_end_matches('.')),
        format!("Shrunk from {}, seed {seed}{flaw}: {before}.", source.file),
        format!("Left: {after}."),
    ];
    lines.iter().map(|line| wrap(line)).collect::<Vec<_>>().join("\n")
}

fn wrap(text: &str) -> String {
    let (mut wrapped, mut width) = (String::new(), 0);
    for word in text.split_whitespace() {
        if width > 0 && width + 1 + word.len() > WIDTH {
            wrapped.push('\n');
            width = 0;
        }
        if width > 0 {
            wrapped.push(' ');
            width += 1;
        }
        wrapped.push_str(word);
        width += word.len();
    }
    wrapped
}
