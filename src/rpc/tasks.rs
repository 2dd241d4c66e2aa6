//! The two tasks of a connection: one writes requests in order, one reads answers.
//!
//! Callers never touch the stream, so a caller that gives up midway leaves it whole.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};

use super::frames::Frames;
use super::shared::{Linger, Outgoing, Shared};
use crate::io::{World, timeout};

/// The largest response that is accepted. A fetch is far below; the limit is for broken peers.
const MAX_ANSWER: usize = 256 << 20;
/// The most requests that are written together.
const TOGETHER: usize = 64;
/// How long the last requests may take to leave after the last handle was dropped.
const LINGER: Duration = Duration::from_secs(1);

/// Writes until the connection is closed. The reading task ends with it.
pub(super) async fn write<W: World, S: AsyncWrite>(
    world: W,
    shared: Arc<Shared>,
    mut stream: WriteHalf<S>,
    queue: mpsc::UnboundedReceiver<Outgoing>,
    stop: oneshot::Receiver<Linger>,
    _reading: oneshot::Sender<()>,
) {
    let mut writing = pin!(write_all(&shared, &mut stream, queue));
    let lingers = tokio::select! {
        biased;
        stopped = stop => stopped.is_ok(),
        failed = &mut writing => {
            if let Err(error) = failed {
                shared.close(&error.to_string());
            }
            false
        }
    };
    if lingers {
        // Requests that could not be written by then are lost with the connection.
        let _ = timeout(&world, world.now() + LINGER, writing).await;
    }
}

/// Writes until the queue is closed and empty.
async fn write_all<S: AsyncWrite>(
    shared: &Shared,
    stream: &mut WriteHalf<S>,
    mut queue: mpsc::UnboundedReceiver<Outgoing>,
) -> io::Result<()> {
    let mut batch = Vec::with_capacity(TOGETHER);
    while queue.recv_many(&mut batch, TOGETHER).await > 0 {
        if let Some(last) = batch.last() {
            shared.take(last.sequence);
        }
        let mut written = Vec::new();
        let mut buffers = Buffers::default();
        for outgoing in batch.drain(..) {
            buffers.0.extend(outgoing.buffers.into_iter().filter(|buffer| !buffer.is_empty()));
            written.extend(outgoing.written);
        }
        stream.write_all_buf(&mut buffers).await?;
        stream.flush().await?;
        for written in written {
            // The caller may be gone.
            let _ = written.send(());
        }
    }
    stream.shutdown().await
}

/// Reads until the connection is closed.
pub(super) async fn read<S: tokio::io::AsyncRead>(
    shared: Arc<Shared>,
    stream: ReadHalf<S>,
    stop: oneshot::Receiver<()>,
) {
    let mut stop = pin!(stop);
    let mut frames = Frames::new(stream, MAX_ANSWER);
    loop {
        let frame = tokio::select! {
            biased;
            _ = &mut stop => return,
            frame = frames.next() => frame,
        };
        match frame {
            Ok(Some(frame)) => {
                if !shared.answer(frame) {
                    return;
                }
            }
            Ok(None) => return shared.close("the peer closed the connection"),
            Err(error) => return shared.close(&error.to_string()),
        }
    }
}

/// Buffers to be written one after another, by one call where the stream can do that.
#[derive(Default)]
struct Buffers(VecDeque<Bytes>);

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
