//! The bytes of a message in several pieces, written by one call where the stream can do that.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

/// Pieces that one call writes at most.
const PIECES: usize = 16;

/// Buffers to be written one after another.
#[derive(Debug, Default)]
pub(super) struct Buffers(VecDeque<Bytes>);

impl From<Vec<Bytes>> for Buffers {
    fn from(buffers: Vec<Bytes>) -> Self {
        Self(buffers.into_iter().filter(|buffer| !buffer.is_empty()).collect())
    }
}

impl Buffers {
    pub(super) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// Writes what the stream takes without waiting; whether that was everything. After an error
    /// the rest stays, and the next write of it meets the error again.
    pub(super) fn write_now(&mut self, stream: &mut (impl AsyncWrite + Unpin)) -> bool {
        let mut context = Context::from_waker(std::task::Waker::noop());
        while self.has_remaining() {
            let mut slices = [IoSlice::new(&[]); PIECES];
            let used = self.chunks_vectored(&mut slices);
            let stream = Pin::new(&mut *stream);
            match stream.poll_write_vectored(&mut context, &slices[..used]) {
                Poll::Ready(Ok(count)) if count > 0 => self.advance(count),
                Poll::Ready(_) | Poll::Pending => return false,
            }
        }
        matches!(Pin::new(stream).poll_flush(&mut context), Poll::Ready(Ok(())))
    }
}

impl Buf for Buffers {
    fn remaining(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.0.front().map_or(&[], |buffer| buffer)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut used = 0;
        for (slice, buffer) in slices.iter_mut().zip(&self.0) {
            *slice = IoSlice::new(buffer);
            used += 1;
        }
        used
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(buffer) = self.0.front_mut().filter(|_| count > 0) {
            let here = count.min(buffer.len());
            buffer.advance(here);
            count -= here;
            if buffer.is_empty() {
                self.0.pop_front();
            }
        }
        assert!(count == 0, "advanced beyond the end");
    }
}
