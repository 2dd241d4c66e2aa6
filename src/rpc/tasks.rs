//! The two tasks of a connection: one writes requests that could not be written at once, one reads
//! answers.
//!
//! A caller writes in one step or leaves the rest to the writing task, so a caller that gives up
//! midway leaves the stream whole.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf};
use tokio::sync::{mpsc, oneshot};

use super::buffers::Buffers;
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
    shared: Arc<Shared<S>>,
    queue: mpsc::UnboundedReceiver<Outgoing>,
    stop: oneshot::Receiver<Linger>,
    _reading: oneshot::Sender<()>,
) {
    let mut writing = pin!(write_all(&shared, queue));
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
    // Callers may keep the connection for longer; the stream must not stay open with it.
    shared.drop_writer();
}

/// Writes until the queue is closed and empty.
async fn write_all<S: AsyncWrite>(
    shared: &Shared<S>,
    mut queue: mpsc::UnboundedReceiver<Outgoing>,
) -> io::Result<()> {
    let mut batch = Vec::with_capacity(TOGETHER);
    while queue.recv_many(&mut batch, TOGETHER).await > 0 {
        let mut told = Vec::new();
        let mut buffers = Buffers::default();
        let mut end = 0;
        for outgoing in batch.drain(..) {
            end = outgoing.sequence + 1;
            buffers.append(outgoing.buffers);
            told.extend(outgoing.written);
        }
        let mut stream = shared.begin_writing(end);
        stream.write_all_buf(&mut buffers).await?;
        stream.flush().await?;
        shared.end_writing(stream, end);
        for told in told {
            // The caller may be gone.
            let _ = told.send(());
        }
    }
    shared.writer().shutdown().await
}

/// Reads until the connection is closed.
pub(super) async fn read<S: AsyncRead + AsyncWrite>(
    shared: Arc<Shared<S>>,
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
