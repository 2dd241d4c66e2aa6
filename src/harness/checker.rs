//! What a test checks besides the invariants of this crate.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use parking_lot::Mutex;

use super::draft::Place;
use super::history::{Event, Historian, History};
use super::requirement::Requirement;
use crate::run::guests::{Audience, Book, Over};
use crate::run::outcome::{Broken, REQUIRES};
use crate::sim::Observation;

/// Something that must hold in every run, told as a sentence where it does not.
///
/// ```
/// use brokerquake::prelude::*;
///
/// /// No program takes a second step before the first.
/// #[derive(Default)]
/// struct InStep {
///     last: u64,
/// }
///
/// struct Misstep(u64, u64);
///
/// impl std::fmt::Display for Misstep {
///     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
///         write!(f, "step {} came after step {}", self.1, self.0)
///     }
/// }
///
/// impl Checker for InStep {
///     type Violation = Misstep;
///
///     fn observe(&mut self, event: &Event) -> Result<(), Misstep> {
///         let Happening::Noted(text) = &event.what else { return Ok(()) };
///         let Ok(step) = text.parse() else { return Ok(()) };
///         let last = std::mem::replace(&mut self.last, step);
///         if step == last + 1 { Ok(()) } else { Err(Misstep(last, step)) }
///     }
/// }
///
/// let report = Simulation::new("walking")
///     .topic("steps", |topic| topic)
///     .client("walker", |host| async move {
///         for step in ["1", "2", "4"] {
///             host.note(step);
///         }
///     })
///     .checker("in-step", InStep::default)
///     .duration("1s")
///     .seeds(0..1)
///     .run();
/// assert_eq!(report.worst().unwrap().broken.what, "step 4 came after step 2");
/// ```
pub trait Checker: Send + 'static {
    /// What is wrong, in a sentence.
    type Violation: Display;

    /// Looks at the next thing that happened.
    fn observe(&mut self, event: &Event) -> Result<(), Self::Violation> {
        let _ = event;
        Ok(())
    }

    /// Looks at the whole, when the run is over.
    fn finish(&mut self, history: &History) -> Result<(), Self::Violation> {
        let _ = history;
        Ok(())
    }
}

/// A checker of any kind.
pub(super) trait AnyChecker: Send {
    fn observe(&mut self, event: &Event) -> Result<(), String>;
    fn finish(&mut self, history: &History) -> Result<(), String>;
}

impl<C: Checker> AnyChecker for C {
    fn observe(&mut self, event: &Event) -> Result<(), String> {
        Checker::observe(self, event).map_err(|violation| violation.to_string())
    }

    fn finish(&mut self, history: &History) -> Result<(), String> {
        Checker::finish(self, history).map_err(|violation| violation.to_string())
    }
}

/// Makes a checker for each run.
pub(super) type Makes = Arc<dyn Fn() -> Box<dyn AnyChecker> + Send + Sync>;

/// A function that looks at the whole.
pub(super) struct Whole<F>(pub F);

impl<F, V> Checker for Whole<F>
where
    F: Fn(&History) -> Result<(), V> + Send + 'static,
    V: Display,
{
    type Violation = V;

    fn finish(&mut self, history: &History) -> Result<(), V> {
        self.0(history)
    }
}

/// Everything that a test asks of each run.
#[derive(Clone, Default)]
pub(super) struct Exam {
    pub checks: Vec<Check>,
    pub requirements: Vec<(Requirement, Place)>,
    /// What was counted of each requirement in each run, by seed and in their order: for those over all
    /// runs. A run that is repeated counts once.
    tally: Arc<Mutex<BTreeMap<u64, Vec<u64>>>>,
}

/// A check of the test's own.
#[derive(Clone)]
pub(super) struct Check {
    pub name: String,
    pub make: Makes,
    pub place: Place,
}

impl Exam {
    /// What all runs together lack, with the remedy.
    pub fn lacks(&self) -> Vec<String> {
        let tally = self.tally.lock();
        let in_total = self.requirements.iter().enumerate();
        let in_total = in_total.filter(|(_, (requirement, _))| requirement.is_in_total());
        let lacks = in_total.filter_map(|(index, (requirement, place))| {
            let counts = tally.values().filter_map(|counts| counts.get(index));
            requirement.unmet(counts.sum(), place)
        });
        lacks.collect()
    }

    /// What a run of this seed lacks by itself.
    fn missing(&self, seed: u64, history: &History) -> Vec<String> {
        let requirements = self.requirements.iter();
        let counts: Vec<u64> =
            requirements.clone().map(|(requirement, _)| requirement.count(history)).collect();
        let own = requirements.zip(&counts).filter(|((one, _), _)| !one.is_in_total());
        let missing = own.filter_map(|((one, place), count)| one.unmet(*count, place));
        let missing = missing.collect();
        self.tally.lock().insert(seed, counts);
        missing
    }
}

/// All checkers of one run.
pub(super) struct Checkers {
    historian: Historian,
    /// Those that have found nothing yet.
    checkers: Vec<(String, Box<dyn AnyChecker>)>,
    exam: Exam,
    seed: u64,
    found: Vec<Broken>,
    /// Whether events are printed.
    told: bool,
}

impl Checkers {
    pub fn new(exam: &Exam, historian: Historian, seed: u64, told: bool) -> Self {
        let checks = exam.checks.iter();
        let checkers = checks.map(|check| (check.name.clone(), (check.make)())).collect();
        Self { historian, checkers, exam: exam.clone(), seed, found: Vec::new(), told }
    }
}

impl Audience for Checkers {
    fn see(&mut self, seen: &Observation, host: &str, book: &Book) {
        for event in self.historian.see(seen, host, book) {
            if self.told {
                eprintln!("{event}");
            }
            let found = &mut self.found;
            self.checkers.retain_mut(|(name, checker)| match checker.observe(event) {
                Ok(()) => true,
                Err(what) => {
                    found.push(Broken::new(name, event.at, what));
                    false
                }
            });
        }
    }

    fn finish(&mut self, over: Over) -> Vec<Broken> {
        let Over { now, read, struck } = over;
        self.historian.end(read, struck);
        let history = &self.historian.history;
        for (name, checker) in &mut self.checkers {
            if let Err(what) = checker.finish(history) {
                self.found.push(Broken::new(name, now, what));
            }
        }
        let missing = self.exam.missing(self.seed, history).into_iter();
        self.found.extend(missing.map(|what| Broken::new(REQUIRES, now, what)));
        std::mem::take(&mut self.found)
    }
}
