//! What must hold, and who says whether it did.
//!
//! Feed a [`Judge`] every [`Observation`] of a run, in order. It keeps a
//! [`Ghost`], which remembers what was written, promised and seen, and shows each event to every
//! `Invariant`. Nothing here asks the cluster anything.
//!
//! One invariant, one file, one name: the name is the same in scenario files and in reports.

mod ghost;
pub mod history;
mod invariants;
mod judge;
#[cfg(test)]
mod judge_tests;
mod setup;
#[cfg(test)]
mod testing;
mod verdicts;
mod violation;

pub use ghost::Ghost;
pub use invariants::{NAMES, is_liveness};
pub use judge::Judge;
pub use setup::{Setup, TopicPromise};
pub use verdicts::Permit;
pub use verdicts::{Note, Verdicts};
pub use violation::{
    Absence, Client, ConsumerWitness, LivenessWitness, MetadataWitness, RecordWitness,
    ReplicaWitness, Sighting, StorageWitness, Subject, Told, Violation, Witness,
};

use crate::base::{Instant, TopicPartition};
use crate::sim::Observation;
use crate::view::Change as Folded;

/// What happened, and what the ghost made of it.
pub(crate) struct Event<'a> {
    /// As the simulation saw it.
    pub seen: &'a Observation,
    /// What the view made of it. The ghost has followed.
    pub folded: &'a [Folded],
    /// What it did to logs and promises. The ghost knows all of them already.
    pub changes: &'a [ghost::Change],
}

/// What the end of a run looks like to an invariant.
#[derive(Clone, Copy)]
pub(crate) struct Ending {
    /// Now.
    pub now: Instant,
    /// When the last fault ended.
    pub healed: Option<Instant>,
    /// When the final reads began, if they did.
    pub reading: Option<Instant>,
}

impl Event<'_> {
    /// Partitions whose topic was deleted, or deleted and created again.
    pub fn gone(&self) -> impl Iterator<Item = &TopicPartition> {
        self.folded.iter().filter_map(|change| match change {
            Folded::Gone { partition } => Some(partition),
            _ => None,
        })
    }

    /// An invariant broke here and now.
    pub fn broke(
        &self,
        invariant: &'static str,
        subject: impl Into<Subject>,
        witness: impl Into<Witness>,
    ) -> Result<(), Violation> {
        Violation::found(invariant, self.seen.at, subject, witness)
    }
}

/// Something that must hold.
pub(crate) trait Invariant: Send {
    /// Its name in the catalogue.
    fn name(&self) -> &'static str;

    /// Looks at one event; the ghost has seen it already.
    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation>;

    /// Looks at the whole, once.
    fn finish(&mut self, _ending: Ending, _ghost: &Ghost) -> Result<(), Violation> {
        Ok(())
    }

    /// What to say when the run ended before it could be judged.
    fn unjudged(&self, _ending: Ending, _ghost: &Ghost) -> Option<Note> {
        None
    }
}
