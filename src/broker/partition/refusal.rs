//! Why records were not appended, as a producer is told.

use super::Retired;
use crate::log::{AppendError, RecordProblem};
use crate::wire::ErrorCode;
use crate::wire::batch::BatchError;

/// Why a leader did not take a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    /// In words, where the code does not say it all.
    pub(crate) message: Option<String>,
    /// Which records are at fault, where it is not the whole batch (KIP-467).
    pub(crate) records: Vec<RecordProblem>,
}

impl Refusal {
    /// A code with a reason in words.
    pub(crate) fn telling(code: ErrorCode, message: String) -> Self {
        Self { code, message: Some(message), records: Vec::new() }
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self { code, message: None, records: Vec::new() }
    }
}

impl From<Retired> for Refusal {
    fn from(retired: Retired) -> Self {
        ErrorCode::from(retired).into()
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        let code = match &error {
            // Kafka's codecs fail here with an unexpected exception, which becomes
            // UNKNOWN_SERVER_ERROR. What no client could read is corrupt.
            AppendError::Invalid { .. }
            | AppendError::Malformed { problem: BatchError::Compression(_), .. } => {
                ErrorCode::CorruptMessage
            }
            AppendError::Refused { .. } | AppendError::Empty | AppendError::Malformed { .. } => {
                ErrorCode::InvalidRecord
            }
            AppendError::Records { wrong_time: true, .. } => ErrorCode::InvalidTimestamp,
            AppendError::Records { .. } => ErrorCode::InvalidRecord,
            // A producer that hears this splits the batch.
            AppendError::TooLarge { .. } | AppendError::Bomb { .. } => ErrorCode::MessageTooLarge,
            AppendError::LargerThanSegment { .. } => ErrorCode::RecordListTooLarge,
            AppendError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
            AppendError::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
            AppendError::NotInTransaction { .. } | AppendError::OutsideTransaction { .. } => {
                ErrorCode::InvalidTxnState
            }
            AppendError::CoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
            // Only replicated batches can be so.
            AppendError::NotContinuous { .. } | AppendError::EpochFell { .. } => {
                ErrorCode::UnknownServerError
            }
            AppendError::Log(_) => ErrorCode::KafkaStorageError,
        };
        match error {
            // Paths of files are the broker's own.
            AppendError::Log(_) => code.into(),
            AppendError::Records { problems, .. } => {
                let message = match code {
                    ErrorCode::InvalidTimestamp => {
                        "One or more records have been rejected due to invalid timestamp"
                    }
                    _ => "One or more records have been rejected",
                };
                Self { code, message: Some(message.to_owned()), records: problems }
            }
            error => Self::telling(code, error.to_string()),
        }
    }
}
