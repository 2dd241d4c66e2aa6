//! Runs that test nothing: a verdict about them would be empty.

use super::Run;
use super::outcome::{Broken, Counts, SUCCEEDS};
use crate::base::nearest;
use crate::scenario::Scenario;
use crate::scenario::load::Side;
use crate::sim::{Engine, SimWorld};

/// Why the loads of a scenario tested nothing, given what a run of it counted; `programs` may take
/// the place of loads.
pub(super) fn of_loads(scenario: &Scenario, counts: &Counts, programs: usize) -> Option<String> {
    if scenario.loads.is_empty() {
        // A schedule that is spelled out may be about the controller alone, as one that was shrunk.
        let bare = programs == 0 && scenario.schedule.is_none();
        let remedy = "add a `[[load]]` with `kind = \"producer\"`, or a client";
        return bare.then(|| format!("no client takes part: {remedy}"));
    }
    let mut loads = scenario.loads.iter();
    if programs > 0 || !loads.any(|load| load.work.side() == Side::Produces) {
        return None;
    }
    match (counts.sent, counts.acked) {
        (0, _) => Some("no producer sent anything: see `begins`, `rate` and `records`".into()),
        (sent, 0) => {
            let remedy = "see the notes, and `acks` and `min.insync.replicas`";
            Some(format!("none of {sent} records sent was acknowledged: {remedy}"))
        }
        _ => None,
    }
}

impl<E: Engine<World: SimWorld>> Run<'_, '_, E> {
    /// Why the clients of this run tested nothing, if so.
    pub(super) fn idle_clients(&self) -> Option<String> {
        let programs = self.guests.as_ref().map_or(0, |guests| guests.hosts.len());
        of_loads(self.scenario, &self.counts, programs)
    }

    /// Topics that programs used and that neither the test declared nor a program created: most are
    /// mistyped, and what was sent there, to a topic that the broker made up, was not judged.
    pub(super) fn undeclared_topics(&self) -> Vec<Broken> {
        let Some(guests) = &self.guests else { return Vec::new() };
        let names = self.scenario.topics.iter().map(|topic| topic.name.as_str());
        let (undeclared, may_create) = {
            let mut book = guests.book.lock();
            (std::mem::take(&mut book.undeclared), book.administers)
        };
        let created = |topic: &str| may_create && self.hosts.has_topic(topic);
        let missing = undeclared.into_iter().filter(|(topic, _)| !created(topic));
        let broken = missing.map(|(topic, used)| {
            let near = nearest(&topic, names.clone()).map(|near| format!("did you mean `{near}`?"));
            let remedy = near.unwrap_or_else(|| format!("declare it: `.topic(\"{topic}\", …)`"));
            let what = format!("{used} `{topic}`, which is not declared; {remedy}");
            Broken::new(SUCCEEDS, self.engine.now(), what)
        });
        broken.collect()
    }
}
