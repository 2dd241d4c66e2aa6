//! Why a request has no answer.

use std::sync::Arc;

use crate::io::Address;
use crate::wire::FrameError;

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// No connection came about.
    #[error("can't connect to {to}: {reason}")]
    Connect {
        /// Whom.
        to: Address,
        /// In the system's words.
        reason: Arc<str>,
    },
    /// The connection broke, or was closed by either side.
    #[error("disconnected from {from}: {reason}")]
    Disconnected {
        /// From whom.
        from: Address,
        /// What happened.
        reason: Arc<str>,
        /// Whether any byte of the request may have left.
        sent: bool,
    },
    /// No answer came in time. The connection is closed: the answer might still come, and would be
    /// taken for that of a later request.
    #[error("{to} did not answer {request} in time")]
    TimedOut {
        /// Who did not answer.
        to: Address,
        /// What was asked.
        request: &'static str,
        /// Whether any byte of the request may have left.
        sent: bool,
    },
    /// There is no version of the request that both sides know and that the caller allows.
    #[error("{by} supports no usable version of {request}")]
    Unsupported {
        /// The other side.
        by: Address,
        /// Which request.
        request: &'static str,
    },
    /// The request can't be written.
    #[error("request to {to}: {error}")]
    Request {
        /// To whom.
        to: Address,
        /// What is wrong with it.
        error: FrameError,
    },
    /// An answer came, and can't be read. The connection is closed.
    #[error("answer of {from}: {error}")]
    Answer {
        /// From whom.
        from: Address,
        /// What is wrong with it.
        error: FrameError,
    },
}

impl RpcError {
    /// Whether no retry can succeed: this node does not speak the request, or it can't be encoded.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Unsupported { .. } | Self::Request { .. })
    }

    /// Whether the request may have been received and carried out. If not, it certainly was not.
    pub fn may_have_reached(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Unsupported { .. } | Self::Request { .. } => false,
            Self::Disconnected { sent, .. } | Self::TimedOut { sent, .. } => *sent,
            Self::Answer { .. } => true,
        }
    }
}
