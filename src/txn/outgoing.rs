//! What a coordinator asks of the shell.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Outcome, TransactionVersion, TransactionalId};
use crate::base::{LeaderEpoch, ProducerEpoch, ProducerId, TopicPartition};

/// A request of a coordinator to the shell. Those of one coordinator come in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// An outcome is committed: the partitions of the transaction need their markers.
    Markers(Markers),
    /// The coordinator of this partition of `__transaction_state` has resigned, in this epoch: its
    /// markers are not sent any more.
    Resigned {
        /// The partition.
        partition: i32,
        /// The epoch.
        epoch: LeaderEpoch,
    },
    /// The same coordinator needs a producer id for what it does without a request.
    NeedsProducerId {
        /// The partition.
        partition: i32,
        /// The epoch.
        epoch: LeaderEpoch,
    },
}

/// The markers that end one transaction (WriteTxnMarkers).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Markers {
    /// The partition of `__transaction_state`.
    pub partition: i32,
    /// The coordinator's leader epoch, which fences the markers of earlier coordinators.
    pub coordinator: LeaderEpoch,
    /// Whose transaction it is.
    pub id: TransactionalId,
    /// The producer.
    pub producer: ProducerId,
    /// The epoch of the markers.
    pub epoch: ProducerEpoch,
    /// How it ends.
    pub outcome: Outcome,
    /// The protocol of the client: in version 2, a partition refuses a marker whose epoch is not
    /// above that of the records (KAFKA-19446).
    pub version: TransactionVersion,
    /// The partitions that get a marker.
    pub partitions: Arc<BTreeSet<TopicPartition>>,
}
