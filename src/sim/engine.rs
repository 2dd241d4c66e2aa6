//! What an engine offers to whoever drives a run.

use std::future::Future;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::disk::{Corruption, DiskProfile, DiskStats, Failing, Place};
use super::host::{HostId, Survival};
use super::{ClientEvent, Observation, Shot, TraceHash};
use crate::base::{Instant, Seed};
use crate::io::World;

/// What page hits may cost on a host before one of its tasks waits for it. Less than a tenth of what
/// a message takes, and more than ten calls.
pub(super) const DISK_PATIENCE: Duration = Duration::from_micros(20);

/// What a host runs each time it boots.
pub type Boot<W> = Arc<dyn Fn(W) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// What a load or a test may ask of a simulated world beyond what code under test may.
pub trait SimWorld: World {
    /// Records what a client did or saw.
    fn observe(&self, event: impl Into<ClientEvent>);

    /// Which host this is.
    fn host(&self) -> HostId;

    /// True simulated time, whatever the host's clock shows.
    fn true_now(&self) -> Instant;
}

/// How bytes travel in one direction between two hosts.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// One-way delay of a segment, drawn uniformly.
    pub latency: RangeInclusive<Duration>,
    /// Probability that a segment is lost and sent again later. `leap` only.
    pub loss: f64,
    /// Bytes per second; `None` is unlimited. `leap` only.
    pub bandwidth: Option<u64>,
}

impl Default for Link {
    /// A local network.
    fn default() -> Self {
        Self {
            latency: Duration::from_micros(200)..=Duration::from_micros(1500),
            loss: 0.0,
            bandwidth: None,
        }
    }
}

/// A simulation under somebody's hands: hosts are added, time is run in steps, faults are done
/// between steps. Everything follows from the seed and from these calls.
pub trait Engine: Sized {
    /// What hosts see of it.
    type World: World;
    /// As in `--engine NAME`.
    const NAME: &'static str;

    /// An empty simulation at time zero. `link` holds between all hosts until set otherwise.
    fn new(seed: Seed, link: Link) -> Self;

    /// Adds a host and boots it. Its name is its address. It runs from the next step on.
    fn add_host(&mut self, name: &str, boot: Boot<Self::World>) -> HostId;

    /// The host's name.
    fn name(&self, host: HostId) -> &str;

    /// True simulated time.
    fn now(&self) -> Instant;

    /// Runs everything that happens until then.
    fn run_until(&mut self, until: Instant);

    /// What was observed since the last draining, in order.
    fn drain(&mut self) -> Vec<Observation>;

    /// Whether the host's process runs (a paused one does).
    fn is_running(&self, host: HostId) -> bool;

    /// Asks the host's process to end (SIGTERM).
    fn terminate(&mut self, host: HostId);

    /// Kills the host's process. Its page cache survives; peers see the connection end or reset.
    fn kill(&mut self, host: HostId);

    /// Cuts the host's power. Peers see silence. What was not synced is subject to `survival`.
    fn power_loss(&mut self, host: HostId, survival: Survival);

    /// Cuts the power just before the host's `operation`th disk operation from now (0: the next),
    /// inside whatever the process is doing then.
    fn power_loss_at(&mut self, host: HostId, operation: u64, survival: Survival);

    /// Boots a host that was killed, lost power or ended.
    fn boot(&mut self, host: HostId);

    /// Stops polling the host's tasks (SIGSTOP); its connections stay.
    fn pause(&mut self, host: HostId);

    /// Ends a pause.
    fn resume(&mut self, host: HostId);

    /// Bytes from one host no longer reach the other. Call twice for both directions.
    fn cut(&mut self, from: HostId, to: HostId);

    /// Ends a cut; what was held back arrives late, as retransmitted.
    fn mend(&mut self, from: HostId, to: HostId);

    /// Bytes in flight between two hosts, in one direction, wait until `release`.
    fn hold(&mut self, from: HostId, to: HostId) -> Result<(), Unsupported>;

    /// Lets held bytes go.
    fn release(&mut self, from: HostId, to: HostId) -> Result<(), Unsupported>;

    /// Changes how bytes travel in one direction.
    fn set_link(&mut self, from: HostId, to: HostId, link: Link) -> Result<(), Unsupported>;

    /// Moves the host's wall clock by `offset_ms` against true time, from now on, and lets its
    /// monotonic clock run fast (or slow) by `drift_ppm`.
    fn set_clock(
        &mut self,
        host: HostId,
        offset_ms: i64,
        drift_ppm: i32,
    ) -> Result<(), Unsupported>;

    /// Changes what the host's disk costs and holds, from now on.
    fn set_disk(&mut self, host: HostId, profile: DiskProfile);

    /// Lets the host's next `count` disk operations of a kind fail, anywhere or below a directory
    /// alone; 0 takes back those to come.
    fn fail_disk(&mut self, host: HostId, what: Failing, count: u32, dir: Option<&str>);

    /// Corrupts what the host's platter holds in `count` pages of its logs (or lets the next
    /// `count` writes to the platter go wrong): of which of them, and the directory of the partition
    /// that this may mean. Says how many pages there were.
    fn corrupt_disk(
        &mut self,
        host: HostId,
        what: Corruption,
        count: u32,
        place: (Place, &str),
    ) -> u32;

    /// What the host's disk has done so far.
    fn disk_stats(&self, host: HostId) -> DiskStats;

    /// Hash over everything that happened, in order.
    fn trace(&self) -> TraceHash;

    /// Also keeps every event's text from now on.
    fn record_trace(&mut self);

    /// The recorded texts, one line per event.
    fn take_trace(&mut self) -> Vec<String>;

    /// Keeps deeds and, where the engine sees them, messages from now on, for a picture. Changes
    /// nothing of what happens, and nothing of the trace. An engine may have no film.
    fn record_film(&mut self) {}

    /// The recorded deeds and messages, in order.
    fn take_film(&mut self) -> Vec<Shot> {
        Vec::new()
    }
}

/// What an engine can't do, with its reason: shown where a scenario asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine `{engine}` can't do `{what}`: {why}")]
pub struct Unsupported {
    /// Which engine.
    pub engine: &'static str,
    /// What was asked.
    pub what: &'static str,
    /// Why not.
    pub why: &'static str,
}

/// Runs hosts until all of them ended by themselves, and returns the engine for inspection; the
/// error names those that still ran after `limit`. What small tests on an engine need.
pub fn run_to_end<E: Engine>(
    seed: Seed,
    hosts: impl IntoIterator<Item = (&'static str, Boot<E::World>)>,
    limit: Duration,
) -> Result<E, String> {
    let mut engine = E::new(seed, Link::default());
    let hosts: Vec<HostId> =
        hosts.into_iter().map(|(name, boot)| engine.add_host(name, boot)).collect();
    let end = engine.now() + limit;
    while hosts.iter().any(|host| engine.is_running(*host)) {
        if engine.now() >= end {
            let late = hosts.iter().filter(|host| engine.is_running(**host));
            let names: Vec<&str> = late.map(|host| engine.name(*host)).collect();
            return Err(format!("still running after {limit:?}: {}", names.join(", ")));
        }
        let next = engine.now() + Duration::from_millis(10);
        engine.run_until(next);
    }
    Ok(engine)
}

/// Runs one task on the only host of a simulation, and returns what it came to; `None` if that took
/// longer than `limit`. What a test of code that needs no peers needs.
pub fn block_on<E: Engine, T, F>(
    seed: Seed,
    limit: Duration,
    task: impl FnOnce(E::World) -> F + Send + 'static,
) -> Option<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let result = Arc::new(Mutex::new(None));
    let (task, place) = (Mutex::new(Some(task)), result.clone());
    let boot: Boot<E::World> = Arc::new(move |world| {
        let (task, place) = (task.lock().take(), place.clone());
        Box::pin(async move {
            if let Some(task) = task {
                let value = task(world).await;
                *place.lock() = Some(value);
            }
        })
    });
    run_to_end::<E>(seed, [("host", boot)], limit).ok()?;
    result.lock().take()
}
