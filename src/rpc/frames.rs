//! Frames from a stream. Lengths are bounded before memory is taken.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::wire::frame::LENGTH_LEN;

/// Bytes read ahead; most requests are smaller.
const CHUNK: usize = 16 << 10;
/// Bytes of memory that a peer's length field alone can allocate. Beyond, memory doubles as bytes
/// arrive.
const TRUSTED: usize = 1 << 20;

/// Reads frame after frame. Reads ahead, so that small requests cost one call on the stream for
/// several of them.
#[derive(Debug)]
pub struct Frames<S> {
    stream: S,
    max: usize,
    /// Bytes that were read and not returned yet.
    buffer: BytesMut,
}

impl<S: AsyncRead + Unpin> Frames<S> {
    /// Reads frames of at most `max` bytes from `stream`.
    pub fn new(stream: S, max: usize) -> Self {
        Self { stream, max, buffer: BytesMut::new() }
    }

    /// The stream, to write to.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The next frame, without its length; `None` when the stream ends between two frames.
    /// May be dropped and called again: no byte is lost.
    ///
    /// Fails with `InvalidData`, naming the length, when it is negative or too large, and with
    /// `UnexpectedEof` when the stream ends inside a frame.
    pub async fn next(&mut self) -> io::Result<Option<BytesMut>> {
        loop {
            let mut wanted = LENGTH_LEN;
            if let Some(length) = self.buffer.first_chunk() {
                let length = checked_length(*length, self.max)?;
                wanted += length;
                if self.buffer.len() >= wanted {
                    self.buffer.advance(LENGTH_LEN);
                    return Ok(Some(self.buffer.split_to(length)));
                }
            }
            self.reserve(wanted);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    /// Makes room to read into, for a frame of `wanted` bytes with its length.
    fn reserve(&mut self, wanted: usize) {
        let missing = wanted.saturating_sub(self.buffer.len());
        let trusted = self.buffer.len().max(TRUSTED);
        let room = missing.min(trusted).max(CHUNK);
        if self.buffer.capacity() - self.buffer.len() < missing.min(room) {
            self.buffer.reserve(room);
        }
    }
}

fn checked_length(length: [u8; LENGTH_LEN], max: usize) -> io::Result<usize> {
    let length = i32::from_be_bytes(length);
    usize::try_from(length).ok().filter(|length| *length <= max).ok_or_else(|| {
        let message = format!("a frame of {length} bytes; at most {max} are accepted");
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

#[cfg(test)]
mod tests;
