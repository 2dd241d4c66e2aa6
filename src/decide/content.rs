//! The content of a batch, as its log has it.

use crate::base::{Offset, ProducerId};

/// What a batch of a decided log says. A machine's own decisions are always [`Content::Records`]; the
/// rest is written by transactional producers and their coordinators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<R> {
    /// Records that count at once.
    Records(Vec<(Offset, R)>),
    /// Records that count once the producer's transaction is committed.
    InTransaction(ProducerId, Vec<(Offset, R)>),
    /// The marker that ends a producer's transaction.
    EndOfTransaction {
        producer: ProducerId,
        /// Whether its records count.
        is_committed: bool,
    },
}

impl<R> From<Vec<(Offset, R)>> for Content<R> {
    fn from(records: Vec<(Offset, R)>) -> Self {
        Self::Records(records)
    }
}
