//! Hosts that end, lose power and come back, and links that are cut and held.

use super::*;
use crate::sim::leap::link::next_retry;

impl Network {
    /// The process of a host is gone: its kernel closes its connections.
    pub fn process_ended(&mut self, agenda: &mut Agenda, host: HostId) {
        let listeners = std::mem::take(&mut self.hosts[usize::from(host.0)].listeners);
        for key in listeners.into_values().flat_map(|listening| listening.arrived) {
            self.abort(agenda, key, Side::Server);
        }
        for (key, side) in self.conns.directions_from(host) {
            if self.conns.get(key).is_some_and(|conn| !conn.end(side).phase.gone()) {
                self.close(agenda, key, side);
            }
        }
    }

    /// A host loses power: it sends nothing more, not even FIN.
    pub fn power_lost(&mut self, host: HostId) {
        self.hosts[usize::from(host.0)].powered = false;
        self.hosts[usize::from(host.0)].listeners.clear();
        for (key, side) in self.conns.directions_from(host) {
            if let Some(conn) = self.conns.get(key) {
                conn.pipe(side).forget_retries();
                let phase = conn.end(side).phase;
                if !matches!(phase, Phase::Absent) {
                    self.let_go(key, side, Phase::Vanished);
                }
            }
        }
    }

    /// A host is on again: pending retransmissions to it arrive.
    pub fn powered(&mut self, agenda: &mut Agenda, host: HostId) {
        self.hosts[usize::from(host.0)].powered = true;
        for (key, side) in self.conns.directions_to(host) {
            self.unstall(agenda, key, side);
        }
    }

    pub fn cut(&mut self, from: HostId, to: HostId) {
        self.links.between((from, to)).cut = true;
    }

    pub fn heal(&mut self, agenda: &mut Agenda, from: HostId, to: HostId) {
        self.links.between((from, to)).cut = false;
        self.reopen(agenda, from, to);
    }

    pub fn hold(&mut self, from: HostId, to: HostId) {
        self.links.between((from, to)).held = true;
    }

    pub fn release(&mut self, agenda: &mut Agenda, from: HostId, to: HostId) {
        self.links.between((from, to)).held = false;
        self.reopen(agenda, from, to);
    }

    pub fn set_link(&mut self, from: HostId, to: HostId, link: &Link) {
        self.links.between((from, to)).set(link);
    }

    /// A link is open again: segments and window updates continue.
    fn reopen(&mut self, agenda: &mut Agenda, from: HostId, to: HostId) {
        for (key, side) in self.conns.directions_between(from, to) {
            self.unstall(agenda, key, side);
        }
        for (key, side) in self.conns.directions_between(to, from) {
            let Some(conn) = self.conns.get(key) else { continue };
            if conn.end(side).writer.is_some() && !conn.pipe(side).window_due {
                self.tell_window(agenda, key, side);
            }
        }
    }

    /// Lost segments are sent again at the sender's next retry.
    fn unstall(&mut self, agenda: &mut Agenda, key: ConnKey, side: Side) {
        let Some(conn) = self.conns.get(key) else { return };
        let (from, to) = conn.hosts(side);
        let link = self.links.between((from, to));
        if link.cut || !self.hosts[usize::from(to.0)].powered {
            return;
        }
        let vanished = conn.end(side).phase == Phase::Vanished;
        let pipe = conn.pipe(side);
        if let Some(since) = pipe.stalled.take() {
            if vanished {
                // No host can retransmit the rest; a reset from the rebooted host still arrives.
                pipe.flight.retain(|segment| matches!(segment.payload, Payload::Rst));
            }
            let again = next_retry(since, agenda.now.0).saturating_add(link.latency());
            for segment in &mut pipe.flight {
                segment.arrive = segment.arrive.max(again);
                segment.retried = true;
            }
            // The scheduled arrival is void: no segment is due that early.
            pipe.scheduled = None;
        }
        Self::expect(agenda, key, side, pipe);
    }
}
