//! One connection: two ends, and a pipe in each direction with what is on the wire and what waits
//! to be read. Knows no hosts' links: `net` moves the segments.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;

use crate::sim::HostId;

/// Bytes that a sender may be ahead of its reader.
pub(super) const WINDOW: usize = 256 * 1024;
/// The longest piece that travels as one (as with segmentation offload).
pub(super) const SEGMENT: usize = 64 * 1024;

/// A connection; void once both ends are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnKey {
    pub slot: u32,
    pub generation: u32,
}

/// One of two ends; also the direction that leads away from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The end that connected.
    Client,
    /// The end that was listened for.
    Server,
}

impl Side {
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// What one end is to its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The server's, before the first segment arrived.
    Absent,
    /// The client's, before it was answered.
    Connecting,
    /// The client's, once it heard that nobody listens.
    Refused,
    Open,
    /// Closed by its process: answers what still arrives with a reset.
    Closed,
    /// Its host lost power: silent, and a stranger after a reboot.
    Vanished,
}

impl Phase {
    /// Whether no process can touch this end (again).
    pub fn gone(self) -> bool {
        matches!(self, Self::Absent | Self::Closed | Self::Vanished)
    }
}

pub(super) struct End {
    pub host: HostId,
    pub port: u16,
    pub phase: Phase,
    /// Waits for bytes, or for the connection to be made.
    pub reader: Option<Waker>,
    /// Waits for room.
    pub writer: Option<Waker>,
}

impl End {
    pub fn new(host: HostId, port: u16, phase: Phase) -> Self {
        Self { host, port, phase, reader: None, writer: None }
    }

    pub fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    pub fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }
}

/// Keeps the waker of a task that has to wait.
pub(super) fn park(slot: &mut Option<Waker>, context: &Context<'_>) {
    if !slot.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
        *slot = Some(context.waker().clone());
    }
}

#[derive(Clone, Debug)]
pub(super) enum Payload {
    /// "Let us talk."
    Syn,
    /// "Yes."
    SynAck,
    Data(Bytes),
    /// "That was all."
    Fin,
    /// "I know of no such connection."
    Rst,
}

impl Payload {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Syn => "syn",
            Self::SynAck => "syn-ack",
            Self::Data(_) => "data",
            Self::Fin => "fin",
            Self::Rst => "rst",
        }
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Data(bytes) => bytes,
            _ => &[],
        }
    }
}

pub(super) struct Segment {
    /// When its sender first sent it.
    pub sent: u64,
    pub arrive: u64,
    /// Arrives only if its sender lives to send it again.
    pub retried: bool,
    pub payload: Payload,
}

/// One direction.
#[derive(Default)]
pub(super) struct Pipe {
    /// Written, and not known to the sender to have been read.
    pub ahead: usize,
    /// Read, and not yet known to the sender.
    pub credit: usize,
    /// The sender's news of `credit` is under way.
    pub window_due: bool,
    /// The sender has said that that was all.
    pub finished: bool,
    /// The sender has said that it knows of no such connection.
    pub disowned: bool,
    /// The receiver disowned the connection: writing is futile.
    pub broken: bool,

    /// On the wire, in order.
    pub flight: VecDeque<Segment>,
    /// When the segment at the head of `flight` was last sent, and from when on its latency ran.
    pub sent_at: u64,
    /// The arrival that is on the agenda.
    pub scheduled: Option<u64>,
    /// Since when segments get lost: the link is cut or the receiving host is off.
    pub stalled: Option<u64>,

    /// Arrived, not yet read.
    pub buffer: VecDeque<Bytes>,
    /// All that was to come has arrived.
    pub ended: bool,
    /// The sender's disowning has arrived.
    pub reset: bool,
}

impl Pipe {
    /// Moves arrived bytes out, as many as fit; how many.
    pub fn read(&mut self, out: &mut ReadBuf<'_>) -> usize {
        let mut moved = 0;
        while let Some(first) = self.buffer.front_mut() {
            let count = first.len().min(out.remaining());
            out.put_slice(&first[..count]);
            moved += count;
            if count < first.len() {
                first.advance(count);
                break;
            }
            self.buffer.pop_front();
        }
        self.credit += moved;
        moved
    }

    /// Whether enough was read for the sender to be told.
    pub fn has_news(&self) -> bool {
        self.ahead.saturating_sub(self.credit) <= WINDOW / 2
    }

    /// The sender learns what was read.
    pub fn take_credit(&mut self) {
        self.ahead = self.ahead.saturating_sub(std::mem::take(&mut self.credit));
    }

    /// The sender's host lost power: what it would have to send again never comes.
    pub fn forget_retries(&mut self) {
        if self.stalled.is_some() {
            self.flight.clear();
        } else if let Some(first) = self.flight.iter().position(|segment| segment.retried) {
            self.flight.truncate(first);
        }
    }
}

pub(super) struct Conn {
    /// Counts connections, for the trace.
    pub serial: u64,
    pub ends: [End; 2],
    /// By the side that sends.
    pub pipes: [Pipe; 2],
}

impl Conn {
    pub fn end(&mut self, side: Side) -> &mut End {
        &mut self.ends[side as usize]
    }

    /// The pipe that leads away from `side`.
    pub fn pipe(&mut self, side: Side) -> &mut Pipe {
        &mut self.pipes[side as usize]
    }

    /// Hosts at the sending and at the receiving end of a direction.
    pub fn hosts(&self, side: Side) -> (HostId, HostId) {
        (self.ends[side as usize].host, self.ends[side.other() as usize].host)
    }

    /// Whether nobody can see any more what becomes of it.
    pub fn gone(&self) -> bool {
        self.ends.iter().all(|end| end.phase.gone())
    }
}

/// All connections, in places that are used again.
#[derive(Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    conn: Option<Conn>,
}

impl Table {
    pub fn add(&mut self, conn: Conn) -> ConnKey {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        let place = &mut self.slots[slot as usize];
        place.conn = Some(conn);
        ConnKey { slot, generation: place.generation }
    }

    #[cfg(test)]
    pub fn places(&self) -> usize {
        self.slots.len()
    }

    pub fn get(&mut self, key: ConnKey) -> Option<&mut Conn> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        if slot.generation == key.generation { slot.conn.as_mut() } else { None }
    }

    pub fn remove(&mut self, key: ConnKey) {
        if let Some(slot) = self.slots.get_mut(key.slot as usize)
            && slot.generation == key.generation
        {
            slot.conn = None;
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(key.slot);
        }
    }

    /// Directions whose segments go from one host (or any) to another (or any), in a fixed order.
    pub fn directions(&self, from: Option<HostId>, to: Option<HostId>) -> Vec<(ConnKey, Side)> {
        let mut found = Vec::new();
        for (slot, place) in self.slots.iter().enumerate() {
            let Some(conn) = &place.conn else { continue };
            for side in [Side::Client, Side::Server] {
                let hosts = conn.hosts(side);
                if from.is_none_or(|from| from == hosts.0) && to.is_none_or(|to| to == hosts.1) {
                    let key = ConnKey { slot: slot as u32, generation: place.generation };
                    found.push((key, side));
                }
            }
        }
        found
    }
}
