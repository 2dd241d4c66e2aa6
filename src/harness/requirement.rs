//! Requirements: what has to happen in a run, so that a test that held has tested something.

use super::History;
use super::draft::{Place, did_you_mean};
use super::history::Happening;

/// Something of a run that is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Counted {
    Acknowledged(String),
    Read(String),
    Stored(String),
    Struck(String),
    Faults,
    Noted(String),
    Assigned(String),
}

/// Something that a run is required to have, once it says [how much](Self::at_least).
#[derive(Clone, Debug)]
#[must_use = "a count requires nothing before `at_least`"]
pub struct Count(Counted);

/// Counts the records of a topic that were acknowledged to a program's producer.
pub fn acknowledged(topic: &str) -> Count {
    Count(Counted::Acknowledged(topic.to_owned()))
}

/// Counts the records of a topic that polls returned to programs, again each time.
pub fn read(topic: &str) -> Count {
    Count(Counted::Read(topic.to_owned()))
}

/// Counts the records that a topic holds in the end.
pub fn stored(topic: &str) -> Count {
    Count(Counted::Stored(topic.to_owned()))
}

/// Counts the faults that struck a program (any of its instances), a broker (`b1`) or a controller
/// (`c1`), or a link to it.
pub fn struck(host: &str) -> Count {
    Count(Counted::Struck(host.to_owned()))
}

/// Counts the faults that struck anything.
pub fn faults() -> Count {
    Count(Counted::Faults)
}

/// Counts the remarks of a program: calls of [`Host::note`](super::Host::note).
pub fn noted(program: &str) -> Count {
    Count(Counted::Noted(program.to_owned()))
}

/// Counts how often a member of this consumer group was assigned its share of the partitions: at least
/// once for each member and each rebalance that changes its share.
pub fn assigned(group: &str) -> Count {
    Count(Counted::Assigned(group.to_owned()))
}

impl Count {
    /// Requires at least this many in each run.
    pub fn at_least(self, least: u64) -> Requirement {
        Requirement { counted: self.0, least, in_total: false }
    }
}

/// What a run has to have, so that it tests something:
/// [`Simulation::require`](super::Simulation::require).
///
/// ```
/// use brokerquake::prelude::*;
///
/// let report = Simulation::new("an empty test")
///     .topic("orders", |topic| topic.partitions(1).replication_factor(3))
///     .client("shop", |_host| async {})
///     .require(acknowledged("orders").at_least(50))
///     .duration("1s")
///     .seeds(0..1)
///     .run();
/// assert_eq!(report.verdict, Verdict::Broke);
/// let what = &report.worst().unwrap().broken.what;
/// assert!(what.starts_with("0 records of `orders` were acknowledged, at least 50 are required"));
/// ```
#[derive(Clone, Debug)]
#[must_use = "a requirement counts when a simulation has it"]
pub struct Requirement {
    counted: Counted,
    least: u64,
    in_total: bool,
}

impl Requirement {
    /// Counts all seeds together instead of each: for what happens in some runs only. One seed that is
    /// replayed need not reach it.
    pub fn over_all_seeds(mut self) -> Self {
        self.in_total = true;
        self
    }

    pub(super) fn is_in_total(&self) -> bool {
        self.in_total
    }

    /// Refuses what no run can have, because it names something that is not there.
    pub(super) fn check(&self, names: &Names<'_>) -> Result<(), String> {
        let (what, name, known) = match &self.counted {
            Counted::Acknowledged(topic) | Counted::Read(topic) | Counted::Stored(topic) => {
                ("topic", topic, &names.topics)
            }
            Counted::Struck(host) => ("host or program", host, &names.hosts),
            Counted::Noted(program) => ("program", program, &names.programs),
            Counted::Faults | Counted::Assigned(_) => return Ok(()),
        };
        if known.iter().any(|known| known == name) {
            return Ok(());
        }
        let hint = did_you_mean(name, known.iter().map(String::as_str));
        Err(format!("it requires something of `{name}`, and there is no such {what}{hint}"))
    }

    /// How much of it a run has.
    pub(super) fn count(&self, history: &History) -> u64 {
        let events = history.events().iter();
        let counted = match &self.counted {
            Counted::Acknowledged(topic) => history.acknowledged(topic).count(),
            Counted::Read(topic) => {
                // The run itself reads every topic to its end.
                let programs = events.filter(|event| history.is_program(&event.host));
                let is_of = |what: &Happening| matches!(what, Happening::Read(read) if *read.partition.topic == **topic);
                programs.filter(|event| is_of(&event.what)).count()
            }
            Counted::Stored(topic) => history.topic(topic).count(),
            Counted::Struck(host) => history.struck(host),
            Counted::Faults => history.faults(),
            Counted::Noted(program) => history.notes(program).count(),
            Counted::Assigned(group) => {
                let is_of = |what: &Happening| matches!(what, Happening::Assigned { group: of, .. } if **of == **group);
                events.filter(|event| is_of(&event.what)).count()
            }
        };
        u64::try_from(counted).unwrap_or(u64::MAX)
    }

    /// What is missing, and how to change the test; `None` if there is enough.
    pub(super) fn unmet(&self, counted: u64, place: Place) -> Option<String> {
        let least = self.least;
        let all = if self.in_total { " in all runs together" } else { "" };
        (counted < least).then(|| {
            format!(
                "{}{all}, at least {least} {} required ({place}): {}, or require less",
                self.said(counted),
                if least == 1 { "is" } else { "are" },
                self.remedy()
            )
        })
    }

    fn said(&self, counted: u64) -> String {
        let many = |one: &str, more: &str| {
            if counted == 1 { format!("1 {one}") } else { format!("{counted} {more}") }
        };
        let were = if counted == 1 { "was" } else { "were" };
        match &self.counted {
            Counted::Acknowledged(topic) => {
                format!("{} of `{topic}` {were} acknowledged", many("record", "records"))
            }
            Counted::Read(topic) => {
                format!("{} of `{topic}` {were} read", many("record", "records"))
            }
            Counted::Stored(topic) => {
                let are = if counted == 1 { "is" } else { "are" };
                format!("{} {are} stored in `{topic}`", many("record", "records"))
            }
            Counted::Struck(host) => format!("{} struck `{host}`", many("fault", "faults")),
            Counted::Faults => format!("{} struck", many("fault", "faults")),
            Counted::Noted(program) => {
                format!("{} {were} made by `{program}`", many("remark", "remarks"))
            }
            Counted::Assigned(group) => {
                format!("{} of group `{group}` {were} made", many("assignment", "assignments"))
            }
        }
    }

    fn remedy(&self) -> &'static str {
        match &self.counted {
            Counted::Acknowledged(_) | Counted::Stored(_) => "let a program send more",
            Counted::Read(_) => "let a program read to the end before it ends",
            Counted::Struck(_) | Counted::Faults => {
                "let faults strike earlier (`at`), more often (`every`) or for longer (`duration`), \
                 and programs run until then"
            }
            Counted::Noted(_) => "let the program run longer, or call `host.note`",
            Counted::Assigned(_) => {
                "let members subscribe with this `group.id`, and let `instances` or faults change \
                 the group"
            }
        }
    }
}

/// The names that a simulation has.
pub(super) struct Names<'a> {
    pub topics: &'a [String],
    pub hosts: &'a [String],
    pub programs: &'a [String],
}
