//! Requests over a stream. Servers read frames with [`Frames`]; nodes and clients ask each other
//! through a [`Connection`].

mod connection;
mod error;
mod frames;
mod shared;
mod tasks;

pub use connection::Connection;
pub use error::RpcError;
pub use frames::Frames;

#[cfg(test)]
mod tests;
