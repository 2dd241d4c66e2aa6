//! One connection: two ends, and a pipe in each direction with segments in flight and received
//! bytes. Knows nothing of links: `net` moves the segments.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::task::{Context, Waker};

use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;

use super::messages::Messages;
use super::side::Side;
use crate::sim::HostId;

/// Bytes that a sender may be ahead of its reader.
pub(super) const WINDOW: usize = 256 * 1024;
/// Largest segment (as with segmentation offload), in bytes.
pub(super) const SEGMENT: usize = 64 * 1024;

/// A connection; void once both ends are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnKey {
    pub slot: u32,
    pub generation: u32,
}

/// State of one end at its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The server's end, before the first segment arrived.
    Absent,
    /// The client's end, before it was answered.
    Connecting,
    /// The client's end, after the connection was refused.
    Refused,
    Open,
    /// Closed by its process: answers later segments with a reset.
    Closed,
    /// Its host lost power: silent, and unknown to the host after a reboot.
    Vanished,
}

impl Phase {
    /// Whether no process can use this end (any more).
    pub fn gone(self) -> bool {
        matches!(self, Self::Absent | Self::Closed | Self::Vanished)
    }
}

pub(super) struct End {
    pub host: HostId,
    pub port: u16,
    pub phase: Phase,
    /// Waits for bytes, or for the connection to be established.
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

/// Stores the waker of a waiting task.
pub(super) fn park(slot: &mut Option<Waker>, context: &Context<'_>) {
    if !slot.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
        *slot = Some(context.waker().clone());
    }
}

#[derive(Clone, Debug)]
pub(super) enum Payload {
    Syn,
    SynAck,
    Data(Bytes),
    Fin,
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
    /// When it was first sent.
    pub sent: u64,
    pub arrive: u64,
    /// Was lost at first: it arrives only if its sender lives to retransmit it.
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
    /// A window update for the sender is under way.
    pub window_due: bool,
    /// The sender has sent FIN.
    pub finished: bool,
    /// The sender has sent RST.
    pub disowned: bool,
    /// The receiver has sent RST: writes fail.
    pub broken: bool,

    /// Segments in flight, in order.
    pub flight: VecDeque<Segment>,
    /// When the first segment of `flight` was last sent and its latency began.
    pub sent_at: u64,
    /// The arrival that is on the agenda.
    pub scheduled: Option<u64>,
    /// Since when segments get lost: the link is cut or the receiving host is off.
    pub stalled: Option<u64>,

    /// Arrived, not yet read.
    pub buffer: VecDeque<Bytes>,
    /// FIN has arrived.
    pub ended: bool,
    /// RST has arrived.
    pub reset: bool,
}

impl Pipe {
    /// Moves arrived bytes into `out`, as many as fit, and returns their number.
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

    /// Whether enough was read for a window update.
    pub fn has_news(&self) -> bool {
        self.ahead.saturating_sub(self.credit) <= WINDOW / 2
    }

    /// The sender learns what was read.
    pub fn take_credit(&mut self) {
        self.ahead = self.ahead.saturating_sub(std::mem::take(&mut self.credit));
    }

    /// The sender's host lost power: pending retransmissions never arrive.
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
    /// By the sending side.
    pub pipes: [Pipe; 2],
    pub messages: Messages,
}

impl Conn {
    pub fn end(&mut self, side: Side) -> &mut End {
        &mut self.ends[side as usize]
    }

    /// The pipe that starts at `side`.
    pub fn pipe(&mut self, side: Side) -> &mut Pipe {
        &mut self.pipes[side as usize]
    }

    /// Hosts at the sending and at the receiving end of a direction.
    pub fn hosts(&self, side: Side) -> (HostId, HostId) {
        (self.ends[side as usize].host, self.ends[side.other() as usize].host)
    }

    /// Whether both ends are gone.
    pub fn gone(&self) -> bool {
        self.ends.iter().all(|end| end.phase.gone())
    }
}

/// All connections, in slots that are reused.
#[derive(Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// The slots of each host's connections.
    by_host: BTreeMap<HostId, BTreeSet<u32>>,
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
        for end in &conn.ends {
            self.by_host.entry(end.host).or_default().insert(slot);
        }
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
            for end in slot.conn.take().iter().flat_map(|conn| &conn.ends) {
                if let Some(slots) = self.by_host.get_mut(&end.host) {
                    slots.remove(&key.slot);
                }
            }
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(key.slot);
        }
    }

    /// Directions whose segments go from a host, in a fixed order.
    pub fn directions_from(&self, from: HostId) -> Vec<(ConnKey, Side)> {
        self.directions(from, |hosts| hosts.0 == from)
    }

    /// Directions whose segments go to a host, in a fixed order.
    pub fn directions_to(&self, to: HostId) -> Vec<(ConnKey, Side)> {
        self.directions(to, |hosts| hosts.1 == to)
    }

    /// Directions whose segments go from one host to another, in a fixed order.
    pub fn directions_between(&self, from: HostId, to: HostId) -> Vec<(ConnKey, Side)> {
        self.directions(from, |hosts| hosts == (from, to))
    }

    fn directions(
        &self,
        of: HostId,
        is_wanted: impl Fn((HostId, HostId)) -> bool,
    ) -> Vec<(ConnKey, Side)> {
        let mut found = Vec::new();
        for slot in self.by_host.get(&of).into_iter().flatten().copied() {
            let place = &self.slots[slot as usize];
            let Some(conn) = &place.conn else { continue };
            for side in [Side::Client, Side::Server] {
                if is_wanted(conn.hosts(side)) {
                    found.push((ConnKey { slot, generation: place.generation }, side));
                }
            }
        }
        found
    }
}
