//! The way to the controller: one connection, made again when it breaks.

use std::time::Duration;

use parking_lot::Mutex;

use crate::base::{BrokerId, Instant};
use crate::io::{Address, World, timeout};
use crate::rpc::{Connection, RpcError};
use crate::wire::messages::RequestResponsePair;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after a failure, so that a dead controller is not hammered.
const BACKOFF: Duration = Duration::from_millis(50);

/// Requests to whoever is the active controller.
pub(crate) struct ControllerChannel<W: World> {
    world: W,
    voters: Vec<(BrokerId, Address)>,
    client_id: String,
    /// The connection in use. Made by one caller at a time, awaited by the others.
    connection: tokio::sync::Mutex<Option<Connection<W>>>,
    /// Which voter to try next.
    next: Mutex<usize>,
}

impl<W: World> ControllerChannel<W> {
    /// A channel to one of `voters`; nothing is connected yet.
    pub(crate) fn new(world: W, voters: Vec<(BrokerId, Address)>, client_id: String) -> Self {
        Self {
            world,
            voters,
            client_id,
            connection: tokio::sync::Mutex::new(None),
            next: Mutex::new(0),
        }
    }

    /// Sends a request and waits for its answer, making a connection first if there is none.
    /// A request that can't reach the controller is tried once; callers decide about retries.
    pub(crate) async fn call<R: RequestResponsePair + 'static>(
        &self,
        request: &R,
        deadline: Instant,
    ) -> Result<R::Response, RpcError> {
        let called = async {
            let connection = self.connected(deadline).await?;
            connection.call(request, None, deadline).await
        };
        timeout(&self.world, deadline, called).await.unwrap_or_else(|| {
            let to = self.voters.first().map_or(Address::new("", 0), |(_, to)| to.clone());
            Err(RpcError::TimedOut { to, request: R::NAME, sent: true })
        })
    }

    /// Pauses after a failure; the next call tries the next voter.
    pub(crate) async fn back_off(&self) {
        self.world.sleep_until(self.world.now() + BACKOFF).await;
    }

    async fn connected(&self, deadline: Instant) -> Result<Connection<W>, RpcError> {
        let mut held = self.connection.lock().await;
        if let Some(connection) = held.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        *held = None;
        let address = {
            let mut next = self.next.lock();
            *next += 1;
            self.voters[(*next - 1) % self.voters.len()].1.clone()
        };
        let soon = deadline.min(self.world.now() + CONNECT_TIMEOUT);
        let connection = Connection::open(&self.world, &address, &self.client_id, soon).await?;
        *held = Some(connection.clone());
        Ok(connection)
    }
}
