//! Reachability between hosts: cuts, silent hosts and their connections, which turmoil does not
//! know.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::Waker;

use parking_lot::Mutex;

use crate::sim::HostId;

/// Connection attempts that a paused host's queue takes. turmoil panics when it overflows.
const PAUSED_BACKLOG: u32 = 128;

/// The state of one host.
struct Place {
    name: Arc<str>,
    addr: IpAddr,
    powered: bool,
    paused: bool,
    /// Connection attempts since it was paused.
    attempts: u32,
}

/// Client and server address of a connection.
pub(super) type Pair = (SocketAddr, SocketAddr);

/// All hosts, the cuts between them, and windows of connections that are being established.
#[derive(Default)]
pub(super) struct Reach {
    places: Vec<Place>,
    names: BTreeMap<Arc<str>, HostId>,
    addrs: BTreeMap<IpAddr, HostId>,
    cuts: BTreeSet<(HostId, HostId)>,
    /// Counts changes of reachability.
    changes: u64,
    /// Windows of connections that the server has accepted and the client has not yet picked up.
    windows: BTreeMap<Pair, Windows>,
}

impl Reach {
    pub fn add(&mut self, name: Arc<str>, addr: IpAddr) {
        let host = HostId(self.places.len() as u16);
        self.names.insert(name.clone(), host);
        self.addrs.insert(addr, host);
        self.places.push(Place { name, addr, powered: true, paused: false, attempts: 0 });
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

    pub fn addr(&self, host: HostId) -> IpAddr {
        self.places[usize::from(host.0)].addr
    }

    /// The host of an address, and its name.
    pub fn host_at(&self, addr: IpAddr) -> Option<(HostId, Arc<str>)> {
        let host = *self.addrs.get(&addr)?;
        Some((host, self.places[usize::from(host.0)].name.clone()))
    }

    /// Whether bytes get from one host to another.
    pub fn open(&self, from: HostId, to: HostId) -> bool {
        let powered = |host: HostId| self.places[usize::from(host.0)].powered;
        powered(from) && powered(to) && !self.cuts.contains(&(from, to))
    }

    /// Whether a connection attempt would be received and answered, and the number of changes so
    /// far.
    pub fn answers(&self, from: HostId, to: HostId) -> (bool, u64) {
        (self.open(from, to) && self.open(to, from), self.changes)
    }

    /// Whether a host's queue takes one more attempt.
    pub fn admit(&mut self, to: HostId) -> bool {
        let place = &mut self.places[usize::from(to.0)];
        place.attempts += u32::from(place.paused);
        place.attempts <= PAUSED_BACKLOG
    }

    pub fn set_cut(&mut self, from: HostId, to: HostId, cut: bool) {
        if cut {
            self.cuts.insert((from, to));
        } else {
            self.cuts.remove(&(from, to));
        }
        self.changes += 1;
    }

    pub fn set_powered(&mut self, host: HostId, powered: bool) {
        self.places[usize::from(host.0)].powered = powered;
        self.changes += 1;
    }

    pub fn set_paused(&mut self, host: HostId, paused: bool) {
        let place = &mut self.places[usize::from(host.0)];
        place.paused = paused;
        place.attempts = 0;
    }

    /// The server's end of an accepted connection; the client's end waits to be picked up.
    pub fn accepted(&mut self, pair: Pair) -> Windows {
        let windows = Windows::default();
        self.windows.insert(pair, windows.clone().swapped());
        windows
    }

    /// The client's end of an established connection.
    pub fn connected(&mut self, pair: Pair) -> Windows {
        self.windows.remove(&pair).unwrap_or_default()
    }
}

/// Bytes that a sender may be ahead of its reader, as in leap.
const WINDOW: usize = 256 * 1024;
/// Pieces that a sender may be ahead of its reader: fewer than turmoil's queue takes, because the
/// FIN that meets a full queue is not delivered (turmoil 0.7).
const PIECES: usize = super::QUEUE / 2;

/// How far a sender is ahead. turmoil counts only pieces, whatever their size.
#[derive(Clone, Default)]
pub(super) struct Window(Arc<Mutex<Ahead>>);

#[derive(Default)]
struct Ahead {
    pieces: VecDeque<usize>,
    bytes: usize,
    writer: Option<Waker>,
    /// The reader is gone: turmoil handles further writes.
    abandoned: bool,
}

impl Window {
    /// Bytes that may be written now. If none, `waker` will be woken.
    pub fn room(&self, waker: &Waker) -> usize {
        let mut ahead = self.0.lock();
        let room = WINDOW.saturating_sub(ahead.bytes);
        if ahead.abandoned {
            return WINDOW;
        }
        if room > 0 && ahead.pieces.len() < PIECES {
            return room;
        }
        ahead.writer = Some(waker.clone());
        0
    }

    pub fn wrote(&self, count: usize) {
        let mut ahead = self.0.lock();
        ahead.pieces.push_back(count);
        ahead.bytes += count;
    }

    /// The reader is dropped. turmoil wakes no writer whose peer is gone.
    pub fn abandon(&self) {
        let mut ahead = self.0.lock();
        ahead.abandoned = true;
        if let Some(waker) = ahead.writer.take() {
            waker.wake();
        }
    }

    pub fn read(&self, mut count: usize) {
        let mut ahead = self.0.lock();
        ahead.bytes = ahead.bytes.saturating_sub(count);
        while count > 0
            && let Some(first) = ahead.pieces.front_mut()
        {
            let part = count.min(*first);
            *first -= part;
            count -= part;
            if *first == 0 {
                ahead.pieces.pop_front();
            }
        }
        if let Some(waker) = ahead.writer.take() {
            waker.wake();
        }
    }
}

/// Both windows of a connection, as seen from one end.
#[derive(Clone, Default)]
pub(super) struct Windows {
    pub sends: Window,
    pub receives: Window,
}

impl Windows {
    fn swapped(self) -> Self {
        Self { sends: self.receives, receives: self.sends }
    }
}
