//! What an owner of connections measures.

use std::fmt;
use std::time::Duration;

use crate::base::Instant;
use crate::io::Address;

/// Hears of what goes through an owner's connections. Sizes are of whole frames.
pub(crate) trait Meter: fmt::Debug + Send + Sync {
    /// A request was handed to the stream, or to the queue before it.
    fn sent(&self, now: Instant, to: &Address, bytes: usize);

    /// A response came.
    fn received(&self, now: Instant, from: &Address, bytes: usize);

    /// A Produce or Fetch was answered.
    fn answered(&self, now: Instant, by: &Address, took: Duration);
}
