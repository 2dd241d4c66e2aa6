//! Why a request has no response.

use std::sync::Arc;

use crate::io::Address;
use crate::wire::FrameError;

/// The reason why a request has no response.
#[allow(missing_docs, reason = "the names of the fields say it")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// No connection could be made.
    #[error("can't connect to {to}: {reason}")]
    Connect { to: Address, reason: Arc<str> },
    /// The connection broke, or was closed by either side.
    #[error("disconnected from {from}: {reason}")]
    Disconnected {
        from: Address,
        reason: Arc<str>,
        /// Whether any byte of the request may have left.
        sent: bool,
    },
    /// No response came in time. The connection is closed: the response might still come, and would
    /// be taken for that of a later request.
    #[error("{to} did not answer {request} in time")]
    TimedOut {
        to: Address,
        request: &'static str,
        /// Whether any byte of the request may have left.
        sent: bool,
    },
    /// Both sides have no version of the request in common that the caller allows.
    #[error("{by} supports no usable version of {request}")]
    Unsupported { by: Address, request: &'static str },
    /// The request can't be encoded.
    #[error("request to {to}: {error}")]
    Request { to: Address, error: FrameError },
    /// A response came that can't be decoded. The connection is closed.
    #[error("answer of {from}: {error}")]
    Answer { from: Address, error: FrameError },
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
