//! Why a part of a request is refused: the error and Kafka's text for it.

use crate::wire::ErrorCode;

pub(super) type Refusal = (ErrorCode, String);

pub(super) fn refusal<T>(error: ErrorCode, text: impl Into<String>) -> Result<T, Refusal> {
    Err((error, text.into()))
}
