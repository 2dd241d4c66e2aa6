//! Programs and checkers that take part in a run beside its scenario.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::checker::{Checkers, Exam};
use super::draft::Place;
use super::history::Historian;
use super::host::{Identity, Program, Watched, booting};
use super::world::AnyWorld;
use crate::base::{Seed, Stream};
use crate::run::bootstrap;
use crate::run::guests::{Guest, Guests, Programs, SharedBook};
use crate::run::part::Part;
use crate::scenario::Scenario;
use crate::sim::SimWorld;

/// One program.
#[derive(Clone)]
pub(super) struct Member {
    pub name: String,
    pub part: Part,
    pub run: Program,
    /// How many hosts run it; `None`: one, which has the program's name.
    pub instances: Option<u32>,
    /// Where the test adds it.
    pub place: Place,
}

impl Member {
    /// Its hosts.
    pub fn hosts(&self) -> Vec<Identity> {
        let program: Arc<str> = self.name.as_str().into();
        let one = |instance| Identity {
            name: match self.instances {
                Some(_) => format!("{program}-{instance}").into(),
                None => Arc::clone(&program),
            },
            program: Arc::clone(&program),
            instance,
        };
        (1..=self.instances.unwrap_or(1)).map(one).collect()
    }
}

/// Programs and checkers beside a scenario. Each run gets guests of its own.
pub(crate) struct Company {
    pub(super) members: Vec<Member>,
    pub(super) exam: Exam,
    pub(super) patience: Duration,
    /// Whether the next run tells what happens.
    pub(super) tells: AtomicBool,
}

impl Company {
    /// The program of each of their hosts.
    fn programs(&self) -> BTreeMap<String, String> {
        let hosts = self.members.iter().flat_map(Member::hosts);
        hosts.map(|host| (host.name.to_string(), host.program.to_string())).collect()
    }
}

impl<W: SimWorld + Into<AnyWorld>> Programs<W> for Company {
    fn guests(&self, scenario: &Scenario, seed: u64) -> Guests<W> {
        let book = SharedBook::default();
        let topics = scenario.topics.iter();
        let partitions: BTreeMap<_, _> =
            topics.map(|topic| (topic.name.clone(), topic.partitions)).collect();
        let declared = partitions.keys().cloned().collect();
        let watched = Watched { book: book.clone(), partitions: Arc::new(partitions) };
        let servers = bootstrap(scenario).join(",");
        let (bootstrap, known) = (&servers, &watched);
        let hosts = self.members.iter().flat_map(|member| {
            let several = member.instances.map(|_| member.name.clone());
            member.hosts().into_iter().map(move |identity| Guest {
                name: identity.name.to_string(),
                program: several.clone(),
                part: member.part,
                boot: booting(member.run.clone(), identity, bootstrap, known),
            })
        });
        // A run that is repeated goes the same way.
        let tells = self.tells.swap(false, Ordering::Relaxed);
        let historian = Historian::new(declared, self.programs());
        Guests {
            hosts: hosts.collect(),
            book,
            audience: Box::new(Checkers::new(&self.exam, historian, seed, tells)),
            patience: self.patience,
            random: Seed(seed).stream(Stream::named("orders")),
        }
    }
}
