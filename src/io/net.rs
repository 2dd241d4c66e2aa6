//! Streams between hosts.

use std::future::Future;
use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{File, Slice};
use crate::base::Address;

/// The network as one host sees it.
pub trait Net: Send + Sync + 'static {
    /// Waits for connections.
    type Listener: Listener<Stream = Self::Stream>;
    /// One connection.
    type Stream: Stream;

    /// Listens. Fails with `AddrInUse` when another listener has the port.
    fn bind(&self, at: &Address) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// Connects. Fails with `ConnectionRefused` without a listener there; may wait for long when
    /// the host is silent, so callers bound it with a deadline.
    fn connect(&self, to: &Address) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// Waits for connections.
pub trait Listener: Send + 'static {
    /// One connection.
    type Stream: Stream;

    /// The next connection, and who made it.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, Address)>> + Send;

    /// Where this listener is found, with the port that the system chose.
    fn local_address(&self) -> io::Result<Address>;
}

/// One connection: an ordered, reliable byte stream in each direction.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Sends all parts in order. A slice of a file goes from the page cache to the peer without a
    /// copy in user space where the world can do that.
    fn send<F: File>(&mut self, parts: &[Part<F>]) -> impl Future<Output = io::Result<()>> + Send;
}

/// A piece of a message: bytes in memory, or a slice of a file.
#[derive(Clone, Debug)]
pub enum Part<F> {
    /// In memory.
    Bytes(Bytes),
    /// In a file, perhaps not even in memory.
    Slice(Slice<F>),
}

impl<F> Part<F> {
    /// Bytes that the peer will see.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Slice(slice) => slice.len,
        }
    }

    /// Whether the peer will see nothing of it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
