//! Replaying the log before the machine may decide.

use std::fmt;

use super::batch::{self, BadBatch};
use super::journal::Journal;
use crate::base::Offset;
use crate::decide::{ErrorOf, Loading, LogRecord, Machine, RecordOf};
use crate::io::{Disk, World};
use crate::wire::batch::batches;

/// Largest batch when decompressed; what this code writes is not compressed.
const MAX_BATCH: usize = 64 * 1024 * 1024;

/// Why a log can't be loaded.
#[derive(Debug)]
pub(crate) enum LoadError<M: Machine, E> {
    /// The log can't be read, or is not led any more.
    Journal(E),
    /// It has what is not a batch of records of this machine.
    Batch(BadBatch<<RecordOf<M> as LogRecord>::Error>),
    /// A read returned no whole batch.
    Torn(Offset),
    /// A record does not fit those before it.
    Replay(ErrorOf<M>),
}

impl<M: Machine, E: fmt::Display> fmt::Display for LoadError<M, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal(error) => error.fmt(f),
            Self::Batch(error) => error.fmt(f),
            Self::Torn(offset) => write!(f, "no whole batch at offset {offset}"),
            Self::Replay(error) => error.fmt(f),
        }
    }
}

/// Replays everything that the log has now, and commits what is committed.
pub(super) async fn load<W: World, M: Machine, J: Journal>(
    world: &W,
    journal: &J,
    machine: M,
) -> Result<Loading<M>, LoadError<M, J::Error>> {
    let extent = journal.extent().map_err(LoadError::Journal)?;
    let mut loading = Loading::new(machine, extent.start);
    while loading.next() < extent.end {
        let from = loading.next();
        let piece = journal.read(from).map_err(LoadError::Journal)?;
        replay(&mut loading, &piece)?;
        if loading.next() <= from {
            return Err(LoadError::Torn(from));
        }
        // Committed records are forgotten as soon as they are replayed; what they changed is known.
        if extent.committed > from {
            loading.commit(extent.committed).map_err(LoadError::Replay)?;
        }
        world.disk().settle().await;
    }
    Ok(loading)
}

fn replay<M: Machine, E>(loading: &mut Loading<M>, piece: &[u8]) -> Result<(), LoadError<M, E>> {
    for found in batches(piece) {
        let offset = loading.next();
        let (header, bytes) =
            found.map_err(|error| LoadError::Batch(BadBatch::Batch { offset, error }))?;
        // A read may begin within a batch that was replayed.
        if header.next_offset() <= loading.next() {
            continue;
        }
        let content = batch::content(&header, bytes, MAX_BATCH).map_err(LoadError::Batch)?;
        loading.replay(header.next_offset(), content).map_err(LoadError::Replay)?;
    }
    Ok(())
}
