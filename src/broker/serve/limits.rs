//! How many connections a role accepts, in all and from one address.
//!
//! Kafka's rules (`SocketServer.ConnectionQuotas`): a connection beyond `max.connections` waits in
//! its acceptor until another one ends. One beyond `max.connections.per.ip` is closed at once. The
//! listener between brokers does not wait: a connection there takes the place of the least
//! recently used connection of another listener (KIP-402).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::base::Instant;
use crate::base::config::{BrokerConfig, MaxConnectionsOverrides};

/// The connections of one role's listeners.
pub(crate) struct ConnectionLimits {
    connections: Mutex<Connections>,
    /// Notified when a connection ends.
    released: Notify,
}

/// The address has as many connections as it may have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("this address has {max} connections, as many as `max.connections.per.ip` allows")]
pub(crate) struct TooManyConnections {
    max: u32,
}

impl ConnectionLimits {
    pub(crate) fn new(config: &BrokerConfig) -> Arc<Self> {
        let connections = Connections::new(
            config.max_connections,
            config.max_connections_per_ip,
            config.max_connections_per_ip_overrides.clone(),
        );
        Arc::new(Self { connections: Mutex::new(connections), released: Notify::new() })
    }

    /// The limits are these from now on. Connections that are too many stay, as in Kafka.
    pub(crate) fn configure(&self, config: &BrokerConfig) {
        let mut connections = self.connections.lock();
        connections.lowered |= config.max_connections < connections.max
            || config.max_connections_per_ip < connections.max_per_host
            || config.max_connections_per_ip_overrides != connections.overrides;
        connections.max = config.max_connections;
        connections.max_per_host = config.max_connections_per_ip;
        connections.overrides = config.max_connections_per_ip_overrides.clone();
        drop(connections);
        self.released.notify_waiters();
    }

    /// Waits until there is room, and takes it. A `protected` connection does not wait.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        host: &str,
        protected: bool,
        now: Instant,
    ) -> Result<Slot, TooManyConnections> {
        loop {
            let released = self.released.notified();
            tokio::pin!(released);
            released.as_mut().enable();
            if let Some(slot) = self.try_admit(host, protected, now) {
                return slot;
            }
            released.await;
        }
    }

    /// `None` if there is no room.
    fn try_admit(
        self: &Arc<Self>,
        host: &str,
        protected: bool,
        now: Instant,
    ) -> Option<Result<Slot, TooManyConnections>> {
        let mut connections = self.connections.lock();
        let admitted =
            connections.has_room(protected).then(|| connections.admit(host, protected, now));
        Some(admitted?.map(|admitted| Slot { limits: self.clone(), admitted }))
    }
}

/// Room for one connection, until it is dropped.
pub(crate) struct Slot {
    limits: Arc<ConnectionLimits>,
    admitted: Admitted,
}

impl Slot {
    /// A request has arrived.
    pub(crate) fn set_used(&self, now: Instant) {
        self.admitted.used.store(now.0, Ordering::Relaxed);
    }

    /// Returns when this connection has to make room for one between brokers.
    pub(crate) async fn evicted(&mut self) {
        if (&mut self.admitted.evicted).await.is_err() {
            std::future::pending().await
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.limits.connections.lock().release(self.admitted.id);
        self.limits.released.notify_waiters();
    }
}

/// Open connections, counted.
struct Connections {
    max: u32,
    max_per_host: u32,
    overrides: MaxConnectionsOverrides,
    /// A limit was lowered: there may be connections from before.
    lowered: bool,
    /// By the order in which they were admitted.
    open: BTreeMap<u64, Open>,
    per_host: BTreeMap<Arc<str>, u32>,
    next: u64,
}

struct Open {
    host: Arc<str>,
    protected: bool,
    /// When its latest request arrived.
    used: Arc<AtomicU64>,
    /// Tells the connection to end; `None` once that was done.
    evict: Option<oneshot::Sender<()>>,
}

struct Admitted {
    id: u64,
    used: Arc<AtomicU64>,
    evicted: oneshot::Receiver<()>,
}

impl Connections {
    fn new(max: u32, max_per_host: u32, overrides: MaxConnectionsOverrides) -> Self {
        let (open, per_host) = Default::default();
        Self { max, max_per_host, overrides, lowered: false, open, per_host, next: 0 }
    }

    fn has_room(&self, protected: bool) -> bool {
        protected || self.open.len() < self.max as usize
    }

    fn admit(
        &mut self,
        host: &str,
        protected: bool,
        now: Instant,
    ) -> Result<Admitted, TooManyConnections> {
        assert!(self.has_room(protected), "{} connections of {}", self.open.len(), self.max);
        let max = self.max_of(host);
        if self.per_host.get(host).is_some_and(|count| *count >= max) || max == 0 {
            return Err(TooManyConnections { max });
        }
        let host: Arc<str> = host.into();
        *self.per_host.entry(host.clone()).or_default() += 1;
        let used = Arc::new(AtomicU64::new(now.0));
        let (evict, evicted) = oneshot::channel();
        let id = self.next;
        self.next += 1;
        self.open.insert(id, Open { host, protected, used: used.clone(), evict: Some(evict) });
        self.evict();
        if cfg!(debug_assertions) {
            self.check();
        }
        Ok(Admitted { id, used, evicted })
    }

    fn release(&mut self, id: u64) {
        let Some(open) = self.open.remove(&id) else { return };
        if let Some(count) = self.per_host.get_mut(&open.host) {
            *count -= 1;
            if *count == 0 {
                self.per_host.remove(&open.host);
            }
        }
        if cfg!(debug_assertions) {
            self.check();
        }
    }

    /// Ends as many unprotected connections as there are too many, the least recently used first.
    fn evict(&mut self) {
        if self.open.len() <= self.max as usize {
            return;
        }
        let staying = self.open.values().filter(|open| open.evict.is_some()).count();
        for _ in self.max as usize..staying {
            let candidates = self.open.values_mut().filter(|o| !o.protected && o.evict.is_some());
            let oldest = candidates.min_by_key(|open| open.used.load(Ordering::Relaxed));
            let Some(evict) = oldest.and_then(|open| open.evict.take()) else { return };
            // It fails only if the connection is ending already.
            let _ = evict.send(());
        }
    }

    fn max_of(&self, host: &str) -> u32 {
        self.overrides.of(host).unwrap_or(self.max_per_host)
    }

    fn check(&self) {
        let mut per_host: BTreeMap<&str, u32> = BTreeMap::new();
        for open in self.open.values() {
            *per_host.entry(&open.host).or_default() += 1;
        }
        let counted = self.per_host.iter().map(|(host, count)| (&**host, *count));
        assert!(counted.eq(per_host.clone()), "{:?}, counted {:?}", per_host, self.per_host);
        if self.lowered {
            return;
        }
        for (host, count) in per_host {
            assert!(count <= self.max_of(host), "{count} connections from {host}");
        }
        let unprotected = self.open.values().filter(|open| !open.protected).count();
        assert!(unprotected <= self.max as usize, "{unprotected} connections of {}", self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::config::Config;

    fn limits(settings: &[(&str, &str)]) -> Arc<ConnectionLimits> {
        let mut config = BrokerConfig::default();
        config.set_all(settings.iter().copied()).unwrap();
        ConnectionLimits::new(&config)
    }

    fn run<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test)
    }

    #[test]
    fn limits_that_change_count_for_the_next_connection() {
        run(async {
            let limits = limits(&[("max.connections.per.ip", "1")]);
            let first = limits.admit("a", false, Instant::START).await.unwrap();
            assert!(limits.admit("a", false, Instant::START).await.is_err());
            let mut config = BrokerConfig::default();
            config.set("max.connections.per.ip", "2").unwrap();
            limits.configure(&config);
            let second = limits.admit("a", false, Instant::START).await.unwrap();
            config.set("max.connections", "1").unwrap();
            limits.configure(&config);
            drop(first);
            let waits = tokio::select! {
                biased;
                _ = limits.admit("b", false, Instant::START) => false,
                () = std::future::ready(()) => true,
            };
            assert!(waits, "one is open");
            drop(second);
            assert!(limits.admit("b", false, Instant::START).await.is_ok());
        });
    }

    async fn is_evicted(slot: &mut Slot) -> bool {
        tokio::select! {
            biased;
            () = slot.evicted() => true,
            () = std::future::ready(()) => false,
        }
    }

    #[test]
    fn an_address_at_its_limit_is_refused_and_others_are_not() {
        run(async {
            let limits = limits(&[
                ("max.connections.per.ip", "2"),
                ("max.connections.per.ip.overrides", "trusted:3, banned:0,::1:1"),
            ]);
            let mut held = Vec::new();
            for (host, max) in [("a", 2), ("b", 2), ("trusted", 3), ("banned", 0), ("::1", 1)] {
                for _ in 0..max {
                    held.push(limits.try_admit(host, false, Instant(0)).unwrap().unwrap());
                }
                let refused = limits.try_admit(host, false, Instant(0)).unwrap();
                assert_eq!(refused.err(), Some(TooManyConnections { max }), "{host}");
            }
            held.remove(0);
            assert!(limits.try_admit("a", false, Instant(0)).unwrap().is_ok());
        });
    }

    #[test]
    fn a_connection_beyond_the_maximum_waits_for_a_slot() {
        run(async {
            let limits = limits(&[("max.connections", "2")]);
            let first = limits.admit("a", false, Instant(0)).await.unwrap();
            let _second = limits.admit("b", false, Instant(0)).await.unwrap();
            let waiting = limits.admit("c", false, Instant(0));
            tokio::pin!(waiting);
            for _ in 0..3 {
                tokio::select! {
                    biased;
                    _ = &mut waiting => panic!("admitted beyond the maximum"),
                    () = tokio::task::yield_now() => {}
                }
            }
            drop(first);
            assert!(waiting.await.is_ok());
        });
    }

    #[test]
    fn a_connection_between_brokers_evicts_the_least_recently_used_other() {
        run(async {
            let limits = limits(&[("max.connections", "2")]);
            let mut first = limits.admit("a", false, Instant(1)).await.unwrap();
            let mut second = limits.admit("b", false, Instant(2)).await.unwrap();
            first.set_used(Instant(3));
            let mut broker = limits.try_admit("broker", true, Instant(4)).unwrap().unwrap();
            assert!(is_evicted(&mut second).await);
            assert!(!is_evicted(&mut first).await);
            // Until the evicted one has ended there is one too many, and only one has to go.
            drop(second);
            assert!(limits.try_admit("c", false, Instant(5)).is_none());
            let _another = limits.try_admit("broker", true, Instant(6)).unwrap().unwrap();
            assert!(is_evicted(&mut first).await);
            assert!(!is_evicted(&mut broker).await, "brokers never make room");
        });
    }
}
