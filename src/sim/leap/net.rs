//! The networks of all hosts: listeners, connections, and the movement of segments.
//!
//! Models TCP as its users see it: ordered bytes with a window, half-close, reset, silence.
//! Handshake segments travel like data, so a connection attempt to a host that is cut off or
//! switched off waits, and is answered afterwards.

mod faults;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::io::ReadBuf;

use super::agenda::{Agenda, Event};
use super::conn::{
    Conn, ConnKey, End, Payload, Phase, Pipe, SEGMENT, Segment, Table, WINDOW, park,
};
use super::link::Links;
use super::messages::{Happens, Messages};
use super::side::Side;
use crate::base::{Instant, Seed};
use crate::sim::trace::kind;
use crate::sim::{HostId, Link, Shot, What};

/// First ephemeral port (RFC 6335).
const EPHEMERAL: u16 = 49152;
/// Connections that may wait to be accepted (Linux's `somaxconn`); more are answered when there is
/// room.
const BACKLOG: usize = 4096;
/// Delay before a connection attempt is repeated when the backlog was full.
const BACKLOG_RETRY: u64 = 1_000_000_000;

/// The network state of one host.
struct HostNet {
    name: Arc<str>,
    /// Whether its kernel runs, with or without a process.
    powered: bool,
    listeners: BTreeMap<u16, Listening>,
    last_port: u16,
}

struct Listening {
    serial: u64,
    arrived: VecDeque<ConnKey>,
    acceptor: Option<Waker>,
}

pub(super) struct Network {
    hosts: Vec<HostNet>,
    names: BTreeMap<Arc<str>, HostId>,
    links: Links,
    conns: Table,
    serial: u64,
}

impl Network {
    pub fn new(seed: Seed, link: Link) -> Self {
        Self {
            hosts: Vec::new(),
            names: BTreeMap::new(),
            links: Links::new(seed, link),
            conns: Table::default(),
            serial: 0,
        }
    }

    /// Adds a host with power on.
    pub fn add_host(&mut self, host: HostId, name: Arc<str>) {
        self.names.insert(name.clone(), host);
        let listeners = BTreeMap::new();
        self.hosts.push(HostNet { name, powered: true, listeners, last_port: EPHEMERAL });
        self.links.add_host();
    }

    /// Slots in the connection table, including free ones.
    #[cfg(test)]
    pub fn places(&self) -> usize {
        self.conns.places()
    }

    pub fn name(&self, host: HostId) -> Arc<str> {
        self.hosts[usize::from(host.0)].name.clone()
    }

    /// The host that `name` refers to, as seen from `host`.
    pub fn resolve(&self, host: HostId, name: &str) -> io::Result<HostId> {
        if matches!(name, "localhost" | "127.0.0.1" | "::1" | "0.0.0.0" | "::") {
            return Ok(host);
        }
        self.names.get(name).copied().ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("no host is named `{name}`"))
        })
    }

    // Listeners

    /// Starts to listen; returns the listener's serial number and port.
    pub fn bind(&mut self, host: HostId, port: u16) -> io::Result<(u64, u16)> {
        let port = if port == 0 { self.choose_port(host)? } else { port };
        self.serial += 1;
        let serial = self.serial;
        let listeners = &mut self.hosts[usize::from(host.0)].listeners;
        if listeners.contains_key(&port) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        listeners.insert(port, Listening { serial, arrived: VecDeque::new(), acceptor: None });
        Ok((serial, port))
    }

    fn choose_port(&mut self, host: HostId) -> io::Result<u16> {
        for _ in EPHEMERAL..u16::MAX {
            let port = self.next_port(host);
            if !self.hosts[usize::from(host.0)].listeners.contains_key(&port) {
                return Ok(port);
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    fn next_port(&mut self, host: HostId) -> u16 {
        let host = &mut self.hosts[usize::from(host.0)];
        host.last_port = if host.last_port == u16::MAX { EPHEMERAL } else { host.last_port + 1 };
        host.last_port
    }

    /// Stops listening; resets connections that were not accepted.
    pub fn unbind(&mut self, agenda: &mut Agenda, host: HostId, port: u16, serial: u64) {
        let listeners = &mut self.hosts[usize::from(host.0)].listeners;
        if listeners.get(&port).is_some_and(|listening| listening.serial == serial)
            && let Some(listening) = listeners.remove(&port)
        {
            for key in listening.arrived {
                self.abort(agenda, key, Side::Server);
            }
        }
    }

    /// The next connection, with the peer's host and port.
    pub fn accept(
        &mut self,
        host: HostId,
        port: u16,
        serial: u64,
        context: &Context<'_>,
    ) -> Poll<io::Result<(ConnKey, HostId, u16)>> {
        let listening = self.hosts[usize::from(host.0)].listeners.get_mut(&port);
        let Some(listening) = listening.filter(|listening| listening.serial == serial) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let Some(key) = listening.arrived.pop_front() else {
            park(&mut listening.acceptor, context);
            return Poll::Pending;
        };
        let Some(conn) = self.conns.get(key) else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        };
        let client = conn.end(Side::Client);
        Poll::Ready(Ok((key, client.host, client.port)))
    }

    // Connections, as used by processes

    /// Begins to connect.
    pub fn connect(&mut self, agenda: &mut Agenda, from: HostId, to: HostId, port: u16) -> ConnKey {
        let client = End::new(from, self.next_port(from), Phase::Connecting);
        let server = End::new(to, port, Phase::Absent);
        self.serial += 1;
        let pipes = [Pipe::default(), Pipe::default()];
        let messages = Messages::default();
        let conn = Conn { serial: self.serial, ends: [client, server], pipes, messages };
        let key = self.conns.add(conn);
        self.push(agenda, key, Side::Client, Payload::Syn);
        key
    }

    /// Waits until the connection is established or refused.
    pub fn connected(&mut self, key: ConnKey, context: &Context<'_>) -> Poll<io::Result<()>> {
        let Some(conn) = self.conns.get(key) else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        };
        let end = conn.end(Side::Client);
        match end.phase {
            Phase::Connecting => {
                park(&mut end.reader, context);
                Poll::Pending
            }
            Phase::Refused => Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into())),
            Phase::Absent | Phase::Open | Phase::Closed | Phase::Vanished => Poll::Ready(Ok(())),
        }
    }

    pub fn read(
        &mut self,
        agenda: &mut Agenda,
        key: ConnKey,
        side: Side,
        out: &mut ReadBuf<'_>,
        context: &Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(conn) = self.conns.get(key) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let sender = side.other();
        let pipe = conn.pipe(sender);
        if !pipe.buffer.is_empty() {
            pipe.read(out);
            let tell = !pipe.window_due && pipe.has_news();
            if tell && conn.end(sender).writer.is_some() {
                self.tell_window(agenda, key, sender);
            }
            return Poll::Ready(Ok(()));
        }
        if pipe.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if pipe.ended {
            return Poll::Ready(Ok(()));
        }
        park(&mut conn.end(side).reader, context);
        Poll::Pending
    }

    /// Waits for room, and returns how many bytes may be written.
    pub fn room(
        &mut self,
        key: ConnKey,
        side: Side,
        context: &Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let Some(conn) = self.conns.get(key) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let back = conn.hosts(side.other());
        let reset = conn.pipe(side.other()).reset;
        let pipe = conn.pipe(side);
        if pipe.finished || pipe.broken {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if reset {
            // As in Linux: the reset is reported once, later writes get a broken pipe.
            pipe.broken = true;
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if pipe.credit > 0 && self.links.between(back).open() {
            pipe.take_credit();
        }
        let room = WINDOW.saturating_sub(pipe.ahead);
        if room == 0 {
            park(&mut conn.end(side).writer, context);
            return Poll::Pending;
        }
        Poll::Ready(Ok(room.min(SEGMENT)))
    }

    /// Writes bytes for which there is room.
    pub fn write(&mut self, agenda: &mut Agenda, key: ConnKey, side: Side, bytes: Bytes) {
        // Behind a reset nothing arrives.
        if let Some(conn) = self.conns.get(key)
            && !bytes.is_empty()
            && !conn.pipe(side).disowned
        {
            conn.pipe(side).ahead += bytes.len();
            self.push(agenda, key, side, Payload::Data(bytes));
        }
    }

    /// Sends FIN; reading continues.
    pub fn shutdown(&mut self, agenda: &mut Agenda, key: ConnKey, side: Side) {
        let Some(conn) = self.conns.get(key) else { return };
        if conn.end(side).phase == Phase::Open && !conn.pipe(side).finished {
            conn.pipe(side).finished = true;
            conn.end(side).wake_writer();
            self.push(agenda, key, side, Payload::Fin);
        }
    }

    /// Closes an end like `close(2)`: with a reset if bytes were left unread.
    pub fn close(&mut self, agenda: &mut Agenda, key: ConnKey, side: Side) {
        let Some(conn) = self.conns.get(key) else { return };
        let unread = !conn.pipe(side.other()).buffer.is_empty();
        if unread || conn.end(side).phase == Phase::Connecting {
            self.abort(agenda, key, side);
        } else {
            self.shutdown(agenda, key, side);
            self.let_go(key, side, Phase::Closed);
        }
    }

    fn abort(&mut self, agenda: &mut Agenda, key: ConnKey, side: Side) {
        let Some(conn) = self.conns.get(key) else { return };
        if !conn.pipe(side.other()).reset {
            self.disown(agenda, key, side);
        }
        self.let_go(key, side, Phase::Closed);
    }

    fn disown(&mut self, agenda: &mut Agenda, key: ConnKey, side: Side) {
        let Some(conn) = self.conns.get(key) else { return };
        if !std::mem::replace(&mut conn.pipe(side).disowned, true) {
            self.push(agenda, key, side, Payload::Rst);
        }
    }

    /// Something between the hosts has dropped a connection: each end gets a reset.
    fn break_off(&mut self, agenda: &mut Agenda, key: ConnKey) {
        self.disown(agenda, key, Side::Client);
        self.disown(agenda, key, Side::Server);
    }

    fn let_go(&mut self, key: ConnKey, side: Side, phase: Phase) {
        let Some(conn) = self.conns.get(key) else { return };
        let end = conn.end(side);
        end.phase = phase;
        end.reader = None;
        end.writer = None;
        conn.pipe(side.other()).buffer.clear();
        if conn.gone() {
            self.conns.remove(key);
        }
    }

    // Segments

    fn push(&mut self, agenda: &mut Agenda, key: ConnKey, side: Side, payload: Payload) {
        let Payload::Data(mut bytes) = payload else {
            return self.depart(agenda, key, side, payload, 0);
        };
        let (mut gone, mut late) = (0, 0);
        for (at, happens) in self.mishaps(key, side, &bytes) {
            // What was sent before a message that is struck arrives as if nothing happened to it.
            if at > gone {
                let before = bytes.split_to(at - gone);
                gone = at;
                self.depart(agenda, key, side, Payload::Data(before), std::mem::take(&mut late));
            }
            match happens {
                Happens::Lost => return self.break_off(agenda, key),
                Happens::Late(by) => late += by,
            }
        }
        self.depart(agenda, key, side, Payload::Data(bytes), late);
    }

    /// The messages among these bytes that something happens to, with the places where they begin.
    fn mishaps(&mut self, key: ConnKey, side: Side, bytes: &[u8]) -> Vec<(usize, Happens)> {
        let mut struck = Vec::new();
        let Some(conn) = self.conns.get(key) else { return struck };
        let link = self.links.between(conn.hosts(side));
        conn.messages.pass(side, bytes, |at, api| {
            if link.has_mishaps() {
                struck.extend(link.mishap(api, side).map(|happens| (at, happens)));
            }
        });
        struck
    }

    /// A segment departs, and arrives later by `late` nanoseconds than it would.
    fn depart(
        &mut self,
        agenda: &mut Agenda,
        key: ConnKey,
        side: Side,
        payload: Payload,
        late: u64,
    ) {
        let now = agenda.now.0;
        let Some(conn) = self.conns.get(key) else { return };
        let (from, to) = conn.hosts(side);
        let link = self.links.between((from, to));
        let payload = match payload {
            Payload::Data(bytes) => match link.damaged(&bytes) {
                Some(damaged) => {
                    agenda.witness.see(agenda.now, to, What::Damaged { from });
                    Payload::Data(damaged)
                }
                None => Payload::Data(bytes),
            },
            payload => payload,
        };
        let pipe = conn.pipe(side);
        let (arrive, retried) = match pipe.flight.back() {
            // Segments written at the same time travel as one, unless they queue for bandwidth.
            Some(last) if pipe.sent_at == now && !link.is_limited() => (last.arrive, last.retried),
            last => {
                let after = last.map_or(0, |last| last.arrive);
                let transit = link.send(now, payload.bytes().len());
                (transit.arrive.max(after), transit.retried)
            }
        };
        let arrive = arrive.saturating_add(late);
        pipe.sent_at = now;
        pipe.flight.push_back(Segment { sent: now, arrive, retried, payload });
        if link.cut {
            pipe.stalled.get_or_insert(now);
        }
        Self::expect(agenda, key, side, pipe);
    }

    /// Puts the arrival of the first segment on the agenda, if it is not there.
    fn expect(agenda: &mut Agenda, key: ConnKey, side: Side, pipe: &mut Pipe) {
        if pipe.scheduled.is_none()
            && pipe.stalled.is_none()
            && let Some(first) = pipe.flight.front()
        {
            let at = first.arrive.max(agenda.now.0);
            pipe.scheduled = Some(at);
            agenda.schedule(at, Event::Arrival(key, side));
        }
    }

    /// The first segment of a direction is due.
    pub fn arrival(&mut self, agenda: &mut Agenda, key: ConnKey, side: Side) {
        let now = agenda.now.0;
        let Some(conn) = self.conns.get(key) else { return };
        let (from, to) = conn.hosts(side);
        let pipe = conn.pipe(side);
        if pipe.scheduled != Some(now) {
            return;
        }
        pipe.scheduled = None;
        let link = self.links.between((from, to));
        if link.cut || !self.hosts[usize::from(to.0)].powered {
            pipe.stalled.get_or_insert(now);
            return;
        }
        if link.held {
            return;
        }
        while let Some(conn) = self.conns.get(key) {
            let serial = conn.serial;
            let pipe = conn.pipe(side);
            if pipe.flight.front().is_none_or(|segment| segment.arrive > now) {
                Self::expect(agenda, key, side, pipe);
                return;
            }
            let Some(segment) = pipe.flight.pop_front() else { return };
            let payload = segment.payload;
            let numbers = [u64::from(from.0) << 16 | u64::from(to.0), serial];
            agenda.witness.trace.lock().add(
                agenda.now,
                kind::DELIVER,
                numbers,
                payload.bytes(),
                || {
                    let (name, len) = (payload.name(), payload.bytes().len());
                    format!("{from} -> {to} connection {serial} {name} {len}")
                },
            );
            if let Payload::Data(bytes) = &payload {
                agenda.witness.film.shoot(|| Shot::Arrived {
                    sent: Instant(segment.sent),
                    at: agenda.now,
                    from,
                    to,
                    connection: serial,
                    asks: side == Side::Client,
                    bytes: bytes.clone(),
                });
            }
            self.deliver(agenda, key, side, payload);
        }
    }

    fn deliver(&mut self, agenda: &mut Agenda, key: ConnKey, sender: Side, payload: Payload) {
        let side = sender.other();
        let Some(conn) = self.conns.get(key) else { return };
        let phase = conn.end(side).phase;
        match payload {
            Payload::Syn => self.greet(agenda, key),
            Payload::SynAck => {
                let end = conn.end(side);
                if end.phase == Phase::Connecting {
                    end.phase = Phase::Open;
                    end.wake_reader();
                } else if phase.gone() {
                    self.disown(agenda, key, side);
                }
            }
            Payload::Data(bytes) => {
                if phase.gone() {
                    self.disown(agenda, key, side);
                } else {
                    conn.pipe(sender).buffer.push_back(bytes);
                    conn.end(side).wake_reader();
                }
            }
            Payload::Fin => {
                conn.pipe(sender).ended = true;
                conn.end(side).wake_reader();
                if phase == Phase::Vanished {
                    self.disown(agenda, key, side);
                }
            }
            Payload::Rst => {
                conn.pipe(sender).reset = true;
                let end = conn.end(side);
                if end.phase == Phase::Connecting {
                    end.phase = Phase::Refused;
                }
                end.wake_reader();
                end.wake_writer();
            }
        }
    }

    /// A connection attempt has arrived.
    fn greet(&mut self, agenda: &mut Agenda, key: ConnKey) {
        let now = agenda.now.0;
        let Some(conn) = self.conns.get(key) else { return };
        let (host, port) = (conn.ends[1].host, conn.ends[1].port);
        let Some(listening) = self.hosts[usize::from(host.0)].listeners.get_mut(&port) else {
            self.disown(agenda, key, Side::Server);
            return;
        };
        if listening.arrived.len() >= BACKLOG {
            let again = Segment {
                sent: now,
                arrive: now + BACKLOG_RETRY,
                retried: true,
                payload: Payload::Syn,
            };
            if let Some(conn) = self.conns.get(key) {
                conn.pipe(Side::Client).flight.push_front(again);
            }
            return;
        }
        listening.arrived.push_back(key);
        if let Some(waker) = listening.acceptor.take() {
            waker.wake();
        }
        if let Some(conn) = self.conns.get(key) {
            conn.end(Side::Server).phase = Phase::Open;
        }
        self.push(agenda, key, Side::Server, Payload::SynAck);
    }

    /// Sends a window update to the sender of a direction; it takes the latency of the link.
    fn tell_window(&mut self, agenda: &mut Agenda, key: ConnKey, side: Side) {
        let Some(conn) = self.conns.get(key) else { return };
        conn.pipe(side).window_due = true;
        let way = self.links.between(conn.hosts(side.other()));
        let at = agenda.now.0.saturating_add(way.latency());
        agenda.schedule(at, Event::Window(key, side));
    }

    /// The sender of a direction gets a window update, if the way back is open.
    pub fn window(&mut self, key: ConnKey, side: Side) {
        let Some(conn) = self.conns.get(key) else { return };
        conn.pipe(side).window_due = false;
        if self.links.between(conn.hosts(side.other())).open() {
            conn.pipe(side).take_credit();
            conn.end(side).wake_writer();
        }
    }
}
