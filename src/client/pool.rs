//! The connections of one client.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::Instant;
use crate::io::{Address, World, timeout};
use crate::rpc::{Connection, RpcError};
use crate::wire::messages::RequestResponsePair;

/// Kafka's default of `socket.connection.setup.timeout.ms`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a connection is for. A broker answers one request of a connection after the other, so that
/// a question would wait for as long as a fetch or an unacknowledged batch before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// Produce and Fetch.
    Records,
    /// Everything else.
    Questions,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// There was no connection.
    #[error("{0} can't be reached")]
    Unreachable(Address),
    /// The connection broke, or the answer did not come in time, or it is no answer.
    #[error("{problem}")]
    Lost { may_have_reached: bool, problem: String },
    /// The broker does not speak it.
    #[error("{0}")]
    Unsupported(String),
}

impl CallError {
    /// Whether the broker may have got the request.
    pub(crate) fn may_have_reached(&self) -> bool {
        matches!(self, Self::Lost { may_have_reached: true, .. })
    }
}

impl From<RpcError> for CallError {
    fn from(error: RpcError) -> Self {
        match error {
            // Neither changes when it is tried again.
            RpcError::Unsupported { .. } | RpcError::Request { .. } => {
                Self::Unsupported(error.to_string())
            }
            RpcError::Connect { to, .. } => Self::Unreachable(to),
            error => Self::Lost {
                may_have_reached: error.may_have_reached(),
                problem: error.to_string(),
            },
        }
    }
}

/// Connections by broker and purpose, made when they are needed. A clone is another handle.
#[derive(Clone)]
pub(crate) struct Pool<W: World> {
    inner: Arc<Inner<W>>,
}

struct Inner<W: World> {
    world: W,
    client_id: String,
    lines: Mutex<Lines<W>>,
}

type Lines<W> = BTreeMap<(Address, Purpose), Arc<Line<W>>>;

/// One connection, or the place for it. Who waits for it gets it in the order of asking.
struct Line<W: World> {
    connection: tokio::sync::Mutex<Option<Connection<W>>>,
    /// Attempts to connect that failed. All who waited for one of them have failed with it.
    failures: AtomicU64,
}

impl<W: World> Pool<W> {
    pub(crate) fn new(world: W, client_id: &str) -> Self {
        let (client_id, lines) = (client_id.to_owned(), Mutex::default());
        Self { inner: Arc::new(Inner { world, client_id, lines }) }
    }

    /// Asks, and waits for the answer. Requests leave in the order in which these futures are
    /// first polled.
    pub(crate) async fn call<R: RequestResponsePair + Sync + 'static>(
        &self,
        to: &Address,
        purpose: Purpose,
        request: &R,
        max_version: Option<i16>,
        deadline: Instant,
    ) -> Result<R::Response, CallError> {
        let connection = self.connection(to, purpose, deadline).await?;
        Ok(connection.call(request, max_version, deadline).await?)
    }

    /// Sends a request that has no answer. In order with calls.
    pub(crate) async fn send_only<R: RequestResponsePair + Sync + 'static>(
        &self,
        to: &Address,
        purpose: Purpose,
        request: &R,
        max_version: Option<i16>,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let connection = self.connection(to, purpose, deadline).await?;
        Ok(connection.send_only(request, max_version, deadline).await?)
    }

    async fn connection(
        &self,
        to: &Address,
        purpose: Purpose,
        deadline: Instant,
    ) -> Result<Connection<W>, CallError> {
        let unreachable = || CallError::Unreachable(to.clone());
        let world = &self.inner.world;
        let line = self.line(to, purpose);
        let failures = line.failures.load(Ordering::Acquire);
        let slot = timeout(world, deadline, line.connection.lock()).await;
        let mut slot = slot.ok_or_else(unreachable)?;
        if let Some(connection) = slot.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        *slot = None;
        if line.failures.load(Ordering::Acquire) != failures {
            return Err(unreachable());
        }
        let deadline = deadline.min(world.now() + CONNECT_TIMEOUT);
        match Connection::open(world, to, &self.inner.client_id, deadline).await {
            Ok(connection) => {
                *slot = Some(connection.clone());
                Ok(connection)
            }
            Err(error) => {
                tracing::debug!(%error);
                line.failures.fetch_add(1, Ordering::Release);
                Err(unreachable())
            }
        }
    }

    fn line(&self, to: &Address, purpose: Purpose) -> Arc<Line<W>> {
        let mut lines = self.inner.lines.lock();
        let line = lines.entry((to.clone(), purpose)).or_insert_with(|| {
            let connection = tokio::sync::Mutex::new(None);
            Arc::new(Line { connection, failures: AtomicU64::new(0) })
        });
        Arc::clone(line)
    }
}
