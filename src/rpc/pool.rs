//! One owner's connections to other nodes: made when a call needs one, shared by the calls to that
//! node, and made again after a pause that grows while the node can't be reached.
//!
//! Clients, replica fetchers and the channel to the controller use this pool. A call is attempted
//! once: when and where to retry is the caller's decision. During a reconnect pause a call fails at
//! once, as a node in backoff is not ready in Kafka's `NetworkClient`; its error says that the
//! request did not leave.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rand_chacha::ChaCha12Rng;
use xxhash_rust::xxh3::xxh3_64;

use super::{Backoff, Connection, Finalized, Meter, RpcError};
use crate::base::{Instant, Stream};
use crate::io::{Address, World, timeout};
use crate::wire::messages::RequestResponsePair;

/// Which of the connections to a node a call takes. A node answers the requests of one connection
/// in order, so a question must not queue behind a fetch or a produce that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// Produce and Fetch.
    Records,
    /// Everything else.
    Questions,
    /// The coordinator of a group, which holds a JoinGroup back for a whole rebalance.
    Coordinator,
}

/// How a pool connects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connecting {
    /// The pause after attempts that failed: `reconnect.backoff.ms` to `reconnect.backoff.max.ms`.
    pub(crate) backoff: Backoff,
    /// How long one attempt may take, the negotiation of versions included.
    pub(crate) setup_timeout: Duration,
}

/// Connections by address and purpose. A clone is another handle.
#[derive(Clone)]
pub(crate) struct Pool<W: World> {
    inner: Arc<Inner<W>>,
}

type Lines<W> = BTreeMap<(Address, Purpose), Arc<Line<W>>>;

struct Inner<W: World> {
    world: W,
    client_id: String,
    connecting: Connecting,
    random: Mutex<ChaCha12Rng>,
    lines: Mutex<Lines<W>>,
    meter: Option<Arc<dyn Meter>>,
    finalized: Mutex<Finalized>,
    /// Once set, no connection is made any more.
    closed: AtomicBool,
}

/// The place for one connection. Callers that wait for it get it in the order of asking.
struct Line<W: World> {
    slot: tokio::sync::Mutex<Slot<W>>,
    /// Failed attempts so far: a caller that waited for one of them fails with it.
    failed: AtomicU64,
}

struct Slot<W: World> {
    connection: Option<Connection<W>>,
    reconnect: Reconnect,
}

/// When a line may connect again.
#[derive(Debug)]
struct Reconnect {
    /// Failures in a row, and the last of them.
    failures: u32,
    last: Option<RpcError>,
    not_before: Instant,
}

impl<W: World> Pool<W> {
    pub(crate) fn new(world: W, client_id: &str, connecting: Connecting) -> Self {
        Self::metered(world, client_id, connecting, None)
    }

    /// A pool that tells `meter` of every request and response.
    pub(crate) fn metered(
        world: W,
        client_id: &str,
        connecting: Connecting,
        meter: Option<Arc<dyn Meter>>,
    ) -> Self {
        let stream = Stream::numbered("reconnect", xxh3_64(client_id.as_bytes()));
        let random = Mutex::new(world.random(stream));
        let (client_id, lines) = (client_id.to_owned(), Mutex::default());
        let (finalized, closed) = (Mutex::default(), AtomicBool::new(false));
        let inner = Inner { world, client_id, connecting, random, lines, meter, finalized, closed };
        Self { inner: Arc::new(inner) }
    }

    /// The owner has ended. Requests that have a connection still leave; those that wait for one fail. Sent
    /// later, they would be taken for those of a successor: a JoinGroup or InitProducerId would fence it.
    pub(crate) fn close(&self) {
        self.inner.closed.store(true, Ordering::Release);
    }

    /// The level of a feature of the cluster, by the newest that any node said when a connection to it
    /// was made; 0 if no node named it.
    pub(crate) fn finalized_level(&self, feature: &str) -> i16 {
        self.inner.finalized.lock().level(feature)
    }

    /// Sends a request and waits for its response, connecting first if necessary. Requests of one
    /// line leave in the order in which these futures are first polled.
    pub(crate) async fn call<R: RequestResponsePair + Sync + 'static>(
        &self,
        to: &Address,
        purpose: Purpose,
        request: &R,
        max_version: Option<i16>,
        deadline: Instant,
    ) -> Result<R::Response, RpcError> {
        let connection = self.connection(to, purpose, deadline).await?;
        let began = self.inner.world.now();
        let answer = connection.call(request, max_version, deadline).await?;
        if let Some(meter) = self.inner.meter.as_ref().filter(|_| purpose == Purpose::Records) {
            let now = self.inner.world.now();
            meter.answered(now, to, now.since(began));
        }
        Ok(answer)
    }

    /// Sends a request that has no response, in order with calls.
    pub(crate) async fn send_only<R: RequestResponsePair + Sync + 'static>(
        &self,
        to: &Address,
        purpose: Purpose,
        request: &R,
        max_version: Option<i16>,
        deadline: Instant,
    ) -> Result<(), RpcError> {
        let connection = self.connection(to, purpose, deadline).await?;
        connection.send_only(request, max_version, deadline).await
    }

    async fn connection(
        &self,
        to: &Address,
        purpose: Purpose,
        deadline: Instant,
    ) -> Result<Connection<W>, RpcError> {
        let world = &self.inner.world;
        let line = self.line(to, purpose);
        let failed = line.failed.load(Ordering::Acquire);
        let mut slot = match line.slot.try_lock() {
            Ok(slot) => slot,
            Err(_) => timeout(world, deadline, line.slot.lock()).await.ok_or_else(|| {
                let reason = "no connection in time".into();
                RpcError::Connect { to: to.clone(), reason }
            })?,
        };
        let slot = &mut *slot;
        if let Some(connection) = slot.connection.as_ref().filter(|held| !held.is_closed()) {
            return Ok(connection.clone());
        }
        slot.connection = None;
        let failed_meanwhile = line.failed.load(Ordering::Acquire) != failed;
        if let Some(error) = slot.reconnect.refuses(world.now(), failed_meanwhile) {
            return Err(error);
        }
        let ended = || RpcError::Connect { to: to.clone(), reason: "its owner has ended".into() };
        if self.inner.closed.load(Ordering::Acquire) {
            return Err(ended());
        }
        let soon = deadline.min(world.now() + self.inner.connecting.setup_timeout);
        let (client_id, meter) = (&self.inner.client_id, self.inner.meter.clone());
        match Connection::open_metered(world, to, client_id, soon, meter).await {
            Ok(_) if self.inner.closed.load(Ordering::Acquire) => Err(ended()),
            Ok(connection) => {
                slot.reconnect.succeeded();
                self.inner.finalized.lock().learn(connection.finalized());
                slot.connection = Some(connection.clone());
                Ok(connection)
            }
            Err(error) => {
                tracing::debug!(%error);
                let backoff = self.inner.connecting.backoff;
                let random = &mut *self.inner.random.lock();
                slot.reconnect.failed(world.now(), error.clone(), backoff, random);
                line.failed.fetch_add(1, Ordering::Release);
                Err(error)
            }
        }
    }

    fn line(&self, to: &Address, purpose: Purpose) -> Arc<Line<W>> {
        let mut lines = self.inner.lines.lock();
        let line = lines.entry((to.clone(), purpose)).or_insert_with(|| {
            let slot = Slot { connection: None, reconnect: Reconnect::new() };
            Arc::new(Line { slot: tokio::sync::Mutex::new(slot), failed: AtomicU64::new(0) })
        });
        Arc::clone(line)
    }
}

impl Reconnect {
    fn new() -> Self {
        Self { failures: 0, last: None, not_before: Instant::START }
    }

    /// The last failure, if no attempt may be made now: the pause is not over, or the caller waited
    /// for the attempt that failed.
    fn refuses(&self, now: Instant, failed_meanwhile: bool) -> Option<RpcError> {
        self.last.as_ref().filter(|_| failed_meanwhile || now < self.not_before).cloned()
    }

    fn succeeded(&mut self) {
        *self = Self::new();
    }

    fn failed(
        &mut self,
        now: Instant,
        error: RpcError,
        backoff: Backoff,
        random: &mut ChaCha12Rng,
    ) {
        self.failures = self.failures.saturating_add(1);
        self.last = Some(error);
        self.not_before = now + backoff.pause(self.failures, random);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Seed;

    #[test]
    fn reconnect_pauses_grow_until_a_connection_is_made() {
        let mut random = Seed(3).stream(Stream::named("test"));
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        let refused = RpcError::Connect { to: Address::new("b1", 1), reason: "refused".into() };
        let mut reconnect = Reconnect::new();
        let mut now = Instant::from_secs(1);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert_eq!(reconnect.refuses(now, true).is_some(), !pauses.is_empty());
            assert_eq!(reconnect.refuses(now, false), None);
            reconnect.failed(now, refused.clone(), backoff, &mut random);
            assert!(reconnect.refuses(now, false).is_some());
            pauses.push(reconnect.not_before.since(now).as_millis());
            now = reconnect.not_before;
        }
        assert!((40..=60).contains(&pauses[0]) && (160..=240).contains(&pauses[2]), "{pauses:?}");
        assert!((800..=1000).contains(&pauses[7]), "{pauses:?}");
        reconnect.succeeded();
        reconnect.failed(now, refused, backoff, &mut random);
        assert!(reconnect.not_before.since(now) <= Duration::from_millis(60));
    }
}
