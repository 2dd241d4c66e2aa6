//! What the shell needs of a log.

use std::error::Error;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::base::Offset;

/// The log of a hosted machine, as its leader in one epoch sees it.
///
/// Only the machine appends records of its own to it. Others may append batches that are none of
/// the machine's, such as transaction markers.
pub(crate) trait Journal: Send + Sync + 'static {
    /// Why this log can't be used any more in this epoch.
    type Error: Error + Send + Sync + 'static;

    /// Where the log begins and ends, and how much of it is committed.
    fn extent(&self) -> Result<Extent, Self::Error>;

    /// Reads whole batches from `from` on, committed or not: at least one, unless the log ends
    /// there.
    fn read(&self, from: Offset) -> Result<Bytes, Self::Error>;

    /// Appends one batch. Returns at once; the batch is committed later.
    fn append(&self, batch: BytesMut) -> Result<Written, AppendFailure<Self::Error>>;

    /// Waits until more than what is below `beyond` is committed, and returns up to where. May be
    /// dropped and called again.
    fn committed(&self, beyond: Offset)
    -> impl Future<Output = Result<Offset, Self::Error>> + Send;

    /// How long to wait after a decision about a deadline could not be appended. Without an answer
    /// the machine stops.
    fn retry_after(&self) -> Option<Duration> {
        None
    }

    /// What was committed has been published on this node: others may see it.
    fn published(&self) {}
}

/// Where a log begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) start: Offset,
    /// Everything below is committed.
    pub(crate) committed: Offset,
    pub(crate) end: Offset,
}

/// Where an appended batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// The offset of its first record.
    pub(crate) base: Offset,
    /// The offset after its last record.
    pub(crate) end: Offset,
}

/// A batch could not be appended.
#[derive(Debug)]
pub(crate) enum AppendFailure<E> {
    /// The log is as it was: only this batch is refused.
    Refused(E),
    /// The log is as it was: it takes no batch of this size.
    TooLarge(E),
    /// The log may have the batch, or is not led any more: the machine must resign.
    Broken(E),
}
