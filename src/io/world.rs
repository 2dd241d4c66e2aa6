//! One host: network, disk, clocks, tasks and randomness.

use std::future::Future;

use rand_chacha::ChaCha12Rng;

use super::{Disk, Net};
use crate::base::{Instant, Probe, Stream, Timestamp};

/// Everything a host can touch. Only shells are generic over it; machines never see it.
///
/// A clone is another handle on the same host. In a simulation a handle belongs to one boot of its
/// host: after a crash it touches nothing any more.
pub trait World: Clone + Send + Sync + 'static {
    /// Streams between hosts.
    type Net: Net;
    /// Files of this host.
    type Disk: Disk;

    /// The network.
    fn net(&self) -> &Self::Net;

    /// The file system.
    fn disk(&self) -> &Self::Disk;

    /// Time since an arbitrary start. Never goes back; runs at this host's own rate.
    fn now(&self) -> Instant;

    /// What this host believes the date to be. May be wrong, may jump.
    fn wall_clock(&self) -> Timestamp;

    /// Waits until this host's clock shows `deadline`; at once if it has passed.
    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send;

    /// Runs a task beside this one until it ends or the host dies.
    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static);

    /// Waits until this host is asked to end (SIGTERM).
    fn terminated(&self) -> impl Future<Output = ()> + Send;

    /// A generator for one use. The same stream of one boot always begins alike in a simulation.
    fn random(&self, stream: Stream) -> ChaCha12Rng;

    /// Reports a transition to the observer of this world.
    fn probe(&self, probe: impl Into<Probe>);
}

/// The future's result, or `None` when `deadline` passes first.
pub async fn timeout<W: World, T>(
    world: &W,
    deadline: Instant,
    future: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        value = future => Some(value),
        () = world.sleep_until(deadline) => None,
    }
}
