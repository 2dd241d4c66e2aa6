//! Records without bytes, until `record/codec` has them.

use super::Record;
use crate::decide::{KeyValue, LogRecord};

/// The bytes of no record are known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the records of groups have no bytes yet")]
pub struct NoBytes;

impl LogRecord for Record {
    type Error = NoBytes;

    fn encode(&self) -> KeyValue {
        KeyValue::default()
    }

    fn decode(_bytes: KeyValue) -> Result<Self, NoBytes> {
        Err(NoBytes)
    }
}
