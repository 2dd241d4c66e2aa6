//! The invariants, and the judge that feeds them.
//!
//! Feed a [`Judge`] every [`Observation`] of a run, in order. It keeps a [`Ghost`], which remembers
//! everything that was written, promised and read, and shows each event to every `Invariant`. Nothing
//! here asks the cluster anything.
//!
//! One invariant, one file, one name: the name is the same in scenario files and in reports.
//!
//! # Exactly once
//! Three accounts of each transaction are kept apart, and invariants compare them:
//! - what its client asked for and was told (`ghost::Transactions`), with the fate that follows from it:
//!   committed, aborted, never asked for, or unknown;
//! - what its coordinator decided: entries of `__transaction_state` below the high watermark, decoded by
//!   the ghost (`ghost::TransactionLog`);
//! - what its partitions hold: batches and markers below the high watermark, and so the last stable
//!   offset (`ghost::Stability`).
//!
//! | invariant | compares |
//! |---|---|
//! | `producer-epoch-unique`, `zombie-producer-fenced` | ids and epochs of clients, of entries, and of batches in each partition |
//! | `decision-durable` | entries of one transactional id with each other, and with what clients are told |
//! | `markers-complete` | decisions with markers |
//! | `no-hanging-transaction`, `transactions-complete` | each account with the time since the heal |
//! | `aborted-read`, `dirty-read`, `torn-transaction`, `g1b` | what `read_committed` consumers got with all three |
//! | `g0`, `g1c` | committed transactions with each other (`dependencies`) |
//! | `input-output-mismatch`, `commit-rewound`, `zombie-fenced` | inputs, outputs and offsets of consume-transform-produce |
//!
//! A permitted loss (unclean election, or power loss of `min.insync.replicas` unsynced copies) excuses
//! only what it took: entries of a coordinator excuse their own transactional ids
//! (`TransactionLog::has_forgotten`), records of a partition excuse offsets and markers of that partition
//! from then on (`Partition::losses`), a transaction whose marker they may have been
//! (`ghost::hanging`), and records that the next marker settles in another way than the one that was lost
//! (`Stability::lost_marker`). Records of `__consumer_offsets` excuse the groups of their coordinator,
//! from the moment at which any leader lacks them (`ghost::forgetting`).

mod dependencies;
mod ghost;
pub mod history;
mod invariants;
mod judge;
#[cfg(test)]
mod judge_tests;
mod outage;
mod outages;
mod setup;
#[cfg(test)]
mod testing;
mod verdicts;
mod violation;

pub use ghost::Ghost;
pub(crate) use ghost::{Stamp, State as TransactionState};
pub use invariants::{NAMES, is_liveness, is_loss, promise};
pub use judge::Judge;
pub use outage::{Outage, OutageKind, longest};
pub use setup::{Setup, TopicPromise};
pub use verdicts::Permit;
pub use verdicts::{Note, Verdicts};
pub use violation::{
    Absence, Client, ConsumerWitness, Dependency, GroupWitness, LivenessWitness, MetadataWitness,
    RecordName, RecordWitness, ReplicaWitness, Sighting, StorageWitness, Subject, Told,
    TransactionName, TransactionWitness, Violation, Witness,
};

use std::collections::BTreeSet;

use crate::base::{Instant, TopicPartition};
use crate::sim::{HostId, Observation};
use crate::view::Change as Folded;

/// An observation, with the changes that it made.
pub(crate) struct Event<'a> {
    pub seen: &'a Observation,
    /// Its changes in the view. The ghost has followed them.
    pub folded: &'a [Folded],
    /// Its changes in the ghost's logs and promises.
    pub changes: &'a [ghost::Change],
}

/// The hosts and links that faults touch at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Hosts, for whichever fault.
    pub hosts: BTreeSet<HostId>,
    /// One direction of each link that is cut or slow.
    pub links: BTreeSet<(HostId, HostId)>,
}

/// The times that matter when a run ends.
#[derive(Clone, Copy)]
pub(crate) struct Ending {
    pub now: Instant,
    /// When the last fault ended, if it did.
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

    /// A note for a run that ended before it could be judged.
    fn unjudged(&self, _ending: Ending, _ghost: &Ghost) -> Option<Note> {
        None
    }

    /// A note about something that is permitted.
    fn remark(&self, _ending: Ending, _ghost: &Ghost) -> Option<Note> {
        None
    }
}
