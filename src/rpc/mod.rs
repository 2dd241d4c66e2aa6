//! Requests over a stream, between nodes and from clients.
//!
//! | module | role |
//! |---|---|
//! | `frames` | frames from a stream, which servers read and connections, too |
//! | `connection`, `shared`, `tasks`, `buffers` | one connection: correlation ids, many requests in flight, deadlines |
//! | `backoff` | how long to pause before a retry |
//! | `finalized` | the features of the cluster, as nodes name them when a connection is made |
//! | `fetch_session` | what a fetch names: only what changed (KIP-227) |
//! | `pool` | connections by node, made again when they break |

mod backoff;
mod buffers;
mod connection;
mod error;
pub(crate) mod fetch_session;
mod finalized;
mod frames;
mod meter;
mod pool;
mod shared;
mod tasks;

pub(crate) use backoff::Backoff;
pub use connection::Connection;
pub use error::RpcError;
pub(crate) use fetch_session::{FetchSession, SessionRequest};
pub(crate) use finalized::Finalized;
pub use frames::Frames;
pub(crate) use meter::Meter;
pub(crate) use pool::{Connecting, Pool, Purpose};

#[cfg(test)]
mod tests;
