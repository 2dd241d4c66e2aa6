//! The shell of a decided log: it loads a machine, appends what the machine decides, and answers
//! once that is committed.
//!
//! | file | contents |
//! |---|---|
//! | `journal` | what the shell needs of a log; the two kinds are the metadata log and a partition |
//! | `batch` | decided records as a batch, and back |
//! | `load` | replaying the log |
//! | `serve` | decisions, commits, deadlines, and the end |
//! | `transactions` | decisions in a producer's transaction, and the markers that end it |
//! | `partition` | a partition of an internal topic as a journal, and a machine for each one led |
//!
//! The pure part, what leaves when, is in `decide`. The controller and the group
//! coordinators run on this.

mod batch;
mod journal;
mod load;
mod partition;
mod serve;
mod transactions;

pub(crate) use batch::{BadBatch, decode, encode};
pub(crate) use journal::{AppendFailure, Extent, Journal, Written};
pub(crate) use load::LoadError;
pub(crate) use partition::{Coordinators, OnPartition};
pub(crate) use serve::{Hosted, Refused, Stopped};
pub(crate) use transactions::InTransaction;

#[cfg(test)]
mod tests;
