//! Programs and checkers that take part in a run beside its scenario.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::checker::{Checkers, Makes};
use super::host::{Program, Watched, booting};
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
}

/// Programs and checkers beside a scenario. Each run gets guests of its own.
pub(crate) struct Company {
    pub(super) members: Vec<Member>,
    pub(super) checkers: Vec<(String, Makes)>,
    pub(super) patience: Duration,
    /// Whether the next run tells what happens.
    pub(super) tells: AtomicBool,
}

impl<W: SimWorld + Into<AnyWorld>> Programs<W> for Company {
    fn guests(&self, scenario: &Scenario, seed: u64) -> Guests<W> {
        let book = SharedBook::default();
        let topics = scenario.topics.iter();
        let partitions: BTreeMap<_, _> =
            topics.map(|topic| (topic.name.clone(), topic.partitions)).collect();
        let watched = Watched { book: book.clone(), partitions: Arc::new(partitions) };
        let servers = bootstrap(scenario).join(",");
        let hosts = self.members.iter().map(|member| Guest {
            name: member.name.clone(),
            part: member.part,
            boot: booting(member.run.clone(), &member.name, &servers, &watched),
        });
        // A run that is repeated goes the same way.
        let tells = self.tells.swap(false, Ordering::Relaxed);
        Guests {
            hosts: hosts.collect(),
            book,
            audience: Box::new(Checkers::new(&self.checkers, tells)),
            patience: self.patience,
            random: Seed(seed).stream(Stream::named("orders")),
        }
    }
}
