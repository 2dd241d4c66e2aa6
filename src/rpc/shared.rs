//! State that the callers of a connection and its two tasks share: which call waits for which
//! response, and the stream's writing half while no task writes.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncWrite, WriteHalf};
use tokio::sync::{mpsc, oneshot};

use super::RpcError;
use super::buffers::Buffers;
use crate::io::Address;
use crate::wire::frame::correlation_id;

/// A request that the writing task has to write.
pub(super) struct Outgoing {
    /// Its bytes that are not written yet.
    pub buffers: Buffers,
    /// Counts the requests of the connection.
    pub sequence: u64,
    /// Notified when all bytes were handed to the stream.
    pub written: Option<oneshot::Sender<()>>,
}

/// Makes the writing task stop after what is queued; without it, the task stops at once.
pub(super) struct Linger;

/// A queued request.
pub(super) struct Queued<T> {
    /// See [`Shared::may_have_left`].
    pub sequence: u64,
    /// Its outcome; an error when the connection closes first.
    pub outcome: oneshot::Receiver<T>,
}

pub(super) struct Shared<S> {
    pub peer: Address,
    state: Mutex<State<S>>,
}

struct State<S> {
    /// `None` once the connection is closed.
    open: Option<Open>,
    /// Why it was closed.
    reason: Arc<str>,
    next_id: i32,
    /// Requests queued.
    queued: u64,
    /// Of those, the ones whose writing has begun: their bytes may have left.
    taken: u64,
    /// Of those, the ones that are written.
    written: u64,
    /// Absent while the writing task writes, and once it has ended.
    writer: Option<WriteHalf<S>>,
    /// In the order in which responses must come: brokers answer in order.
    waiting: VecDeque<Waiting>,
}

struct Open {
    queue: mpsc::UnboundedSender<Outgoing>,
    stop: oneshot::Sender<Linger>,
}

struct Waiting {
    id: i32,
    /// Closed when the caller is gone: then the response is discarded.
    answer: oneshot::Sender<Bytes>,
}

impl<S: AsyncWrite> Shared<S> {
    pub fn new(
        peer: Address,
        writer: WriteHalf<S>,
        queue: mpsc::UnboundedSender<Outgoing>,
        stop: oneshot::Sender<Linger>,
    ) -> Arc<Self> {
        let state = State {
            open: Some(Open { queue, stop }),
            reason: "closed".into(),
            next_id: 0,
            queued: 0,
            taken: 0,
            written: 0,
            writer: Some(writer),
            waiting: VecDeque::new(),
        };
        Arc::new(Self { peer, state: Mutex::new(state) })
    }

    pub fn next_id(&self) -> i32 {
        let mut state = self.state.lock();
        let id = state.next_id;
        state.next_id = id.checked_add(1).unwrap_or(0);
        id
    }

    /// Sends a request that has a response, or queues it.
    pub fn call(&self, id: i32, buffers: Vec<Bytes>) -> Result<Queued<Bytes>, RpcError> {
        let (answer, outcome) = oneshot::channel();
        let mut state = self.state.lock();
        let sequence = state.enqueue(buffers, None).map_err(|reason| self.closed(reason, false))?;
        state.waiting.push_back(Waiting { id, answer });
        Ok(Queued { sequence, outcome })
    }

    /// Sends a request that has no response, or queues it.
    pub fn send(&self, buffers: Vec<Bytes>) -> Result<Queued<()>, RpcError> {
        let (written, outcome) = oneshot::channel();
        let mut state = self.state.lock();
        let queued = state.enqueue(buffers, Some(written));
        let sequence = queued.map_err(|reason| self.closed(reason, false))?;
        Ok(Queued { sequence, outcome })
    }

    /// The writing task is about to write every request below `end`: lends it the stream.
    pub fn begin_writing(&self, end: u64) -> WriteHalf<S> {
        self.state.lock().taken = end;
        self.writer()
    }

    /// Every request below `end` is written.
    pub fn end_writing(&self, writer: WriteHalf<S>, end: u64) {
        let mut state = self.state.lock();
        state.writer = Some(writer);
        state.written = end;
    }

    /// The stream, for the writing task alone.
    pub fn writer(&self) -> WriteHalf<S> {
        self.state.lock().writer.take().expect("only the writing task takes it and gives it back")
    }

    /// Closes this side of the stream: the writing task ends.
    pub fn drop_writer(&self) {
        let writer = self.state.lock().writer.take();
        drop(writer);
    }

    /// Whether any byte of this request may have left.
    pub fn may_have_left(&self, sequence: u64) -> bool {
        sequence < self.state.lock().taken
    }

    /// Hands a response to the call that waits for it. Closes the connection if it is not its turn.
    pub fn answer(&self, frame: BytesMut) -> bool {
        let id = correlation_id(&frame);
        let next = self.state.lock().waiting.pop_front();
        match (id, next) {
            (Some(id), Some(next)) if id == next.id => {
                // The caller may be gone.
                let _ = next.answer.send(frame.freeze());
                true
            }
            (id, next) => {
                let (id, expected) = (id.unwrap_or(-1), next.map(|next| next.id));
                let expected =
                    expected.map_or_else(|| "none".into(), |expected| expected.to_string());
                self.close(&format!("answer {id} came where {expected} was due"));
                false
            }
        }
    }

    /// Closes the connection at once. All calls that wait fail.
    pub fn close(&self, reason: &str) {
        let (open, waiting) = {
            let mut state = self.state.lock();
            let open = state.open.take();
            if open.is_some() {
                state.reason = reason.into();
            }
            (open, std::mem::take(&mut state.waiting))
        };
        // Outside the lock: they wake tasks.
        drop(waiting);
        drop(open);
    }

    /// Closes the connection when everything that is queued has been written.
    pub fn finish(&self) {
        let open = self.state.lock().open.take();
        if let Some(open) = open {
            // The task may have ended.
            let _ = open.stop.send(Linger);
        }
    }

    pub fn is_closed(&self) -> bool {
        self.state.lock().open.is_none()
    }

    pub fn in_flight(&self) -> usize {
        self.state.lock().waiting.len()
    }

    /// The error of a request that was queued when the connection closed.
    pub fn lost(&self, sequence: u64) -> RpcError {
        let state = self.state.lock();
        self.closed(Arc::clone(&state.reason), sequence < state.taken)
    }

    fn closed(&self, reason: Arc<str>, sent: bool) -> RpcError {
        RpcError::Disconnected { from: self.peer.clone(), reason, sent }
    }
}

impl<S: AsyncWrite> State<S> {
    /// Writes a request at once if no other is before it, and leaves to the writing task what the
    /// stream did not take.
    fn enqueue(
        &mut self,
        buffers: Vec<Bytes>,
        told: Option<oneshot::Sender<()>>,
    ) -> Result<u64, Arc<str>> {
        let sequence = self.queued;
        let open = self.open.as_ref().ok_or_else(|| Arc::clone(&self.reason))?;
        let mut buffers = Buffers::from(buffers);
        if self.written == sequence
            && let Some(writer) = &mut self.writer
        {
            self.taken = sequence + 1;
            if buffers.write_now(writer) {
                self.queued += 1;
                self.written += 1;
                // The caller may be gone.
                let _ = told.map(|told| told.send(()));
                return Ok(sequence);
            }
        }
        let outgoing = Outgoing { buffers, sequence, written: told };
        // The writing task ends only after the connection was closed, or with its host.
        open.queue.send(outgoing).map_err(|_| Arc::from("the host is down"))?;
        self.queued += 1;
        Ok(sequence)
    }
}
