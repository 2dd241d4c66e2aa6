//! Kafka's protocol as bytes. No I/O: frames arrive and leave as bytes, or leave as pieces between
//! which the broker puts slices of files.

pub mod api;
pub mod batch;
pub mod compression;
pub mod crc32c;
mod error;
pub mod fetch;
pub(crate) mod fields;
pub mod frame;
pub mod messages;
pub mod produce;
pub mod schema;
mod splice;

pub use error::ErrorCode;
pub use frame::{FrameError, Request, RequestHeader};
pub use splice::Piece;
