//! Why a node does not start, or ends.

use std::io;

use crate::controller::ReplayError;
use crate::io::Address;
use crate::log::{DirError, LogError};

/// Why valid metadata can't be used, and what to do.
pub(super) const FOREIGN: &str = "; Apache Kafka or a newer brokerquake wrote this: serve it with \
     that, or name an empty directory here and create the topics again there";

/// A node can't start or can't continue.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The configuration does not make sense.
    #[error("configuration: {0}")]
    Config(String),
    /// A listener can't be opened.
    #[error("can't listen on {address}: {error}; is another process using the port?")]
    Bind {
        /// Where.
        address: Address,
        /// Why not.
        error: io::Error,
    },
    /// The data directory, or a log in it.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A committed record that does not fit: the log is not what its writer believed it to be.
    #[error("metadata log: {0}")]
    Replay(ReplayError),
    /// The controller did not accept this broker in time.
    #[error("can't register with the controller within {seconds} s: {reason}")]
    Registration {
        /// `initial.broker.registration.timeout.ms`, in seconds.
        seconds: u64,
        /// The last refusal.
        reason: String,
    },
    /// The metadata log can't be read.
    #[error("metadata log at offset {offset}: {reason}")]
    Metadata {
        /// Of the batch or record.
        offset: i64,
        /// What is wrong.
        reason: String,
    },
    /// A write or sync failed in the only directory.
    #[error("the storage failed; see the log for which file")]
    StorageLost,
    /// It has closed its metadata log, and is about to end.
    #[error("this node is ending; ask again when it is back")]
    Ended,
    /// The controller made no decision, or does not know whether it will be committed.
    #[error("controller: {0}")]
    Undecided(String),
    /// A data directory that this node may not use.
    #[error(transparent)]
    Dir(#[from] DirError),
}

impl NodeError {
    /// The metadata log has what must not be in it, or lacks what must.
    pub(super) fn is_unusable_metadata(&self) -> bool {
        let corrupt = matches!(self, Self::Log(LogError::Corrupt { .. }));
        corrupt || matches!(self, Self::Metadata { .. } | Self::Replay(_))
    }
}

impl From<ReplayError> for NodeError {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Transaction { offset, record } => {
                let reason = format!("{record}: metadata transactions are not known here{FOREIGN}");
                Self::Metadata { offset: offset.0, reason }
            }
            error => Self::Replay(error),
        }
    }
}
