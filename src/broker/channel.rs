//! The channel to the active controller, over whichever voter answers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::base::{BrokerId, Instant};
use crate::io::{Address, World};
use crate::rpc::{Backoff, Connecting, Pool, Purpose, RpcError};
use crate::wire::messages::RequestResponsePair;

/// The pause after a failure. Source: the reconnect backoff of Kafka's
/// `NodeToControllerChannelManagerImpl`.
const BACKOFF: Duration = Duration::from_millis(50);

/// How long an attempt to connect may take.
const SETUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends requests to the active controller. A call is tried once; callers decide about retries.
pub(crate) struct ControllerChannel<W: World> {
    world: W,
    pool: Pool<W>,
    voters: Vec<(BrokerId, Address)>,
    /// Which voter is asked: the next one after a failure.
    turn: AtomicUsize,
}

impl<W: World> ControllerChannel<W> {
    /// A channel to one of `voters`; nothing is connected yet.
    pub(crate) fn new(world: W, voters: Vec<(BrokerId, Address)>, client_id: String) -> Self {
        let backoff = Backoff::new(BACKOFF, BACKOFF);
        let connecting = Connecting { backoff, setup_timeout: SETUP_TIMEOUT };
        let pool = Pool::new(world.clone(), &client_id, connecting);
        Self { world, pool, voters, turn: AtomicUsize::new(0) }
    }

    /// Sends a request and waits for its response. After a failure, the next call asks the next
    /// voter.
    pub(crate) async fn call<R: RequestResponsePair + Sync + 'static>(
        &self,
        request: &R,
        deadline: Instant,
    ) -> Result<R::Response, RpcError> {
        let turn = self.turn.load(Ordering::Acquire);
        let (_, to) = &self.voters[turn % self.voters.len()];
        let called = self.pool.call(to, Purpose::Questions, request, None, deadline).await;
        if called.as_ref().is_err_and(|error| !error.is_final()) {
            // Once, however many calls failed with the same connection.
            let next = turn.wrapping_add(1);
            let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
            let _ = self.turn.compare_exchange(turn, next, success, failure);
        }
        called
    }

    /// Pauses after a failure.
    pub(crate) async fn back_off(&self) {
        self.world.sleep_until(self.world.now() + BACKOFF).await;
    }
}
