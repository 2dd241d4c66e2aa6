//! Requests and responses as structs: the one place that names the codec crate.
//!
//! They are generated from Kafka's own schemas, decode within limits, and leave record batches as
//! bytes. Structs are `#[non_exhaustive]`: begin with `Default::default()` and set fields.

pub use kafka_wire::*;
pub use kafka_wire_core::{
    ApiKey, ApiVersion, DecodeError, DecodeLimits, Decoder, EncodeError, Encoder, KafkaDecode,
    KafkaEncode, StrBytes, TaggedField, TaggedFields, Uuid, VersionRange,
};

use crate::base::{DirectoryId, TopicId};

impl From<TopicId> for Uuid {
    fn from(id: TopicId) -> Self {
        Self::from_bytes(id.0)
    }
}

impl From<DirectoryId> for Uuid {
    fn from(id: DirectoryId) -> Self {
        Self::from_bytes(id.0)
    }
}

impl From<Uuid> for DirectoryId {
    fn from(id: Uuid) -> Self {
        Self(id.to_bytes())
    }
}

impl From<Uuid> for TopicId {
    fn from(id: Uuid) -> Self {
        Self(id.to_bytes())
    }
}

/// Makes a message and sets some of its fields: the structs are `#[non_exhaustive]`, so they can't
/// be written as literals outside their crate.
macro_rules! message {
    ($type:path { $($field:ident: $value:expr),* $(,)? }) => {{
        let mut message = <$type>::default();
        $(message.$field = $value;)*
        message
    }};
}
pub(crate) use message;
